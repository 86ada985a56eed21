//! Reads bodies from a channel, as a connection gives them: in pieces, with pauses, with a bad end.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use http_body::Frame;
use http_body_util::Full;
use tokio::sync::mpsc;

use super::*;
use crate::flow::body::FilePart;
use crate::parse::multipart::NoUploads;

/// A body that comes out of a channel.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Keeps what it is given: name, type and bytes of each file.
#[derive(Default)]
struct Kept {
    files: Vec<(FilePart, Vec<u8>)>,
}

impl UploadSink for Kept {
    type Upload = usize;

    async fn begin(&mut self, part: &FilePart) -> Result<(), Problem> {
        self.files.push((part.clone(), Vec::new()));
        Ok(())
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), Problem> {
        self.files.last_mut().unwrap().1.extend_from_slice(&piece);
        Ok(())
    }

    async fn finish(&mut self) -> Result<usize, Problem> {
        Ok(self.files.len() - 1)
    }
}

fn visit(content_type: &str) -> Visit {
    let mut request = Request::post("/");
    if !content_type.is_empty() {
        request = request.header(CONTENT_TYPE, content_type);
    }
    Visit::begin(request.body(()).unwrap().into_parts().0, ([127, 0, 0, 1], 1).into(), false)
}

fn small() -> Limits {
    Limits { body: 100, upload_body: 100_000, fields: 3, json_depth: 4, ..Limits::default() }
}

async fn read(content_type: &str, bytes: impl Into<Bytes>) -> Result<Sent<Infallible>, Problem> {
    body(&visit(content_type), Full::new(bytes.into()), &small(), &mut NoUploads).await
}

async fn kind(content_type: &str, bytes: impl Into<Bytes>) -> Kind {
    read(content_type, bytes).await.unwrap_err().kind
}

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=XX";

