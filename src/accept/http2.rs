//! HTTP/2 (RFC 9113), by hyper: its settings, and what is done around it so that an answer that is ready costs neither a
//! task nor a write of its own.

mod socket;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::connection::{Core, End, Running, guarded};
use super::incoming::Incoming;
use super::marks::Marks;
use super::watch::Verdict;
use super::{Handled, Handler, Limits};
use crate::flow::{Head, Reply};
use socket::{Socket, Wire};

/// What every HTTP/2 client sends first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Speaks HTTP/2 on a socket from which `first` was read already.
pub(super) async fn serve<H: Handler>(
    core: Rc<Core<H>>,
    stream: TcpStream,
    first: Bytes,
    peer: SocketAddr,
    marks: Rc<Marks>,
) -> End {
    let wire = Rc::new(Wire::new(stream, marks.clone()));
    let socket = TokioIo::new(Socket::new(wire.clone(), first));
    let turn = Rc::new(Turn { most: core.limits.streams, answered: Cell::new(0) });
    let settings = settings(&core.limits, OnThisCore(turn.clone()));
    let (watched, shared) = (marks.clone(), core.clone());
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let running = Running::begin(core.clone(), marks.clone());
        async move {
            let (parts, body) = request.into_parts();
            let reply = match answer(&running.core, parts.into(), Incoming::http2(body), peer) {
                Ok(reply) => reply,
                Err(answering) => answering.await,
            };
            Ok::<_, Infallible>(reply.map(|body| Watched { body, _running: running }).into_response())
        }
    });
    let mut connection = pin!(settings.serve_connection(socket, service));
    let mut closing = false;
    std::future::poll_fn(|context| {
        match watched.verdict.take() {
            Some(Verdict::Refuse(what)) => return Poll::Ready(End::Refused(what.into())),
            // Between two looks there was time enough to say goodbye.
            Some(Verdict::Close) if closing => return Poll::Ready(End::Quietly),
            Some(Verdict::Close | Verdict::Stop) => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            Some(Verdict::Fine) | None => {}
        }
        turn.answered.set(0);
        wire.borrow_room(&shared.out);
        let ended = connection.as_mut().poll(context).map(|_| End::Quietly);
        // All that was answered in this turn goes out together.
        let written = wire.poll_write_out(context);
        wire.return_room(&shared.out);
        match written {
            Poll::Ready(Err(_)) => Poll::Ready(End::Quietly),
            Poll::Ready(Ok(())) | Poll::Pending => ended,
        }
    })
    .await
}

/// What an answer is waited for with.
type Later<'c, B> = Pin<Box<dyn Future<Output = Reply<B>> + 'c>>;

/// The answer, or what it is waited for with. That is large, and hyper moves about what holds it: so it stands apart.
fn answer<'c, H: Handler>(
    core: &'c Core<H>,
    head: Head,
    body: Incoming,
    peer: SocketAddr,
) -> Result<Reply<H::Body>, Later<'c, H::Body>> {
    match guarded(core, head, body, peer) {
        Handled::Now(reply) => Ok(reply),
        Handled::Later(answering) => Err(Box::pin(answering)),
    }
}

fn settings(limits: &Limits, tasks: OnThisCore) -> http2::Builder<OnThisCore> {
    let mut builder = http2::Builder::new(tasks);
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

/// Runs what answers the requests of a connection, on its core.
#[derive(Clone)]
struct OnThisCore(Rc<Turn>);

/// One turn of a connection among the others of its core.
struct Turn {
    /// Requests that are answered in it at most; the others take a turn of their own.
    most: u32,
    answered: Cell<u32>,
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisCore {
    fn execute(&self, task: F) {
        let answered = self.0.answered.get();
        if answered >= self.0.most {
            tokio::task::spawn_local(task);
            return;
        }
        self.0.answered.set(answered + 1);
        // Most answers are ready at once and need no task. The others are asked again by theirs, which is who they wake.
        let mut task = Box::pin(task);
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::task::spawn_local(task);
        }
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
