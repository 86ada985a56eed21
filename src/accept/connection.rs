//! One connection, from its first byte to its end: which HTTP it speaks, and what both have in common.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::http2::PREFACE;
use super::incoming::Incoming;
use super::marks::Marks;
use super::watch::{Verdict, Watch};
use super::{Handled, Handler, Limits, http1, http2};
use crate::clock::HttpDate;
use crate::flow::{Head, Reply};

/// What all connections of a core share.
pub(super) struct Core<H> {
    pub(super) handler: H,
    pub(super) limits: Limits,
    /// Requests that run on this core.
    pub(super) running: Cell<usize>,
    /// Connections that are open over all cores.
    pub(super) open: Arc<AtomicUsize>,
    /// Those of this core, as long as they are open.
    pub(super) watches: RefCell<Vec<Watch>>,
    /// Running requests may finish; no others are to come.
    pub(super) stopping: Cell<bool>,
    /// Where the heads of answers are made.
    pub(super) out: Cell<Vec<u8>>,
    pub(super) date: RefCell<HttpDate>,
}

/// How a connection ended, as far as anybody wants to know.
pub(super) enum End {
    /// As connections end.
    Quietly,
    /// With this, for the log.
    Refused(String),
}

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(core: Rc<Core<H>>, stream: TcpStream, peer: SocketAddr) {
    let marks = Rc::new(Marks::default());
    std::future::poll_fn(|context| {
        *marks.task.borrow_mut() = Some(context.waker().clone());
        Poll::Ready(())
    })
    .await;
    core.watches.borrow_mut().push(Watch::new(&core.limits, core.open.clone(), marks.clone()));
    if let End::Refused(what) = run(&core, stream, peer, marks).await {
        core.handler.refused(peer, &what);
    }
}

async fn run<H: Handler>(core: &Rc<Core<H>>, mut stream: TcpStream, peer: SocketAddr, marks: Rc<Marks>) -> End {
    let first = match at_rest(&marks, first_bytes(&mut stream)).await {
        Ok(Ok(first)) if !first.is_empty() => first,
        Ok(_) => return End::Quietly,
        Err(end) => return end,
    };
    if first.starts_with(PREFACE) {
        marks.is_http2.set(true);
        // Its state is large, and few connections speak it in clear text.
        return Box::pin(http2::serve(core.clone(), stream, first, peer, marks)).await;
    }
    http1::Connection::new(core.clone(), stream, first, peer, marks).serve().await
}

/// Waits for something that a client may take its time with, until the watch says that the time is over.
pub(super) async fn at_rest<T>(marks: &Marks, waiting: impl Future<Output = T>) -> Result<T, End> {
    let mut waiting = pin!(waiting);
    std::future::poll_fn(|context| {
        if let Poll::Ready(done) = waiting.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        match marks.verdict.take() {
            Some(Verdict::Refuse(what)) => Poll::Ready(Err(End::Refused(what.into()))),
            Some(Verdict::Close | Verdict::Stop) => Poll::Ready(Err(End::Quietly)),
            Some(Verdict::Fine) | None => Poll::Pending,
        }
    })
    .await
}

/// Reads until it is clear which HTTP the client speaks. Empty when it hung up.
async fn first_bytes(stream: &mut TcpStream) -> std::io::Result<BytesMut> {
    stream.readable().await?;
    let mut first = BytesMut::with_capacity(4096);
    loop {
        let more = stream.read_buf(&mut first).await?;
        let undecided = first.len() < PREFACE.len() && PREFACE.starts_with(&first);
        if more == 0 || !undecided {
            return Ok(first);
        }
    }
}

/// One request that runs, from its head to the last byte of its answer.
pub(super) struct Running<H> {
    pub(super) core: Rc<Core<H>>,
    marks: Rc<Marks>,
}

impl<H> Running<H> {
    pub(super) fn begin(core: Rc<Core<H>>, marks: Rc<Marks>) -> Running<H> {
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

/// Has a request answered. A panic ends its request, not the server.
pub(super) fn guarded<'c, H: Handler>(
    core: &'c Core<H>,
    head: Head,
    body: Incoming,
    peer: SocketAddr,
) -> Handled<H::Body, impl Future<Output = Reply<H::Body>> + Unpin + use<'c, H>> {
    let panicked = move |panic: Box<dyn Any + Send>| core.handler.panicked(peer, message(&*panic));
    match catch_unwind(AssertUnwindSafe(|| core.handler.handle(head, body, peer))) {
        Ok(Handled::Now(reply)) => Handled::Now(reply),
        Ok(Handled::Later(mut answering)) => Handled::Later(std::future::poll_fn(move |context| {
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut answering).poll(context)));
            polled.unwrap_or_else(|panic| Poll::Ready(panicked(panic)))
        })),
        Err(panic) => Handled::Now(panicked(panic)),
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}
