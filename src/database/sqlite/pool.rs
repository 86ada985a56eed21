//! A bounded pool of threads for reading that takes longer than a serving thread may be held.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::queue::Queue;
use crate::database::Failure;

/// A piece of work.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The pool. Its threads start with the first work; dropping it waits for what runs.
pub(super) struct Pool {
    queue: Arc<Queue<Work>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    size: usize,
}

impl Pool {
    /// A pool of `size` threads before which `waiting` pieces of work may wait.
    pub(super) fn new(size: usize, waiting: usize) -> Pool {
        Pool { queue: Arc::new(Queue::new(waiting)), threads: Mutex::default(), size: size.max(1) }
    }

    /// Queues a piece of work; [`Failure::Busy`] when too many wait.
    pub(super) fn run(&self, work: Work) -> Result<(), Failure> {
        self.start()?;
        self.queue.push(work).map_err(|_| Failure::Busy)
    }

    fn start(&self) -> Result<(), Failure> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.len() < self.size {
            let queue = Arc::clone(&self.queue);
            let thread = std::thread::Builder::new()
                .name("reader".to_string())
                .spawn(move || work_off(&queue))
                .map_err(|error| Failure::broken(format!("no thread for reading: {error}")))?;
            threads.push(thread);
        }
        Ok(())
    }

    /// Finishes what waits and ends the threads.
    pub(super) fn close(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        join_others(threads);
    }
}

/// Waits for threads to end, except for the calling one: work may hold the last clone of its own database.
pub(super) fn join_others(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let me = std::thread::current().id();
    for thread in threads {
        if thread.thread().id() != me {
            // Its panics were caught and answered where they happened.
            let _ = thread.join();
        }
    }
}

fn work_off(queue: &Queue<Work>) {
    let mut works = Vec::with_capacity(1);
    while queue.take(1, &mut works) {
        for work in works.drain(..) {
            // Who waits for the work sees its answer's sender go.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }
}
