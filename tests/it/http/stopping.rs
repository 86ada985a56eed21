//! Stopping, and HTTP/2.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tableside::accept;
use tokio::net::TcpStream;

use super::server::{Server, Wish};

#[test]
fn running_requests_finish_and_resting_connections_close() {
    let server = Server::bare(Wish::default());
    let mut resting = server.connect();
    resting.write("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(resting.reply().status, 404);
    let mut silent = server.connect();
    let mut running = server.connect();
    running.write("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    server.stop();
    assert_eq!(running.reply().text(), "slow");
    assert!(running.is_closed() && resting.is_closed() && silent.is_closed());
    let address = server.address;
    assert_eq!(server.ended().cut, 0);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_half_sent_head_does_not_delay_the_end() {
    let server = Server::bare(Wish::default());
    let mut half = server.connect();
    half.write("GET / HTTP/1.1\r\nHost:");
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    server.stop();
    assert_eq!(server.ended().cut, 0);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_does_not_finish_is_cut_off_and_counted() {
    let wish = Wish {
        connections: accept::Limits { drain: Duration::from_millis(200), ..Default::default() },
        ..Default::default()
    };
    let server = Server::bare(wish);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    std::thread::sleep(Duration::from_millis(200));
    server.stop();
    assert_eq!(server.ended().cut, 3);
}

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
