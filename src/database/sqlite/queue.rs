//! A bounded queue into one or more threads: full means "no" at once, closing lets the threads finish what waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    /// Threads that sleep until something comes; a busy one needs no waking.
    sleeping: usize,
    /// How many items the one that went to sleep last waits for: waking it for each would cost more than they do.
    wanted: usize,
}

impl<T> Queue<T> {
    /// An empty queue for at most `capacity` items.
    pub(super) fn new(capacity: usize) -> Queue<T> {
        let state = State { items: VecDeque::with_capacity(capacity.min(1024)), closed: false, sleeping: 0, wanted: 1 };
        Queue { state: Mutex::new(state), filled: Condvar::new(), capacity: capacity.max(1) }
    }

    /// Adds an item; gives it back when the queue is full or closed.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed || state.items.len() >= self.capacity {
            return Err(item);
        }
        state.items.push_back(item);
        let wake = state.sleeping > 0 && state.items.len() >= state.wanted;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Moves up to `most` items to `taken`, waiting for the first; false when the queue is closed and empty.
    pub(super) fn take(&self, most: usize, taken: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            (state.sleeping, state.wanted) = (state.sleeping + 1, 1);
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
        let count = most.clamp(1, state.items.len());
        taken.extend(state.items.drain(..count));
        true
    }

    /// As [`Queue::take`], but waits for so many items, and no longer than so long; then what is there is taken, if
    /// anything is. For a queue into one thread.
    pub(super) fn take_within(&self, time: Duration, wanted: usize, most: usize, taken: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        if state.items.len() < wanted.min(self.capacity) && !state.closed {
            (state.sleeping, state.wanted) = (state.sleeping + 1, wanted.min(self.capacity));
            let lacks = |state: &mut State<T>| state.items.len() < state.wanted && !state.closed;
            state = self.filled.wait_timeout_while(state, time, lacks).unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping -= 1;
        }
        if state.items.is_empty() {
            return !state.closed;
        }
        let count = most.clamp(1, state.items.len());
        taken.extend(state.items.drain(..count));
        true
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Takes no more items; what waits is still taken out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// A thread that panics while it holds the lock leaves the list whole, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_gives_the_item_back() {
        let queue = Queue::new(2);
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(()), Ok(()), Err(3)));
        let mut taken = Vec::new();
        assert!(queue.take(1, &mut taken));
        assert_eq!((taken, queue.push(4)), (vec![1], Ok(())));
    }

    #[test]
    fn a_closed_queue_is_emptied_first() {
        let queue = Queue::new(8);
        queue.push("waits").unwrap();
        queue.close();
        assert_eq!(queue.push("late"), Err("late"));
        let mut taken = Vec::new();
        assert!(queue.take(8, &mut taken));
        assert!(!queue.take(8, &mut taken));
        assert_eq!(taken, ["waits"]);
    }

    #[test]
    fn who_waits_for_some_time_only_comes_back_with_nothing() {
        let queue = Queue::new(8);
        let mut taken = Vec::new();
        assert!(queue.take_within(Duration::ZERO, 1, 8, &mut taken) && taken.is_empty());
        queue.push(1).unwrap();
        // More are wanted than come.
        assert!(queue.take_within(Duration::ZERO, 2, 8, &mut taken));
        queue.push(2).unwrap();
        queue.close();
        assert!(queue.take_within(Duration::MAX, 9, 8, &mut taken));
        assert!(!queue.take_within(Duration::MAX, 1, 8, &mut taken));
        assert_eq!(taken, [1, 2]);
    }

    #[test]
    fn who_waits_for_several_is_woken_when_they_are_there() {
        let queue = Queue::new(8);
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=3).for_each(|item| queue.push(item).unwrap()));
            assert!(queue.take_within(Duration::MAX, 3, 8, &mut taken));
        });
        assert_eq!(taken, [1, 2, 3]);
        // Nor more than can ever be there.
        (1..=8).for_each(|item| queue.push(item).unwrap());
        assert!(queue.take_within(Duration::MAX, 9, 8, &mut taken));
    }

    #[test]
    fn closing_wakes_who_sleeps() {
        let queue = Queue::<u8>::new(1);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| queue.take(1, &mut Vec::new()));
            queue.close();
            assert!(!sleeper.join().unwrap());
        });
    }
}
