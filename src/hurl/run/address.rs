//! Addresses of requests: plain `http` on this machine, and nothing else. A site's tests must not be able to reach
//! anybody else's server, whatever a file or a redirect says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// In lower case; an IPv6 address in its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, as they go on the request line.
    pub(super) target: String,
}

impl Address {
    /// Reads an absolute address. The fragment is dropped, and the path loses its `.` and `..` segments, as curl
    /// does, unless it is taken `as_is`.
    pub(super) fn parse(text: &str, as_is: bool) -> Result<Address, String> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(format!("only `http` addresses are tested, not `{scheme}`: {text}")),
            None => return Err(format!("`{text}` is not an address; it begins with `http://` or `{{{{host}}}}`")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("put name and password under [BasicAuth], not into the address".to_string());
        }
        let (host, port) = host_and_port(authority).ok_or_else(|| format!("`{authority}` is not a host and a port"))?;
        Ok(Address { host, port, target: normal_target(target, as_is) })
    }

    /// Where `location` leads from here (RFC 9110, 10.2.2 and RFC 3986, 5.2).
    pub(super) fn join(&self, location: &str) -> Result<Address, String> {
        let location = encoded(location);
        if location.contains("://") && location.find("://") < location.find(['/', '?', '#']) {
            return Address::parse(&location, false);
        }
        if location.starts_with("//") {
            return Address::parse(&format!("http:{location}"), false);
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match location.chars().next() {
            None | Some('#') => self.target.clone(),
            Some('/') => location,
            Some('?') => format!("{path}{location}"),
            Some(_) => format!("{}{location}", &path[..=path.rfind('/').unwrap_or(0)]),
        };
        Ok(Address { target: normal_target(&target, false), ..self.clone() })
    }

    /// The same scheme, host and port.
    pub(super) fn same_origin(&self, other: &Address) -> bool {
        self.host == other.host && self.port == other.port
    }

    /// The path without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("/")
    }

    /// Host and port, as in the `Host` header.
    pub(super) fn authority(&self) -> String {
        if self.port == 80 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The sockets to try, in order; an error for a host that is not this machine.
    pub(super) fn sockets(&self) -> Result<Vec<SocketAddr>, String> {
        let bare = self.host.trim_matches(['[', ']']);
        let hosts = match bare.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() => vec![ip],
            Err(_) if bare == "localhost" || bare.ends_with(".localhost") => {
                vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            }
            _ => return Err(format!("tests speak only with this machine (127.0.0.1, localhost), not with `{bare}`")),
        };
        Ok(hosts.into_iter().map(|host| SocketAddr::new(host, self.port)).collect())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "http://{}{}", self.authority(), self.target)
    }
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => (&authority[..at], authority[at + 1..].parse().ok()?),
        _ => (authority, 80),
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    (!host.is_empty() && host.chars().all(is_host)).then(|| (host.to_ascii_lowercase(), port))
}

fn normal_target(target: &str, as_is: bool) -> String {
    let target = target.split('#').next().unwrap_or("");
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let path = if as_is { path.to_string() } else { without_dots(path) };
    if path.starts_with('/') { format!("{path}{query}") } else { format!("/{path}{query}") }
}

/// RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let mut kept: Vec<&str> = Vec::with_capacity(segments.len());
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Encodes what may not stand in an address but servers send in `Location` all the same.
fn encoded(location: &str) -> String {
    let mut encoded = String::with_capacity(location.len());
    for byte in location.trim().bytes() {
        if byte.is_ascii_graphic() {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_curl_reads_them() {
        for (text, shown) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/"),
            ("http://LocalHost/a/./b/../c?x=../y#z", "http://localhost/a/c?x=../y"),
            ("http://localhost:80/../../a/..", "http://localhost/"),
            ("http://[::1]:81?q", "http://[::1]:81/?q"),
        ] {
            assert_eq!(Address::parse(text, false).map(|address| address.to_string()), Ok(shown.to_string()), "{text}");
        }
        assert_eq!(Address::parse("http://localhost/../a", true).map(|address| address.target), Ok("/../a".into()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "/cart", "https://localhost/", "http://", "http://:1/", "http://a:b@localhost/", "http://h:x/"]
        {
            assert!(Address::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to() {
        for text in ["http://example.org/", "http://10.0.0.1/", "http://169.254.169.254/", "http://localhost.evil/"] {
            let address = Address::parse(text, false).unwrap();
            assert!(address.sockets().is_err(), "{text}");
        }
        for text in ["http://localhost/", "http://shop.localhost/", "http://127.9.9.9/", "http://[::1]/"] {
            assert!(Address::parse(text, false).unwrap().sockets().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_location_is_joined() {
        let base = Address::parse("http://localhost:3000/a/b?c", false).unwrap();
        for (location, target) in [
            ("/x", "/x"),
            ("y?z", "/a/y?z"),
            ("?q=ä b", "/a/b?q=%C3%A4%20b"),
            ("../up", "/up"),
            ("", "/a/b?c"),
            ("#top", "/a/b?c"),
            ("http://localhost:3000/abs", "/abs"),
            ("//localhost:3000/rel", "/rel"),
            ("/to?next=http://localhost/", "/to?next=http://localhost/"),
        ] {
            let joined = base.join(location).unwrap();
            assert_eq!(joined.target, target, "{location}");
            assert!(joined.same_origin(&base), "{location}");
        }
        assert!(base.join("https://localhost/").is_err());
    }
}
