//! Compresses files in memory on one background thread, so that no visit waits for the thorough way.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{OnceLock, Weak};

use super::file::Loaded;
use crate::compress::{Effort, Encoding};

/// Files that may wait; a further one is asked for again at its next visit.
const QUEUE: usize = 1024;

struct Job {
    /// Weak: bytes that were replaced while they waited are not worth the work.
    loaded: Weak<Loaded>,
    encoding: Encoding,
}

/// Asks for a compressed form; `false` when the queue is full or there is no thread.
pub(super) fn ask(loaded: Weak<Loaded>, encoding: Encoding) -> bool {
    static QUEUE_END: OnceLock<Option<SyncSender<Job>>> = OnceLock::new();
    let sender = QUEUE_END.get_or_init(start);
    sender.as_ref().is_some_and(|sender| sender.try_send(Job { loaded, encoding }).is_ok())
}

fn start() -> Option<SyncSender<Job>> {
    let (sender, jobs) = sync_channel::<Job>(QUEUE);
    let work = move || {
        for job in jobs {
            if let Some(loaded) = job.loaded.upgrade() {
                let packed = job.encoding.compress(loaded.plain().bytes(), Effort::Thorough);
                loaded.put(job.encoding, packed);
            }
        }
    };
    std::thread::Builder::new().name("press".into()).spawn(work).ok()?;
    Some(sender)
}
