//! Reads the head of an HTTP/1 request and decides how long its body is (RFC 9112, 3 to 6). Pure.
//!
//! Where two readers could read a request in two ways, it is refused: behind a proxy that reads it otherwise, the rest
//! would be somebody else's request.

use std::mem::MaybeUninit;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{Method, StatusCode, Uri, Version};
use httparse::{Error, Status};

use super::super::incoming::length;
use crate::flow::{self, Headers, visible};

/// Headers for which there is room without an allocation.
const USUAL_HEADERS: usize = 100;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Framing {
    /// There is none.
    Nothing,
    /// After so many bytes.
    Length(u64),
    /// It says so itself.
    Chunked,
}

/// The head of a request.
#[derive(Debug)]
pub(in super::super) struct Head {
    /// In a box, because it is handed on many times.
    pub(in super::super) request: Box<flow::Head>,
    pub(in super::super) framing: Framing,
    /// Whether another request may follow.
    pub(in super::super) keeps_alive: bool,
    /// Whether the client waits for leave before it sends the body.
    pub(in super::super) expects: bool,
}

/// What bytes hold.
#[derive(Debug)]
pub(in super::super) enum Read {
    /// A head, and how many bytes it takes.
    Whole(Head, usize),
    /// The beginning of one.
    Partial,
    /// No request.
    Fault(Fault),
}

/// Why something is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Fault {
    /// What the client is told.
    pub(in super::super) status: StatusCode,
    /// What the log is told.
    pub(in super::super) what: &'static str,
}

const fn malformed(what: &'static str) -> Fault {
    Fault { status: StatusCode::BAD_REQUEST, what }
}

/// The head is larger than it may be.
pub(super) const TOO_LARGE: Fault =
    Fault { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, what: "its head is too large" };

/// Reads a head of at most so many header lines from the beginning of `bytes`.
pub(in super::super) fn read(bytes: &[u8], most_headers: usize) -> Read {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut many = Vec::new();
    let room = match usual.get_mut(..most_headers) {
        Some(room) => room,
        None => {
            many.resize_with(most_headers, MaybeUninit::uninit);
            &mut many[..]
        }
    };
    let mut parsed = httparse::Request::new(&mut []);
    let size = match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Read::Partial,
        Err(error) => return Read::Fault(fault(error)),
    };
    match head(&parsed, &bytes[..size]) {
        Ok(head) => Read::Whole(head, size),
        Err(fault) => Read::Fault(fault),
    }
}

fn fault(error: Error) -> Fault {
    match error {
        Error::HeaderName => malformed("the name of a header"),
        Error::HeaderValue => malformed("the value of a header"),
        Error::NewLine => malformed("the end of a line"),
        Error::Status | Error::Token => malformed("its first line"),
        Error::TooManyHeaders => Fault { what: "too many headers", ..TOO_LARGE },
        Error::Version => malformed("its version"),
    }
}

fn head(parsed: &httparse::Request<'_, '_>, bytes: &[u8]) -> Result<Head, Fault> {
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let method = parsed.method.unwrap_or_default().as_bytes();
    let method = Method::from_bytes(method).map_err(|_| malformed("its method"))?;
    let uri = Uri::try_from(parsed.path.unwrap_or_default()).map_err(|_| malformed("its address"))?;
    let mut headers = Headers::within(bytes, parsed.headers.len());
    parsed.headers.iter().for_each(|header| headers.push_within(bytes, header.name.as_bytes(), header.value));
    let framing = framing(version, &headers)?;
    let keeps_alive = keeps_alive(version, &headers);
    let expects = framing != Framing::Nothing && expects(version, &headers);
    let request = Box::new(flow::Head { method, uri, version, headers });
    Ok(Head { request, framing, keeps_alive, expects })
}

/// How long the body is (RFC 9112, 6.3).
fn framing(version: Version, headers: &Headers) -> Result<Framing, Fault> {
    let mut encodings = headers.all(TRANSFER_ENCODING);
    let mut lengths = headers.all(CONTENT_LENGTH);
    let Some(encoding) = encodings.next() else {
        let Some(first) = lengths.next() else { return Ok(Framing::Nothing) };
        if lengths.any(|length| length != first) {
            return Err(malformed("two lengths of a body"));
        }
        return match length(first).ok_or(malformed("the length of its body"))? {
            0 => Ok(Framing::Nothing),
            length => Ok(Framing::Length(length)),
        };
    };
    if version != Version::HTTP_11 || !encoding.eq_ignore_ascii_case(b"chunked") || encodings.next().is_some() {
        return Err(malformed("the transfer encoding of its body"));
    }
    match lengths.next() {
        None => Ok(Framing::Chunked),
        Some(_) => Err(malformed("a length beside a transfer encoding")),
    }
}

