//! What goes out and comes in under the windows of both sides, and how connections end.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tableside::accept::Limits;
use tableside::parse;
use tokio::net::TcpStream;

use super::super::server::{Server, Wish};
use super::peer::*;
use super::text_of;

const CANCEL: u32 = 8;

/// A server of one file.
fn server_of(size: usize, connections: Limits) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), text_of(size)).unwrap();
    (Server::of(folder.path(), Wish { connections, ..Wish::default() }), folder)
}

#[test]
fn no_more_is_sent_than_the_windows_allow() {
    let (server, _folder) = server_of(20, Limits::default());
    for path in ["/a.txt", "/a.txt?later"] {
        let mut peer = Peer::greet(&server, &setting(4, 0));
        peer.get(1, path);
        assert_eq!(peer.next().unwrap().kind, HEADERS);
        assert_eq!(peer.ping(), []);
        peer.open(1, 3);
        assert_eq!(peer.next().unwrap().payload, b"000");
        // Settings open the windows of open streams, too, and close them further than that.
        peer.send(SETTINGS, 0, 0, &setting(4, 7));
        assert_eq!(peer.of(1).payload, b"0000 00");
        peer.send(SETTINGS, 0, 0, &setting(4, 0));
        peer.open(1, 7);
        assert!(peer.ping().iter().all(|frame| frame.kind == SETTINGS), "a window of 0");
        peer.open(1, 100);
        let rest = peer.next().unwrap();
        assert_eq!((&rest.payload[..], rest.ends()), (&b"00001 0000"[..], true));
    }
}

/// Reads DATA frames until there are so many bytes of the streams 1 and 3; how many of each there are.
fn read_both(peer: &mut Peer, size: usize) -> [usize; 2] {
    let mut sizes = [0; 2];
    while sizes[0] + sizes[1] < size {
        let frame = peer.until(DATA);
        assert!(frame.payload.len() <= 16_384);
        sizes[usize::from(frame.stream == 3)] += frame.payload.len();
    }
    sizes
}

#[test]
fn a_connection_has_a_window_and_its_streams_share_it() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, &setting(4, 0x7fff_ffff));
    peer.get(1, "/long");
    peer.get(3, "/long");
    let first = read_both(&mut peer, 65_535);
    assert!(peer.ping().iter().all(|frame| frame.kind == HEADERS), "no more than the window");
    peer.open(0, 1_000_000);
    let second = read_both(&mut peer, 1_000_000);
    assert!(second[0].abs_diff(second[1]) <= 4 * 16_384, "both have their turns: {second:?}");
    // One that is given up leaves the other alone.
    peer.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
    peer.ping();
    peer.open(0, 100_000_000);
    assert_eq!(first[1] + second[1] + peer.body(3).len(), 50_000_000);
}

#[test]
fn who_opens_no_window_loses_the_stream() {
    let connections = Limits { write_pause: Duration::from_millis(200), ..Limits::default() };
    let (server, _folder) = server_of(20, connections);
    let mut peer = Peer::greet(&server, &setting(4, 5));
    peer.get(1, "/a.txt");
    assert_eq!(peer.of(1).kind, HEADERS);
    assert_eq!(peer.of(1).payload, b"00000");
    let reset = peer.of(1);
    assert_eq!((reset.kind, reset.number()), (RST_STREAM, CANCEL));
    peer.get(3, "/missing");
    assert_eq!(peer.of(3).payload[0], 0x8d, "the others go on");
}

#[test]
fn who_opens_no_window_of_the_connection_loses_it() {
    let connections = Limits { write_pause: Duration::from_millis(200), ..Limits::default() };
    let server = Server::bare(Wish { connections, ..Wish::default() });
    let mut peer = Peer::greet(&server, &setting(4, 1_000_000));
    peer.get(1, "/long");
    while peer.next().is_some() {}
    server.log.with("stopped taking its answer");
}

#[test]
fn our_windows_open_as_a_body_is_read() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, b"");
    // Nobody reads this one, so nothing is given back.
    peer.post(1, "/never");
    (0..16).for_each(|_| peer.send(DATA, 0, 1, &[0; 16_384]));
    assert_eq!(peer.ping(), []);
    // What nobody will read leaves room for others.
    peer.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
    peer.post(3, "/never");
    (0..16).for_each(|_| peer.send(DATA, 0, 3, &[0; 16_384]));
    peer.send(RST_STREAM, 0, 3, &CANCEL.to_be_bytes());
    let given = peer.ping();
    assert_eq!(given.len(), 1);
    assert_eq!((given[0].kind, given[0].stream, given[0].number()), (WINDOW_UPDATE, 0, 512 * 1024));
}

