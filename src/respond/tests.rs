//! Responses to whole visits, without a socket.

use http::header::CACHE_CONTROL;
use http::{Request, Response};
use http_body_util::BodyExt;

use super::*;
use crate::flow::Visit;

fn visit(method: &str, headers: &[(&str, &str)]) -> Visit {
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Visit::begin(request.body(()).unwrap().into_parts().0, ([127, 0, 0, 1], 1).into(), false)
}

fn respond(visit: &Visit, answer: Answer) -> Response<Body> {
    let reply = super::respond(visit, answer, &DefaultHeaders::default());
    let (status, headers) = (reply.status, reply.all_headers());
    let mut response = Response::new(reply.body);
    *response.status_mut() = status;
    headers.into_iter().for_each(|(name, value)| _ = response.headers_mut().append(name, value));
    response
}

fn page() -> Answer {
    Answer::html("<p>All happy families are alike.</p>\n".repeat(100))
}

async fn bytes(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_page_is_tagged_and_compressed() {
    let plain = respond(&visit("GET", &[]), page());
    assert_eq!(plain.headers()[VARY], "accept-encoding");
    assert_eq!(plain.headers()[CACHE_CONTROL], "no-cache");
    assert_eq!(plain.headers()["x-content-type-options"], "nosniff");
    let tag = plain.headers()[ETAG].to_str().unwrap().to_string();
    let plain = bytes(plain).await;
    for name in ["gzip", "br", "zstd"] {
        let packed = respond(&visit("GET", &[("accept-encoding", name)]), page());
        assert_eq!(packed.headers()[CONTENT_ENCODING], name);
        let packed_tag = packed.headers()[ETAG].to_str().unwrap().to_string();
        assert_ne!(packed_tag, tag);
        assert!(bytes(packed).await.len() < plain.len());
        let again = respond(&visit("GET", &[("accept-encoding", name), ("if-none-match", &packed_tag)]), page());
        assert_eq!((again.status(), again.headers()[ETAG].to_str().unwrap()), (StatusCode::NOT_MODIFIED, &*packed_tag));
        assert!(!again.headers().contains_key(CONTENT_TYPE));
        assert_eq!(again.headers()[VARY], "accept-encoding");
        assert!(bytes(again).await.is_empty());
    }
}

#[tokio::test]
async fn what_is_small_packed_or_encoded_already_is_left_alone() {
    let asks = visit("GET", &[("accept-encoding", "gzip")]);
    let picture = Answer::bytes("image/png", vec![0; 5000]);
    assert!(!respond(&asks, picture).headers().contains_key(CONTENT_ENCODING));
    let small = respond(&asks, Answer::html("<p>Hello"));
    assert!(!small.headers().contains_key(CONTENT_ENCODING) && !small.headers().contains_key(VARY));
    let encoded = page().header(CONTENT_ENCODING, HeaderValue::from_static("br"));
    assert_eq!(respond(&asks, encoded).headers()[CONTENT_ENCODING], "br");
}

#[tokio::test]
async fn head_tells_what_get_would_send() {
    for headers in [&[][..], &[("accept-encoding", "br")][..]] {
        let head = respond(&visit("HEAD", headers), page());
        let get = respond(&visit("GET", headers), page());
        let mut told = head.headers().clone();
        let length = told.remove(CONTENT_LENGTH).unwrap();
        assert_eq!(&told, get.headers());
        assert!(bytes(head).await.is_empty());
        assert_eq!(length.to_str().unwrap(), bytes(get).await.len().to_string());
    }
}

#[tokio::test]
async fn only_a_success_is_tagged() {
    let missing = respond(&visit("GET", &[("if-none-match", "*")]), page().status(StatusCode::NOT_FOUND));
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(!missing.headers().contains_key(ETAG));
    let posted = respond(&visit("POST", &[("if-none-match", "*")]), page());
    assert_eq!(posted.status(), StatusCode::OK);
    let unstored = page().header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    assert!(!respond(&visit("GET", &[]), unstored).headers().contains_key(ETAG));
}

#[tokio::test]
async fn a_part_of_a_file_on_disk_is_sent() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"0123456789").unwrap();
    let answer = || {
        let open = OpenFile::of(file.reopen().unwrap(), Some(HeaderValue::from_static("\"tag\""))).unwrap();
        Answer::of_type(HeaderValue::from_static("text/plain"), Content::File(Box::new(open)))
    };
    let whole = respond(&visit("GET", &[]), answer());
    assert_eq!(whole.headers()[ACCEPT_RANGES], "bytes");
    let date = whole.headers()[LAST_MODIFIED].to_str().unwrap().to_string();
    assert_eq!(bytes(whole).await, "0123456789");
    for if_range in ["\"tag\"", &date] {
        let part = respond(&visit("GET", &[("range", "bytes=-4"), ("if-range", if_range)]), answer());
        assert_eq!(
            (part.status(), part.headers()[CONTENT_RANGE].to_str().unwrap()),
            (StatusCode::PARTIAL_CONTENT, "bytes 6-9/10")
        );
        assert_eq!(bytes(part).await, "6789");
    }
    let other = respond(&visit("GET", &[("range", "bytes=0-1"), ("if-range", "\"old\"")]), answer());
    assert_eq!(bytes(other).await, "0123456789");
    let past = respond(&visit("GET", &[("range", "bytes=10-")]), answer());
    assert_eq!((past.status().as_u16(), past.headers()[CONTENT_RANGE].to_str().unwrap()), (416, "bytes */10"));
    let failed = respond(&visit("GET", &[("if-match", "\"other\"")]), answer());
    assert_eq!(failed.status(), StatusCode::PRECONDITION_FAILED);
    let head = respond(&visit("HEAD", &[("range", "bytes=0-1")]), answer());
    assert_eq!((head.status().as_u16(), head.headers()[CONTENT_LENGTH].to_str().unwrap()), (200, "10"));
}
