//! Everything has a limit.

use std::io::Write;
use std::time::{Duration, Instant};

use tableside::{accept, parse};

use super::server::{Server, Wish};

const FORM: &str = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";

fn small() -> Wish {
    Wish { requests: parse::Limits { body: 1000, fields: 5, ..Default::default() }, ..Default::default() }
}

fn hasty() -> Wish {
    let short = Duration::from_millis(300);
    Wish {
        connections: accept::Limits { head_time: short, idle: short, write_pause: short, ..Default::default() },
        requests: parse::Limits { body_pause: short, ..Default::default() },
        ..Default::default()
    }
}

#[test]
fn a_long_address_is_414() {
    let server = Server::bare(Wish::default());
    assert_eq!(server.get(&format!("/{}", "a".repeat(9_000)), "").status, 414);
    assert_eq!(server.get(&format!("/?{}", "a".repeat(9_000)), "").status, 414);
    assert_eq!(server.get(&format!("/?{}", "a".repeat(8_000)), "").status, 404);
}

#[test]
fn too_much_head_is_431() {
    let server = Server::bare(Wish::default());
    assert_eq!(server.get("/", &format!("A: {}\r\n", "a".repeat(40_000))).status, 431);
    assert_eq!(server.get("/", &"A: b\r\n".repeat(200)).status, 431);
    // A client that goes on and on still learns why.
    let mut client = server.connect();
    client.write("GET / HTTP/1.1\r\nHost: x\r\n");
    for _ in 0..100 {
        client.write(format!("A: {}\r\n", "a".repeat(10_000)));
    }
    assert_eq!(client.reply().status, 431);
}

#[test]
fn a_large_body_is_413() {
    let server = Server::bare(small());
    assert_eq!(server.send(format!("{FORM}Content-Length: 1001\r\n\r\n")).status, 413);
    let chunk = format!("3e9\r\n{}\r\n", "a".repeat(1001));
    assert_eq!(server.send(format!("{FORM}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")).status, 413);
    // A client that sends first and listens later still learns why.
    let mut client = server.connect();
    client.write(format!("{FORM}Content-Length: 5000000\r\n\r\n"));
    client.write("a".repeat(5_000_000));
    assert_eq!(client.reply().status, 413);
    let fits = format!("a={}", "b".repeat(998));
    assert_eq!(server.send(format!("{FORM}Content-Length: 1000\r\n\r\n{fits}")).status, 200);
}

#[test]
fn bad_forms_are_400_and_other_types_415() {
    let server = Server::bare(small());
    for body in ["a=%ff", "a=%", "a&b&c&d&e&f"] {
        let reply = server.send(format!("{FORM}Content-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(reply.status, 400, "{body}");
    }
    let xml = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>";
    assert_eq!(server.send(xml).status, 415);
}

#[test]
fn a_body_waits_for_leave() {
    let server = Server::bare(small());
    let mut client = server.connect();
    client.write(format!("{FORM}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    assert_eq!(client.head().unwrap().status, 100);
    client.write("a=1");
    assert_eq!(client.reply().status, 200);
    // What would be refused anyway gets no leave.
    assert_eq!(server.send(format!("{FORM}Expect: 100-continue\r\nContent-Length: 3000\r\n\r\n")).status, 413);
}

#[test]
fn a_slow_body_is_408() {
    let server = Server::bare(hasty());
    let mut client = server.connect();
    client.write(format!("{FORM}Content-Length: 10\r\n\r\na=1"));
    assert_eq!(client.reply().status, 408);
}

#[test]
fn slow_heads_and_silence_are_cut_off() {
    let server = Server::bare(hasty());
    for start in ["", "P", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let began = Instant::now();
        let mut client = server.connect();
        client.write(start);
        client.rest();
        let took = began.elapsed();
        assert!(took > Duration::from_millis(200) && took < Duration::from_secs(5), "{start:?}: {took:?}");
    }
    server.log.with("the head of a request took too long");
}

#[test]
fn a_head_that_trickles_is_cut_off() {
    let server = Server::bare(hasty());
    let mut client = server.connect();
    let began = Instant::now();
    client.write("GET / HTTP/1.1\r\nHost: x\r\n");
    while client.stream.write_all(b"A: b\r\n").is_ok() && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_resting_connection_is_closed_without_a_complaint() {
    let server = Server::bare(hasty());
    let mut client = server.connect();
    client.write("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.reply().status, 404);
    assert!(client.is_closed());
    assert!(!server.log.text().contains("warning"), "{}", server.log.text());
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let server = Server::bare(hasty());
    let mut client = server.connect();
    client.write("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
    server.log.with("stopped taking its answer");
    assert!(client.rest().len() < 50_000_000);
}

#[test]
fn a_full_server_makes_room() {
    let mut wish = Wish::default();
    wish.connections.connections = 3;
    let server = Server::bare(wish);
    // All of these stay open. The last ones wait until the server has closed some that rest.
    let mut resting = Vec::new();
    for _ in 0..6 {
        let mut client = server.connect();
        client.write("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.reply().status, 404);
        resting.push(client);
    }
}

#[test]
fn a_panic_is_500_and_the_server_lives() {
    let server = Server::bare(Wish::default());
    for _ in 0..3 {
        let reply = server.get("/panic", "");
        assert_eq!(reply.status, 500);
        assert!(!reply.text().contains("fault"));
    }
    assert_eq!(server.get("/missing", "").status, 404);
    server.log.with("error: a fault of the site");
}