#[test]
fn a_body_that_nobody_reads_is_not_waited_for() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, b"");
    peer.post(1, "/missing");
    assert_eq!(peer.of(1).payload[0], 0x8d, "404");
    assert!(peer.of(1).ends());
    let reset = peer.of(1);
    assert_eq!((reset.kind, reset.number()), (RST_STREAM, 0));
    // What was on its way is no fault.
    peer.send(DATA, END, 1, b"late");
    assert_eq!(peer.ping(), []);
}

#[test]
fn a_body_waits_for_leave() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, b"");
    let lines = [("expect", "100-continue"), ("content-type", "application/json")];
    peer.send(HEADERS, END_HEADERS, 1, &[head("POST", "/echo"), block(&lines)].concat());
    assert_eq!(peer.next().unwrap().payload, b"\x08\x03100");
    // In pieces with padding, and with a trailer.
    peer.send(DATA, PADDED, 1, b"\x02[1,xx");
    peer.send(DATA, 0, 1, b"2]");
    peer.send(HEADERS, END | END_HEADERS, 1, &block(&[("a", "b")]));
    assert_eq!(peer.body(1), b"[1,2]");
}

#[test]
fn frames_may_come_byte_by_byte() {
    let (server, _folder) = server_of(20, Limits::default());
    let mut peer = Peer::greet(&server, b"");
    peer.client.stream.set_nodelay(true).unwrap();
    let whole = head("GET", "/a.txt");
    let frames = [
        frame(99, 255, 77, b"what nobody knows"),
        frame(HEADERS, END, 1, &whole[..20]),
        frame(CONTINUATION, 0, 1, &whole[20..21]),
        frame(CONTINUATION, END_HEADERS, 1, &whole[21..]),
    ];
    for byte in frames.concat() {
        peer.client.write([byte]);
    }
    assert_eq!(peer.body(1), text_of(20).as_bytes());
}

#[test]
fn a_smaller_table_is_heard_of_once() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, &setting(1, 0));
    peer.get(1, "/missing");
    assert_eq!(peer.of(1).payload[..2], [0x20, 0x8d]);
    peer.get(3, "/missing");
    assert_eq!(peer.of(3).payload[0], 0x8d);
}

#[test]
fn a_server_that_stops_says_goodbye_and_answers_what_runs() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, b"");
    peer.get(1, "/slow");
    peer.ping();
    server.stop();
    let goodbye = peer.until(GOAWAY);
    assert_eq!(goodbye.payload, [0x7f, 255, 255, 255, 0, 0, 0, 0]);
    // It was on its way before the goodbye was heard.
    peer.get(3, "/slow");
    let ping = peer.until(PING);
    peer.send(PING, END, 0, &ping.payload);
    assert_eq!(peer.until(GOAWAY).payload, [0, 0, 0, 3, 0, 0, 0, 0]);
    peer.get(5, "/slow");
    let reset = peer.of(5);
    assert_eq!((reset.kind, reset.number()), (RST_STREAM, 7));
    let mut bodies = Vec::new();
    while let Some(frame) = peer.next() {
        bodies.extend(frame.payload.ends_with(b"slow").then_some(frame.stream));
    }
    bodies.sort_unstable();
    assert_eq!(bodies, [1, 3]);
    assert_eq!(server.ended().cut, 0);
}

#[test]
fn a_connection_that_rests_is_told_so_before_it_ends() {
    let connections = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let server = Server::bare(Wish { connections, ..Wish::default() });
    let mut peer = Peer::greet(&server, b"");
    peer.get(1, "/missing");
    assert_eq!(peer.until(GOAWAY).number(), 0x7fff_ffff);
    // It doesn't answer the ping.
    assert_eq!(peer.until(GOAWAY).payload, [0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(peer.next(), None);
}

#[tokio::test]
async fn bodies_larger_than_the_windows_go_both_ways() {
    let requests = parse::Limits { body: 10_000_000, ..parse::Limits::default() };
    let server = Server::bare(Wish { requests, ..Wish::default() });
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let asked = (0..20).map(|number| {
        let mut sender = sender.clone();
        tokio::spawn(async move {
            let json = format!("\"{}\"", text_of(number * 150_000));
            let request = Request::builder().method(Method::POST).uri("http://x/echo");
            let request = request
                .header("content-type", "application/json")
                .body(Full::new(bytes::Bytes::from(json.clone())))
                .unwrap();
            let mut body = sender.send_request(request).await.unwrap().into_body();
            // Some are given up in the midst of their answers, others read slowly.
            if number % 5 == 4 {
                assert!(body.frame().await.unwrap().is_ok());
                return;
            }
            let mut whole = Vec::new();
            while let Some(frame) = body.frame().await {
                whole.extend_from_slice(&frame.unwrap().into_data().unwrap());
                tokio::task::yield_now().await;
            }
            assert!(whole == json.as_bytes(), "{number}");
        })
    });
    for task in asked.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}
