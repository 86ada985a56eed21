//! What clients do wrong, by the codes of RFC 9113, 7.

use std::time::Duration;

use proptest::prelude::*;
use tableside::accept::Limits;

use super::super::server::{Server, Wish};
use super::peer::*;

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// What is wrong, the frames, and the code that the connection ends with.
type Wrong = (&'static str, Vec<u8>, u32);

fn wrong_settings() -> Vec<Wrong> {
    let settings = |payload: &[u8]| frame(SETTINGS, 0, 0, payload);
    vec![
        ("a size that is no multiple", settings(b"12345"), FRAME_SIZE),
        ("an acknowledgement that says something", frame(SETTINGS, END, 0, &setting(4, 1)), FRAME_SIZE),
        ("settings of a stream", frame(SETTINGS, 0, 1, b""), PROTOCOL),
        ("ENABLE_PUSH", settings(&setting(2, 2)), PROTOCOL),
        ("INITIAL_WINDOW_SIZE", settings(&setting(4, 1 << 31)), FLOW_CONTROL),
        ("a small MAX_FRAME_SIZE", settings(&setting(5, 16_383)), PROTOCOL),
        ("a large MAX_FRAME_SIZE", settings(&setting(5, 1 << 24)), PROTOCOL),
    ]
}

fn wrong_frames() -> Vec<Wrong> {
    let get = head("GET", "/never");
    let open = frame(HEADERS, END_HEADERS, 1, &get);
    let no_end = frame(HEADERS, END, 1, &get);
    vec![
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 16_385]), FRAME_SIZE),
        ("a ping of a stream", frame(PING, 0, 1, b"12345678"), PROTOCOL),
        ("a short ping", frame(PING, 0, 0, b"1234567"), FRAME_SIZE),
        ("GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL),
        ("a push", frame(PUSH_PROMISE, 4, 1, &get), PROTOCOL),
        ("a priority of no stream", frame(PRIORITY, 0, 0, &[0; 5]), PROTOCOL),
        ("a short priority", frame(PRIORITY, 0, 1, &[0; 4]), FRAME_SIZE),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4]), PROTOCOL),
        ("a reset of a stream to come", frame(RST_STREAM, 0, 1, &[0; 4]), PROTOCOL),
        ("a short reset", [open.clone(), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), FRAME_SIZE),
        ("DATA of no stream", frame(DATA, 0, 0, b"x"), PROTOCOL),
        ("DATA of a stream to come", frame(DATA, 0, 1, b"x"), PROTOCOL),
        ("too long a padding", [open.clone(), frame(DATA, PADDED, 1, b"\x05abcd")].concat(), PROTOCOL),
        ("a padding without length", [open.clone(), frame(DATA, PADDED, 1, b"")].concat(), FRAME_SIZE),
        ("HEADERS of no stream", frame(HEADERS, END | END_HEADERS, 0, &get), PROTOCOL),
        ("HEADERS of a stream of ours", frame(HEADERS, END | END_HEADERS, 2, &get), PROTOCOL),
        ("HEADERS too short", frame(HEADERS, END | END_HEADERS | 32, 1, &[0; 4]), FRAME_SIZE),
        ("a garbled head", frame(HEADERS, END | END_HEADERS, 1, b"\x80"), COMPRESSION),
        ("too large a table", frame(HEADERS, END | END_HEADERS, 1, b"\x3f\xe2\x1f"), COMPRESSION),
        ("a stream before the last", [frame(HEADERS, END_HEADERS, 3, &get), open].concat(), STREAM_CLOSED),
        ("CONTINUATION of nothing", frame(CONTINUATION, 4, 1, &get), PROTOCOL),
        ("a frame within a head", [no_end.clone(), frame(PING, 0, 0, b"12345678")].concat(), PROTOCOL),
        ("CONTINUATION of another", [no_end, frame(CONTINUATION, 4, 3, b"")].concat(), PROTOCOL),
    ]
}

fn wrong_windows() -> Vec<Wrong> {
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let window = |stream, payload: &[u8]| frame(WINDOW_UPDATE, 0, stream, payload);
    let open = frame(HEADERS, END | END_HEADERS, 1, &head("GET", "/never"));
    let grown = [open, window(1, &0x7fff_0000_u32.to_be_bytes()), frame(SETTINGS, 0, 0, &setting(4, 0x7fff_ffff))];
    vec![
        ("nothing", window(0, &[0; 4]), PROTOCOL),
        ("a short one", window(0, &[0; 3]), FRAME_SIZE),
        ("a stream to come", window(1, &[0, 0, 0, 1]), PROTOCOL),
        ("too large a window", window(0, &most), FLOW_CONTROL),
        ("a window that grows too large by settings", grown.concat(), FLOW_CONTROL),
    ]
}

