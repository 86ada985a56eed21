//! The body of a request as the handler reads it, whichever HTTP it came by.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body of a request.
///
/// Nothing of it that does not come with the head is read before it is asked for, so that a client that sends faster than
/// the handler reads waits.
#[derive(Debug)]
pub struct Incoming(From);

#[derive(Debug)]
enum From {
    Nothing,
    Connection(Arc<Pipe>),
}

/// Why a body ended early.
#[derive(Debug)]
pub enum Broken {
    /// The client hung up.
    Cut,
    /// What came is not what the head announced.
    Malformed(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Cut => out.write_str("the connection ended before the body did"),
            Broken::Malformed(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for Broken {}

/// The bytes of a body as `Content-Length` tells them. Digits alone: Rust would read a sign, too.
pub(super) fn length(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

impl Incoming {
    /// No body.
    pub fn nothing() -> Incoming {
        Incoming(From::Nothing)
    }

    /// A body that comes through this pipe.
    pub(super) fn through(pipe: Arc<Pipe>) -> Incoming {
        Incoming(From::Connection(pipe))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &self.0 {
            From::Nothing => Poll::Ready(None),
            From::Connection(pipe) => pipe.poll_take(context).map(|taken| taken.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            From::Nothing => true,
            From::Connection(pipe) => pipe.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            From::Nothing => SizeHint::with_exact(0),
            From::Connection(_) => SizeHint::default(),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let From::Connection(pipe) = &self.0 {
            pipe.lock().given_up = true;
        }
    }
}

/// Hands the pieces of a body from its connection to whoever reads them, one at a time and only when asked.
#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    piece: Option<Result<Bytes, Broken>>,
    /// Nothing comes after the piece.
    last: bool,
    /// Who waits for a piece.
    wanted: Option<Waker>,
    /// The connection that waits to be asked.
    feeder: Option<Waker>,
    given_up: bool,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the whole body before anybody has asked for it.
    pub(super) fn fill(&self, body: Bytes) {
        let mut state = self.lock();
        (state.piece, state.last) = (Some(Ok(body)), true);
    }

    fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let mut state = self.lock();
        if let Some(piece) = state.piece.take() {
            state.last |= piece.is_err();
            return Poll::Ready(Some(piece));
        }
        if state.last {
            return Poll::Ready(None);
        }
        state.wanted = Some(context.waker().clone());
        if let Some(feeder) = state.feeder.take() {
            feeder.wake();
        }
        Poll::Pending
    }

    fn is_done(&self) -> bool {
        let state = self.lock();
        state.last && state.piece.is_none()
    }

    /// Whether nobody will read what still comes.
    pub(super) fn is_given_up(&self) -> bool {
        self.lock().given_up
    }

    /// Whether a piece is waited for. If not, the connection is woken as soon as one is.
    pub(super) fn poll_wanted(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.wanted.is_some() && !state.given_up {
            return Poll::Ready(());
        }
        if !state.feeder.as_ref().is_some_and(|feeder| feeder.will_wake(context.waker())) {
            state.feeder = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Hands over a piece, empty for the mere end, or tells why nothing more comes. Who reads in the task of this context
    /// is polled next anyway.
    pub(super) fn give(&self, piece: Result<Bytes, Broken>, last: bool, context: &Context<'_>) {
        let mut state = self.lock();
        state.last = last;
        state.piece = Some(piece).filter(|piece| !piece.as_ref().is_ok_and(|bytes| bytes.is_empty()));
        if let Some(reader) = state.wanted.take().filter(|reader| !reader.will_wake(context.waker())) {
            reader.wake();
        }
    }
}
