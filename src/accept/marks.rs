//! Marks of what passes through a connection. The watch of its core reads them now and then, so that limits on time cost
//! a request nothing; and leaves word here when the connection's time is over.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Poll, Waker};

use super::watch::Verdict;

/// What passes through a connection.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Requests that run, their answers' bodies included.
    pub(super) running: Cell<usize>,
    /// Requests that began, ever.
    pub(super) begun: Cell<u64>,
    /// Bytes came in since the last request began: the head of the next one.
    pub(super) head_begun: Cell<bool>,
    /// Bytes wait to be written, and the client takes none.
    pub(super) stalled: Cell<bool>,
    /// Answers wait for windows that the client doesn't open. The connection looks after their time itself, whenever the
    /// watch does.
    pub(super) waiting: Cell<bool>,
    /// Writes that succeeded, ever.
    pub(super) writes: Cell<u64>,
    /// An HTTP/2 connection sends other things than requests while it rests.
    pub(super) is_http2: Cell<bool>,
    /// What the watch has come to, until the connection has heard of it.
    pub(super) verdict: Cell<Option<Verdict>>,
    /// The connection's task.
    pub(super) task: RefCell<Option<Waker>>,
}

impl Marks {
    /// Notes how a write went.
    pub(super) fn note_write(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Pending => self.stalled.set(true),
            Poll::Ready(_) => {
                self.stalled.set(false);
                self.writes.set(self.writes.get() + 1);
            }
        }
    }

    /// Leaves word for the connection.
    pub(super) fn tell(&self, verdict: Verdict) {
        self.verdict.set(Some(verdict));
        self.wake();
    }

    /// Has the connection look at what it holds.
    pub(super) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}
