//! Bytes ready to be sent: with all their headers, as a map and as the lines of an HTTP/1 head, both made once.

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers of the bytes that a 304 leaves out, because the client has those of the bytes that it keeps (RFC 9110,
/// 15.4.5). The tag is the one that the client named.
const OF_THE_BYTES: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT_RANGES, ETAG];

/// One form of a file or page: as it is, or compressed.
#[derive(Debug)]
pub struct Parcel {
    bytes: Bytes,
    headers: HeaderMap,
    whole: Lines,
    unmodified: Lines,
}

/// How much of a parcel is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All of it.
    Whole,
    /// That it is the one which the client has.
    Unmodified,
}

/// Lines of a head, with what says how long to keep the answer at their end, because that alone is often replaced.
#[derive(Debug)]
struct Lines {
    text: Box<[u8]>,
    /// Where that begins.
    cache: usize,
}

impl Lines {
    fn of(headers: &HeaderMap, leave_out: &[HeaderName]) -> Lines {
        let mut text = Vec::with_capacity(512);
        let mut put = |name: &HeaderName, value: &HeaderValue| {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
            text.len()
        };
        let lines = headers.iter().filter(|(name, _)| *name != CACHE_CONTROL && !leave_out.contains(name));
        let cache = lines.fold(0, |_, (name, value)| put(name, value));
        headers.get_all(CACHE_CONTROL).iter().for_each(|value| _ = put(&CACHE_CONTROL, value));
        Lines { text: text.into(), cache }
    }
}

impl Parcel {
    /// Bytes with all their headers but `Content-Length`, `Date` and what is said of the connection.
    pub fn new(bytes: Bytes, headers: HeaderMap) -> Parcel {
        let (whole, unmodified) = (Lines::of(&headers, &[]), Lines::of(&headers, &OF_THE_BYTES));
        Parcel { bytes, headers, whole, unmodified }
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
        if told == Told::Unmodified {
            OF_THE_BYTES.iter().for_each(|name| _ = headers.remove(name));
        }
        headers
    }

    /// The same as the lines of a head, each with its end; without `Cache-Control` where something else is said of it.
    pub fn lines(&self, told: Told, with_cache: bool) -> &[u8] {
        let lines = match told {
            Told::Whole => &self.whole,
            Told::Unmodified => &self.unmodified,
        };
        if with_cache { &lines.text } else { &lines.text[..lines.cache] }
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let lines = self.whole.text.len() + self.unmodified.text.len();
        // A header's name and value take some 100 bytes of a map beside their text, which `lines` knows.
        self.bytes.len() + 2 * lines + 100 * self.headers.len()
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
        assert_eq!(text(Told::Unmodified, true), "x-a: 1\r\nx-a: 2\r\ncache-control: no-cache\r\n");
        assert_eq!(text(Told::Unmodified, false), "x-a: 1\r\nx-a: 2\r\n");
        assert_eq!(parcel.told(Told::Unmodified).len(), 3);
    }
}
