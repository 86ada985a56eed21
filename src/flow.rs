//! What the steps of a request hand on to each other: the visit that came in, the answer that goes out.
//!
//! Plain values. No step's work is done here, and nothing here reads or writes a socket.

pub mod body;
mod headers;
mod reply;
pub mod visitor;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use crate::cache::digest::Digest;
use crate::database::{Commit, versions};
use crate::fields::Fields;
use crate::octets;
use crate::parcel::Parcel;
use crate::site::Match;
use crate::site::statics::{Found, Loaded, Stamp};
use crate::sqlfile::Results;
use crate::trace::Trace;
use crate::uploads::Remote;

pub use headers::{Headers, is_visible, visible};
pub use reply::{Held, Outgoing, Reply, Stretch};

/// The head of a request, as the connection hands it on.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method as sent.
    pub method: Method,
    /// The address as sent.
    pub uri: Uri,
    /// The version of HTTP that the client speaks.
    pub version: Version,
    /// The headers as sent.
    pub headers: Headers,
}

impl From<http::request::Parts> for Head {
    fn from(parts: http::request::Parts) -> Head {
        let http::request::Parts { method, uri, version, headers, .. } = parts;
        Head { method, uri, version, headers: (&headers).into() }
    }
}

/// One request, without its body: the body is handed on by value, to the one step that reads it.
#[derive(Debug)]
pub struct Visit {
    /// The method as sent; [`Visit::set_method`] changes it for a form's hidden `_method`.
    pub method: Method,
    /// The version of HTTP that the client speaks.
    pub version: Version,
    /// The headers as sent.
    pub headers: Headers,
    /// The address of the visitor: at the other end of the connection, or what a trusted proxy there tells of it.
    pub peer: SocketAddr,
    /// Whether the visitor's browser speaks TLS, to us or to a trusted proxy before us.
    pub secure: bool,
    /// Names this request in the log and in error pages.
    pub id: RequestId,
    /// Whether the visitor has just written something, perhaps at another node whose news are still on their way.
    pub is_fresh: bool,
    /// The steps so far, with their times.
    pub trace: Trace,
    /// Whether a program asks: it prefers JSON, or sent some.
    pub wants_json: bool,
    /// The cookie of a session that a visit action began. It goes out with whatever answers, a refusal too, because the
    /// session is in the database already.
    pub session_cookie: Option<HeaderValue>,
    /// The nonce that the page printed, for the policy that lets its scripts run.
    pub nonce: Option<Arc<str>>,
    /// A piece of the path that opens something: the token of a mail's link.
    secret: Option<Box<str>>,
    uri: Uri,
    /// The decoded path, where it differs from the one in `uri`.
    decoded: Option<Box<str>>,
}

impl Visit {
    /// Begins a visit. The path is still the raw one until the parse step has decoded it.
    pub fn begin(head: impl Into<Head>, peer: SocketAddr, secure: bool) -> Visit {
        let Head { method, uri, version, headers } = head.into();
        Visit {
            method,
            version,
            headers,
            peer,
            secure,
            id: RequestId::next(),
            is_fresh: false,
            trace: Trace::start(),
            wants_json: false,
            session_cookie: None,
            nonce: None,
            secret: None,
            uri,
            decoded: None,
        }
    }

    /// The path: decoded exactly once, valid UTF-8, beginning with a slash.
    pub fn path(&self) -> &str {
        self.decoded.as_deref().unwrap_or_else(|| self.uri.path())
    }

    /// The raw query text without its `?`; empty when there is none.
    pub fn query(&self) -> &str {
        self.uri.query().unwrap_or("")
    }

    /// Keeps a piece of the path out of the log: whoever reads that must not get in by it.
    pub fn hide(&mut self, secret: &str) {
        self.secret = Some(secret.into());
    }

