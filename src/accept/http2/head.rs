//! Makes a request of the fields of its head, and refuses what is malformed (RFC 9113, 8.2 and 8.3). Pure.

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Uri, Version};

use super::super::incoming::length;
use super::hpack::{Field, is_of_connection};
use crate::flow::{self, Headers};

/// Headers, and bytes of them, for which there is room without asking for more.
const USUAL_HEADERS: usize = 16;
const USUAL_BYTES: usize = 512;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: flow::Head,
    /// Bytes of the body, where they are told.
    pub(super) length: Option<u64>,
    /// The client waits for leave before it sends the body.
    pub(super) expects: bool,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Others could read it in another way.
    Malformed,
    /// It is larger than it may be.
    TooLarge,
}

/// What a head may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// As HTTP/2 counts them: the texts and 32 bytes for each field.
    pub(super) bytes: usize,
    /// Headers; a cookie that comes in crumbs is one.
    pub(super) headers: usize,
}

/// A head whose fields come one after the other.
#[derive(Debug)]
pub(super) struct Taken {
    room: Room,
    unfit: Option<Unfit>,
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    headers: Headers,
    /// Its crumbs, put together.
    cookie: Vec<u8>,
    length: Option<u64>,
    /// A header came; pseudo-headers may not follow.
    in_headers: bool,
}

impl Taken {
    /// The head of a request, or the trailers behind its body.
    pub(super) fn new(room: Room) -> Taken {
        Taken {
            room,
            unfit: None,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            headers: Headers::with_room(USUAL_HEADERS, USUAL_BYTES),
            cookie: Vec::new(),
            length: None,
            in_headers: false,
        }
    }

    /// Takes the next field, which counts `size` bytes. Once there is no request, nothing more is kept.
    pub(super) fn take(&mut self, field: Field, size: usize) {
        match self.room.bytes.checked_sub(size) {
            Some(left) => self.room.bytes = left,
            None => self.unfit = self.unfit.or(Some(Unfit::TooLarge)),
        }
        if self.unfit.is_some() {
            return;
        }
        let fits = match field {
            Field::Header(name, value) => {
                self.in_headers = true;
                self.take_header(name, value)
            }
            _ if self.in_headers => Err(Unfit::Malformed),
            Field::Method(method) => once(&mut self.method, method),
            Field::Scheme(scheme) => once(&mut self.scheme, scheme),
            Field::Authority(authority) => once(&mut self.authority, authority),
            Field::Path(path) => once(&mut self.path, path),
            Field::Bad(_) => Err(Unfit::Malformed),
        };
        self.unfit = fits.err();
    }

    fn take_header(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Unfit> {
        if name == COOKIE {
            // RFC 9113, 8.2.3.
            if !self.cookie.is_empty() {
                self.cookie.extend_from_slice(b"; ");
            }
            self.cookie.extend_from_slice(value.as_bytes());
            return Ok(());
        }
        if is_of_connection(name.as_str()) || (name == TE && value != "trailers") {
            return Err(Unfit::Malformed);
        }
        if name == CONTENT_LENGTH {
            let length = length(value.as_bytes()).ok_or(Unfit::Malformed)?;
            if self.length.replace(length).is_some_and(|before| before != length) {
                return Err(Unfit::Malformed);
            }
        }
        if self.headers.len() == self.room.headers {
            return Err(Unfit::TooLarge);
        }
        self.headers.push(name.as_str().as_bytes(), value.as_bytes());
        Ok(())
    }

    /// The request, now that all fields are there. `ends` where no body follows.
    pub(super) fn request(self, ends: bool) -> Result<Head, Unfit> {
        if let Some(unfit) = self.unfit {
            return Err(unfit);
        }
        let Taken { method, scheme, authority, path, mut headers, cookie, length, .. } = self;
        let (Some(method), Some(scheme), Some(path)) = (method, scheme, path) else { return Err(Unfit::Malformed) };
        // A body that ends here has no bytes.
        let wrong_length = ends && length.is_some_and(|length| length > 0);
        // The asterisk is for OPTIONS alone. CONNECT has no path; there is nothing to connect to.
        let wrong_path = (path == "*" && method != Method::OPTIONS) || method == Method::CONNECT;
        if wrong_length || wrong_path || !names_one_host(authority.as_ref(), &headers) {
            return Err(Unfit::Malformed);
        }
        if !cookie.is_empty() {
            headers.push(COOKIE.as_str().as_bytes(), &cookie);
        }
        let expects = !ends && headers.get(EXPECT).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        let uri = uri(scheme, authority, path).ok_or(Unfit::Malformed)?;
        Ok(Head { request: flow::Head { method, uri, version: Version::HTTP_2, headers }, length, expects })
    }

    /// Trailers, which nobody reads: only whether they are none.
    pub(super) fn trailers(self) -> Result<(), Unfit> {
        let has_pseudo =
            self.method.is_some() || self.scheme.is_some() || self.authority.is_some() || self.path.is_some();
        match self.unfit {
            Some(unfit) => Err(unfit),
            None if has_pseudo => Err(Unfit::Malformed),
            None => Ok(()),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Unfit> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Unfit::Malformed),
    }
}

/// A `Host` beside `:authority` says the same (RFC 9113, 8.3.1).
fn names_one_host(authority: Option<&Authority>, headers: &Headers) -> bool {
    let Some(authority) = authority else { return true };
    headers.all(HOST).all(|host| host.eq_ignore_ascii_case(authority.as_str().as_bytes()))
}

/// The address. Without a host it is a mere path.
fn uri(scheme: Scheme, authority: Option<Authority>, path: PathAndQuery) -> Option<Uri> {
    let mut parts = Parts::default();
    parts.scheme = authority.is_some().then_some(scheme);
    parts.authority = authority;
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::super::hpack::Decoder;
    use super::*;

    /// What a head of these lines comes to; each is a literal of HPACK.
    fn taken(lines: &[&str]) -> Taken {
        let mut block = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            block.extend([0, name.len() as u8]);
            block.extend(name.bytes());
            block.push(value.len() as u8);
            block.extend(value.bytes());
        }
        let mut taken = Taken::new(Room { bytes: 2000, headers: 10 });
        Decoder::new().read(&block, |field, size| taken.take(field, size)).unwrap();
        taken
    }

