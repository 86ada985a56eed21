//! What the respond step hands to the connection: a head, and a body of whatever kind.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::fields::Fields;
use crate::parcel::{Parcel, Put, Told};

/// The body of a response.
pub trait Outgoing: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Unpin + 'static {
    /// Bytes of a file that come next, where the connection may send them by itself from the system's memory, without a
    /// copy and without waiting for a disk. It says by [`Outgoing::sent`] how many it did send; what it can't send, it asks for as of any body.
    ///
    /// # Errors
    /// The file isn't any more what was promised.
    fn stretch(&mut self) -> std::io::Result<Option<Stretch>> {
        Ok(None)
    }

    /// So many bytes of the stretch were sent.
    fn sent(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// All that is left of it, where that lies in memory as a part of a parcel: then it is handed out as it is.
    fn held(&mut self) -> Option<Held> {
        None
    }
}

/// Bytes of a parcel. They go with the count that the parcel has anyway, so that nothing else need be looked at.
#[derive(Debug)]
pub struct Held {
    parcel: Arc<Parcel>,
    from: usize,
    to: usize,
}

impl Held {
    /// The bytes `from..to` of a parcel.
    pub fn new(parcel: Arc<Parcel>, from: usize, to: usize) -> Held {
        Held { parcel, from, to }
    }
}

impl std::ops::Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.parcel.bytes()[self.from..self.to]
    }
}

/// A stretch of a file.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Open for reading.
    pub file: Arc<std::fs::File>,
    /// Where it begins.
    pub from: u64,
    /// Bytes.
    pub size: usize,
}

/// A response. Much of its head may be made beforehand.
#[derive(Debug)]
pub struct Reply<B> {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: B,
    headers: Fields,
    made: Option<(Arc<Parcel>, Told)>,
}

impl<B> Reply<B> {
    /// A response with these headers.
    pub fn new(status: StatusCode, headers: Fields, body: B) -> Reply<B> {
        Reply { status, body, headers, made: None }
    }

    /// A response with the headers of a parcel, but for those that `own` has.
    pub fn made(status: StatusCode, parcel: &Arc<Parcel>, told: Told, own: Fields, body: B) -> Reply<B> {
        // These two are left out of the lines that are ready.
        let spared = |name: &HeaderName| *name == CACHE_CONTROL || (*name == ETAG && told == Told::UnmodifiedForm);
        let replaces = |name: &HeaderName| !spared(name) && parcel.has(name);
        if own.iter().any(|(name, _)| replaces(name)) {
            return Reply::new(status, merged(parcel.told(told), own), body);
        }
        Reply { status, body, headers: own, made: Some((parcel.clone(), told)) }
    }

    /// Whether it has a header of a name.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.headers.contains_key(name) || self.made.as_ref().is_some_and(|(parcel, _)| parcel.has(name))
    }

    /// Sets a header, in place of those of its name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        if let Some((parcel, told)) = self.made.take_if(|(parcel, _)| parcel.has(&name)) {
            self.headers = merged(parcel.told(told), std::mem::take(&mut self.headers));
        }
        self.headers.insert(name, value);
    }

    /// The lines of its head that were made beforehand.
    pub fn lines(&self) -> &[u8] {
        match &self.made {
            Some((parcel, told)) => parcel.lines(*told, !self.headers.contains_key(&CACHE_CONTROL)),
            None => b"",
        }
    }

    /// The same as HTTP/2 packs them; see [`Parcel::packed`].
    pub fn packed(&self, put: Put) -> &[u8] {
        match &self.made {
            Some((parcel, told)) => parcel.packed(*told, !self.headers.contains_key(&CACHE_CONTROL), put),
            None => b"",
        }
    }

    /// The tag, where it is known and neither among those nor beside them.
    pub fn tag(&self) -> Option<&[u8]> {
        let (parcel, told) = self.made.as_ref()?;
        parcel.own_tag().filter(|_| *told != Told::UnmodifiedForm)
    }

    /// The headers beside those.
    pub fn headers(&self) -> &Fields {
        &self.headers
    }

    /// The same with another body.
    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> Reply<C> {
        let Reply { status, body, headers, made } = self;
        Reply { status, body: change(body), headers, made }
    }

    /// All its headers.
    pub fn all_headers(&self) -> Fields {
        match &self.made {
            Some((parcel, told)) => merged(parcel.told(*told), self.headers.clone()),
            None => self.headers.clone(),
        }
    }
}

/// `own` headers in place of those made beforehand.
fn merged(mut made: Fields, own: Fields) -> Fields {
    own.iter().for_each(|(name, _)| made.remove(name));
    made.extend(own);
    made
}

#[cfg(test)]
mod tests {
    use http::header::{SET_COOKIE, VARY};

    use super::*;

    fn parcel() -> Arc<Parcel> {
        let lines = [(CACHE_CONTROL, "no-cache"), (ETAG, "\"a\""), (VARY, "accept-encoding")];
        let headers = lines.map(|(name, value)| (name, HeaderValue::from_static(value)));
        Arc::new(Parcel::new(Bytes::from_static(b"x"), Fields::from_iter(headers)))
    }

    /// All that HTTP/1 sends, sorted.
    fn head(reply: &Reply<()>) -> Vec<String> {
        let lines = String::from_utf8(reply.lines().to_vec()).unwrap();
        let own = reply.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut all: Vec<String> = lines.lines().map(str::to_string).chain(own).collect();
        all.sort();
        all
    }

    #[test]
    fn own_headers_replace_those_made_beforehand() {
        let own = [(CACHE_CONTROL, "private"), (SET_COOKIE, "a=1"), (ETAG, "\"b\"")];
        for many in 0..=own.len() {
            let own = own[..many].iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            let reply = Reply::made(StatusCode::OK, &parcel(), Told::Whole, own.clone().collect(), ());
            let mut later = Reply::made(StatusCode::OK, &parcel(), Told::Whole, Fields::new(), ());
            own.for_each(|(name, value)| later.insert(name, value));
            assert_eq!(head(&reply), head(&later));
            assert_eq!(head(&reply).len(), [3, 3, 4, 4][many], "{reply:?}");
            let whole = head(&reply);
            let of_http2 = reply.all_headers();
            let of_http2 = of_http2.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            let mut of_http2: Vec<String> = of_http2.collect();
            of_http2.sort();
            assert_eq!(of_http2, whole, "both HTTPs say the same");
        }
    }

    #[test]
    fn all_values_of_a_name_stay() {
        let mut own = Fields::new();
        own.append(SET_COOKIE, HeaderValue::from_static("a=1"));
        own.append(SET_COOKIE, HeaderValue::from_static("b=2"));
        let all = Reply::made(StatusCode::OK, &parcel(), Told::Whole, own, ()).all_headers();
        assert_eq!((all.get_all(&SET_COOKIE).count(), all.len()), (2, 5));
    }
}
