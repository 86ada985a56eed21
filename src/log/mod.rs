//! The log step: one line for each visit, and notes for the operator, written by a thread of its own.
//!
//! Lines are made on the core that logs and gathered in a buffer; the writer takes all buffers at most every 100 ms.
//! A full buffer drops lines and counts them: a slow disk or a stopped terminal never slows a visit.

mod line;

use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::clock::Clock;
use crate::flow::{Sent, Visit};
use crate::problem::Problem;
use line::Stamp;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How grave a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is not as it should be.
    Warning,
    /// Something failed.
    Error,
}

/// How long lines wait for company.
const GATHER: Duration = Duration::from_millis(100);

/// Bytes of waiting lines at which the writer is called at once.
const HURRY: usize = 256 * 1024;

/// Bytes of waiting lines in one buffer; what comes on top is dropped.
const FULL: usize = 4 * 1024 * 1024;

/// A handle to the log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    format: Format,
    clock: Clock,
    /// A buffer for each core, so that cores don't wait for each other.
    buffers: Box<[Mutex<Buffer>]>,
    dropped: AtomicU64,
    /// Lines are waiting and the writer knows it.
    called: AtomicBool,
    orders: Mutex<Orders>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    stamp: Stamp,
}

/// What the writer is to do.
#[derive(Debug, Default)]
struct Orders {
    lines_wait: bool,
    /// Don't wait for company.
    hurry: bool,
    /// Who waits for everything to be written.
    flushes: Vec<Sender<()>>,
}

impl Log {
    /// Starts the writer. `out` is written to in whole lines; its errors are ignored, since there is nobody to tell.
    pub fn open(format: Format, out: Box<dyn Write + Send>) -> Log {
        Log::with_clock(format, out, Clock::system())
    }

    /// The same with a clock of its own, for tests.
    pub fn with_clock(format: Format, out: Box<dyn Write + Send>, clock: Clock) -> Log {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            format,
            clock,
            buffers: (0..cores).map(|_| Mutex::default()).collect(),
            dropped: AtomicU64::new(0),
            called: AtomicBool::new(false),
            orders: Mutex::default(),
            bell: Condvar::new(),
        });
        let writer = shared.clone();
        // Without a thread the process is about to fail anyway; the log then stays silent.
        let _ = std::thread::Builder::new().name("log".into()).spawn(move || writer.write_forever(out));
        Log { shared }
    }

    /// Logs a visit at its end.
    pub fn visit(&self, visit: &Visit, status: StatusCode, sent: Sent, problem: Option<&Problem>) {
        self.push(|format, lines, time| line::visit(format, lines, time, visit, status, sent, problem));
    }

    /// Logs something that is not a visit.
    pub fn note(&self, level: Level, message: &str) {
        self.push(|format, lines, time| line::note(format, lines, time, level, message));
    }

    /// Waits until what was logged before is written, at most for `limit`. `false` when that was not enough.
    pub fn flush(&self, limit: Duration) -> bool {
        let (sender, written) = channel();
        lock(&self.shared.orders).flushes.push(sender);
        self.shared.bell.notify_one();
        written.recv_timeout(limit).is_ok()
    }

    fn push(&self, write: impl FnOnce(Format, &mut Vec<u8>, &str)) {
        let shared = &*self.shared;
        let mut buffer = lock(&shared.buffers[core() % shared.buffers.len()]);
        if buffer.lines.len() > FULL {
            shared.dropped.fetch_add(1, Relaxed);
            return;
        }
        let Buffer { lines, stamp } = &mut *buffer;
        write(shared.format, lines, stamp.at(shared.clock.millis()));
        let waiting = lines.len();
        drop(buffer);
        if !shared.called.load(Relaxed) && !shared.called.swap(true, Relaxed) {
            shared.call(|orders| orders.lines_wait = true);
        }
        if waiting > HURRY {
            shared.call(|orders| orders.hurry = true);
        }
    }
}

impl Shared {
    fn call(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut lock(&self.orders));
        self.bell.notify_one();
    }

    fn write_forever(&self, mut out: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        loop {
            let flushes = self.next_orders();
            // Whoever logs from here on calls again.
            self.called.store(false, Relaxed);
            for buffer in &self.buffers {
                batch.clear();
                std::mem::swap(&mut lock(buffer).lines, &mut batch);
                let _ = out.write_all(&batch);
            }
            self.write_dropped(&mut out);
            let _ = out.flush();
            for flush in flushes {
                // Whoever asked may have stopped waiting.
                let _ = flush.send(());
            }
            // A burst should not hold its memory for ever.
            batch.shrink_to(HURRY);
        }
    }

    /// Waits for lines, then for company, unless somebody is in a hurry.
    fn next_orders(&self) -> Vec<Sender<()>> {
        let mut orders = lock(&self.orders);
        while !orders.lines_wait && orders.flushes.is_empty() {
            orders = self.bell.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHER;
        while !orders.hurry && orders.flushes.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (orders, _) = self.bell.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut *orders).flushes
    }

    fn write_dropped(&self, out: &mut dyn Write) {
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped == 0 {
            return;
        }
        let (mut lines, mut stamp) = (Vec::new(), Stamp::default());
        let message = format!("{dropped} lines were dropped because the log could not be written fast enough");
        line::note(self.format, &mut lines, stamp.at(self.clock.millis()), Level::Warning, &message);
        let _ = out.write_all(&lines);
    }
}

/// The number of the calling thread, in the order in which threads log first.
fn core() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<usize> = const { Cell::new(usize::MAX) });
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Relaxed));
        }
        own.get()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
