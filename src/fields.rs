//! The header fields of an answer (RFC 9110, 5) as a list. An answer has few: to look through all of them costs less than
//! to hash names, and a list is a fraction of a map to be moved about.

use http::{HeaderName, HeaderValue};

/// Header fields in the order in which they are sent.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// None.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// None, with room for so many.
    pub fn with_capacity(fields: usize) -> Fields {
        Fields(Vec::with_capacity(fields))
    }

    /// Sets a field, in place of all those of its name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let mut value = Some(value);
        // The first of its name takes the value, the others go.
        self.0.retain_mut(|(other, kept)| *other != name || value.take().map(|value| *kept = value).is_some());
        self.0.extend(value.map(|value| (name, value)));
    }

    /// Sets a field that isn't there yet.
    pub fn or_insert(&mut self, name: HeaderName, value: impl FnOnce() -> HeaderValue) {
        if !self.contains_key(&name) {
            self.append(name, value());
        }
    }

    /// Adds a field beside those of its name.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Removes all fields of a name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(other, _)| other != name);
    }

    /// The first value of a name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.get_all(name).next()
    }

    /// All values of a name.
    pub fn get_all(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value)
    }

    /// Whether there is one of a name.
    pub fn contains_key(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// All of them. Names that have several values come several times.
    pub fn iter(&self) -> std::slice::Iter<'_, (HeaderName, HeaderValue)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The order of fields says nothing but among those of one name (RFC 9110, 5.3).
impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.len() == other.len() && self.iter().all(|(name, _)| self.get_all(name).eq(other.get_all(name)))
    }
}

impl IntoIterator for Fields {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = std::vec::IntoIter<(HeaderName, HeaderValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<(HeaderName, HeaderValue)> for Fields {
    fn extend<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, fields: I) {
        self.0.extend(fields);
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Fields {
        Fields(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, ETAG, SET_COOKIE, VARY};

    use super::*;

    fn fields(all: &[(&HeaderName, &'static str)]) -> Fields {
        all.iter().map(|(name, value)| ((*name).clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn one_takes_the_place_of_all_of_its_name() {
        let mut some = fields(&[(&VARY, "a"), (&SET_COOKIE, "1"), (&ETAG, "e"), (&SET_COOKIE, "2")]);
        some.insert(SET_COOKIE, HeaderValue::from_static("3"));
        some.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let expected = fields(&[(&VARY, "a"), (&SET_COOKIE, "3"), (&ETAG, "e"), (&CACHE_CONTROL, "no-cache")]);
        assert!(some.iter().eq(expected.iter()), "{some:?}");
        some.or_insert(ETAG, || HeaderValue::from_static("other"));
        assert_eq!((some.get(&ETAG).unwrap(), some.len()), (&HeaderValue::from_static("e"), 4));
        some.remove(&SET_COOKIE);
        assert!(!some.contains_key(&SET_COOKIE) && some.contains_key(&VARY));
    }

    #[test]
    fn only_the_order_of_one_name_says_something() {
        let one = fields(&[(&VARY, "a"), (&ETAG, "e"), (&VARY, "b")]);
        assert_eq!(one, fields(&[(&ETAG, "e"), (&VARY, "a"), (&VARY, "b")]));
        for other in [
            fields(&[(&ETAG, "e"), (&VARY, "b"), (&VARY, "a")]),
            fields(&[(&VARY, "a"), (&ETAG, "e")]),
            fields(&[(&VARY, "a"), (&ETAG, "e"), (&ETAG, "e")]),
        ] {
            assert_ne!(one, other);
        }
    }
}
