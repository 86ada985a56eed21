//! The fields that a header block may name by a number (RFC 7541, 2.3): 61 that the standard lists, and those that the
//! client had put into the connection's table. A field is kept as it is used, so that naming it again costs no second
//! reading.

use std::collections::VecDeque;
use std::sync::LazyLock;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method};

/// What each field counts beside its text (RFC 7541, 4.1).
pub(super) const OVERHEAD: usize = 32;

/// Bytes that the table may take: what every client assumes until it is told otherwise, and it never is.
const MOST: usize = 4096;

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// A header's.
    Header(HeaderName),
    /// One that no request may have; so many bytes.
    Bad(usize),
}

/// A field of a request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Field {
    Method(Method),
    Scheme(Scheme),
    Authority(Authority),
    Path(PathAndQuery),
    Header(HeaderName, HeaderValue),
    /// One that makes its request malformed.
    Bad(BadField),
}

/// What is left of a field that no request may have: its name, which others may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct BadField(Name);

impl Name {
    /// Reads a name. Letters of upper case are none of its (RFC 9113, 8.2.1).
    pub(super) fn read(text: &[u8]) -> Name {
        match text {
            b":method" => Name::Method,
            b":scheme" => Name::Scheme,
            b":authority" => Name::Authority,
            b":path" => Name::Path,
            _ => HeaderName::from_lowercase(text).map_or(Name::Bad(text.len()), Name::Header),
        }
    }

    /// Its bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Name::Method | Name::Scheme => 7,
            Name::Authority => 10,
            Name::Path => 5,
            Name::Header(name) => name.as_str().len(),
            Name::Bad(length) => *length,
        }
    }
}

impl Field {
    /// A field of this name.
    pub(super) fn new(name: Name, value: &[u8]) -> Field {
        let field = match &name {
            Name::Method => Method::from_bytes(value).ok().map(Field::Method),
            Name::Scheme if value.is_empty() => None,
            Name::Scheme => Scheme::try_from(value).ok().map(Field::Scheme),
            Name::Authority => authority(value).map(Field::Authority),
            Name::Path => path(value).map(Field::Path),
            Name::Header(name) => header(value).map(|value| Field::Header(name.clone(), value)),
            Name::Bad(_) => None,
        };
        field.unwrap_or(Field::Bad(BadField(name)))
    }

    fn name(&self) -> Name {
        match self {
            Field::Method(_) => Name::Method,
            Field::Scheme(_) => Name::Scheme,
            Field::Authority(_) => Name::Authority,
            Field::Path(_) => Name::Path,
            Field::Header(name, _) => Name::Header(name.clone()),
            Field::Bad(BadField(name)) => name.clone(),
        }
    }
}

/// A host and a port; who the user is, has no place there (RFC 9113, 8.3.1).
fn authority(value: &[u8]) -> Option<Authority> {
    Authority::try_from(value).ok().filter(|authority| !authority.as_str().contains('@'))
}

/// A path with its query, or the asterisk of OPTIONS.
fn path(value: &[u8]) -> Option<PathAndQuery> {
    let fits = value.first() == Some(&b'/') || value == b"*";
    PathAndQuery::try_from(value).ok().filter(|_| fits)
}

/// No space is around it (RFC 9113, 8.2.1).
fn header(value: &[u8]) -> Option<HeaderValue> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let fits = !is_space(value.first()) && !is_space(value.last());
    HeaderValue::from_bytes(value).ok().filter(|_| fits)
}

/// The fields of appendix A, from 1 on.
static LISTED: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |(name, value): &(&str, &str)| {
        Entry::new(Field::new(Name::read(name.as_bytes()), value.as_bytes()), name.len() + value.len() + OVERHEAD)
    };
    APPENDIX_A.iter().map(entry).collect()
});

#[rustfmt::skip]
const APPENDIX_A: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[derive(Debug)]
struct Entry {
    field: Field,
    size: usize,
}

impl Entry {
    fn new(field: Field, size: usize) -> Entry {
        Entry { field, size }
    }
}

/// The fields that a client may name by a number.
#[derive(Debug)]
pub(super) struct Table {
    /// Those that it has put there, the last one first.
    own: VecDeque<Entry>,
    /// What these count together, and may.
    size: usize,
    most: usize,
}

impl Table {
    pub(super) fn new() -> Table {
        Table { own: VecDeque::new(), size: 0, most: MOST }
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        let index = index.checked_sub(1)?;
        let listed = &*LISTED;
        listed.get(index).or_else(|| self.own.get(index - listed.len()))
    }

    /// The field of a number, and what it counts.
    pub(super) fn field(&self, index: usize) -> Option<(Field, usize)> {
        self.entry(index).map(|entry| (entry.field.clone(), entry.size))
    }

    /// The name of that field.
    pub(super) fn name(&self, index: usize) -> Option<Name> {
        self.entry(index).map(|entry| entry.field.name())
    }

    /// Puts a field in front; others leave where there is no room. What is larger than the table only empties it.
    pub(super) fn add(&mut self, field: &Field, size: usize) {
        self.shrink(self.most.saturating_sub(size));
        if size <= self.most {
            self.own.push_front(Entry::new(field.clone(), size));
            self.size += size;
        }
    }

    /// The client takes so many bytes of it. `None` when that is more than it may.
    pub(super) fn resize(&mut self, most: usize) -> Option<()> {
        if most > MOST {
            return None;
        }
        self.most = most;
        self.shrink(most);
        Some(())
    }

    fn shrink(&mut self, most: usize) {
        while self.size > most
            && let Some(entry) = self.own.pop_back()
        {
            self.size -= entry.size;
        }
    }

    /// What its fields count together.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }
}
