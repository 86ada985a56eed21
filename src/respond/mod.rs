//! The respond step: makes HTTP responses of answers, and the only place that knows which status a problem has.
//!
//! `Date` and, where it is not set here, `Content-Length` are added by the connection itself.

mod body;
mod conditions;
mod kept;
mod problem;
mod range;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    RANGE, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

pub use body::Body;
pub use kept::keep;
pub use problem::{mark, problem, status};
use xxhash_rust::xxh3::xxh3_128;

use crate::compress::{self, Effort, Encoding};
use crate::fields::Fields;
use crate::flow::{Answer, Content, OpenFile, RemoteFile, Reply, Visit};
use crate::parcel::{OF_THE_BYTES, Parcel, Told as Extent, is_unstored};
use crate::site::statics::{DefaultHeaders, Loaded, http_date};
use conditions::{Outcome, State};
use range::Part;

/// Below this size compressing an answer saves no packet.
const COMPRESS_FROM: usize = 1024;

/// Makes the response to a visit: conditions, ranges, compression, `HEAD`, default headers.
pub fn respond(visit: &Visit, answer: Answer, defaults: &DefaultHeaders) -> Reply<Body> {
    let Answer { status, mut headers, content, .. } = answer;
    let mut reply = match content {
        Content::Static(loaded) => static_file(visit, status, headers, &loaded),
        Content::Kept(kept) => kept::respond(visit, headers, &kept, defaults.frames()),
        Content::File(open) => {
            let OpenFile { file, stamp, etag } = *open;
            defaults.add_to(&mut headers);
            let told = Told { size: stamp.size, modified: stamp.seconds(), etag };
            streamed(visit, status, headers, told, |from, to| Body::file(file, stamp, from, to))
        }
        Content::Remote(open) => {
            let RemoteFile { remote, etag } = *open;
            defaults.add_to(&mut headers);
            let told = Told { size: remote.size(), modified: None, etag };
            streamed(visit, status, headers, told, |from, to| Body::remote(remote, from, to))
        }
        Content::Bytes(bytes) => made(visit, Head::of(visit, status, headers, defaults), bytes),
        Content::Empty => made(visit, Head::of(visit, status, headers, defaults), Bytes::new()),
    };
    if visit.secure
        && let Some((name, value)) = defaults.of_secure().filter(|(name, _)| !reply.has(name))
    {
        reply.insert(name, value);
    }
    if visit.method == Method::HEAD { without_body(reply) } else { reply }
}

/// Whether conditions and ranges apply: a success that was only asked for.
fn is_plain_success(visit: &Visit, status: StatusCode) -> bool {
    status == StatusCode::OK && visit.only_asks()
}

/// A static file in memory, its headers made beforehand.
fn static_file(visit: &Visit, status: StatusCode, own: Fields, loaded: &Arc<Loaded>) -> Reply<Body> {
    let plain = loaded.plain();
    let mut own = own;
    if is_plain_success(visit, status) {
        own = match conditional(visit, plain, loaded.modified(), own) {
            Ok(reply) => return reply,
            Err(own) => own,
        };
        let size = plain.bytes().len() as u64;
        let part = asked_part(visit, state_of(plain, loaded.modified()), size);
        if part != Part::Whole {
            let headers = Reply::made(status, plain, Extent::Whole, own, ()).all_headers();
            return partial(headers, part, size, |from, to| {
                // A part lies within the bytes, whose number is a usize.
                Body::parcel(plain, from as usize, to as usize)
            });
        }
    }
    let chosen = loaded.compresses().then(|| encoding_for(visit, &compress::BY_SIZE)).flatten();
    sent(status, chosen.and_then(|encoding| loaded.packed(encoding)).unwrap_or(plain), own)
}

/// A parcel, whole.
fn sent(status: StatusCode, parcel: &Arc<Parcel>, own: Fields) -> Reply<Body> {
    Reply::made(status, parcel, Extent::Whole, own, Body::parcel(parcel, 0, parcel.bytes().len()))
}

fn state_of(parcel: &Parcel, modified: Option<u64>) -> State<'_> {
    State { etag: parcel.etag(), modified }
}

