//! Which streams of a connection are to be looked at. Each stream has a waker of its own, so that who waits for one wakes
//! the connection for that alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The streams that were called, until the connection hears of it.
#[derive(Debug)]
pub(super) struct Calls(Mutex<State>);

#[derive(Debug)]
struct State {
    called: Vec<u32>,
    connection: Waker,
}

/// What wakes a connection for one of its streams.
#[derive(Debug)]
pub(super) struct Caller {
    stream: u32,
    /// It called, and wasn't heard yet.
    called: AtomicBool,
    calls: Arc<Calls>,
}

impl Calls {
    pub(super) fn new() -> Arc<Calls> {
        Arc::new(Calls(Mutex::new(State { called: Vec::new(), connection: Waker::noop().clone() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls wake this task. Adds the streams that called to `called`.
    pub(super) fn hear(&self, connection: &Waker, called: &mut VecDeque<u32>) {
        let mut state = self.lock();
        if !state.connection.will_wake(connection) {
            state.connection = connection.clone();
        }
        called.extend(state.called.drain(..));
    }

    /// What wakes the connection for this stream.
    pub(super) fn caller(self: &Arc<Calls>, stream: u32) -> Arc<Caller> {
        Arc::new(Caller { stream, called: AtomicBool::new(false), calls: self.clone() })
    }
}

impl Caller {
    /// Notes a call of the connection itself. Whether it is the first since the stream was heard.
    pub(super) fn call(&self) -> bool {
        !self.called.swap(true, Ordering::AcqRel)
    }

    /// It may call again. To be said before the stream is looked at, lest a call in between is lost.
    pub(super) fn heard(&self) {
        self.called.store(false, Ordering::Release);
    }
}

impl Wake for Caller {
    fn wake(self: Arc<Caller>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Caller>) {
        // Its number stands there once at most, so there are never more than streams that were opened meanwhile.
        if self.call() {
            let mut state = self.calls.lock();
            state.called.push(self.stream);
            state.connection.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_calls_once_until_it_is_heard() {
        let calls = Calls::new();
        let (one, two) = (calls.caller(1), calls.caller(3));
        let waker = Waker::from(one.clone());
        waker.wake_by_ref();
        waker.wake();
        two.wake_by_ref();
        let mut called = VecDeque::from([5]);
        calls.hear(Waker::noop(), &mut called);
        assert_eq!(called, [5, 1, 3]);
        one.wake_by_ref();
        calls.hear(Waker::noop(), &mut called);
        assert_eq!(called.len(), 3, "not heard yet");
        one.heard();
        one.wake_by_ref();
        calls.hear(Waker::noop(), &mut called);
        assert_eq!(called, [5, 1, 3, 1]);
    }
}
