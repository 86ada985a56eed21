//! What is no request, or could be read as two.

use super::server::{Server, Wish};

/// Requests that must be refused with this status, the connection closed and nothing behind them answered.
const REFUSED: [(&str, u16); 27] = [
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET\r\n\r\n", 400),
    ("GET /\r\n\r\n", 400),
    ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nName : 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\nxx", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
    ("POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    ("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    ("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    ("get / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
];

#[test]
fn what_is_no_request_is_refused() {
    let server = Server::bare(Wish::default());
    for (request, status) in REFUSED {
        let reply = server.send(request);
        assert_eq!(reply.status, status, "{request:?}");
        assert!(reply.header("date").is_some() && reply.header("content-length").is_some(), "{request:?}");
    }
}

#[test]
fn what_is_no_request_is_logged() {
    let server = Server::bare(Wish::default());
    let mut client = server.connect();
    client.write("GET / HTTP/1.1\r\nBad Name: 1\r\n\r\n");
    assert_eq!(client.reply().status, 400);
    assert!(client.is_closed());
    server.log.with("warning: 127.0.0.1: not a request: ");
}

const CHUNKED: &str = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                       Transfer-Encoding: chunked\r\n";

#[test]
fn no_request_is_smuggled_in_another() {
    let server = Server::bare(Wish::default());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let bodies = [
        // Both lengths (RFC 9112, 6.1): the chunks count, and the connection ends.
        ("Content-Length: 3\r\n\r\n", "3\r\na=1\r\n0\r\n\r\n"),
        ("Content-Length: 100\r\n\r\n", "3\r\na=1\r\n0\r\n\r\n"),
        // Chunk sizes that two readers could read in two ways.
        ("\r\n", "0x3\r\na=1\r\n0\r\n\r\n"),
        ("\r\n", "+3\r\na=1\r\n0\r\n\r\n"),
        ("\r\n", "-3\r\na=1\r\n0\r\n\r\n"),
        ("\r\n", " 3\r\na=1\r\n0\r\n\r\n"),
        ("\r\n", "3 x\r\na=1\r\n0\r\n\r\n"),
        ("\r\n", "3\na=1\r\n0\r\n\r\n"),
        ("\r\n", "3\r\na=1x\r\n0\r\n\r\n"),
        ("\r\n", "\r\na=1\r\n0\r\n\r\n"),
        ("\r\n", "ffffffffffffffffff\r\na=1\r\n0\r\n\r\n"),
        ("\r\n", "3;a\nb\r\na=1\r\n0\r\n\r\n"),
    ];
    for (end, body) in bodies {
        let mut client = server.connect();
        client.write(format!("{CHUNKED}{end}{body}{smuggled}"));
        client.finish();
        let replies = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(replies.matches("HTTP/1.1 ").count() <= 1, "{end:?} {body:?}: {replies}");
        assert!(!server.log.text().contains("/smuggled"), "{end:?} {body:?}");
    }
}

#[test]
fn one_length_twice_is_one_length() {
    let server = Server::bare(Wish::default());
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let reply = server.send(format!("{head}Content-Length: 1\r\nContent-Length: 1\r\n\r\n7"));
    assert!(reply.status == 400 || reply.text() == "7", "{reply:?}");
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let server = Server::bare(Wish::default());
    let mut client = server.connect();
    let post = format!("{CHUNKED}\r\n3\r\na=1\r\n0\r\nTrailer: x\r\n\r\n");
    client.write(format!("{post}GET /missing HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n"));
    let statuses = [client.reply().status, client.reply().status, client.reply().status];
    assert_eq!(statuses, [200, 404, 405]);
}

#[test]
fn a_method_that_an_address_lacks() {
    let server = Server::bare(Wish::default());
    let reply = server.get("/echo", "");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST, OPTIONS")));
    assert!(!reply.text().contains("echo"));
}

#[test]
fn addresses_are_read_strictly() {
    let server = Server::bare(Wish::default());
    let bad =
        ["/a%2fb", "/a%5Cb", "/a\\b", "/%00", "/%0a", "/%zz", "/%", "/..", "/a/../b", "/%2e%2e/", "/.%2E", "/./a"];
    for path in bad {
        assert_eq!(server.get(path, "").status, 400, "{path}");
    }
    let reply = server.get("//evil.example//a?b=//", "");
    assert_eq!((reply.status, reply.header("location")), (308, Some("/evil.example/a?b=//")));
    let absolute = server.send("GET http://elsewhere.example/echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(absolute.status, 405);
    assert_eq!(server.send("GET /missing HTTP/1.0\r\n\r\n").status, 404, "HTTP/1.0 names no host");
}