#[tokio::test]
async fn forms_and_documents_are_read() {
    let form = read(&format!("{FORM}; charset=UTF-8"), "a=1&b=x+y").await.unwrap();
    let texts = vec![("a".into(), "1".into()), ("b".into(), "x y".into())];
    assert_eq!(form, Sent::Form(Form { texts, files: vec![] }));
    let document = read("application/merge-patch+json", r#"{"a": [1, "[[[[["]}"#).await.unwrap();
    assert_eq!(document, Sent::Json(serde_json::json!({"a": [1, "[[[[["]})));
    assert_eq!(read("", "").await.unwrap(), Sent::Nothing);
    assert_eq!(read("image/png", "").await.unwrap(), Sent::Nothing);
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    assert_eq!(kind("", "x").await, Kind::UnsupportedType);
    assert_eq!(kind("text/plain", "a=1").await, Kind::UnsupportedType);
    assert_eq!(kind(&format!("{FORM}; charset=latin1"), "a=1").await, Kind::UnsupportedType);
    assert_eq!(kind(FORM, &b"a=\xff"[..]).await, Kind::Malformed);
    assert_eq!(kind(FORM, "a=%ff").await, Kind::Malformed);
    assert_eq!(kind(FORM, "a=1&b=2&c=3&d=4").await, Kind::Malformed);
    assert_eq!(kind(FORM, "a".repeat(101)).await, Kind::TooLarge);
    assert_eq!(kind("application/json", "{").await, Kind::Malformed);
    assert_eq!(kind("application/json", &b"\"\xff\""[..]).await, Kind::Malformed);
    assert_eq!(kind("application/json", "[[[[[]]]]]").await, Kind::Malformed);
    assert_eq!(kind("multipart/form-data", "x").await, Kind::Malformed);
    assert_eq!(kind(MULTIPART, "x").await, Kind::Malformed);
}

fn part(head: &str, content: &str) -> String {
    format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
}

#[tokio::test]
async fn a_multipart_form_streams_its_files() {
    let mut sink = Kept::default();
    let form = [
        part("name=\"title\"", "Grüße"),
        part("name=\"photo\"; filename=\"C:\\\\pictures\\\\me.png\"\r\nContent-Type: image/png", "PNG!"),
        part("name=\"none\"; filename=\"\"", ""),
        "--XX--\r\n".into(),
    ]
    .concat();
    let sent = body(&visit(MULTIPART), Full::new(Bytes::from(form)), &small(), &mut sink).await.unwrap();
    let texts = vec![("title".into(), "Grüße".into())];
    assert_eq!(sent, Sent::Form(Form { texts, files: vec![("photo".into(), 0)] }));
    let (head, bytes) = &sink.files[0];
    assert_eq!(
        (head.file_name.as_str(), head.content_type.as_str(), &bytes[..]),
        ("me.png", "image/png", &b"PNG!"[..])
    );
}

#[tokio::test]
async fn bad_multipart_forms_are_refused() {
    let text = part("name=\"a\"", "x");
    assert_eq!(kind(MULTIPART, text.clone()).await, Kind::Malformed, "it has no end");
    assert_eq!(kind(MULTIPART, format!("{}--XX--\r\n", text.repeat(4))).await, Kind::Malformed, "too many fields");
    assert_eq!(kind(MULTIPART, part("name=\"a\"", &"x".repeat(101)) + "--XX--").await, Kind::TooLarge);
    assert_eq!(kind(MULTIPART, part("filename=\"a\"", "x") + "--XX--").await, Kind::Malformed, "no name");
    assert_eq!(kind(MULTIPART, part("name=\"a\"", "x\0") + "--XX--").await, Kind::Malformed, "a NUL");
    assert!(matches!(kind(MULTIPART, part("name=\"a\"; filename=\"f\"", "x") + "--XX--").await, Kind::Invalid(_)));
    let mut sink = Kept::default();
    let long = part("name=\"a\"; filename=\"f\"", &"x".repeat(100_000)) + "--XX--";
    let problem = body(&visit(MULTIPART), Full::new(Bytes::from(long)), &small(), &mut sink).await.unwrap_err();
    assert_eq!(problem.kind, Kind::TooLarge);
}

#[tokio::test]
async fn endless_heads_of_parts_are_cut_off() {
    for start in ["", "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\nX: "] {
        let (sender, pieces) = mpsc::channel(1);
        let client = async move {
            let _ = sender.send(Ok(Bytes::from(start))).await;
            let mut sent = 0;
            while sender.send(Ok(Bytes::from_static(&[b'x'; 4096]))).await.is_ok() {
                sent += 4096;
            }
            sent
        };
        let (visit, limits, mut sink) = (visit(MULTIPART), small(), NoUploads);
        let (result, sent) = tokio::join!(body(&visit, Pieces(pieces), &limits, &mut sink), client);
        assert_eq!(result.unwrap_err().kind, Kind::TooLarge);
        assert!(sent < 40_000, "{sent} bytes were taken in");
    }
}

#[tokio::test]
async fn a_slow_sender_is_given_up() {
    let limits = Limits { body_pause: Duration::from_millis(400), body_pace: 10_000, ..small() };
    // The pause in milliseconds, the number of pieces, whether that is too slow.
    for (pause, pieces, expected) in [(800, 1, true), (100, 8, true), (50, 2, false)] {
        let (sender, body_pieces) = mpsc::channel(1);
        let client = async move {
            for _ in 0..pieces {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                if sender.send(Ok(Bytes::from_static(b"a"))).await.is_err() {
                    break;
                }
            }
        };
        let (visit, mut sink) = (visit(FORM), NoUploads);
        let (result, ()) = tokio::join!(body(&visit, Pieces(body_pieces), &limits, &mut sink), client);
        let slow = result.is_err_and(|problem| problem.kind == Kind::TooSlow);
        assert_eq!(slow, expected, "{pieces} pieces, {pause} ms between them");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_malformed() {
    let (sender, pieces) = mpsc::channel(2);
    sender.send(Ok(Bytes::from_static(b"a=1"))).await.unwrap();
    sender.send(Err(io::Error::other("hung up"))).await.unwrap();
    let problem = body(&visit(FORM), Pieces(pieces), &small(), &mut NoUploads).await.unwrap_err();
    assert_eq!((problem.kind, problem.cause.unwrap().contains("hung up")), (Kind::Malformed, true));
}

#[test]
fn types_are_told_apart() {
    let kind = |text: &'static str| body_type(text);
    assert!(matches!(kind("APPLICATION/JSON"), Ok(BodyType::Json)));
    assert!(
        matches!(kind("multipart/form-data; boundary=\"a b\""), Ok(BodyType::Multipart(boundary)) if boundary == "a b")
    );
    assert!(matches!(kind("text/csv"), Ok(BodyType::Other(_))));
}