    /// The path and query for the log.
    pub fn logged(&self) -> Cow<'_, str> {
        let target = self.uri.path_and_query().map_or("", |target| target.as_str());
        match &self.secret {
            Some(secret) if target.contains(&**secret) => target.replace(&**secret, "…").into(),
            // It came in another spelling; which piece it is, is not worth finding out.
            Some(_) => "/…".into(),
            None => target.into(),
        }
    }

    /// The address as sent.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// For the parse step: keeps the decoded path.
    pub fn set_path(&mut self, decoded: Box<str>) {
        self.decoded = Some(decoded);
    }

    /// For forms that reach PUT, PATCH and DELETE by a hidden `_method`.
    pub fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// The host and port that the client means: of an absolute address or of HTTP/2, else of the `Host` header.
    pub fn host(&self) -> Option<&str> {
        match self.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => self.header(HOST),
        }
    }

    /// One header as text; `None` when it is absent or not visible ASCII.
    #[inline]
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.text(name)
    }

    /// The token of `Authorization: Bearer …` (RFC 6750, 2.1). What begins so and can't be read is a token that opens
    /// nothing: who sends one means to be known by it, and not by a cookie.
    pub fn bearer(&self) -> Option<&str> {
        let all = self.headers.all(http::header::AUTHORIZATION);
        let mut tokens = all.filter_map(|value| {
            let (scheme, token) = value.split_at_checked(BEARER.len())?;
            let is_bearer =
                scheme.eq_ignore_ascii_case(BEARER) && token.first().is_none_or(|byte| b" \t".contains(byte));
            is_bearer.then(|| std::str::from_utf8(token).unwrap_or("").trim())
        });
        let first = tokens.next()?;
        Some(if tokens.next().is_some() { "" } else { first })
    }

    /// Whether this is a GET or HEAD: it asks and changes nothing.
    pub fn only_asks(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// The scheme of API tokens.
const BEARER: &[u8] = b"Bearer";

/// The name of one request: 16 hexadecimal digits, unique within the process and unlikely to occur in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The next one.
    pub fn next() -> RequestId {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        let seed = *SEED.get_or_init(|| getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15));
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        // An odd multiplier makes this a permutation: no two counts give the same id.
        RequestId(seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

impl RequestId {
    /// Its digits in ASCII.
    pub fn digits(self) -> [u8; 16] {
        let (mut digits, bytes) = ([0; 16], self.0.to_be_bytes());
        for place in 0..bytes.len() {
            [digits[2 * place], digits[2 * place + 1]] = PAIRS[usize::from(bytes[place])];
        }
        digits
    }
}

/// The two digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    let (mut pairs, digits) = ([[0; 2]; 256], b"0123456789abcdef");
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// What a visit is answered with, before the respond step makes an HTTP response of it.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers beyond those that the respond step adds by itself (`Date`, `Content-Length`, `ETag`, `Vary:
    /// Accept-Encoding`, the safe defaults). One that is set here wins over a default.
    pub headers: Fields,
    /// The body.
    pub content: Content,
    /// What the cache needs to keep it; none when it is this visitor's and this moment's alone.
    pub keeping: Option<Box<Making>>,
    /// What it waits for: nobody may see it before that is `Ok`.
    pub commit: Option<Commit>,
}

/// How an answer was made, for the cache.
#[derive(Debug)]
pub struct Making {
    /// The counts of its tables before they were read.
    pub stamp: versions::Stamp,
    /// What the rows come down to that it was made of.
    pub rows: Digest,
    /// The rows themselves, where they are of use for the next reading.
    pub results: Option<Arc<Vec<Results>>>,
    /// What it read of the visitor, as bits of [`visitor::Aspect`].
    pub aspects: u8,
    /// When it is to be made again whatever the counts say: it shows something beside the database that may change.
    pub until: Option<Instant>,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    Empty,
    /// Bytes made for this visit; compressed on the fly where the type and the size pay, with an `ETag` of their own
    /// when the status is 200.
    Bytes(Bytes),
    /// A small static file, ready in memory with its headers; the answer's own headers replace those of the same name.
    Static(Arc<Loaded>),
    /// An answer of the cache.
    Kept(Arc<Parcel>),
    /// A file on disk, streamed in pieces.
    File(Box<OpenFile>),
    /// A file of an object store, asked for once it is known which part is wanted.
    Remote(Box<RemoteFile>),
}

/// An open file to be streamed, with what its headers need.
#[derive(Debug)]
pub struct OpenFile {
    /// Open for reading; read by position, so a shared cursor does not matter.
    pub file: std::fs::File,
    /// Its state when it was opened. A file that changes while it is sent closes the connection.
    pub stamp: Stamp,
    /// Its ETag with quotes; `None` leaves it out.
    pub etag: Option<HeaderValue>,
}

/// A file of an object store, with what its headers need.
#[derive(Debug)]
pub struct RemoteFile {
    /// The file.
    pub remote: Remote,
    /// Its ETag with quotes; `None` leaves it out.
    pub etag: Option<HeaderValue>,
}

impl OpenFile {
    /// An open file with an ETag of its own (such as the hash of an upload), or without one.
    pub fn of(file: std::fs::File, etag: Option<HeaderValue>) -> std::io::Result<OpenFile> {
        let stamp = Stamp::of(&file)?;
        Ok(OpenFile { file, stamp, etag })
    }
}

impl Answer {
    /// An answer of a status without a body.
    pub fn empty(status: StatusCode) -> Answer {
        Answer { status, headers: Fields::new(), content: Content::Empty, keeping: None, commit: None }
    }

    /// 200 with bytes of a type (`text/html; charset=utf-8`).
    pub fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Answer {
        Answer::of_type(HeaderValue::from_static(content_type), Content::Bytes(bytes.into()))
    }

    /// 200 with HTML.
    pub fn html(html: impl Into<Bytes>) -> Answer {
        Answer::bytes("text/html; charset=utf-8", html)
    }

    /// 200 with JSON text.
    pub fn json(json: impl Into<Bytes>) -> Answer {
        Answer::bytes("application/json", json)
    }

    /// 200 with plain text.
    pub fn text(text: impl Into<Bytes>) -> Answer {
        Answer::bytes("text/plain; charset=utf-8", text)
    }

    /// 200 with content of a type that is known only at run time.
    pub fn of_type(content_type: HeaderValue, content: Content) -> Answer {
        // Room for what the later steps add, so that the map needn't grow with each.
        let headers = Fields::with_capacity(6);
        let mut answer = Answer { headers, content, ..Answer::empty(StatusCode::OK) };
        answer.headers.insert(CONTENT_TYPE, content_type);
        answer
    }

    /// An answer of the cache.
    pub fn kept(kept: Arc<Parcel>) -> Answer {
        Answer { content: Content::Kept(kept), ..Answer::empty(StatusCode::OK) }
    }

    /// A redirect. Characters of `to` that a header can't carry are percent-encoded, so no target can add a header.
    pub fn redirect(status: StatusCode, to: &str) -> Answer {
        let mut answer = Answer::empty(status);
        answer.headers.insert(LOCATION, location(to));
        answer
    }

    /// The answer to OPTIONS: the methods that an address has.
    pub fn options(methods: &[&str]) -> Answer {
        Answer::empty(StatusCode::NO_CONTENT).header(ALLOW, allow(methods))
    }

    /// The same answer with another status.
    pub fn status(mut self, status: StatusCode) -> Answer {
        self.status = status;
        self
    }

    /// The same answer with one more header, replacing one of the same name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.insert(name, value);
        self
    }

    /// The same answer, which nobody may see before this is `Ok`.
    pub fn after(mut self, commit: Commit) -> Answer {
        self.commit = (!commit.is_done()).then_some(commit);
        self
    }
}

