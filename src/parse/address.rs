//! Checks the first line and the host of a request.

use http::header::HOST;
use http::{Method, Version};

use super::{Limits, path};
use crate::flow::Visit;
use crate::problem::{Kind, Problem};

/// What an address is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As it should be.
    Canonical,
    /// It has empty segments (`//a`); the visitor is sent to this address instead (raw, with its query).
    Collapsed(String),
}

/// Checks method, host, length and path of a request, and keeps the decoded path in the visit.
///
/// Problems: `UnknownMethod`, `AddressTooLong`, `Malformed` (what [`super::decode_path`] refuses; no `Host` or two).
pub fn address(visit: &mut Visit, limits: &Limits) -> Result<Address, Problem> {
    if !visit.only_asks() && !knows(&visit.method) {
        return Err(Problem::new(Kind::UnknownMethod, "This server doesn't know that method."));
    }
    if visit.uri().path().len() + visit.query().len() > limits.address {
        return Err(Problem::new(Kind::AddressTooLong, "The address is too long."));
    }
    check_host(visit)?;
    if path::is_plain(visit.uri().path()) {
        return Ok(Address::Canonical);
    }
    // `OPTIONS *` asks about the server as a whole (RFC 9110, 9.3.7).
    if visit.method == Method::OPTIONS && visit.uri().path() == "*" {
        visit.set_path("/".into());
        return Ok(Address::Canonical);
    }
    let decoded = match path::decode_path(visit.uri().path())? {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(decoded) => Some(decoded),
    };
    if let Some(decoded) = decoded {
        visit.set_path(decoded.into());
    }
    Ok(path::collapse(visit.uri().path(), visit.uri().query()))
}

/// The bytes that a host may have (RFC 3986, 3.2.2), with a port.
const OF_HOSTS: [bool; 256] = {
    let mut fit = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        fit[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~:[]%!$&'()*+,;=";
    let mut index = 0;
    while index < others.len() {
        fit[others[index] as usize] = true;
        index += 1;
    }
    fit
};

/// The methods that a site can have beside those that only ask.
fn knows(method: &Method) -> bool {
    matches!(method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS")
}

/// HTTP/1.1 must name the host once (RFC 9112, 3.2): two readers could take two names for two sites.
fn check_host(visit: &Visit) -> Result<(), Problem> {
    let mut hosts = visit.headers.all(HOST);
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Problem::malformed("The request names its host twice."));
    }
    if visit.version == Version::HTTP_11 && first.is_none() {
        return Err(Problem::malformed("The request doesn't name its host."));
    }
    if first.is_some_and(|host| !host.iter().all(|byte| OF_HOSTS[usize::from(*byte)])) {
        return Err(Problem::malformed("The request's host is not a host name."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn visit(method: &str, uri: &str, hosts: &[&str]) -> Visit {
        let mut request = Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        Visit::begin(request.body(()).unwrap().into_parts().0, ([127, 0, 0, 1], 1).into(), false)
    }

    fn kind(method: &str, uri: &str, hosts: &[&str]) -> Option<Kind> {
        address(&mut visit(method, uri, hosts), &Limits { address: 20, ..Limits::default() }).err().map(|p| p.kind)
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(kind("GET", "/a", &["x"]), None);
        assert_eq!(kind("OPTIONS", "*", &["x"]), None);
        assert_eq!(kind("BREW", "/a", &["x"]), Some(Kind::UnknownMethod));
        assert_eq!(kind("TRACE", "/a", &["x"]), Some(Kind::UnknownMethod));
        assert_eq!(kind("GET", "/a", &[]), Some(Kind::Malformed));
        assert_eq!(kind("GET", "/a", &["x", "x"]), Some(Kind::Malformed));
        assert_eq!(kind("GET", "/a", &["x/y"]), Some(Kind::Malformed));
        assert_eq!(kind("GET", "/a", &["user@x"]), Some(Kind::Malformed));
        assert_eq!(kind("GET", "/%2e%2e/a", &["x"]), Some(Kind::Malformed));
        assert_eq!(kind("GET", "/12345678901234567890", &["x"]), Some(Kind::AddressTooLong));
        assert_eq!(kind("GET", "/1?2345678901234567890", &["x"]), Some(Kind::AddressTooLong));
    }

    #[test]
    fn the_decoded_path_is_kept() {
        let mut visit = visit("GET", "/caf%C3%A9?q=%20", &["localhost:3000"]);
        assert_eq!(address(&mut visit, &Limits::default()).unwrap(), Address::Canonical);
        assert_eq!((visit.path(), visit.query(), visit.host()), ("/café", "q=%20", Some("localhost:3000")));
    }
}
