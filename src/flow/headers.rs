//! The headers of a request, as one piece of text and where each of them lies in it: a request has few, most are never
//! asked for, and to look through all of them costs less than to sort them first.

use http::{HeaderMap, HeaderValue};

use crate::octets;

/// The headers of a request, in the order in which they came.
#[derive(Clone, Default)]
pub struct Headers {
    /// Where names, in small letters, and values lie; perhaps with what stood between them.
    text: Vec<u8>,
    lines: Vec<Line>,
    /// The marks of all names. Most that are asked for are not there, and their marks aren't either.
    marks: u64,
}

/// Where a header lies in the text: from where, and how many bytes; and the mark of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    name: (u32, u32),
    value: (u32, u32),
    mark: u8,
}

impl Headers {
    /// No headers, with room for so many lines of so many bytes in all.
    pub fn with_room(lines: usize, bytes: usize) -> Headers {
        Headers { text: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines), marks: 0 }
    }

    /// No headers yet of those that lie in these bytes, with room for so many. See [`Headers::push_within`].
    pub fn within(head: &[u8], lines: usize) -> Headers {
        Headers { text: head.to_vec(), lines: Vec::with_capacity(lines), marks: 0 }
    }

    /// Adds a header that lies in the bytes given to [`Headers::within`], which spares a copy of each; as
    /// [`Headers::push`].
    pub fn push_within(&mut self, head: &[u8], name: &[u8], value: &[u8]) {
        let place = |part: &[u8]| {
            let from = part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
            let inside = from.checked_add(part.len()).is_some_and(|end| end <= self.text.len());
            // A head is far smaller than 4 GiB by `limits.head_bytes`.
            inside.then_some((from as u32, part.len() as u32))
        };
        let (Some(name), Some(value)) = (place(name), place(value)) else { return self.push(name, value) };
        let mark = self.make_name(name);
        self.lines.push(Line { name, value, mark });
    }

    /// Adds a header. The caller has seen to it that the name is a token and the value has no control characters but
    /// tabs (RFC 9110, 5.5 and 5.6.2).
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let name = self.put(name);
        let mark = self.make_name(name);
        let value = self.put(value);
        self.lines.push(Line { name, value, mark });
    }

    /// Makes a name of these bytes, and gives its mark.
    fn make_name(&mut self, (from, size): (u32, u32)) -> u8 {
        let name = &mut self.text[from as usize..][..size as usize];
        name.make_ascii_lowercase();
        let mark = mark(name);
        self.marks |= 1 << mark;
        mark
    }

    /// A head is far smaller than 4 GiB by `limits.head_bytes`.
    fn put(&mut self, bytes: &[u8]) -> (u32, u32) {
        let from = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        (from, bytes.len() as u32)
    }

    /// The first value of a name, which is written in small letters.
    #[inline]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&[u8]> {
        // Of a name that is known when this is compiled, so is the mark.
        let name = name.as_ref().as_bytes();
        let mark = mark(name);
        if self.marks & 1 << mark == 0 { None } else { self.first(name, mark) }
    }

    #[inline(never)]
    fn first(&self, name: &[u8], mark: u8) -> Option<&[u8]> {
        self.lines.iter().find(|line| self.is_named(line, name, mark)).map(|line| self.part(line.value))
    }

    /// The same where it is text of visible ASCII.
    #[inline]
    pub fn text(&self, name: impl AsRef<str>) -> Option<&str> {
        visible(self.get(name)?)
    }

    /// The same as others know it.
    pub fn value(&self, name: impl AsRef<str>) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.get(name)?).ok()
    }

    /// Whether there is one of this name.
    #[inline]
    pub fn has(&self, name: impl AsRef<str>) -> bool {
        self.get(name).is_some()
    }

    /// All values of a name.
    pub fn all(&self, name: impl AsRef<str>) -> impl DoubleEndedIterator<Item = &[u8]> {
        let mark = mark(name.as_ref().as_bytes());
        let lines = if self.marks & 1 << mark == 0 { &[] } else { &self.lines[..] };
        let named = lines.iter().filter(move |line| self.is_named(line, name.as_ref().as_bytes(), mark));
        named.map(|line| self.part(line.value))
    }

    fn is_named(&self, line: &Line, name: &[u8], mark: u8) -> bool {
        line.mark == mark && self.part(line.name) == name
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (self.part(line.name), self.part(line.value)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn part(&self, (from, size): (u32, u32)) -> &[u8] {
        &self.text[from as usize..][..size as usize]
    }
}

/// A number below 64 for a name.
#[inline]
fn mark(name: &[u8]) -> u8 {
    let end = name.last().copied().unwrap_or(0);
    ((5 * name.len() + usize::from(end)) % 64) as u8
}

/// Text of visible ASCII, spaces and tabs; nothing else.
pub fn visible(value: &[u8]) -> Option<&str> {
    if is_visible(value) { std::str::from_utf8(value).ok() } else { None }
}

/// Whether there are none but visible ASCII characters, spaces and tabs.
pub fn is_visible(value: &[u8]) -> bool {
    octets::all(value, |byte| matches!(byte, b' '..=b'~') | (byte == b'\t'))
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lossy = |(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        out.debug_map().entries(self.iter().map(lossy)).finish()
    }
}

impl From<&HeaderMap> for Headers {
    fn from(map: &HeaderMap) -> Headers {
        let mut headers = Headers::with_room(map.len(), 32 * map.len());
        map.iter().for_each(|(name, value)| headers.push(name.as_str().as_bytes(), value.as_bytes()));
        headers
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, COOKIE, HOST};

    use super::*;

    #[test]
    fn headers_are_found_by_their_names() {
        let mut headers = Headers::default();
        for (name, value) in [("Host", "x"), ("cookie", "a=1"), ("Hose", "y"), ("COOKIE", "b=2\u{e9}")] {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        assert_eq!((headers.text(HOST), headers.text(ACCEPT), headers.len()), (Some("x"), None, 4));
        assert_eq!(headers.all(COOKIE).collect::<Vec<_>>(), [&b"a=1"[..], "b=2\u{e9}".as_bytes()]);
        assert_eq!(headers.all(COOKIE).next_back().and_then(visible), None, "not ASCII");
        assert!(headers.has(COOKIE) && !headers.has(ACCEPT));
    }

    #[test]
    fn headers_that_lie_in_a_head_are_the_same() {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nAccept:  */* \r\n\r\n";
        let part = |text: &[u8]| {
            let from = head.windows(text.len()).position(|window| window == text).unwrap();
            &head[from..from + text.len()]
        };
        let mut found = Headers::within(head, 3);
        found.push_within(head, part(b"Host"), part(b"x"));
        // What is empty may lie anywhere.
        found.push_within(head, part(b"X-Empty"), b"");
        found.push_within(head, part(b"Accept"), part(b"*/*"));
        let mut pushed = Headers::default();
        [(&b"Host"[..], &b"x"[..]), (b"X-Empty", b""), (b"Accept", b"*/*")]
            .iter()
            .for_each(|(name, value)| pushed.push(name, value));
        assert!(found.iter().eq(pushed.iter()), "{found:?}");
        assert_eq!((found.text(HOST), found.text("x-empty"), found.text(ACCEPT)), (Some("x"), Some(""), Some("*/*")));
    }
}
