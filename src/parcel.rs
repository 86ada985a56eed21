//! Bytes ready to be sent: with all their headers, as a list and as each HTTP writes them, made once.

mod sealed;

use std::fs::File;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue};

use crate::fields::Fields;

/// Headers of the bytes that a 304 leaves out, because the client has those of the bytes that it keeps (RFC 9110,
/// 15.4.5).
pub const OF_THE_BYTES: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT_RANGES];

/// One form of a file or page: as it is, or compressed.
#[derive(Debug)]
pub struct Parcel {
    frame: Arc<Frame>,
    /// The tag, where the frame has none because it is shared, and the bytes behind it.
    block: Bytes,
    /// The length of that tag.
    tag: u32,
    /// Whether compressed forms of it may be asked for.
    compresses: bool,
    /// The bytes as a file of memory.
    file: Option<Arc<File>>,
    /// Its compressed forms, once somebody asked for one.
    forms: OnceLock<Box<Forms>>,
}

/// Compressed forms by the places of their encodings; `None` where that doesn't pay.
type Forms = [OnceLock<Option<Arc<Parcel>>>; 3];

/// The head of a parcel, or of many that differ in their tags alone: as a list and as each HTTP writes it.
#[derive(Debug)]
pub struct Frame {
    headers: Fields,
    /// As the lines of an HTTP/1 head.
    lines: Written,
    /// As HTTP/2 packs them, once somebody asked over it.
    packed: OnceLock<Written>,
    is_unstored: bool,
}

/// Frames that are shared by the parcels of a site: of the many pages that it keeps, most have one of a few heads.
#[derive(Clone, Debug, Default)]
pub struct Frames(Arc<Mutex<Vec<Arc<Frame>>>>);

/// So many heads are looked through for one that is the same. One that isn't found is made anew, in the place of another.
const FRAMES: usize = 32;

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
    pub fn new(bytes: Bytes, headers: Fields) -> Parcel {
        Parcel::of(Arc::new(Frame::of(headers)), bytes, 0, false)
    }

    /// The same for bytes that stay for long: if they are many, the system sends them without a copy.
    pub fn lasting(bytes: Vec<u8>, headers: Fields) -> Parcel {
        let file = if bytes.len() >= sealed::SEALED_FROM { sealed::sealed(&bytes) } else { None };
        match file {
            Some((bytes, file)) => Parcel { file: Some(file), ..Parcel::new(bytes, headers) },
            None => Parcel::new(bytes.into(), headers),
        }
    }

    /// The same for one of many: their heads are shared as far as they are the same, and all that is its own lies together.
    /// Tells besides how many bytes of memory it takes.
    pub fn one_of_many(bytes: &[u8], mut headers: Fields, compresses: bool, frames: &Frames) -> (Parcel, usize) {
        let tag = if headers.get_all(&ETAG).count() == 1 { headers.get(&ETAG).cloned() } else { None };
        tag.iter().for_each(|_| headers.remove(&ETAG));
        let tag = tag.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let (frame, new) = frames.frame(headers);
        let block: Bytes = [tag, bytes].concat().into();
        let weight = size_of::<Parcel>() + block.len() + if new { frame.weight() } else { 0 };
        // A head is far smaller than 4 GiB.
        (Parcel::of(frame, block, tag.len() as u32, compresses), weight)
    }

    fn of(frame: Arc<Frame>, block: Bytes, tag: u32, compresses: bool) -> Parcel {
        Parcel { frame, block, tag, compresses, file: None, forms: OnceLock::new() }
    }

    /// The bytes as a file of memory, where they are one.
    pub fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.block[self.tag as usize..]
    }

    /// Some of them, without a copy.
    pub fn piece(&self, from: usize, to: usize) -> Bytes {
        let start = self.tag as usize;
        self.block.slice(start + from..start + to)
    }

    /// A tag that isn't among the lines and the packed headers.
    pub fn own_tag(&self) -> Option<&[u8]> {
        Some(&self.block[..self.tag as usize]).filter(|tag| !tag.is_empty())
    }

    /// Their tag, with quotes.
    pub fn etag(&self) -> Option<&[u8]> {
        self.own_tag().or_else(|| self.frame.headers.get(&ETAG).map(HeaderValue::as_bytes))
    }

    /// Whether a header is among those of the bytes.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.frame.headers.contains_key(name) || (self.tag > 0 && *name == ETAG)
    }

    /// A header that it shares with others: any but a tag of its own.
    pub fn shared(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.frame.headers.get(name)
    }

    /// All their headers.
    pub fn headers(&self) -> Fields {
        let mut headers = self.frame.headers.clone();
        headers.extend(self.own_tag().and_then(|tag| Some((ETAG, HeaderValue::from_bytes(tag).ok()?))));
        headers
    }

    /// The headers that are sent.
    pub fn told(&self, told: Told) -> Fields {
        let mut headers = self.headers();
        if told != Told::Whole {
            OF_THE_BYTES.iter().for_each(|name| headers.remove(name));
        }
        headers
    }

    /// The same as the lines of a head, each with its end, but for a tag of its own; without `Cache-Control` where something
    /// else is said of it.
    pub fn lines(&self, told: Told, with_cache: bool) -> &[u8] {
        self.frame.lines.told(told, with_cache)
    }

    /// The same as `put` packs them, which is always the same one.
    pub fn packed(&self, told: Told, with_cache: bool, put: Put) -> &[u8] {
        self.frame.packed.get_or_init(|| Written::of(&self.frame.headers, put)).told(told, with_cache)
    }

    /// Whether its headers say that nobody is to keep it.
    pub fn is_unstored(&self) -> bool {
        self.frame.is_unstored
    }

    /// Whether compressed forms of it may be asked for.
    pub fn compresses(&self) -> bool {
        self.compresses
    }

    /// The compressed form at a place, which is made when it is asked for first; `None` where that doesn't pay.
    pub fn form(&self, place: usize, make: impl FnOnce() -> Option<Parcel>) -> Option<&Arc<Parcel>> {
        self.forms.get_or_init(Box::default)[place].get_or_init(|| make().map(Arc::new)).as_ref()
    }

    /// Whether the same would be sent.
    pub fn is_same(&self, other: &Parcel) -> bool {
        let same_head = || Arc::ptr_eq(&self.frame, &other.frame) || self.frame.headers == other.frame.headers;
        (self.compresses, self.tag) == (other.compresses, other.tag) && self.block == other.block && same_head()
    }
}

