//! Reads name and value pairs: query texts, urlencoded forms, cookies.

use http::header::COOKIE;

use super::escape::{self, Escape};
use crate::flow::{Headers, is_visible};
use crate::octets;
use crate::problem::Problem;

/// The pairs of a query text or of an urlencoded body, decoded, in the order sent. A name without `=` has an empty
/// value; empty pairs (`a=1&&b=2`) are left out.
///
/// `Malformed`: a broken escape, bad UTF-8, a NUL (no database keeps it in text), more than `limit` pairs.
pub fn query_pairs(query: &str, limit: usize) -> Result<Vec<(String, String)>, Problem> {
    pairs(query.as_bytes(), limit)
}

pub(super) fn pairs(text: &[u8], limit: usize) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs = Vec::new();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == limit {
            return Err(too_many(limit));
        }
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        pairs.push((component(name)?, component(value)?));
    }
    Ok(pairs)
}

/// More names than allowed.
pub(super) fn too_many(limit: usize) -> Problem {
    Problem::malformed(format!("More than {limit} fields were sent."))
}

/// Bytes as text: valid UTF-8 without NUL.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, Problem> {
    let text = String::from_utf8(bytes).map_err(|_| Problem::malformed("What was sent is not valid UTF-8."))?;
    match text.contains('\0') {
        true => Err(Problem::malformed("What was sent contains a NUL character.")),
        false => Ok(text),
    }
}

fn component(raw: &[u8]) -> Result<String, Problem> {
    // Most are words and numbers.
    if octets::all(raw, |byte| byte.is_ascii_alphanumeric())
        && let Ok(plain) = std::str::from_utf8(raw)
    {
        return Ok(plain.to_string());
    }
    let bytes = escape::decode(raw, Escape::Form)
        .ok_or_else(|| Problem::malformed("What was sent contains a broken % escape."))?;
    text(bytes)
}

/// The value of the cookie of a name. Several `Cookie` headers (HTTP/2 sends them so) count as one.
pub fn cookie<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let [value] = cookies(headers, [name]);
    value
}

/// The same of several names.
pub fn cookies<'a, const N: usize>(headers: &'a Headers, names: [&str; N]) -> [Option<&'a str>; N] {
    let mut found = [Cookie::Missing; N];
    // Most who only look at a site bring none.
    for header in headers.all(COOKIE) {
        let mut rest = Some(header);
        while let Some(text) = rest {
            let end = memchr::memchr(b';', text);
            rest = end.map(|end| &text[end + 1..]);
            let pair = text[..end.unwrap_or(text.len())].trim_ascii_start();
            for (name, found) in names.iter().zip(&mut found) {
                // A header with other bytes is no list of cookies.
                if let Some(value) = value_of(pair, name).filter(|_| is_visible(header)) {
                    *found = found.and(value);
                }
            }
        }
    }
    found.map(|found| if let Cookie::Is(value) = found { Some(value) } else { None })
}

/// What is found of a cookie.
#[derive(Clone, Copy)]
enum Cookie<'a> {
    Missing,
    Is(&'a str),
    /// A neighbour of the domain may have planted one; which one is the visitor's own can't be told (RFC 6265, 8.6).
    Two,
}

impl<'a> Cookie<'a> {
    /// With one more of the same name.
    fn and(self, value: &'a str) -> Cookie<'a> {
        match self {
            Cookie::Missing => Cookie::Is(value),
            Cookie::Is(first) if first == value => self,
            _ => Cookie::Two,
        }
    }
}

/// The value of a cookie, if it has this name.
fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p str> {
    // Most have another name, and nearly all of those one of another length.
    if pair.get(name.len()) != Some(&b'=') || !pair.starts_with(name.as_bytes()) {
        return None;
    }
    std::str::from_utf8(pair[name.len() + 1..].trim_ascii_end()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let pairs = query_pairs("q=a+b%20c&&tag=x&tag=&flag&%C3%A9=%3d", 10).unwrap();
        let expected = [("q", "a b c"), ("tag", "x"), ("tag", ""), ("flag", ""), ("é", "=")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_string(), value.to_string())));
        assert!(query_pairs("", 0).unwrap().is_empty());
    }

    #[test]
    fn bad_pairs_are_refused() {
        for query in ["a=%", "a=%2", "a=%gg", "a=%ff", "%c3=1", "a=%00", "a=1&b=2&c=3"] {
            assert!(query_pairs(query, 2).is_err(), "{query} was accepted");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = Headers::default();
        headers.push(b"cookie", b"xsession=no; session=a=b;two=1;session=a=b; two=2");
        headers.push(b"cookie", b"theme=dark");
        assert_eq!(cookie(&headers, "session"), Some("a=b"));
        assert_eq!(cookie(&headers, "theme"), Some("dark"));
        assert_eq!(cookie(&headers, "sess"), None);
        assert_eq!(cookie(&headers, "two"), None, "whose is it?");
        assert_eq!(cookies(&headers, ["theme", "two", "session"]), [Some("dark"), None, Some("a=b")]);
    }
}
