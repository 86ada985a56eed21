//! Cookies: what a `Set-Cookie` header says, and the jar that keeps them from one request of a file to the next
//! (RFC 6265). There is no list of public suffixes: tests speak with this machine only.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::address::Address;
use crate::clock::Clock;

/// A cookie as a `Set-Cookie` header gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetCookie {
    pub(super) name: String,
    pub(super) value: String,
    /// Names as sent, and values; `None` without an `=`.
    attributes: Vec<(String, Option<String>)>,
}

impl SetCookie {
    /// Reads the value of a `Set-Cookie` header; `None` when it has no `=`.
    pub(super) fn parse(header: &str) -> Option<SetCookie> {
        let mut parts = header.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let attributes = parts
            .map(|part| match part.split_once('=') {
                Some((name, value)) => (name.trim().to_string(), Some(value.trim().to_string())),
                None => (part.trim().to_string(), None),
            })
            .collect();
        Some(SetCookie { name: name.trim().to_string(), value: value.trim().to_string(), attributes })
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_deref())
    }

    /// Whether an attribute is present, `HttpOnly` for one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The moment of `Expires`; `None` without one, an error for one that is no date.
    pub(super) fn expires(&self) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.attribute("Expires") else { return Ok(None) };
        // Old servers write dashes between day, month and year.
        let (weekday, rest) = text.split_once(' ').unwrap_or(("", text));
        let date = rest.replace('-', " ").replace("UTC", "GMT");
        rfc2822::parse(&format!("{weekday} {date}"))
            .map(|date| Some(date.timestamp()))
            .map_err(|_| format!("`{text}` is not a date"))
    }
}

/// A cookie that is kept.
#[derive(Clone, Debug)]
struct Kept {
    name: String,
    value: String,
    domain: String,
    /// Whether only the very host gets it.
    host_only: bool,
    path: String,
    /// Milliseconds since the epoch; `None` for the length of the run.
    expires: Option<i64>,
}

/// The cookies of one run.
#[derive(Debug, Default)]
pub(super) struct Jar {
    kept: Vec<Kept>,
    clock: Clock,
}

impl Jar {
    /// Takes in what a response from `address` sets; a cookie that has expired already is deleted.
    pub(super) fn take(&mut self, address: &Address, cookie: &SetCookie) {
        let Some(kept) = self.accepted(address, cookie) else { return };
        let is_same = |old: &Kept| old.name == kept.name && old.domain == kept.domain && old.path == kept.path;
        let at = self.kept.iter().position(is_same);
        let gone = kept.expires.is_some_and(|expires| expires <= self.clock.millis());
        match (at, gone) {
            (Some(at), true) => drop(self.kept.remove(at)),
            (Some(at), false) => self.kept[at] = kept,
            (None, true) => {}
            (None, false) => self.kept.push(kept),
        }
    }

    /// The cookie as it is kept, unless a browser would refuse it (RFC 6265, 5.3; prefixes of RFC 6265bis, 4.1.3).
    fn accepted(&self, address: &Address, cookie: &SetCookie) -> Option<Kept> {
        let domain = cookie.attribute("Domain").map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
        let domain = domain.filter(|domain| !domain.is_empty());
        if domain.as_ref().is_some_and(|domain| !domain_matches(&address.host, domain)) {
            return None;
        }
        let path = cookie.attribute("Path").filter(|path| path.starts_with('/'));
        let secure = cookie.has("Secure");
        let bound_to_host = secure && domain.is_none() && path == Some("/");
        if cookie.name.starts_with("__Host-") && !bound_to_host || cookie.name.starts_with("__Secure-") && !secure {
            return None;
        }
        Some(Kept {
            name: cookie.name.clone(),
            value: cookie.value.clone(),
            host_only: domain.is_none(),
            domain: domain.unwrap_or_else(|| address.host.clone()),
            path: path.map_or_else(|| default_path(address.path()), str::to_string),
            expires: self.expiry(cookie),
        })
    }

    /// `Max-Age` wins over `Expires`.
    fn expiry(&self, cookie: &SetCookie) -> Option<i64> {
        if let Some(seconds) = cookie.attribute("Max-Age").and_then(|seconds| seconds.parse::<i64>().ok()) {
            return Some(self.clock.millis().saturating_add(seconds.saturating_mul(1000)));
        }
        cookie.expires().ok().flatten().map(Timestamp::as_millisecond)
    }

