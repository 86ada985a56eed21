//! Servers for the tests: a small site over real HTTP, and a socket that answers with whatever bytes it is given.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Starts the site; gives its address without a slash at the end.
pub(super) async fn site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = asked.clone();
            let service = service_fn(move |request| answer(request, asked.clone()));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}")
}

/// Starts a server that reads a request's head, sends `bytes` and closes; without bytes it never answers.
pub(super) async fn raw(bytes: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                match bytes {
                    Some(bytes) => drop(stream.write_all(bytes).await),
                    None => std::future::pending().await,
                }
            });
        }
    });
    format!("http://{address}")
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, asked: Arc<AtomicUsize>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let cookie = text(&head.headers, "cookie");
    Ok(match head.uri.path() {
        "/" => typed("text/html; charset=utf-8", PAGE),
        "/feed.xml" => typed("application/atom+xml", FEED),
        "/broken.json" => typed("application/json", "{\"a\": "),
        "/api" => typed("application/json", API),
        "/text" => typed("text/plain", "one\ntwo\n"),
        "/latin1" => typed("text/plain; charset=iso-8859-1", &b"caf\xe9"[..]),
        "/bytes" => typed("application/octet-stream", &b"\x00\xffHello"[..]),
        "/gzip" => with(typed("text/plain", zipped(b"packed")), "content-encoding", "gzip"),
        "/bomb" => with(typed("text/plain", zipped(&vec![0; 65 << 20])), "content-encoding", "gzip"),
        "/zstd" => with(typed("text/plain", "x"), "content-encoding", "zstd"),
        "/third" => status(if asked.fetch_add(1, Ordering::SeqCst) < 2 { 503 } else { 200 }),
        "/login" => {
            with(redirect(303, "account?from=login"), "set-cookie", "session=abc; Path=/; HttpOnly; SameSite=Lax")
        }
        "/logout" => with(redirect(303, "/"), "set-cookie", "session=; Path=/; Max-Age=0"),
        "/account" if cookie.contains("session=abc") => typed("text/plain", format!("hello, {cookie}")),
        "/account" => status(401),
        "/two" => {
            with(with(status(200), "set-cookie", "a=1"), "set-cookie", "b=2; Expires=Thu, 31 Dec 2099 00:00:00 GMT")
        }
        "/again" => redirect(307, "/echo"),
        "/loop" => redirect(302, "/loop"),
        "/away" => redirect(302, "http://example.org/"),
        "/echo" => echo(head.method.as_str(), &head.uri.to_string(), &head.headers, &body),
        _ => status(404),
    })
}

/// Tells in JSON what was asked.
fn echo(method: &str, target: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
    let headers: serde_json::Map<String, serde_json::Value> =
        headers.keys().map(|name| (name.to_string(), text(headers, name.as_str()).into())).collect();
    let body = String::from_utf8_lossy(body);
    let told = serde_json::json!({"method": method, "target": target, "headers": headers, "body": body});
    typed("application/json", told.to_string())
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    values.join(", ")
}

fn status(status: u16) -> Answer {
    let mut answer = typed("text/plain", "");
    *answer.status_mut() = status.try_into().unwrap();
    answer
}

fn redirect(code: u16, location: &str) -> Answer {
    with(status(code), "location", location)
}

fn typed(content_type: &str, body: impl Into<Bytes>) -> Answer {
    with(Response::new(Full::new(body.into())), "content-type", content_type)
}

fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().append(name, value.parse().unwrap());
    answer
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const PAGE: &str = "<!doctype html><title>Stickers &amp; more</title><h1>
  Stickers</h1><table><tr><td>Cat<tr><td>Dog</table>
  <form><input name=token value='t-1'></form><p class=price>12.50 €</p>";

const FEED: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>
<feed xmlns=\"http://www.w3.org/2005/Atom\"><title>News</title><entry><id>1</id></entry><entry><id>2</id></entry></feed>";

const API: &str = r#"{"id": 7, "price": 12.5, "big": 18446744073709551616000, "name": "Cat", "tags": ["a", "b"],
"none": null, "yes": true, "at": "2026-05-01T12:00:00Z", "empty": [], "text": "{\"x\": 1}",
"html": "<b>1 &amp; 2</b>", "uuid": "67e55044-10b1-426f-9247-bb680e5fe0c8"}"#;
