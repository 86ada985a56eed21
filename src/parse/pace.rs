//! A body whose sender must keep a pace and a size.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

use super::Limits;
use crate::problem::{Kind, Problem};

/// Why a body can't be read on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The sender pauses too long or sends too little.
    Slow,
    /// More bytes than allowed.
    Large,
    /// The connection or its framing broke.
    Broken(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Slow => out.write_str("the body came too slowly"),
            Trouble::Large => out.write_str("the body is too large"),
            Trouble::Broken(cause) => write!(out, "the body broke off: {cause}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<&Trouble> for Problem {
    fn from(trouble: &Trouble) -> Problem {
        match trouble {
            Trouble::Slow => Problem::new(Kind::TooSlow, "What you sent came too slowly."),
            Trouble::Large => Problem::new(Kind::TooLarge, "What you sent is too large."),
            Trouble::Broken(_) => Problem::malformed("What you sent broke off or is garbled."),
        }
        .caused_by(trouble.to_string())
    }
}

/// How many more bytes the reader of a [`Paced`] body takes in at its present place: a limit on what is buffered while
/// it looks for the end of something. Shared with the reader.
#[derive(Debug)]
pub(super) struct Allowance {
    received: AtomicU64,
    until: AtomicU64,
}

impl Allowance {
    /// From here on, `bytes` more are an error.
    pub(super) fn limit(&self, bytes: u64) {
        self.until.store(self.received.load(Relaxed) + bytes, Relaxed);
    }

    /// As many as the body may have.
    pub(super) fn lift(&self) {
        self.until.store(u64::MAX, Relaxed);
    }

    /// Counts a piece that came in; `false` when the limit stood before it already. The piece that passes the limit is
    /// still taken, because it may hold what was looked for.
    fn takes(&self, bytes: u64) -> bool {
        let before = self.received.fetch_add(bytes, Relaxed);
        before < self.until.load(Relaxed)
    }
}

/// Watches a body while it is read. Only the time that the sender keeps us waiting counts, not the time that the
/// reader takes between pieces.
pub(super) struct Paced<B> {
    body: B,
    largest: u64,
    pause: Duration,
    pace: u64,
    received: u64,
    allowance: Arc<Allowance>,
    waited: Duration,
    /// Set while we wait: since when, and when it has lasted too long.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// A piece was just handed out; the next poll yields first (see [`Body::poll_frame`] below).
    handed: bool,
}

impl<B> Paced<B> {
    /// Watches `body`, which may have `largest` bytes.
    pub(super) fn new(body: B, limits: &Limits, largest: u64) -> Paced<B> {
        Paced {
            body,
            largest,
            pause: limits.body_pause,
            pace: limits.body_pace.max(1),
            received: 0,
            allowance: Arc::new(Allowance { received: AtomicU64::new(0), until: AtomicU64::new(u64::MAX) }),
            waited: Duration::ZERO,
            waiting: None,
            handed: false,
        }
    }

    /// The allowance of this body's reader.
    pub(super) fn allowance(&self) -> Arc<Allowance> {
        self.allowance.clone()
    }

    /// Counts a piece; `false` when the body or the reader's allowance is overdrawn.
    fn takes(&mut self, bytes: u64) -> bool {
        self.received += bytes;
        self.allowance.takes(bytes) && self.received <= self.largest
    }

    /// How much longer the sender may keep us waiting now.
    fn patience(&self) -> Duration {
        let earned = self.pause + Duration::from_millis(self.received.saturating_mul(1000) / self.pace);
        self.pause.min(earned.saturating_sub(self.waited))
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Trouble> {
        let patience = self.patience();
        let (_, alarm) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until(now + patience)))
        });
        alarm.as_mut().poll(context).map(|()| Trouble::Slow)
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    type Data = Bytes;
    type Error = Trouble;

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        // The multipart reader drains its source until it would block; one piece at a time bounds what it buffers.
        if std::mem::take(&mut self.handed) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return Poll::Ready(Some(Err(ready!(self.poll_patience(context))))),
        };
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        Poll::Ready(match frame {
            None => None,
            Some(Err(cause)) => Some(Err(Trouble::Broken(cause.to_string()))),
            Some(Ok(frame)) => {
                self.handed = true;
                let size = frame.data_ref().map_or(0, |piece| piece.len() as u64);
                Some(if self.takes(size) { Ok(frame) } else { Err(Trouble::Large) })
            }
        })
    }
}