fn keeps_alive(version: Version, headers: &Headers) -> bool {
    let mut said = headers.all(CONNECTION);
    match (said.next(), said.next()) {
        (None, _) => return version == Version::HTTP_11,
        // What browsers say.
        (Some(value), None) if value.eq_ignore_ascii_case(b"keep-alive") => return true,
        _ => {}
    }
    let wants = |word: &str| {
        let values = headers.all(CONNECTION).filter_map(visible);
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    match version {
        Version::HTTP_11 => !wants("close"),
        _ => wants("keep-alive"),
    }
}

fn expects(version: Version, headers: &Headers) -> bool {
    let waits = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    version == Version::HTTP_11 && headers.get(EXPECT).is_some_and(waits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(lines: &str) -> Result<Framing, &'static str> {
        match read(format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n").as_bytes(), 100) {
            Read::Whole(head, _) => Ok(head.framing),
            Read::Fault(fault) => Err(fault.what),
            Read::Partial => panic!("{lines:?} is whole"),
        }
    }

    #[test]
    fn a_body_has_one_length_or_none() {
        assert_eq!(framed(""), Ok(Framing::Nothing));
        assert_eq!(framed("Content-Length: 0\r\n"), Ok(Framing::Nothing));
        assert_eq!(framed("Content-Length: 7\r\n"), Ok(Framing::Length(7)));
        assert_eq!(framed("Content-Length: 7\r\nContent-Length: 7\r\n"), Ok(Framing::Length(7)));
        assert_eq!(framed("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for lines in [
            "Content-Length: 7\r\nContent-Length: 8\r\n",
            "Content-Length: 7, 7\r\n",
            "Content-Length: +7\r\n",
            "Content-Length: 0x7\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n",
        ] {
            assert!(framed(lines).is_err(), "{lines:?}: {:?}", framed(lines));
        }
    }

    #[test]
    fn who_wants_another_answer() {
        for (version, line, kept) in [
            (1, "", true),
            (1, "Connection: close\r\n", false),
            (1, "Connection: Upgrade, Close\r\n", false),
            (1, "Connection: keep-alive\r\n", true),
            (0, "", false),
            (0, "Connection: Keep-Alive\r\n", true),
        ] {
            let text = format!("GET / HTTP/1.{version}\r\nHost: x\r\n{line}\r\n");
            let Read::Whole(head, size) = read(text.as_bytes(), 100) else { panic!("{text:?}") };
            assert_eq!((head.keeps_alive, size), (kept, text.len()), "{text:?}");
        }
    }

    #[test]
    fn more_headers_than_allowed_are_refused() {
        let text = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(120));
        assert!(matches!(read(text.as_bytes(), 119), Read::Fault(fault) if fault.status == 431));
        assert!(matches!(read(text.as_bytes(), 120), Read::Whole(head, _) if head.request.headers.len() == 120));
    }

    /// Text like a request's, with faults.
    fn likely() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just("GET / HTTP/1.1\r\n".to_string()),
            Just("Host: x\r\n".into()),
            Just("Content-Length: 5\r\n".into()),
            Just("Transfer-Encoding: chunked\r\n".into()),
            Just("\r\n".into()),
            Just("\n".into()),
            Just(" ".into()),
            "[ -~]{0,8}",
        ];
        proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn a_head_is_the_same_however_it_comes(bytes in likely(), rest in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Read::Whole(head, size) = read(&bytes, 100) {
                prop_assert!(size <= bytes.len());
                let more = [&bytes[..], &rest].concat();
                let Read::Whole(again, same) = read(&more, 100) else { panic!("more bytes made it less") };
                prop_assert_eq!((same, again.framing), (size, head.framing));
                // Whatever is missing at the end, it is no whole head, and a bad one only if it was bad already.
                for cut in 0..size {
                    prop_assert!(!matches!(read(&bytes[..cut], 100), Read::Whole(..)));
                    prop_assert!(!matches!(read(&bytes[..cut], 100), Read::Fault(_)));
                }
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, 100);
        }
    }
}
