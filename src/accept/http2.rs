//! HTTP/2 (RFC 9113), by hyper: its settings, and the socket that notes what passes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::{Core, End, Running, guarded};
use super::incoming::Incoming;
use super::marks::Marks;
use super::watch::Verdict;
use super::{Handled, Handler, Limits};

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
    let socket = TokioIo::new(Socket { stream, first, marks: marks.clone() });
    let settings = settings(&core.limits);
    let watched = marks.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let running = Running::begin(core.clone(), marks.clone());
        async move {
            let reply = match guarded(&running.core, request.map(Incoming::http2), peer) {
                Handled::Now(reply) => reply,
                Handled::Later(answering) => answering.await,
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
        connection.as_mut().poll(context).map(|_| End::Quietly)
    })
    .await
}

fn settings(limits: &Limits) -> http2::Builder<OnThisCore> {
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

/// The socket of a connection.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// Bytes read before hyper took over.
    first: Bytes,
    marks: Rc<Marks>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let size = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..size]);
            self.first.advance(size);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.marks.head_begun.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.marks.note_write(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.marks.note_write(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
