//! Sends files as a browser does, whole or in two halves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, LONG, Request};

const BOUNDARY: &str = "a-line-between";

/// Bytes that begin as a PNG does.
pub(super) fn picture(size: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend((bytes.len()..size).map(|index| (index % 251) as u8));
    bytes
}

/// The body of a form with one file.
pub(super) fn whole_form(bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cat.png\"\r\n\
         Content-Type: image/png\r\n\r\n"
    );
    [head.as_bytes(), bytes, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
}

/// Sends a file whole.
pub(super) fn send(client: &mut Client, target: &str, bytes: &[u8]) -> Answer {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    client.send(&Request::new("POST", target).body(&kind, whole_form(bytes))).expect("an answer")
}

/// A form of which a part was sent.
pub(super) struct Half {
    connection: TcpStream,
    rest: Vec<u8>,
}

impl Half {
    /// Sends the first half.
    pub(super) fn begin(server: SocketAddr, target: &str, bytes: &[u8]) -> Half {
        let form = whole_form(bytes);
        let (first, rest) = form.split_at(form.len() / 2);
        let mut connection = TcpStream::connect(server).expect("the server listens");
        connection.set_read_timeout(Some(LONG)).expect("a limit");
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            form.len()
        );
        connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(first)).expect("the first half");
        Half { connection, rest: rest.to_vec() }
    }

    /// Sends the rest; the status.
    pub(super) fn finish(&mut self) -> u16 {
        self.connection.write_all(&self.rest).expect("the second half");
        self.status()
    }

    /// The status of the answer.
    pub(super) fn status(&mut self) -> u16 {
        let mut answer = String::new();
        self.connection.read_to_string(&mut answer).expect("an answer");
        answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:?}"))
    }
}

/// How many entries a folder has.
pub(super) fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| {
        entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().ends_with(".lock")).count()
    })
}

/// Waits until something holds that nobody tells of.
pub(super) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
