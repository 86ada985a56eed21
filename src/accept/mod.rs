//! The accept step: listeners, connections and their limits; one thread and one runtime for each core.
//!
//! What a request means is not its business: it hands every request to a [`Handler`].

mod connection;
mod core;
mod http1;
mod http2;
mod incoming;
mod listen;
mod marks;
mod stop;
mod watch;
mod wire;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

use crate::flow::{Head, Outgoing, Reply};
use crate::problem::Problem;

pub use incoming::{Broken, Incoming};
pub use listen::{Listeners, listen};
pub use stop::{Stop, Stopper, stop_pair};

/// Limits on connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections over all cores (each core may pass it by one); default 10,000. Further ones wait in the kernel's queue until one closes; as
    /// long as they do, connections that rest for a second are closed.
    pub connections: usize,
    /// Bytes of a request's head; default 32 KiB. Over it: 431.
    pub head_bytes: usize,
    /// Headers of a request; default 100. Over it: 431. Another number costs an allocation for each request.
    pub head_count: usize,
    /// From the first byte of a request to the end of its head, and from the beginning of a connection to the end of
    /// its first head; default 10 s. Then the connection is closed.
    pub head_time: Duration,
    /// How long a connection may rest between requests; default 60 s.
    pub idle: Duration,
    /// How long a client may take nothing of what waits for it; default 30 s. Then the connection is closed.
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

/// A request that is answered, or will be. What is ready costs no future.
#[derive(Debug)]
pub enum Handled<B, F> {
    /// The answer is ready.
    Now(Reply<B>),
    /// It is still to come. The future may be moved about: its state lies in a box of its own.
    Later(F),
}

/// What answers requests on one core. Made on that core's thread, inside its runtime, so it need not be `Send`;
/// `tokio::task::spawn_local` works inside.
///
/// When the client hangs up, what [`Handler::handle`] still does is dropped: work that must end is spawned.
pub trait Handler: 'static {
    /// The body of its responses.
    type Body: Outgoing;

    /// Answers one request.
    fn handle(
        &self,
        head: Head,
        body: Incoming,
        peer: SocketAddr,
    ) -> Handled<Self::Body, impl Future<Output = Reply<Self::Body>> + Unpin>;

    /// Answers a request whose handling panicked; `what` is the panic's message, for the log.
    fn panicked(&self, peer: SocketAddr, what: &str) -> Reply<Self::Body>;

    /// The core ends: its connections are closed, and nothing more will be asked. What this waits for counts towards
    /// [`Limits::drain`].
    fn ended(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// A connection ended with something that was no request (answered 400, 414 or 431 already) or with a broken
    /// limit; `what` says it, for the log. Clients that merely hang up are not told of.
    fn refused(&self, peer: SocketAddr, what: &str) {
        let _ = (peer, what);
    }

    /// Connections can't be accepted for the moment (too many open files, say); told at most once a second.
    fn troubled(&self, what: &str) {
        let _ = what;
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Requests that were still running at the end of [`Limits::drain`] and were cut off.
    pub cut: usize,
}

/// Serves until stopped; blocks the calling thread. `handler` is called once on each core's thread with the core's
/// number, counted from 0; where one fails, all cores stop and its problem is returned.
pub fn run<H: Handler>(
    listeners: Listeners,
    limits: &Limits,
    stop: Stop,
    handler: impl Fn(usize) -> Result<H, Problem> + Send + Sync,
) -> Result<Ended, Problem> {
    raise_file_limit();
    let open = Arc::new(AtomicUsize::new(0));
    let (fail, failed) = stop_pair();
    let outcomes: Vec<Result<Ended, Problem>> = thread::scope(|scope| {
        let cores: Vec<_> = listeners.into_cores().into_iter().enumerate().collect();
        let threads = cores.into_iter().map(|(number, sockets)| {
            let (stop, failed, fail) = (stop.clone(), failed.clone(), fail.clone());
            let (open, handler) = (open.clone(), &handler);
            let work = move || {
                // A core that ends for whatever reason, a panic included, takes the others with it.
                let _ends_all = EndsAll(fail);
                core::run(sockets, limits, [stop, failed], open, || handler(number))
            };
            thread::Builder::new().name(format!("core-{number}")).spawn_scoped(scope, work)
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(error) => {
                    fail.stop();
                    Err(Problem::broken(format!("no thread could be started for a core: {error}")))
                }
            })
            .collect()
    });
    outcomes.into_iter().try_fold(Ended::default(), |sum, ended| Ok(Ended { cut: sum.cut + ended?.cut }))
}

/// Stops the other cores when a core's thread ends.
struct EndsAll(Stopper);

impl Drop for EndsAll {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Each connection takes a file descriptor; many systems allow 1,024 unless asked.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not allowed, fewer connections are accepted at once.
    let _ = setrlimit(Resource::Nofile, limit);
}