    /// The cookies for a request, as in its `Cookie` header: longer paths first. `Secure` cookies go to this machine
    /// over plain HTTP, as in curl.
    pub(super) fn header(&self, address: &Address) -> Option<String> {
        let now = self.clock.millis();
        let mut sent: Vec<&Kept> = self
            .kept
            .iter()
            .filter(|kept| kept.expires.is_none_or(|expires| expires > now))
            .filter(|kept| {
                if kept.host_only { kept.domain == address.host } else { domain_matches(&address.host, &kept.domain) }
            })
            .filter(|kept| path_matches(address.path(), &kept.path))
            .collect();
        sent.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        let pairs: Vec<String> = sent.iter().map(|kept| format!("{}={}", kept.name, kept.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// RFC 6265, 5.1.3. An IP address matches only itself.
fn domain_matches(host: &str, domain: &str) -> bool {
    let is_ip = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    host == domain || (!is_ip && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

/// RFC 6265, 5.1.4.
fn path_matches(path: &str, kept: &str) -> bool {
    path.strip_prefix(kept).is_some_and(|rest| rest.is_empty() || kept.ends_with('/') || rest.starts_with('/'))
}

/// RFC 6265, 5.1.4.
fn default_path(path: &str) -> String {
    match path.rfind('/') {
        None | Some(0) => "/".to_string(),
        Some(at) => path[..at].to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text, false).unwrap()
    }

    fn sent(set: &[&str], from: &str, to: &str) -> String {
        let mut jar = Jar::default();
        for header in set {
            jar.take(&address(from), &SetCookie::parse(header).unwrap());
        }
        jar.header(&address(to)).unwrap_or_default()
    }

    #[test]
    fn cookies_go_where_they_belong() {
        let shop = "http://localhost/shop/cart";
        assert_eq!(sent(&["a=1"], shop, "http://localhost/shop/x"), "a=1");
        assert_eq!(sent(&["a=1"], shop, "http://localhost/"), "");
        assert_eq!(sent(&["a=1; Path=/"], shop, "http://localhost/"), "a=1");
        assert_eq!(sent(&["a=1; Path=/"], shop, "http://127.0.0.1/"), "");
        assert_eq!(sent(&["a=1; Path=/sh"], shop, "http://localhost/shop"), "");
        assert_eq!(sent(&["a=1; Domain=localhost; Path=/"], shop, "http://x.localhost/"), "a=1");
        assert_eq!(sent(&["a=1; Domain=example.org; Path=/"], shop, "http://localhost/"), "");
        assert_eq!(sent(&["a=1; Path=/", "b=2; Path=/shop"], shop, "http://localhost/shop"), "b=2; a=1");
    }

    #[test]
    fn cookies_are_replaced_and_deleted() {
        let at = "http://127.0.0.1:3000/";
        assert_eq!(sent(&["a=1", "a=2; HttpOnly"], at, at), "a=2");
        assert_eq!(sent(&["a=1", "a=; Max-Age=0"], at, at), "");
        assert_eq!(sent(&["a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], at, at), "");
        assert_eq!(sent(&["a=1", "a=; Expires=Thu, 01-Jan-1970 00:00:00 GMT"], at, at), "");
        assert_eq!(sent(&["a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], at, at), "a=1");
    }

    #[test]
    fn prefixes_bind_a_cookie_to_its_host() {
        let at = "http://127.0.0.1:3000/";
        assert_eq!(sent(&["__Host-s=1; Secure; Path=/"], at, at), "__Host-s=1");
        assert_eq!(sent(&["__Host-s=1; Path=/"], at, at), "");
        assert_eq!(sent(&["__Host-s=1; Secure; Path=/; Domain=127.0.0.1"], at, at), "");
        assert_eq!(sent(&["__Secure-s=1"], at, at), "");
    }

    #[test]
    fn odd_headers_are_read() {
        assert_eq!(SetCookie::parse("no cookie"), None);
        let cookie = SetCookie::parse("a=b=c; Expires=soon; SECURE").unwrap();
        assert_eq!((cookie.value.as_str(), cookie.has("Secure")), ("b=c", true));
        assert!(cookie.expires().is_err());
    }
}
