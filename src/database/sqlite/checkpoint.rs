//! Checkpoints: committed pages go from the write-ahead log to the database file, in the background
//! (<https://www.sqlite.org/wal.html#ckpt>).
//!
//! A passive checkpoint stops nobody, but while actions go on it never comes to the log's end. So what was written
//! meanwhile is moved by the writer itself, between two groups; then the log begins anew in the place that it has on the
//! disk. To write over that costs less than to let the file grow: its size needn't be synced with each commit.
//!
//! When readers keep that from happening and the log grows too large, the writer truncates it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::link::{Link, Plan, Role};
use super::pool::join_others;
use super::queue::Queue;
use crate::database::Failure;

/// After so many new pages (4 KiB each) a passive checkpoint is due; SQLite's own default.
const PASSIVE_PAGES: usize = 1_000;

/// The writer moves the rest after a passive checkpoint when it is no more pages than these.
const REST_PAGES: usize = 500;

/// After so many new pages (64 MiB) the writer truncates the log.
const TRUNCATE_PAGES: usize = 16_384;

/// The checkpointing thread, as the writer sees it.
pub(super) struct Checkpointer {
    /// One request at most: while it waits, another would say the same.
    requests: Arc<Queue<()>>,
    thread: Option<JoinHandle<()>>,
    /// A passive checkpoint has run since this was asked last.
    passed: Arc<AtomicBool>,
    passive: Pace,
    truncation: Pace,
}

impl Checkpointer {
    /// Opens a connection of its own and starts the thread.
    pub(super) fn start(plan: &Plan) -> Result<Checkpointer, Failure> {
        let requests = Arc::new(Queue::new(1));
        let passed = Arc::new(AtomicBool::new(false));
        let (plan, work, pass) = (plan.clone(), Arc::clone(&requests), Arc::clone(&passed));
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_string())
            .spawn(move || work_off(&plan, &work, &pass))
            .map_err(|error| Failure::broken(format!("no thread for checkpoints: {error}")))?;
        let (passive, truncation) = (Pace::every(PASSIVE_PAGES), Pace::every(TRUNCATE_PAGES));
        Ok(Checkpointer { requests, thread: Some(thread), passed, passive, truncation })
    }

    /// Tells the length of the log after a commit; asks for a passive checkpoint when one is due.
    pub(super) fn request(&mut self, pages: usize) {
        if self.passive.is_due(pages) {
            // Full means that a request waits already.
            let _ = self.requests.push(());
        }
    }

    /// Whether a passive checkpoint has just left so little that the writer may move it.
    pub(super) fn leaves_a_rest(&self, pages: usize) -> bool {
        self.passed.swap(false, Ordering::Relaxed) && pages <= self.passive.last + REST_PAGES
    }

    /// Whether the log has grown so large that the writer must truncate it.
    pub(super) fn wants_truncation(&mut self, pages: usize) -> bool {
        self.truncation.is_due(pages)
    }

    /// Ends the thread.
    pub(super) fn close(&mut self) {
        self.requests.close();
        join_others(self.thread.take());
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Says when something is due again as the log grows.
struct Pace {
    every: usize,
    last: usize,
}

impl Pace {
    fn every(every: usize) -> Pace {
        Pace { every, last: 0 }
    }

    fn is_due(&mut self, pages: usize) -> bool {
        if pages < self.last {
            // The log began anew.
            self.last = 0;
        }
        let due = pages >= self.last + self.every;
        if due {
            self.last = pages;
        }
        due
    }
}

fn work_off(plan: &Plan, requests: &Queue<()>, passed: &AtomicBool) {
    let mut link = None;
    let mut taken = Vec::with_capacity(1);
    while requests.take(1, &mut taken) {
        taken.clear();
        if link.is_none() {
            link = Link::open(plan, Role::Checkpointer).ok();
        }
        // A failure here loses nothing: the pages stay in the log until the next checkpoint. A connection that failed is
        // opened anew.
        if link.as_mut().is_some_and(|link| link.own("pragma wal_checkpoint(passive)").is_err()) {
            link = None;
        }
        passed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_after_so_many_new_pages() {
        let mut pace = Pace::every(1_000);
        assert!(!pace.is_due(999));
        assert!(pace.is_due(1_000));
        assert!(!pace.is_due(1_500));
        assert!(pace.is_due(2_000));
        // Begun anew after a checkpoint.
        assert!(!pace.is_due(3));
        assert!(pace.is_due(1_001));
    }
}
