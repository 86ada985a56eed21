//! A connection that asks, and reads what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Fault;
use crate::answer::{Answer, Failure};

/// How long a server may be silent, as wrk is told too.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A connection with one request under way.
pub struct Connection {
    /// The socket; it never waits.
    pub stream: TcpStream,
    /// The answer that comes.
    pub answer: Answer,
    /// When the request was sent.
    pub asked: Instant,
    /// When something came last.
    pub heard: Instant,
}

impl Connection {
    /// Connects; nothing is asked yet.
    pub fn open(address: SocketAddr) -> Result<Self, Fault> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let stream = connect().map_err(|cause: std::io::Error| format!("connecting to {address} failed: {cause}"))?;
        let now = Instant::now();
        Ok(Self { stream, answer: Answer::awaited(), asked: now, heard: now })
    }

    /// Sends the request. It is short, and nothing is under way, so that there is always room for it.
    pub fn ask(&mut self, request: &[u8], now: Instant) -> Result<(), Failure> {
        (self.asked, self.heard) = (now, now);
        match self.stream.write(request) {
            Ok(sent) if sent == request.len() => Ok(()),
            _ => Err("the request couldn't be sent"),
        }
    }

    /// Reads once; the number of bytes that came, which is 0 when there was nothing after all.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self.stream.read(buffer) {
            Ok(0) => Err("the connection was closed"),
            Ok(came) => Ok(came),
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(_) => Err("the connection broke"),
        }
    }
}