/// A `Location` value: everything but visible ASCII is percent-encoded (RFC 3986), existing escapes are kept.
fn location(to: &str) -> HeaderValue {
    let fits = |byte: u8| {
        matches!(byte, b'!'..=b'~') & !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    let part = |byte: u8| if fits(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let value = match octets::all(to.as_bytes(), fits) {
        true => HeaderValue::from_str(to),
        false => HeaderValue::try_from(to.bytes().map(part).collect::<String>()),
    };
    value.unwrap_or(HeaderValue::from_static("/"))
}

/// An `Allow` value (RFC 9110, 10.2.1).
pub fn allow(methods: &[&str]) -> HeaderValue {
    HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// Text as HTML shows it, within quotes too. For the few pages that are made without a template.
pub fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// How the sending of a response ended, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of the body that were handed to the connection.
    pub bytes: u64,
    /// Whether the whole body went out; `false` when the client hung up or the file broke off.
    pub complete: bool,
}

/// What a path leads to. Deciding it does no I/O; the answer step acts on it.
#[derive(Debug)]
pub enum Route {
    /// A static file, the list of a plain folder, or a redirect of the static index.
    Static(Found),
    /// A page, data or actions of the site.
    Endpoint(Match),
    /// Somebody who comes back from a provider of logins.
    Return(Match),
    /// A visitor's upload, by its id.
    Upload(String),
    /// Another address of the same page, with the query text, and what is there.
    Moved(Match, String),
    /// Nothing is there.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_target_can_not_add_a_header() {
        let answer = Answer::redirect(StatusCode::SEE_OTHER, "/a b\r\nSet-Cookie: x=1\u{e9}?q=%20");
        assert_eq!(answer.headers.get(&LOCATION).unwrap(), "/a%20b%0D%0ASet-Cookie:%20x=1%C3%A9?q=%20");
    }

    #[test]
    fn ids_differ() {
        assert_ne!(RequestId::next(), RequestId::next());
        assert_eq!(RequestId::next().to_string().len(), 16);
        let id = RequestId::next();
        assert_eq!(id.digits(), *id.to_string().as_bytes());
    }
}
