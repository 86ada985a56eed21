//! One connection, from its first byte to its end: which HTTP it speaks, its requests, and the watch over its time.

use std::any::Any;
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use super::socket::{Marks, Socket};
use super::watch::{Verdict, Watch};
use super::{Handler, Limits, Stop};

/// What every HTTP/2 client sends first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all connections of a core share.
pub(super) struct Core<H> {
    pub(super) handler: H,
    pub(super) limits: Limits,
    /// Requests that run on this core.
    pub(super) running: Cell<usize>,
    /// Connections that are open over all cores.
    pub(super) open: Arc<AtomicUsize>,
}

/// How a connection ended, as far as anybody wants to know.
enum End {
    /// As connections end.
    Quietly,
    /// With this, for the log.
    Refused(String),
}

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(core: Rc<Core<H>>, stream: TcpStream, peer: SocketAddr, stop: Stop) {
    if let End::Refused(what) = run(&core, stream, peer, stop).await {
        core.handler.refused(peer, &what);
    }
}

async fn run<H: Handler>(core: &Rc<Core<H>>, mut stream: TcpStream, peer: SocketAddr, mut stop: Stop) -> End {
    let limits = &core.limits;
    let first = tokio::select! {
        first = tokio::time::timeout(limits.head_time, first_bytes(&mut stream)) => first,
        () = stop.wait() => return End::Quietly,
    };
    let first = match first {
        Ok(Ok(first)) if !first.is_empty() => first,
        Ok(_) => return End::Quietly,
        Err(_) => return End::Refused("the connection did not send a request".into()),
    };
    let marks = Rc::new(Marks::default());
    let speaks_http2 = first.starts_with(PREFACE);
    let socket = TokioIo::new(Socket::new(stream, first, marks.clone()));
    let watch = Watch::new(limits, core.open.clone(), marks.clone(), speaks_http2);
    let core = core.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let running = Running::begin(core.clone(), marks.clone());
        marks.had_body.set(!request.body().is_end_stream());
        async move {
            let response = guarded(&running.core, request, peer).await;
            Ok::<_, Infallible>(response.map(|body| Watched { body, _running: running }))
        }
    });
    if speaks_http2 {
        let connection = pin!(http2_settings(limits).serve_connection(socket, service));
        drive(connection, |connection| connection.graceful_shutdown(), watch, stop).await
    } else {
        let connection = pin!(http1_settings(limits).serve_connection(socket, service));
        drive(connection, |connection| connection.graceful_shutdown(), watch, stop).await
    }
}

/// Runs a connection to its end under its watch.
async fn drive<C>(mut connection: Pin<&mut C>, shut: impl Fn(Pin<&mut C>), mut watch: Watch, mut stop: Stop) -> End
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut ticks = tokio::time::interval(watch.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut stopping, mut closing) = (false, false);
    // Made once: a new one for each request would have to be registered anew each time.
    let mut stopped = pin!(stop.wait());
    loop {
        tokio::select! {
            biased;
            outcome = connection.as_mut() => return end(outcome),
            () = stopped.as_mut(), if !stopping => {
                stopping = true;
                shut(connection.as_mut());
            }
            now = ticks.tick() => match watch.look(now, stopping) {
                Verdict::Fine => {}
                // Between two looks there was time enough to say goodbye.
                Verdict::Close if closing => return End::Quietly,
                Verdict::Close => {
                    closing = true;
                    shut(connection.as_mut());
                }
                Verdict::Refuse(what) => return End::Refused(what.into()),
            }
        }
    }
}

/// Tells a client's fault from a client that merely went away.
fn end(outcome: hyper::Result<()>) -> End {
    match outcome {
        Err(error) if error.is_parse() => End::Refused(match error.source() {
            Some(cause) => format!("not a request: {error}: {cause}"),
            None => format!("not a request: {error}"),
        }),
        _ => End::Quietly,
    }
}

/// Reads until it is clear which HTTP the client speaks. Empty when it hung up.
async fn first_bytes(stream: &mut TcpStream) -> std::io::Result<Bytes> {
    let mut first = BytesMut::with_capacity(4096);
    loop {
        let more = stream.read_buf(&mut first).await?;
        let undecided = first.len() < PREFACE.len() && PREFACE.starts_with(&first);
        if more == 0 || !undecided {
            return Ok(first.freeze());
        }
    }
}

fn http1_settings(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The watch does what this timer would, without setting one for each request. `pipeline_flush` stays off: with it
    // the answer to garbage is not sent when more garbage waits behind it.
    builder.header_read_timeout(None).max_header_size(limits.head_bytes);
    builder.max_buf_size((2 * limits.head_bytes).max(64 * 1024));
    if limits.head_count != 100 {
        builder.max_headers(limits.head_count);
    }
    builder
}

fn http2_settings(limits: &Limits) -> http2::Builder<OnThisCore> {
    let mut builder = http2::Builder::new(OnThisCore);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        // Streams that are opened and reset at once ("rapid reset") end the connection.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(256 * 1024);
    builder
}

/// Runs the tasks of HTTP/2 streams on the core of their connection.
#[derive(Clone, Copy)]
struct OnThisCore;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisCore {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// One request that runs, from its head to the last byte of its answer.
struct Running<H> {
    core: Rc<Core<H>>,
    marks: Rc<Marks>,
}

impl<H> Running<H> {
    fn begin(core: Rc<Core<H>>, marks: Rc<Marks>) -> Running<H> {
        core.running.set(core.running.get() + 1);
        marks.running.set(marks.running.get() + 1);
        marks.begun.set(marks.begun.get() + 1);
        marks.head_begun.set(false);
        Running { core, marks }
    }
}

impl<H> Drop for Running<H> {
    fn drop(&mut self) {
        self.core.running.set(self.core.running.get() - 1);
        self.marks.running.set(self.marks.running.get() - 1);
    }
}

/// The body of a response, with the request that it belongs to.
struct Watched<B, H> {
    body: B,
    _running: Running<H>,
}

impl<B: Body + Unpin, H> Body for Watched<B, H> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// Neither the body nor the request is ever pinned in place.
impl<B, H> Unpin for Watched<B, H> {}

/// A panic ends its request, not the server.
async fn guarded<H: Handler>(core: &Core<H>, request: Request<Incoming>, peer: SocketAddr) -> Response<H::Body> {
    let mut answering = pin!(async { core.handler.handle(request, peer).await });
    let outcome =
        std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        });
    match outcome.await {
        Ok(response) => response,
        Err(panic) => core.handler.panicked(peer, message(&*panic)),
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}