#[test]
fn a_connection_that_breaks_the_protocol_ends() {
    let server = Server::bare(Wish::default());
    for (what, frames, code) in [wrong_settings(), wrong_frames(), wrong_windows()].concat() {
        let mut peer = Peer::greet(&server, b"");
        peer.client.write(&frames);
        assert_eq!(peer.end(), code, "{what}");
    }
    let mut peer = Peer::silent(&server);
    peer.get(1, "/missing");
    assert_eq!(peer.end(), PROTOCOL, "no settings");
    server.log.with("not HTTP/2: its first frame is no SETTINGS");
    assert_eq!(server.get("/missing", "").status, 404);
}

/// Heads that no request may have.
fn malformed() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/missing"), (":authority", "x")];
    let with = |more: (&'static str, &'static str)| [&get[..], &[more]].concat();
    let mut heads: Vec<_> = (0..3).map(|missing| ("a pseudo-header too few", get[..missing].to_vec())).collect();
    heads.extend([
        ("a pseudo-header twice", with((":path", "/"))),
        ("one of an answer", with((":status", "200"))),
        ("one that nobody knows", with((":what", "x"))),
        ("one behind a header", [&get[..3], &[("a", "b"), (":authority", "x")]].concat()),
        ("upper case", with(("Abc", "x"))),
        ("a header of HTTP/1", with(("connection", "close"))),
        ("a header of HTTP/1", with(("transfer-encoding", "chunked"))),
        ("a te other than trailers", with(("te", "gzip"))),
        ("another host", with(("host", "y"))),
        ("a path without a slash", [&get[..2], &[(":path", "missing")]].concat()),
        ("no path", [&get[..2], &[(":path", "")]].concat()),
        ("an asterisk", [&get[..2], &[(":path", "*")]].concat()),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "x:443")]),
        ("a length of nothing", with(("content-length", "1"))),
        ("a space", with(("a", " b"))),
        ("a line end", with(("a", "b\r\nc: d"))),
    ]);
    heads
}

#[test]
fn a_malformed_request_ends_alone() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, b"");
    for (stream, (what, lines)) in (1..).step_by(2).zip(malformed()) {
        peer.send(HEADERS, END | END_HEADERS, stream, &block(&lines));
        let frame = peer.next().unwrap();
        assert_eq!((frame.kind, frame.stream, frame.number()), (RST_STREAM, stream, PROTOCOL), "{what}");
    }
    // The same connection is as good as before.
    peer.get(1001, "/missing");
    assert_eq!(peer.next().unwrap().payload[0], 0x8d, "404");
}

/// Sends these frames on a connection where stream 1 is open for a body, and gives the code that ends the stream.
fn code_of_stream(server: &Server, first: &[u8], frames: &[Vec<u8>]) -> u32 {
    let mut peer = Peer::greet(server, b"");
    peer.client.write(first);
    peer.client.write(frames.concat());
    let reset = peer.until(RST_STREAM);
    assert_eq!(reset.stream, 1);
    peer.ping();
    reset.number()
}

#[test]
fn a_stream_that_breaks_the_protocol_ends_alone() {
    let server = Server::bare(Wish::default());
    let (open, closed) = (frame(HEADERS, 4, 1, &head("POST", "/never")), frame(HEADERS, 5, 1, &head("GET", "/never")));
    let mut announced = head("POST", "/never");
    announced.extend(block(&[("content-length", "3")]));
    let announced = frame(HEADERS, 4, 1, &announced);
    let window = |more: u32| frame(WINDOW_UPDATE, 0, 1, &more.to_be_bytes());
    for (what, first, frames, code) in [
        ("DATA behind the end", &closed, vec![frame(DATA, 0, 1, b"x")], STREAM_CLOSED),
        ("HEADERS behind the end", &closed, vec![frame(HEADERS, 5, 1, &block(&[("a", "b")]))], STREAM_CLOSED),
        ("trailers that don't end it", &open, vec![frame(HEADERS, 4, 1, &block(&[("a", "b")]))], PROTOCOL),
        ("a path among trailers", &open, vec![frame(HEADERS, 5, 1, &block(&[(":path", "/")]))], PROTOCOL),
        ("more than announced", &announced, vec![frame(DATA, 0, 1, b"abcd")], PROTOCOL),
        ("less than announced", &announced, vec![frame(DATA, END, 1, b"ab")], PROTOCOL),
        ("less, with trailers", &announced, vec![frame(HEADERS, 5, 1, &block(&[("a", "b")]))], PROTOCOL),
        ("a window opened by nothing", &open, vec![window(0)], PROTOCOL),
        ("too large a window", &open, vec![window(0x7fff_ffff)], FLOW_CONTROL),
        ("more than the window", &open, vec![frame(DATA, 0, 1, &[0; 16_384]); 17], FLOW_CONTROL),
    ] {
        assert_eq!(code_of_stream(&server, first, &frames), code, "{what}");
    }
}

#[test]
fn streams_over_the_limit_are_refused() {
    let connections = Limits { streams: 3, drain: Duration::from_millis(100), ..Limits::default() };
    let server = Server::bare(Wish { connections, ..Wish::default() });
    let mut peer = Peer::greet(&server, b"");
    for stream in [1, 3, 5, 7] {
        peer.get(stream, "/never");
    }
    let reset = peer.next().unwrap();
    assert_eq!((reset.kind, reset.stream, reset.number()), (RST_STREAM, 7, REFUSED_STREAM));
    peer.send(RST_STREAM, 0, 3, &8_u32.to_be_bytes());
    peer.get(9, "/missing");
    assert_eq!(peer.next().unwrap().stream, 9, "there is room again");
}

