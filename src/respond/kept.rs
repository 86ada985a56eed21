//! Answers of the cache: their headers made once, their compressed forms when somebody first asks for one.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ETAG, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::conditions::State;
use super::{
    Body, COMPRESS_FROM, add_defaults, by_condition, encoding_for, etag_of, finish, is_plain_success, is_unstored,
    mark_encoded, may_compress, merged,
};
use crate::compress::{self, Effort};
use crate::flow::{Answer, Content, Form, Kept, Visit};
use crate::site::statics::DefaultHeaders;

/// Makes an answer of bytes ready to be kept: the same headers that it would be sent with. `None` for any other.
pub fn keep(answer: &Answer, defaults: &DefaultHeaders) -> Option<Kept> {
    let (StatusCode::OK, Content::Bytes(bytes)) = (answer.status, &answer.content) else { return None };
    let mut headers = answer.headers.clone();
    add_defaults(None, &mut headers, &answer.content, defaults);
    if !is_unstored(&headers) && !bytes.is_empty() && !headers.contains_key(ETAG) {
        headers.insert(ETAG, etag_of(bytes));
    }
    let compresses = bytes.len() >= COMPRESS_FROM && may_compress(&headers);
    if compresses {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    Some(Kept { plain: Form { bytes: bytes.clone(), headers }, packed: Default::default(), compresses })
}

/// The response of a kept answer. `own` are headers of this request alone.
pub(super) fn respond(visit: &Visit, own: HeaderMap, kept: &Arc<Kept>) -> Response<Body> {
    let plain = &kept.plain;
    if is_plain_success(visit, StatusCode::OK) && !is_unstored(&plain.headers) {
        let state = State { etag: plain.headers.get(ETAG).map(HeaderValue::as_bytes), modified: None };
        if let Some(response) = by_condition(visit, state, || merged(plain.headers.clone(), own.clone())) {
            return response;
        }
    }
    let encoding = kept.compresses.then(|| encoding_for(visit, &compress::BY_SPEED)).flatten();
    let form = encoding.and_then(|encoding| {
        let packed = kept.packed[encoding.index()].get_or_init(|| {
            let bytes: Bytes = encoding.compress(&plain.bytes, Effort::Quick)?.into();
            let mut headers = plain.headers.clone();
            mark_encoded(&mut headers, encoding);
            Some(Form { bytes, headers })
        });
        packed.as_ref()
    });
    let form = form.unwrap_or(plain);
    finish(StatusCode::OK, merged(form.headers.clone(), own), Body::whole(form.bytes.clone()))
}