/// The reply that a condition leads to, where the answer is a parcel; or the headers given, to go on with.
fn conditional(
    visit: &Visit,
    parcel: &Arc<Parcel>,
    modified: Option<u64>,
    mut own: Fields,
) -> Result<Reply<Body>, Fields> {
    match conditions::weigh(&visit.headers, state_of(parcel, modified)) {
        Outcome::Proceed => Err(own),
        Outcome::Failed => Ok(failed()),
        Outcome::NotModified(named) => {
            let mut extent = Extent::Unmodified;
            // The client keeps the form that it has; the tag says which one that is.
            if let Some(tag) = named.filter(|tag| parcel.etag() != Some(tag.as_bytes())) {
                own.insert(ETAG, tag);
                extent = Extent::UnmodifiedForm;
            }
            Ok(Reply::made(StatusCode::NOT_MODIFIED, parcel, extent, own, Body::empty()))
        }
    }
}

fn failed() -> Reply<Body> {
    finish(StatusCode::PRECONDITION_FAILED, Fields::new(), Body::empty())
}

/// What is told of a file that is streamed.
struct Told {
    /// Bytes.
    size: u64,
    /// When it was changed, in seconds since the epoch.
    modified: Option<u64>,
    etag: Option<HeaderValue>,
}

/// A file that is streamed; `body` makes a part of it.
fn streamed(
    visit: &Visit,
    status: StatusCode,
    mut headers: Fields,
    told: Told,
    body: impl FnOnce(u64, u64) -> Body,
) -> Reply<Body> {
    let Told { size, modified, etag } = told;
    if let Some(etag) = &etag {
        headers.or_insert(ETAG, || etag.clone());
    }
    if let Some(date) = modified.and_then(http_date) {
        headers.or_insert(LAST_MODIFIED, || date);
    }
    headers.or_insert(ACCEPT_RANGES, || HeaderValue::from_static("bytes"));
    if is_plain_success(visit, status) {
        let state = State { etag: etag.as_ref().map(HeaderValue::as_bytes), modified };
        match conditions::weigh(&visit.headers, state) {
            Outcome::Proceed => {}
            Outcome::Failed => return failed(),
            Outcome::NotModified(named) => {
                let head = Head { status, own: headers, beforehand: None };
                return head.unmodified(named);
            }
        }
        let part = asked_part(visit, state, size);
        if part != Part::Whole {
            return partial(headers, part, size, body);
        }
    }
    finish(status, headers, body(0, size))
}

/// The head of an answer that is made for this visit: what was made beforehand of it, and its own.
struct Head {
    status: StatusCode,
    own: Fields,
    beforehand: Option<Arc<Parcel>>,
}

impl Head {
    fn of(visit: &Visit, status: StatusCode, mut own: Fields, defaults: &DefaultHeaders) -> Head {
        let nonce = visit.nonce.as_deref();
        let beforehand = match defaults.beforehand(own.get(&CONTENT_TYPE), nonce) {
            Some((parcel, has_type)) => {
                if has_type {
                    own.remove(&CONTENT_TYPE);
                }
                Some(parcel.clone())
            }
            None => {
                defaults.add_to_made(&mut own, nonce);
                None
            }
        };
        Head { status, own, beforehand }
    }

    fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let beforehand = || self.beforehand.as_ref().and_then(|parcel| parcel.shared(name));
        self.own.get(name).or_else(beforehand)
    }

    fn reply(self, body: Body) -> Reply<Body> {
        match &self.beforehand {
            Some(parcel) => Reply::made(self.status, parcel, Extent::Whole, self.own, body),
            None => Reply::new(self.status, self.own, body),
        }
    }

    /// The reply to who has the bytes already, in a form that may have a tag of its own.
    fn unmodified(mut self, tag: Option<HeaderValue>) -> Reply<Body> {
        OF_THE_BYTES.iter().for_each(|name| self.own.remove(name));
        // The client keeps the form that it has; the tag says which one that is.
        if let Some(tag) = tag {
            self.own.insert(ETAG, tag);
        }
        match &self.beforehand {
            Some(parcel) => Reply::made(StatusCode::NOT_MODIFIED, parcel, Extent::Unmodified, self.own, Body::empty()),
            None => Reply::new(StatusCode::NOT_MODIFIED, self.own, Body::empty()),
        }
    }
}

