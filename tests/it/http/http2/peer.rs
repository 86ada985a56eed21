//! A client that speaks HTTP/2 frame by frame, well or badly.

use super::super::server::{Client, Server};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// END_STREAM, or ACK.
pub(super) const END: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The number that its payload begins with.
    pub(super) fn number(&self) -> u32 {
        u32::from_be_bytes(*self.payload.first_chunk().unwrap())
    }

    /// Whether nothing follows on its stream.
    pub(super) fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END != 0
    }
}

/// The bytes of a frame (RFC 9113, 4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of these lines, each spelled out.
pub(super) fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    lines.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The head of a request without further headers.
pub(super) fn head(method: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")])
}

/// A setting.
pub(super) fn setting(number: u16, value: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A client that has said hello.
pub(super) struct Peer {
    pub(super) client: Client,
}

impl Peer {
    /// Says hello with these settings.
    pub(super) fn greet(server: &Server, settings: &[u8]) -> Peer {
        let mut peer = Peer::silent(server);
        peer.send(SETTINGS, 0, 0, settings);
        assert_eq!(peer.next().unwrap().kind, SETTINGS);
        assert_eq!(peer.next().unwrap().kind, WINDOW_UPDATE);
        assert_eq!(peer.until(SETTINGS).flags, END);
        peer
    }

    /// Sends the preface alone.
    pub(super) fn silent(server: &Server) -> Peer {
        let mut client = server.connect();
        client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        Peer { client }
    }

    pub(super) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.client.write(frame(kind, flags, stream, payload));
    }

    /// Asks for something without a body.
    pub(super) fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END | END_HEADERS, stream, &head("GET", path));
    }

    /// Begins a request whose body follows.
    pub(super) fn post(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_HEADERS, stream, &head("POST", path));
    }

    /// Opens a window.
    pub(super) fn open(&mut self, stream: u32, more: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    /// The next frame; `None` at the end of the connection.
    pub(super) fn next(&mut self) -> Option<Frame> {
        if !self.client.has(1) {
            return None;
        }
        let head = self.client.exactly(9);
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes(*head.last_chunk().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.client.exactly(length) })
    }

    /// The next frame of a kind.
    pub(super) fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().unwrap_or_else(|| panic!("the connection ended without a frame {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The next frame of a stream.
    pub(super) fn of(&mut self, stream: u32) -> Frame {
        loop {
            let frame = self.next().unwrap_or_else(|| panic!("the connection ended without stream {stream}"));
            if frame.stream == stream {
                return frame;
            }
        }
    }

    /// The body of an answer that comes whole.
    pub(super) fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let frame = self.of(stream);
            assert!(matches!(frame.kind, DATA | HEADERS), "{frame:?}");
            if frame.kind == DATA {
                body.extend_from_slice(&frame.payload);
            }
            if frame.ends() {
                return body;
            }
        }
    }

    /// Whether the connection answers still: what came until then.
    pub(super) fn ping(&mut self) -> Vec<Frame> {
        self.send(PING, 0, 0, b"12345678");
        let mut before = Vec::new();
        loop {
            let frame = self.next().expect("the connection ended");
            if (frame.kind, frame.flags) == (PING, END) {
                assert_eq!(frame.payload, b"12345678");
                return before;
            }
            before.push(frame);
        }
    }

    /// Why the connection ends: the code of the GOAWAY that is its last word.
    pub(super) fn end(&mut self) -> u32 {
        let goaway = self.until(GOAWAY);
        assert_eq!(self.next(), None);
        u32::from_be_bytes(*goaway.payload.last_chunk().unwrap())
    }
}
