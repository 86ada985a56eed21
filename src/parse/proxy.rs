//! Whom a request comes from when proxies of the site's own hand it on.
//!
//! A proxy adds the address of its own client at the end of `X-Forwarded-For`. What stands further left may have been
//! written by anybody, so the list is read from its end, and only as long as the writer of an entry is trusted.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;

use crate::flow::Headers;
use crate::settings::Proxies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// More proxies in a row are a mistake; the address of the last one that was read stands for the visitor.
const MOST_HOPS: usize = 16;

/// The address of the visitor, and whether their browser speaks TLS. Without trusted proxies it is the peer, which
/// speaks none.
pub fn sender(headers: &Headers, peer: SocketAddr, proxies: &Proxies) -> (SocketAddr, bool) {
    if !proxies.holds(peer.ip()) {
        return (peer, false);
    }
    let (mut address, mut hops) = (peer.ip().to_canonical(), 1);
    for entry in entries(headers, &FORWARDED_FOR).take(MOST_HOPS) {
        // Who wrote something else than an address has not told whom it served.
        let Some(told) = address_of(entry) else { break };
        address = told;
        if !proxies.holds(told) {
            break;
        }
        hops += 1;
    }
    (SocketAddr::new(address, peer.port()), is_secure(headers, hops))
}

/// Whether the outermost of `hops` trusted proxies was spoken to by TLS. Where each adds a word of its own, that is as
/// far from the end as the proxy; where one word is handed on, it is the first.
fn is_secure(headers: &Headers, hops: usize) -> bool {
    let word = entries(headers, &FORWARDED_PROTO).take(hops).last();
    word.is_some_and(|word| word.eq_ignore_ascii_case("https"))
}

/// The entries of all lines of a header, from the last to the first. One that is no text is empty: what a client wrote
/// must not hide what a proxy added behind it.
fn entries<'h>(headers: &'h Headers, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.all(name).rev();
    let pieces = lines.flat_map(|line| line.rsplit(|byte| *byte == b','));
    pieces.map(|piece| std::str::from_utf8(piece).unwrap_or("").trim())
}

/// An address, perhaps with a port, as some proxies write it: `192.0.2.7`, `192.0.2.7:4711`, `[2001:db8::7]:4711`.
fn address_of(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[(&'static str, &str)], proxies: &str) -> (String, bool) {
        let mut settings = crate::settings::Settings::default();
        settings.set("server.proxies", proxies).unwrap();
        let mut headers = Headers::default();
        for (name, value) in lines {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let (address, secure) = sender(&headers, peer, &settings.proxies);
        assert_eq!(address.port(), 4711);
        (address.ip().to_string(), secure)
    }

    fn address(peer: &str, list: &str, proxies: &str) -> String {
        seen(peer, &[("x-forwarded-for", list)], proxies).0
    }

    #[test]
    fn nobody_is_believed_who_is_not_named() {
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")];
        assert_eq!(seen("127.0.0.1", &lines, ""), ("127.0.0.1".into(), false));
        assert_eq!(seen("192.0.2.1", &lines, "127.0.0.1, 10.0.0.0/8"), ("192.0.2.1".into(), false));
        assert_eq!(seen("127.0.0.1", &lines, "127.0.0.1"), ("203.0.113.9".into(), true));
    }

    #[test]
    fn what_a_client_wrote_itself_is_left_of_what_counts() {
        assert_eq!(address("10.0.0.1", "1.1.1.1, 203.0.113.9", "10.0.0.0/8"), "203.0.113.9");
        // Even when it names a proxy, or the server itself.
        assert_eq!(address("10.0.0.1", "127.0.0.1, 10.9.9.9, 203.0.113.9", "10.0.0.0/8, 127.0.0.1"), "203.0.113.9");
        let two = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(seen("10.0.0.1", &two, "10.0.0.0/8").0, "203.0.113.9");
    }

    #[test]
    fn proxies_in_a_row_are_passed() {
        assert_eq!(address("10.0.0.1", "203.0.113.9, 10.0.0.3, 10.0.0.2", "10.0.0.0/8"), "203.0.113.9");
        // All are proxies: somebody of the house asks.
        assert_eq!(address("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.0/8"), "10.0.0.3");
        let many = vec!["10.0.0.2"; 1000].join(",");
        assert_eq!(address("10.0.0.1", &format!("203.0.113.9,{many}"), "10.0.0.0/8"), "10.0.0.2");
    }

    #[test]
    fn garbage_leaves_the_last_address_that_is_known() {
        for garbage in
            ["", "unknown", "203.0.113", "203.0.113.9;", "_hidden", "\u{e9}", "\t", "999.1.1.1", "[::1", "a b"]
        {
            assert_eq!(address("10.0.0.1", garbage, "10.0.0.0/8"), "10.0.0.1", "{garbage}");
            assert_eq!(address("10.0.0.1", &format!("1.1.1.1, {garbage}, 10.0.0.2"), "10.0.0.0/8"), "10.0.0.2");
        }
        assert_eq!(seen("10.0.0.1", &[], "10.0.0.0/8"), ("10.0.0.1".into(), false));
    }

    #[test]
    fn addresses_of_version_6_and_ports_are_understood() {
        assert_eq!(address("::1", "2001:db8::7", "::1"), "2001:db8::7");
        assert_eq!(address("fd00::5", "[2001:db8::7]:443, fd00::9", "fd00::/8"), "2001:db8::7");
        assert_eq!(address("10.0.0.1", "203.0.113.9:5000", "10.0.0.1"), "203.0.113.9");
        // A socket for both versions writes the older one so.
        assert_eq!(address("::ffff:10.0.0.1", "::ffff:203.0.113.9", "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(address("10.0.0.1", "203.0.113.9", "::ffff:10.0.0.1"), "203.0.113.9");
        assert_eq!(address("192.0.2.1", "203.0.113.9", "::/0"), "192.0.2.1");
        assert_eq!(address("192.0.2.1", "203.0.113.9", "0.0.0.0/0"), "203.0.113.9");
    }

    #[test]
    fn the_scheme_is_that_of_the_outermost_proxy() {
        let scheme =
            |list, words| seen("10.0.0.1", &[("x-forwarded-for", list), ("x-forwarded-proto", words)], "10.0.0.0/8").1;
        assert!(scheme("203.0.113.9", "https") && scheme("203.0.113.9", "HTTPS"));
        assert!(!scheme("203.0.113.9", "http") && !scheme("203.0.113.9", "httpss"));
        // The first word is the client's own.
        assert!(!scheme("203.0.113.9", "https, http"));
        assert!(scheme("203.0.113.9, 10.0.0.2", "http, https, http"));
        assert!(scheme("203.0.113.9, 10.0.0.2", "https"));
    }
}
