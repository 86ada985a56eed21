//! The threads that hash: few, so that hashing leaves room for pages, with a bounded queue before them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Busy;

/// A piece of work.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The pool. Its threads begin with the first work, and end when it is gone and what waits is done.
#[derive(Debug)]
pub(super) struct Pool {
    threads: usize,
    waiting: usize,
    queue: OnceLock<SyncSender<Work>>,
}

impl Pool {
    pub(super) fn new(threads: usize, waiting: usize) -> Pool {
        Pool { threads: threads.max(1), waiting, queue: OnceLock::new() }
    }

    /// Queues a piece of work, unless too many wait.
    pub(super) fn push(&self, work: Work) -> Result<(), Busy> {
        self.queue.get_or_init(|| self.start()).try_send(work).map_err(|_| Busy)
    }

    /// Starts the threads. If the system gives none, the queue has no other end and everything is busy.
    fn start(&self) -> SyncSender<Work> {
        let (sender, receiver) = sync_channel(self.waiting);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..self.threads {
            let receiver = Arc::clone(&receiver);
            let run = move || work_off(&receiver);
            let _ = std::thread::Builder::new().name("passwords".to_string()).spawn(run);
        }
        sender
    }
}

fn work_off(queue: &Mutex<Receiver<Work>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // Who waits for the work sees its answer's sender go.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    thread_local! {
        /// Dropped when its thread ends.
        static HELD: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
    }

    #[test]
    fn threads_end_with_the_pool() {
        let pool = Pool::new(1, 4);
        let (held, ended) = channel();
        pool.push(Box::new(move || HELD.set(Some(held)))).unwrap();
        drop(pool);
        assert!(ended.recv().is_err(), "the thread has gone, and its sender with it");
    }

    #[test]
    fn a_panic_ends_its_own_work_alone() {
        let pool = Pool::new(1, 4);
        let (sender, answer) = channel();
        pool.push(Box::new(|| panic!("for the test"))).unwrap();
        pool.push(Box::new(move || sender.send(1).unwrap())).unwrap();
        assert_eq!(answer.recv(), Ok(1));
    }
}
