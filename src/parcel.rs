//! Bytes ready to be sent: with all their headers, as a map and as the lines of an HTTP/1 head, both made once.

mod sealed;

use std::fs::File;
use std::sync::Arc;

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
    /// The lines of all headers: first those of the bytes, then the tag, then the others, last what says how long to keep the answer,
    /// because that alone is often replaced.
    lines: Box<[u8]>,
    /// Where the tag's line begins.
    tag: usize,
    /// Where the lines begin that all forms share.
    others: usize,
    /// Where those begin that say how long to keep the answer.
    cache: usize,
}

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
        let mut lines = Vec::with_capacity(512);
        let mut put = |part: &dyn Fn(&HeaderName) -> bool| {
            for (name, value) in headers.iter().filter(|(name, _)| part(name)) {
                for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                    lines.extend_from_slice(piece);
                }
            }
            lines.len()
        };
        let tag = put(&|name| OF_THE_BYTES.contains(name));
        let others = put(&|name| name == ETAG);
        let cache = put(&|name| name != CACHE_CONTROL && name != ETAG && !OF_THE_BYTES.contains(name));
        put(&|name| name == CACHE_CONTROL);
        Parcel { bytes, file: None, lines: lines.into(), headers, tag, others, cache }
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
        let from = match told {
            Told::Whole => 0,
            Told::Unmodified => self.tag,
            Told::UnmodifiedForm => self.others,
        };
        &self.lines[from..if with_cache { self.lines.len() } else { self.cache }]
    }

    /// About how many bytes of memory its headers take, as a map and as lines.
    pub fn weight_of_headers(&self) -> usize {
        // A header takes some 100 bytes of a map; its text is mostly the site's and shared.
        self.lines.len() + 100 * self.headers.len()
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