impl Frame {
    fn of(headers: Fields) -> Frame {
        let lines = Written::of(&headers, |out, name, value| put_line(out, name.as_str(), value.as_bytes()));
        Frame { lines, packed: OnceLock::new(), is_unstored: is_unstored(&headers), headers }
    }

    /// About how many bytes of memory it takes: as a list, as lines and packed.
    fn weight(&self) -> usize {
        // The text of a value is mostly the site's and shared.
        size_of::<Frame>() + 2 * self.lines.text.len() + size_of::<(HeaderName, HeaderValue)>() * self.headers.len()
    }
}

impl Frames {
    /// The frame of these headers, and whether it was made for them.
    fn frame(&self, headers: Fields) -> (Arc<Frame>, bool) {
        let frame = Frame::of(headers);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.iter().find(|known| known.lines.text == frame.lines.text) {
            return (same.clone(), false);
        }
        let frame = Arc::new(frame);
        if known.len() >= FRAMES {
            known.remove(0);
        }
        known.push(frame.clone());
        (frame, true)
    }
}

/// Whether headers say that nobody is to keep what they come with.
pub fn is_unstored(headers: &Fields) -> bool {
    headers.get(&CACHE_CONTROL).is_some_and(|value| value.to_str().is_ok_and(|text| text.contains("no-store")))
}

/// Adds a line to the head of an HTTP/1 answer.
// Inlined, so that pieces whose length is known are no calls.
#[inline(always)]
pub fn put_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

impl Written {
    fn of(headers: &Fields, put: Put) -> Written {
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
    fn the_lines_say_what_the_list_says() {
        let mut headers = Fields::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(ETAG, HeaderValue::from_static("\"a\""));
        headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("1"));
        headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("2"));
        let parcel = Parcel::new(Bytes::from_static(b"hello"), headers);
        let text = |told, with_cache| String::from_utf8(parcel.lines(told, with_cache).to_vec()).unwrap();
        assert_eq!(
            text(Told::Whole, true),
            "content-type: text/plain\r\netag: \"a\"\r\nx-a: 1\r\nx-a: 2\r\ncache-control: no-cache\r\n"
        );
        assert_eq!(text(Told::Unmodified, true), "etag: \"a\"\r\nx-a: 1\r\nx-a: 2\r\ncache-control: no-cache\r\n");
        assert_eq!(text(Told::UnmodifiedForm, false), "x-a: 1\r\nx-a: 2\r\n");
        assert_eq!(parcel.told(Told::Unmodified).len(), 4);
        let names: Put = |out, name, _| out.extend_from_slice(name.as_str().as_bytes());
        assert_eq!(parcel.packed(Told::Unmodified, false, names), b"etagx-ax-a", "the same, as another writes it");
    }

    #[test]
    fn what_is_one_of_many_says_the_same() {
        let headers = |tag: &'static str| {
            let all = [(CACHE_CONTROL, "no-cache"), (ETAG, tag), (CONTENT_TYPE, "text/plain")];
            Fields::from_iter(all.map(|(name, value)| (name, HeaderValue::from_static(value))))
        };
        let frames = Frames::default();
        let of = |bytes: &'static [u8], tag| Parcel::one_of_many(bytes, headers(tag), false, &frames);
        let ((one, first), (two, second)) = (of(b"hello", "\"a\""), of(b"hallo", "\"b\""));
        assert!(Arc::ptr_eq(&one.frame, &two.frame) && first > second, "the head is shared, and counted once");
        assert_eq!((one.bytes(), &one.piece(1, 3)[..], one.etag()), (&b"hello"[..], &b"el"[..], Some(&b"\"a\""[..])));
        assert_eq!((one.headers(), one.told(Told::Whole)), (headers("\"a\""), headers("\"a\"")));
        assert_eq!((one.told(Told::Unmodified).len(), two.own_tag()), (2, Some(&b"\"b\""[..])));
        assert_eq!(one.lines(Told::Whole, true), b"content-type: text/plain\r\ncache-control: no-cache\r\n");
        assert!(one.has(&ETAG) && one.has(&CACHE_CONTROL) && !one.has(&CONTENT_ENCODING) && !one.is_unstored());
        assert!(one.is_same(&of(b"hello", "\"a\"").0) && !one.is_same(&two) && !one.is_same(&of(b"hello", "\"b\"").0));
        let alone = Parcel::new(Bytes::from_static(b"hello"), headers("\"a\""));
        assert_eq!((alone.headers(), alone.own_tag(), alone.etag()), (one.headers(), None, one.etag()));
    }

    #[test]
    fn heads_are_remembered_up_to_a_number() {
        let frames = Frames::default();
        let headers = |number: usize| Fields::from_iter([(CACHE_CONTROL, HeaderValue::from(number))]);
        (0..3 * FRAMES).for_each(|number| assert!(frames.frame(headers(number)).1));
        assert_eq!(frames.0.lock().unwrap().len(), FRAMES);
        assert!(!frames.frame(headers(3 * FRAMES - 1)).1 && frames.frame(headers(0)).1);
    }
}
