//! Answers of the cache: their headers made once, their compressed forms when somebody first asks for one.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{
    Body, COMPRESS_FROM, conditional, encoding_for, etag_of, is_plain_success, is_unstored, mark_encoded, may_compress,
    sent,
};
use crate::compress::{self, Effort};
use crate::flow::{Answer, Content, Kept, Reply, Visit};
use crate::parcel::Parcel;
use crate::site::statics::DefaultHeaders;

/// Makes an answer of bytes ready to be kept: the same headers that it would be sent with. `None` for any other.
pub fn keep(answer: &Answer, defaults: &DefaultHeaders) -> Option<Kept> {
    let (StatusCode::OK, Content::Bytes(bytes)) = (answer.status, &answer.content) else { return None };
    let mut headers = answer.headers.clone();
    defaults.add_to_made(&mut headers, None);
    if !is_unstored(&headers) && !bytes.is_empty() && !headers.contains_key(ETAG) {
        headers.insert(ETAG, etag_of(bytes));
    }
    let compresses =
        bytes.len() >= COMPRESS_FROM && may_compress(headers.get(CONTENT_TYPE), headers.get(CONTENT_ENCODING));
    if compresses {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    let plain = Arc::new(Parcel::new(bytes.clone(), headers));
    Some(Kept { plain, packed: Default::default(), compresses })
}

/// The response of a kept answer. `own` are headers of this request alone.
pub(super) fn respond(visit: &Visit, own: HeaderMap, kept: &Kept) -> Reply<Body> {
    let plain = &kept.plain;
    if is_plain_success(visit, StatusCode::OK) && !is_unstored(plain.headers()) {
        match conditional(visit, plain, None, own) {
            Ok(reply) => return reply,
            Err(own) => return whole(visit, own, kept),
        }
    }
    whole(visit, own, kept)
}

fn whole(visit: &Visit, own: HeaderMap, kept: &Kept) -> Reply<Body> {
    let plain = &kept.plain;
    let encoding = kept.compresses.then(|| encoding_for(visit, &compress::BY_SPEED)).flatten();
    let packed = encoding.and_then(|encoding| {
        let packed = kept.packed[encoding.index()].get_or_init(|| {
            let bytes: Bytes = encoding.compress(plain.bytes(), Effort::Quick)?.into();
            let mut headers = plain.headers().clone();
            mark_encoded(&mut headers, encoding);
            Some(Arc::new(Parcel::new(bytes, headers)))
        });
        packed.as_ref()
    });
    sent(StatusCode::OK, packed.unwrap_or(plain), own)
}
