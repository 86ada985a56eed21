//! Bytes ready to be sent: with all their headers, as a map and as each HTTP writes them, made once.

mod sealed;

use std::fs::File;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers of the bytes that a 304 leaves out, because the client has those of the bytes that it keeps (RFC 9110,
/// 15.4.5).
pub const OF_THE_BYTES: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT_RANGES];

/// One form of a file or page: as it is, or compressed.
#[derive(Debug)]
pub struct Parcel {
    bytes: Bytes,
    /// The bytes as a file of memory.
    file: Option<Arc<File>>,
    headers: HeaderMap,
    /// As the lines of an HTTP/1 head.
    lines: Written,
    /// As HTTP/2 packs them, once somebody asked over it.
    packed: OnceLock<Written>,
}

/// All headers as they are sent: first those of the bytes, then the tag, then the others, last what says how long to keep
/// the answer, because that alone is often replaced.
#[derive(Debug)]
struct Written {
    text: Box<[u8]>,
    /// Where the tag begins.
    tag: usize,
    /// Where those begin that all forms share.
    others: usize,
    /// Where those begin that say how long to keep the answer.
    cache: usize,
}

/// Adds a header to what is sent.
pub type Put = fn(&mut Vec<u8>, &HeaderName, &HeaderValue);

/// How much of a parcel is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All of it.
    Whole,
    /// That it is the one which the client has.
    Unmodified,
    /// The same; the client has another form of it, whose tag is told beside.
    UnmodifiedForm,
}

impl Parcel {
    /// Bytes with all their headers but `Content-Length`, `Date` and what is said of the connection.
    pub fn new(bytes: Bytes, headers: HeaderMap) -> Parcel {
        let lines = Written::of(&headers, |lines, name, value| {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                lines.extend_from_slice(piece);
            }
        });
        Parcel { bytes, file: None, lines, packed: OnceLock::new(), headers }
    }

    /// The same for bytes that stay for long: if they are many, the system sends them without a copy.
    pub fn lasting(bytes: Vec<u8>, headers: HeaderMap) -> Parcel {
        let file = if bytes.len() >= sealed::SEALED_FROM { sealed::sealed(&bytes) } else { None };
        match file {
            Some((bytes, file)) => Parcel { file: Some(file), ..Parcel::new(bytes, headers) },
            None => Parcel::new(bytes.into(), headers),
        }
    }

    /// The bytes as a file of memory, where they are one.
    pub fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All their headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Their tag, with quotes.
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.headers.get(ETAG)
    }

    /// The headers that are sent.
    pub fn told(&self, told: Told) -> HeaderMap {
        let mut headers = self.headers.clone();
        if told != Told::Whole {
            OF_THE_BYTES.iter().for_each(|name| _ = headers.remove(name));
        }
        headers
    }

    /// The same as the lines of a head, each with its end; without `Cache-Control` where something else is said of it.
    pub fn lines(&self, told: Told, with_cache: bool) -> &[u8] {
        self.lines.told(told, with_cache)
    }

    /// The same as `put` packs them, which is always the same one.
    pub fn packed(&self, told: Told, with_cache: bool, put: Put) -> &[u8] {
        self.packed.get_or_init(|| Written::of(&self.headers, put)).told(told, with_cache)
    }

    /// About how many bytes of memory its headers take, as a map, as lines and packed.
    pub fn weight_of_headers(&self) -> usize {
        // A header takes some 100 bytes of a map; its text is mostly the site's and shared.
        2 * self.lines.text.len() + 100 * self.headers.len()
    }
}

impl Written {
    fn of(headers: &HeaderMap, put: Put) -> Written {
        let mut text = Vec::with_capacity(512);
        let mut add = |part: &dyn Fn(&HeaderName) -> bool| {
            for (name, value) in headers.iter().filter(|(name, _)| part(name)) {
                put(&mut text, name, value);
            }
            text.len()
        };
        let tag = add(&|name| OF_THE_BYTES.contains(name));
        let others = add(&|name| name == ETAG);
        let cache = add(&|name| name != CACHE_CONTROL && name != ETAG && !OF_THE_BYTES.contains(name));
        add(&|name| name == CACHE_CONTROL);
        Written { text: text.into(), tag, others, cache }
    }

    fn told(&self, told: Told, with_cache: bool) -> &[u8] {
        let from = match told {
            Told::Whole => 0,
            Told::Unmodified => self.tag,
            Told::UnmodifiedForm => self.others,
        };
        &self.text[from..if with_cache { self.text.len() } else { self.cache }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_say_what_the_map_says() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(ETAG, HeaderValue::from_static("\"a\""));
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        let parcel = Parcel::new(Bytes::from_static(b"hello"), headers);
        let text = |told, with_cache| String::from_utf8(parcel.lines(told, with_cache).to_vec()).unwrap();
        assert_eq!(
            text(Told::Whole, true),
            "content-type: text/plain\r\netag: \"a\"\r\nx-a: 1\r\nx-a: 2\r\ncache-control: no-cache\r\n"
        );
        assert_eq!(text(Told::Unmodified, true), "etag: \"a\"\r\nx-a: 1\r\nx-a: 2\r\ncache-control: no-cache\r\n");
        assert_eq!(text(Told::UnmodifiedForm, false), "x-a: 1\r\nx-a: 2\r\n");
        assert_eq!(parcel.told(Told::Unmodified).len(), 4);
    }
}
