//! HTTP/1 (RFC 9112): a connection's requests, one after the other.
//!
//! Why not hyper's: a connection that rests should hold nothing but its socket, a large file should go from the disk's
//! cache to the network without passing through here, and an answer that is ready should be one look at the socket and
//! one write.

mod head;
mod intake;
mod sending;

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::{Method, Version};
use tokio::net::TcpStream;

use super::connection::{Core, End, Running, at_rest, guarded};
use super::incoming::{Broken, Incoming, Pipe};
use super::marks::Marks;
use super::wire::Wire;
use super::{Handled, Handler};
use head::{Fault, Framing, Head, Read};
use intake::{Intake, Taken};
use sending::{Outgoing, Word};

use crate::flow::Reply;

/// Bytes that are read ahead of a request that runs; whoever sends more waits.
const AHEAD: usize = 64 * 1024;

/// A connection that speaks HTTP/1.
pub(super) struct Connection<H> {
    core: Rc<Core<H>>,
    wire: Wire,
    coming: Coming,
    peer: SocketAddr,
    marks: Rc<Marks>,
}

/// What came instead of a request.
enum Next {
    Request(Head),
    HungUp,
    Fault(Fault),
}

/// How a request went.
enum Outcome {
    /// Another may follow.
    Next,
    /// The last answer has gone. Whether something of the body is still to come.
    Last(bool),
    /// The client is gone, or its answer could not be sent whole.
    Gone,
    /// The client took nothing of its answer.
    Refused(&'static str),
}

impl<H: Handler> Connection<H> {
    /// A connection from which `first` was read already.
    pub(super) fn new(
        core: Rc<Core<H>>,
        stream: TcpStream,
        first: BytesMut,
        peer: SocketAddr,
        marks: Rc<Marks>,
    ) -> Connection<H> {
        marks.head_begun.set(true);
        Connection { wire: Wire::new(stream, first, marks.clone()), coming: Coming::default(), core, peer, marks }
    }

    /// Answers requests until there are no more.
    pub(super) async fn serve(mut self) -> End {
        loop {
            let marks = self.marks.clone();
            let next = std::future::poll_fn(|context| self.poll_head(context));
            let head = match at_rest(&marks, next).await {
                Ok(Next::Request(head)) => head,
                Ok(Next::HungUp) => return End::Quietly,
                Ok(Next::Fault(fault)) => return self.refuse(fault).await,
                Err(end) => return end,
            };
            match self.answer(head).await {
                Outcome::Next => {}
                Outcome::Last(more) => {
                    self.wire.close(more).await;
                    return End::Quietly;
                }
                Outcome::Gone => return End::Quietly,
                Outcome::Refused(what) => return End::Refused(what.into()),
            }
        }
    }

    /// The next head. What was read already is looked at first.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let Connection { core, wire, coming, marks, .. } = self;
        let limits = &core.limits;
        if !wire.unread.is_empty()
            && let Some(next) = wire.look(|bytes| coming.take(bytes, limits))
        {
            return Poll::Ready(next);
        }
        loop {
            match ready!(wire.poll_read(context, |bytes| coming.take(bytes, limits))) {
                Ok(Some(Some(next))) => return Poll::Ready(next),
                Ok(Some(None)) => marks.head_begun.set(true),
                Ok(None) | Err(_) => return Poll::Ready(Next::HungUp),
            }
        }
    }

    /// Answers one request.
    async fn answer(&mut self, head: Head) -> Outcome {
        let Head { request, framing, keeps_alive, expects } = head;
        let running = Running::begin(self.core.clone(), self.marks.clone());
        let (is_head, is_http11) = (request.method == Method::HEAD, request.version == Version::HTTP_11);
        let mut body =
            (framing != Framing::Nothing).then(|| Feed { pipe: Arc::default(), intake: Intake::new(framing), expects });
        if let Some(feed) = &mut body {
            feed.fill(&mut self.wire.unread);
        }
        let incoming = body.as_ref().map_or_else(Incoming::nothing, |feed| Incoming::through(feed.pipe.clone()));
        let reply = match guarded(&running.core, *request, incoming, self.peer) {
            Handled::Now(reply) => reply,
            Handled::Later(answering) => match self.feed(answering, body.as_mut()).await {
                Some(reply) => reply,
                None => return Outcome::Gone,
            },
        };
        let read_whole = body.is_none_or(|feed| feed.skip(&mut self.wire.unread));
        let word = match keeps_alive && read_whole && !self.core.stopping.get() {
            false => Word::Close,
            true if is_http11 => Word::Unsaid,
            true => Word::KeepAlive,
        };
        let outgoing = Outgoing { reply, is_head, is_http11, word };
        match self.send(outgoing).await {
            sending::Sent::Whole if word != Word::Close => Outcome::Next,
            sending::Sent::Whole | sending::Sent::LastOfAll => Outcome::Last(!read_whole),
            sending::Sent::Broken => Outcome::Gone,
            sending::Sent::Refused(what) => Outcome::Refused(what),
        }
    }