    const GET: [&str; 4] = [":method: GET", ":scheme: http", ":path: /a?b", ":authority: x:80"];

    fn get(more: &[&str]) -> Result<Head, Unfit> {
        taken(&[&GET, more].concat()).request(false)
    }

    #[test]
    fn a_head_becomes_a_request() {
        let head = get(&["cookie: a=1", "x-a: 1", "cookie: b=2", "host: X:80", "cookie: c=3", "te: trailers"]).unwrap();
        assert_eq!(head.request.uri, "http://x:80/a?b");
        assert_eq!(head.request.version, Version::HTTP_2);
        assert_eq!(head.request.headers.text(COOKIE), Some("a=1; b=2; c=3"));
        assert_eq!((head.length, head.expects), (None, false));
        let head = get(&["content-length: 7", "content-length: 7", "expect: 100-continue"]).unwrap();
        assert_eq!((head.length, head.expects), (Some(7), true));
        let head = taken(&[":path: /", ":scheme: https", ":method: GET", "host: y"]).request(true).unwrap();
        assert_eq!((head.request.uri.authority(), head.request.uri.path()), (None, "/"));
        assert!(taken(&[":path: *", ":scheme: https", ":method: OPTIONS"]).request(true).is_ok());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_malformed() {
        for more in [
            "connection: close",
            "keep-alive: 1",
            "proxy-connection: close",
            "transfer-encoding: chunked",
            "upgrade: h2c",
            "te: gzip",
            "host: y",
            ":path: /b",
            ":method: GET",
            ":status: 200",
            ":protocol: websocket",
            "Upper: 1",
            "content-length: +1",
            "content-length: 1, 1",
            "x-a:  1",
        ] {
            assert_eq!(get(&[more]).unwrap_err(), Unfit::Malformed, "{more}");
        }
        assert_eq!(get(&["content-length: 1", "content-length: 2"]).unwrap_err(), Unfit::Malformed);
        let ended = taken(&[&GET[..], &["content-length: 1"]].concat());
        assert_eq!(ended.request(true).unwrap_err(), Unfit::Malformed);
        for missing in 0..3 {
            let mut lines = GET.to_vec();
            lines.remove(missing);
            assert_eq!(taken(&lines).request(true).unwrap_err(), Unfit::Malformed, "{lines:?}");
        }
        for lines in [
            &[":method: GET", ":scheme: http", "x-a: 1", ":path: /"][..],
            &[":method: GET", ":scheme: http", ":path: *"],
            &[":method: GET", ":scheme: http", ":path: a"],
            &[":method: GET", ":scheme: http", ":path: http://x/"],
            &[":method: GET", ":scheme: ", ":path: /"],
            &[":method: G T", ":scheme: http", ":path: /"],
            &[":method: GET", ":scheme: http", ":path: /", ":authority: a@x"],
            &[":method: GET", ":scheme: http", ":path: /", ":authority: x/y"],
            &[":method: CONNECT", ":authority: x:443"],
            &[":method: CONNECT", ":scheme: http", ":path: /", ":authority: x:443"],
        ] {
            assert_eq!(taken(lines).request(true).unwrap_err(), Unfit::Malformed, "{lines:?}");
        }
    }

    #[test]
    fn a_head_has_its_room() {
        let many = ["x-a: 1"; 11];
        assert!(get(&many[..10]).is_ok());
        assert_eq!(get(&many).unwrap_err(), Unfit::TooLarge);
        assert!(get(&["cookie: a=1"; 30]).is_ok(), "one header");
        assert_eq!(get(&["cookie: a=1"; 60]).unwrap_err(), Unfit::TooLarge, "too many bytes");
    }

    #[test]
    fn trailers_are_headers() {
        assert_eq!(taken(&["x-a: 1"]).trailers(), Ok(()));
        assert_eq!(taken(&[":path: /"]).trailers(), Err(Unfit::Malformed));
        assert_eq!(taken(&["connection: close"]).trailers(), Err(Unfit::Malformed));
    }
}