/// Bytes made for this visit.
fn made(visit: &Visit, mut head: Head, bytes: Bytes) -> Reply<Body> {
    let tagged = is_plain_success(visit, head.status) && !bytes.is_empty() && !is_unstored(&head.own);
    if tagged && !head.own.contains_key(&ETAG) {
        head.own.insert(ETAG, etag_of(&bytes));
    }
    let pays = bytes.len() >= COMPRESS_FROM && may_compress(head.get(&CONTENT_TYPE), head.get(&CONTENT_ENCODING));
    if pays {
        head.own.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if tagged {
        let state = State { etag: head.own.get(&ETAG).map(HeaderValue::as_bytes), modified: None };
        match conditions::weigh(&visit.headers, state) {
            Outcome::Proceed => {}
            Outcome::Failed => return failed(),
            Outcome::NotModified(named) => return head.unmodified(named),
        }
    }
    let encoding = pays.then(|| encoding_for(visit, &compress::BY_SPEED)).flatten();
    match encoding.and_then(|encoding| Some((encoding, encoding.compress(&bytes, Effort::Quick)?))) {
        Some((encoding, packed)) => {
            mark_encoded(&mut head.own, encoding);
            head.reply(Body::whole(packed.into()))
        }
        None => head.reply(Body::whole(bytes)),
    }
}

/// The part that a visit asks for. `HEAD` knows no parts (RFC 9110, 14.2).
fn asked_part(visit: &Visit, state: State<'_>, size: u64) -> Part {
    match visit.headers.get(RANGE) {
        Some(range) if visit.method == Method::GET && conditions::range_holds(&visit.headers, state) => {
            range::part(range, size)
        }
        _ => Part::Whole,
    }
}

/// 206, or 416 for bytes that don't exist.
fn partial(mut headers: Fields, part: Part, size: u64, body: impl FnOnce(u64, u64) -> Body) -> Reply<Body> {
    let (status, range, body) = match part {
        Part::Bytes { from, to } => {
            (StatusCode::PARTIAL_CONTENT, format!("bytes {from}-{}/{size}", to - 1), body(from, to))
        }
        _ => (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{size}"), Body::empty()),
    };
    if let Ok(range) = HeaderValue::try_from(range) {
        headers.insert(CONTENT_RANGE, range);
    }
    finish(status, headers, body)
}

fn finish(status: StatusCode, headers: Fields, body: Body) -> Reply<Body> {
    Reply::new(status, headers, body)
}

/// `HEAD` is answered as `GET` would be, without the body (RFC 9110, 9.3.2).
fn without_body(mut reply: Reply<Body>) -> Reply<Body> {
    let bodiless = matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let size = http_body::Body::size_hint(&reply.body).exact().filter(|_| !bodiless);
    if let Some(size) = size {
        reply.insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
    reply.map(|_| Body::empty())
}

fn may_compress(kind: Option<&HeaderValue>, encoding: Option<&HeaderValue>) -> bool {
    let pays = |kind: &HeaderValue| kind.to_str().is_ok_and(compress::pays);
    encoding.is_none() && kind.is_some_and(pays)
}

fn encoding_for(visit: &Visit, order: &[Encoding]) -> Option<Encoding> {
    Encoding::choose(visit.header(ACCEPT_ENCODING)?, order)
}

/// Names the encoding, and gives the strong ETag of the plain bytes the encoding's suffix: other bytes, another tag.
fn mark_encoded(headers: &mut Fields, encoding: Encoding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    let plain = headers.get(&ETAG).and_then(|tag| tag.to_str().ok()).and_then(|tag| tag.strip_suffix('"'));
    let tag = plain.and_then(|tag| HeaderValue::try_from(format!("{tag}-{}\"", encoding.name())).ok());
    if let Some(tag) = tag {
        headers.insert(ETAG, tag);
    }
}

/// A strong ETag of bytes: a 128-bit hash that is the same in every process (XXH3). It has to tell apart the states of
/// one page, not to withstand somebody who makes two pages alike on purpose.
fn etag_of(bytes: &[u8]) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut tag = [b'"'; 34];
    for (pair, byte) in tag[1..33].as_chunks_mut().0.iter_mut().zip(xxh3_128(bytes).to_be_bytes()) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    HeaderValue::from_bytes(&tag).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests;