#[test]
fn too_large_a_head_is_431() {
    let connections = Limits { head_bytes: 2000, head_count: 5, ..Limits::default() };
    let server = Server::bare(Wish { connections, ..Wish::default() });
    let mut peer = Peer::greet(&server, b"");
    // What is named by its number takes a byte each and counts as much as it says.
    let long = "x".repeat(100);
    let bomb = [head("GET", "/missing"), vec![0x40, 1, b'a', 100], long.into_bytes(), vec![0xbe; 30]].concat();
    let many = [head("GET", "/missing"), block(&[("a", "b"); 6])].concat();
    for (stream, payload) in [(1, &bomb), (3, &many)] {
        peer.send(HEADERS, END | END_HEADERS, stream, payload);
        let answer = peer.next().unwrap();
        assert_eq!((answer.stream, answer.ends(), &answer.payload[..5]), (stream, true, &b"\x08\x03431"[..]));
    }
    peer.get(5, "/missing");
    assert_eq!(peer.next().unwrap().payload[0], 0x8d, "the table is what it was");
    assert_eq!(peer.ping().len(), 1);
}

#[test]
fn floods_end_the_connection() {
    let server = Server::bare(Wish::default());
    let open = frame(HEADERS, END_HEADERS, 1, &head("POST", "/never"));
    let endless = frame(HEADERS, END, 1, &head("GET", "/never"));
    let large = [&[0, 1, b'a', 0x7f, 0xff, 0x7f][..], &[b'x'; 16_000]].concat();
    for (what, first, flood) in [
        ("pings", &b""[..], frame(PING, 0, 0, b"12345678")),
        ("settings", b"", frame(SETTINGS, 0, 0, &setting(4, 1))),
        ("empty pieces of a body", &open, frame(DATA, 0, 1, b"")),
        ("padding", &open, frame(DATA, PADDED, 1, b"\x03abc")),
        ("windows", &open, frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
        ("empty pieces of a head", &endless, frame(CONTINUATION, 0, 1, b"")),
        ("large pieces of a head", &endless, frame(CONTINUATION, 0, 1, &large)),
        ("priorities", b"", frame(PRIORITY, 0, 1, &[0; 5])),
        ("what nobody knows", b"", frame(99, 0, 1, b"x")),
    ] {
        let mut peer = Peer::greet(&server, b"");
        let mut writer = peer.client.stream.try_clone().unwrap();
        let bytes = [first, &flood.repeat(if flood.len() > 1000 { 20 } else { 10_100 })].concat();
        // The server may hang up in the midst of it; and nobody reads what it answers meanwhile.
        let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes));
        assert_eq!(peer.end(), CALM, "{what}");
        let _ = writing.join();
    }
}

#[test]
fn requests_that_we_must_end_are_no_way_around_the_limit() {
    let server = Server::bare(Wish::default());
    let mut peer = Peer::greet(&server, b"");
    for stream in (1..).step_by(2).take(150) {
        peer.get(stream, "/never");
        peer.open(stream, 0);
    }
    assert_eq!(peer.end(), CALM);
}

/// Frames that are right, nearly right or wrong.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let stream = || prop_oneof![Just(0_u32), Just(1), Just(3), Just(5), 0_u32..9];
    let payload = prop_oneof![
        Just(head("GET", "/a.txt")),
        Just(head("POST", "/echo")),
        Just(vec![0x82, 0x86, 0x84, 0xbe]),
        Just(vec![0, 0, 0, 1]),
        Just(vec![0x7f, 0xff, 0xff, 0xff]),
        Just(setting(4, 0)),
        Just(setting(4, 0x7fff_ffff)),
        Just(b"12345678".to_vec()),
        Just(vec![]),
        Just(vec![7; 16_384]),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let flags = prop_oneof![Just(END_HEADERS), Just(END | END_HEADERS), Just(0), Just(END), any::<u8>()];
    let kind = prop_oneof![0_u8..11, Just(HEADERS), Just(DATA), Just(WINDOW_UPDATE)];
    (kind, flags, stream(), payload).prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload))
}

#[test]
fn whatever_comes_is_answered_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "hello").unwrap();
    let server = Server::of(folder.path(), Wish::default());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let frames = proptest::collection::vec(likely(), 1..12);
    let outcome = runner.run(&frames, |frames| {
        let mut peer = Peer::greet(&server, b"");
        peer.client.write(frames.concat());
        peer.send(PING, 0, 0, b"at last!");
        // A connection whose task had panicked would say neither.
        let last = std::iter::from_fn(|| peer.next())
            .find(|frame| frame.payload == b"at last!" || (frame.kind == GOAWAY && frame.payload[4..8] != [0; 4]));
        prop_assert!(last.is_some());
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(server.get("/a.txt", "").text(), "hello");
}
