//! Answers of the cache: their headers made once, their compressed forms when somebody first asks for one.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderValue, StatusCode};

use super::{
    Body, COMPRESS_FROM, conditional, encoding_for, etag_of, is_plain_success, mark_encoded, may_compress, sent,
};
use crate::compress::{self, Effort};
use crate::fields::Fields;
use crate::flow::{Answer, Content, Reply, Visit};
use crate::parcel::{Frames, Parcel, is_unstored};
use crate::site::statics::DefaultHeaders;

/// Makes an answer of bytes ready to be kept: the same headers that it would be sent with. Tells besides how many bytes of
/// memory it takes, with one compressed form, because nearly all browsers ask for the same. `None` for any other answer.
pub fn keep(answer: &Answer, defaults: &DefaultHeaders) -> Option<(Parcel, usize)> {
    let (StatusCode::OK, Content::Bytes(bytes)) = (answer.status, &answer.content) else { return None };
    let mut headers = answer.headers.clone();
    defaults.add_to_made(&mut headers, None);
    if !is_unstored(&headers) && !bytes.is_empty() && !headers.contains_key(&ETAG) {
        headers.insert(ETAG, etag_of(bytes));
    }
    let compresses =
        bytes.len() >= COMPRESS_FROM && may_compress(headers.get(&CONTENT_TYPE), headers.get(&CONTENT_ENCODING));
    if compresses {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    let (parcel, weight) = Parcel::one_of_many(bytes, headers, compresses, defaults.frames());
    Some((parcel, weight + if compresses { weight / 2 } else { 0 }))
}

/// The response of a kept answer. `own` are headers of this request alone.
pub(super) fn respond(visit: &Visit, own: Fields, plain: &Arc<Parcel>, frames: &Frames) -> Reply<Body> {
    let own = match is_plain_success(visit, StatusCode::OK) && !plain.is_unstored() {
        true => match conditional(visit, plain, None, own) {
            Ok(reply) => return reply,
            Err(own) => own,
        },
        false => own,
    };
    let encoding = plain.compresses().then(|| encoding_for(visit, &compress::BY_SPEED)).flatten();
    let packed = encoding.and_then(|encoding| {
        plain.form(encoding.index(), || {
            let bytes = encoding.compress(plain.bytes(), Effort::Quick)?;
            let mut headers = plain.headers();
            mark_encoded(&mut headers, encoding);
            Some(Parcel::one_of_many(&bytes, headers, false, frames).0)
        })
    });
    sent(StatusCode::OK, packed.unwrap_or(plain), own)
}
