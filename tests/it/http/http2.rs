//! HTTP/2 without TLS, by prior knowledge.

mod faults;
mod peer;
mod windows;

use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tableside::accept::Limits;
use tokio::net::TcpStream;

use super::server::{Server, Wish};

async fn connect(server: &Server) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, path: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri(format!("http://x{path}")).body(Empty::<Bytes>::new()).unwrap()
}

#[tokio::test]
async fn http2_is_spoken_to_those_who_know() -> Result<(), Infallible> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "hello").unwrap();
    let server = Server::of(folder.path(), Wish::default());
    let mut sender = connect(&server).await;
    let reply = sender.send_request(request("GET", "/a.txt")).await.unwrap();
    assert_eq!((reply.status(), reply.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "5"));
    assert!(reply.headers().contains_key("date") && reply.headers().contains_key("etag"));
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "hello");
    let reply = sender.send_request(request("HEAD", "/a.txt")).await.unwrap();
    assert_eq!(reply.headers()["content-length"], "5");
    assert!(reply.into_body().collect().await.unwrap().to_bytes().is_empty());
    let reply = sender.send_request(request("GET", "/panic")).await.unwrap();
    assert_eq!(reply.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let many: Vec<_> = (0..50).map(|_| sender.send_request(request("GET", "/slow"))).collect();
    for reply in many {
        assert_eq!(reply.await.unwrap().into_body().collect().await.unwrap().to_bytes(), "slow");
    }
    Ok(())
}

#[tokio::test]
async fn http2_requests_finish_when_the_server_stops() {
    let server = Server::bare(Wish::default());
    let mut sender = connect(&server).await;
    let reply = tokio::spawn(sender.send_request(request("GET", "/slow")));
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.stop();
    assert_eq!(reply.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes(), "slow");
    assert_eq!(tokio::task::spawn_blocking(|| server.ended()).await.unwrap().cut, 0);
}

/// The text of a test file: no two stretches of it are the same.
fn text_of(size: usize) -> String {
    let mut text: String = (0..size.div_ceil(8)).map(|number| format!("{number:07} ")).collect();
    text.truncate(size);
    text
}

#[tokio::test]
async fn answers_of_many_streams_come_whole() {
    const SIZES: [usize; 10] = [0, 1, 255, 256, 1023, 1024, 8192, 20_000, 70_000, 3_000_000];
    let folder = tempfile::tempdir().unwrap();
    for size in SIZES {
        std::fs::write(folder.path().join(format!("{size}.txt")), text_of(size)).unwrap();
    }
    let server = Server::of(folder.path(), Wish::default());
    let mut sender = connect(&server).await;
    for round in 0..3 {
        let asked: Vec<_> = (0..100)
            .map(|number| {
                let size = SIZES[(number * 7 + round) % SIZES.len()];
                (size, sender.send_request(request("GET", &format!("/{size}.txt"))))
            })
            .collect();
        let answers = asked.into_iter().map(|(size, reply)| {
            tokio::spawn(async move {
                let body = reply.await.unwrap().into_body().collect().await.unwrap().to_bytes();
                assert!(body == text_of(size), "{size}");
            })
        });
        for answer in answers.collect::<Vec<_>>() {
            answer.await.unwrap();
        }
    }
}

#[tokio::test]
async fn answers_that_wait_hold_up_no_others_of_their_connection() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "hello").unwrap();
    let server = Server::of(folder.path(), Wish::default());
    let mut sender = connect(&server).await;
    let never: Vec<_> = (0..50).map(|_| tokio::spawn(sender.send_request(request("GET", "/never")))).collect();
    for _ in 0..200 {
        let reply = sender.send_request(request("GET", "/a.txt")).await.unwrap();
        assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
    assert!(never.iter().all(|reply| !reply.is_finished()));
}

#[test]
fn a_client_that_takes_nothing_over_http2_is_cut_off() {
    let connections = Limits { write_pause: Duration::from_millis(300), ..Limits::default() };
    let server = Server::bare(Wish { connections, ..Wish::default() });
    let mut client = server.connect();
    client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let most = 0x7fff_ffff_u32;
    // SETTINGS_INITIAL_WINDOW_SIZE, then the window of the whole connection.
    client.write(frame(4, 0, 0, &[&4_u16.to_be_bytes()[..], &most.to_be_bytes()].concat()));
    client.write(frame(8, 0, 0, &(most - 65_535).to_be_bytes()));
    client.write(frame(1, 5, 1, b"\x82\x86\x44\x05/long\x41\x01x"));
    server.log.with("stopped taking its answer");
    assert_eq!(server.get("/missing", "").status, 404);
}

/// A frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /missing` to the host `x`, in HPACK.
const HEAD: &[u8] = b"\x82\x86\x44\x08/missing\x41\x01x";

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let server = Server::bare(Wish::default());
    let mut client = server.connect();
    client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.write(frame(4, 0, 0, b""));
    let mut flood = Vec::new();
    for stream in (1..20_000).step_by(2) {
        flood.extend(frame(1, 5, stream, HEAD));
        flood.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    // The server may hang up in the midst of it.
    let _ = client.stream.write_all(&flood);
    let replies = client.rest();
    // GOAWAY with ENHANCE_YOUR_CALM (11).
    let calm = |window: &[u8]| window[3] == 7 && window[13..17] == 11_u32.to_be_bytes();
    assert!(replies.windows(17).any(calm), "{} bytes, no GOAWAY", replies.len());
    assert_eq!(server.get("/missing", "").status, 404);
}

#[test]
fn the_number_of_streams_is_told() {
    let server = Server::bare(Wish::default());
    let mut client = server.connect();
    client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.write(frame(4, 0, 0, b""));
    client.finish();
    let replies = client.rest();
    // SETTINGS_MAX_CONCURRENT_STREAMS is 3.
    assert!(replies.windows(6).any(|setting| setting == [0, 3, 0, 0, 0, 100]), "{replies:?}");
}
