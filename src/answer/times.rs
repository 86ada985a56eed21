//! When the queries of a page began, and how long they took.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// When each query of a piece of work began, and how long it took. Where one follows the other, the end of the one is
/// taken for the beginning of the next: reading the clock costs as much as printing a column.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) queries: Vec<(Arc<str>, Instant, Duration)>,
    pub(super) last: Instant,
    /// Whether nobody will ask.
    unasked: bool,
}

impl Times {
    /// Of work that begins at this moment.
    pub(super) fn since(began: Instant) -> Times {
        Times { queries: Vec::new(), last: began, unasked: false }
    }

    /// Of work whose times nobody will ask for: the clock is left alone.
    pub(super) fn unasked(began: Instant) -> Times {
        Times { unasked: true, ..Times::since(began) }
    }

    /// A query has taken so long, beside others.
    pub(super) fn add(&mut self, name: &Arc<str>, began: Instant, took: Duration) {
        self.queries.push((name.clone(), began, took));
    }

    /// The next query begins now, and not where the last one ended.
    pub(super) fn begin(&mut self) {
        self.last = Instant::now();
    }

    /// A query has ended that began where the one before ended; how long it took.
    pub(super) fn end(&mut self, name: &Arc<str>) -> Duration {
        if self.unasked {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(self.last);
        self.queries.push((name.clone(), self.last, took));
        self.last = now;
        took
    }
}
