//! The accept step: listeners, connections and their limits; one thread and one runtime per core.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::problem::Problem;

/// Limits on connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections over all cores; default 10,000. Further ones wait in the kernel's queue until one closes.
    pub connections: usize,
    /// Bytes of a request's head; default 32 KiB. Over it: 431.
    pub head_bytes: usize,
    /// Headers of a request; default 100. Over it: 431.
    pub head_count: usize,
    /// From the first byte of a request to the end of its head; default 10 s. Then the connection is closed.
    pub head_time: Duration,
    /// How long a connection may rest between requests; default 60 s.
    pub idle: Duration,
    /// How long a client may take nothing of a response that waits for it; default 30 s.
    pub write_pause: Duration,
    /// Requests at once on an HTTP/2 connection; default 100.
    pub streams: u32,
    /// How long running requests may take to finish once the server stops; default 30 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            head_bytes: 32 * 1024,
            head_count: 100,
            head_time: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write_pause: Duration::from_secs(30),
            streams: 100,
            drain: Duration::from_secs(30),
        }
    }
}

/// What answers requests on one core. Made on that core's thread, inside its runtime, so it need not be `Send`;
/// `tokio::task::spawn_local` works inside.
pub trait Handler: 'static {
    /// The body of its responses.
    type Body: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + 'static;
    /// Answers one request.
    fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> impl Future<Output = Response<Self::Body>>;
    /// Answers a request whose handling panicked; `what` is the panic's message, for the log.
    fn panicked(&self, peer: SocketAddr, what: &str) -> Response<Self::Body>;
}

/// Sockets that listen, one per address and core.
#[derive(Debug)]
pub struct Listeners {}

/// Opens the sockets. Port 0 takes a free port, the same on every core. A port in use: one clear problem.
pub fn listen(_addresses: &[SocketAddr], _cores: usize) -> Result<Listeners, Problem> {
    todo!()
}

impl Listeners {
    /// The addresses with their real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        todo!()
    }
}

/// Stops a server: the hand that pulls.
#[derive(Clone, Debug)]
pub struct Stopper {}

/// Stops a server: the end that is handed to [`run`].
#[derive(Clone, Debug)]
pub struct Stop {}

/// A pair of the two.
pub fn stop_pair() -> (Stopper, Stop) {
    todo!()
}

impl Stopper {
    /// Stops accepting; running requests may finish. May be called from any thread, more than once.
    pub fn stop(&self) {
        todo!()
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Requests that were still running at the end of [`Limits::drain`] and were cut off.
    pub cut: usize,
}

/// Serves until stopped; blocks the calling thread. `handler` is called once on each core's thread with the core's
/// number, counted from 0.
pub fn run<H: Handler>(
    _listeners: Listeners,
    _limits: &Limits,
    _stop: Stop,
    _handler: impl Fn(usize) -> Result<H, Problem> + Send + Sync,
) -> Result<Ended, Problem> {
    todo!()
}