    /// Waits for an answer, and hands the request's body to whoever makes it. `None` when the client has gone.
    async fn feed(
        &mut self,
        mut answering: impl Future<Output = Reply<H::Body>> + Unpin,
        mut body: Option<&mut Feed>,
    ) -> Option<Reply<H::Body>> {
        std::future::poll_fn(|context| {
            loop {
                if let Poll::Ready(reply) = Pin::new(&mut answering).poll(context) {
                    return Poll::Ready(Some(reply));
                }
                if !ready!(poll_feed(&mut self.wire, body.as_deref_mut(), context)) {
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }

    /// Tells a client that it sent no request, and ends the connection.
    async fn refuse(mut self, fault: Fault) -> End {
        let mut out = Vec::new();
        sending::put_refusal(&mut out, fault.status, self.core.date.borrow().text());
        let Fault { what, .. } = fault;
        if self.write(&mut out, b"").await.is_ok() {
            self.wire.close(true).await;
        }
        End::Refused(format!("not a request: {what}"))
    }
}

/// The head that is coming in. One that trickles is not read anew with each byte.
#[derive(Debug, Default)]
struct Coming {
    /// Bytes that were looked at and held no whole head.
    looked: usize,
}

impl Coming {
    /// Takes a head from the beginning of what is unread. Says how many bytes it used.
    fn take(&mut self, bytes: &[u8], limits: &super::Limits) -> (usize, Option<Next>) {
        let looked = std::mem::replace(&mut self.looked, bytes.len());
        let may_be_whole = looked == 0 || (bytes.len() > looked && ends_head(&bytes[looked.saturating_sub(3)..]));
        let read = if may_be_whole { head::read(bytes, limits.head_count) } else { Read::Partial };
        match read {
            Read::Whole(_, size) if size > limits.head_bytes => (0, Some(Next::Fault(head::TOO_LARGE))),
            Read::Whole(head, size) => {
                self.looked = 0;
                (size, Some(Next::Request(head)))
            }
            Read::Partial if bytes.len() > limits.head_bytes => (0, Some(Next::Fault(head::TOO_LARGE))),
            Read::Partial => (0, None),
            Read::Fault(fault) => (0, Some(Next::Fault(fault))),
        }
    }
}

/// Whether an empty line is among these bytes.
fn ends_head(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// The body of a request that runs, on its way to whoever reads it.
struct Feed {
    pipe: Arc<Pipe>,
    intake: Intake,
    /// The client waits for leave.
    expects: bool,
}

impl Feed {
    /// Hands over a body that has come with its head, so that nobody has to wait for it.
    fn fill(&mut self, unread: &mut BytesMut) {
        if !self.expects
            && self.intake.is_whole(unread.len())
            && let Taken::Piece(body, true) = self.intake.take(unread)
        {
            self.pipe.fill(body);
        }
    }

    /// Skips what nobody has read, as far as it came already. Whether that was all.
    fn skip(mut self, unread: &mut BytesMut) -> bool {
        if self.expects {
            return false;
        }
        while !self.intake.is_done() {
            match self.intake.take(unread) {
                Taken::Piece(..) => {}
                Taken::More | Taken::Fault(_) => return false,
            }
        }
        true
    }
}

/// Reads what a running request wants of its body; else watches for the client's end. `false` when it is gone.
fn poll_feed(wire: &mut Wire, body: Option<&mut Feed>, context: &mut Context<'_>) -> Poll<bool> {
    let Some(feed) = body.filter(|feed| !feed.intake.is_done()) else { return poll_gone(wire, context) };
    if feed.pipe.poll_wanted(context).is_pending() {
        return poll_gone(wire, context);
    }
    if feed.expects {
        ready!(wire.poll_leave(context));
        feed.expects = false;
    }
    loop {
        match feed.intake.take(&mut wire.unread) {
            Taken::Piece(piece, last) => feed.pipe.give(Ok(piece), last, context),
            Taken::Fault(what) => feed.pipe.give(Err(Broken::Malformed(what)), true, context),
            Taken::More => {
                if ready!(wire.poll_more(context)).unwrap_or(0) > 0 {
                    continue;
                }
                feed.pipe.give(Err(Broken::Cut), true, context);
            }
        }
        return Poll::Ready(true);
    }
}

/// Waits for the end of a connection whose request runs; what else comes is kept for later.
fn poll_gone(wire: &mut Wire, context: &mut Context<'_>) -> Poll<bool> {
    while wire.unread.len() < AHEAD {
        if ready!(wire.poll_more(context)).unwrap_or(0) == 0 {
            return Poll::Ready(false);
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::Limits;

    #[test]
    fn what_was_looked_at_is_not_read_again() {
        let limits = Limits::default();
        let mut coming = Coming::default();
        let whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET";
        for end in 1..whole.len() - 3 {
            assert!(matches!(coming.take(&whole[..end], &limits), (0, None)), "{end}");
            // Whoever read these would see that they are no request.
            assert!(matches!(coming.take(&vec![0; end], &limits), (0, None)), "{end}");
        }
        let (used, next) = coming.take(whole, &limits);
        assert!(used == whole.len() - 3 && matches!(next, Some(Next::Request(_))));
        assert!(
            matches!(coming.take(&[0; 3], &limits), (0, Some(Next::Fault(_)))),
            "the next head is read from its start"
        );
    }
}
