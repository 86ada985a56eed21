//! Reading: one link per thread, one snapshot per piece of work, a deadline on all of it.
//!
//! A thread's link is kept between pieces of work, so the way of a query takes no lock. Work that is too long for the
//! caller's thread runs the same way on a thread of the pool, with a later deadline.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use super::link::{Link, Plan, Role};
use super::{at_once, clock};
use crate::database::work::Reading;
use crate::database::{self, Failure, Limit};
use crate::value::{Rows, Value};

/// Slow queries that are remembered at most; a site has fewer queries than this.
const SLOW_QUERIES: usize = 1024;

thread_local! {
    /// This thread's links, one for each open database; most threads have one.
    #[expect(clippy::vec_box, reason = "a link is taken out and put back for each page")]
    static LINKS: RefCell<Vec<Box<KeptLink>>> = const { RefCell::new(Vec::new()) };
}

/// A link and the database that it belongs to.
struct KeptLink {
    readers: Weak<Readers>,
    link: Link,
}

/// What all readers of one database share.
pub(super) struct Readers {
    plan: Plan,
    slow: SlowQueries,
}

impl Readers {
    /// For the database of the plan.
    pub(super) fn new(plan: Plan) -> Arc<Readers> {
        let slow = SlowQueries::new(plan.limits.slow_memory);
        Arc::new(Readers { plan, slow })
    }

    /// Runs `work` on this thread's link.
    pub(super) fn here<T, E: From<Failure>>(
        self: &Arc<Self>,
        deadline: Instant,
        work: impl AsyncFnOnce(&mut database::Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = self.borrow_link()?;
        kept.link.set_deadline(Some(deadline));
        let snapshot =
            Snapshot { kept: Some(kept), readers: self, begun: false, asked: false, late: false, asked_time: false };
        at_once(work(&mut database::Snapshot(Reading::Sqlite(snapshot))))
    }

    /// Whether the query went past a deadline lately.
    pub(super) fn is_slow(&self, sql: &str) -> bool {
        self.slow.holds(sql)
    }

    /// Takes the thread's link out of its place, or opens one. Work within work gets a second one.
    fn borrow_link(self: &Arc<Self>) -> Result<Box<KeptLink>, Failure> {
        let kept = LINKS.with_borrow_mut(|links| {
            let place = links.iter().position(|kept| std::ptr::eq(kept.readers.as_ptr(), Arc::as_ptr(self)));
            if place.is_none() {
                links.retain(|kept| kept.readers.strong_count() > 0);
            }
            place.map(|place| links.swap_remove(place))
        });
        match kept {
            Some(kept) => Ok(kept),
            None => {
                let link = Link::open(&self.plan, Role::Reader)?;
                Ok(Box::new(KeptLink { readers: Arc::downgrade(self), link }))
            }
        }
    }
}

/// See [`database::Snapshot`].
pub(in crate::database) struct Snapshot<'a> {
    /// Always there until the end.
    kept: Option<Box<KeptLink>>,
    readers: &'a Arc<Readers>,
    /// Whether a transaction holds the snapshot.
    begun: bool,
    /// Whether it was asked anything yet. Before its first query the deadline can't be over.
    asked: bool,
    /// Whether a query went past the deadline.
    late: bool,
    asked_time: bool,
}

impl Snapshot<'_> {
    /// See [`database::Snapshot::query`].
    pub(in crate::database) fn query(&mut self, sql: &str, binds: &[Value], limit: Limit) -> Result<Rows, Failure> {
        self.begin()?;
        self.only(sql, binds, limit)
    }

    /// See [`database::Snapshot::read_the_clock`].
    pub(in crate::database) fn read_the_clock(&self) -> bool {
        self.asked_time
    }

    fn link(&mut self) -> Result<&mut Link, Failure> {
        self.kept.as_mut().map(|kept| &mut kept.link).ok_or_else(|| Failure::broken("the snapshot has ended"))
    }

    /// Opens the transaction that holds the snapshot, before the first query.
    fn begin(&mut self) -> Result<(), Failure> {
        if !self.begun {
            self.link()?.own("begin deferred")?;
            self.begun = true;
        }
        Ok(())
    }

    /// See [`database::Snapshot::only`].
    pub(in crate::database) fn only(&mut self, sql: &str, binds: &[Value], limit: Limit) -> Result<Rows, Failure> {
        if std::mem::replace(&mut self.asked, true) && self.link()?.gate.is_late() {
            self.late = true;
        }
        if self.late {
            return Err(Failure::Deadline);
        }
        clock::take_asked();
        let result = self.link()?.query(sql, binds, limit);
        self.asked_time |= clock::take_asked();
        if result == Err(Failure::Deadline) {
            self.late = true;
            self.readers.slow.remember(sql);
        }
        result
    }
}

impl Drop for Snapshot<'_> {
    /// Ends the snapshot, however the work ended, and gives the link back. A link whose transaction doesn't end is
    /// closed, because an open snapshot would keep the write-ahead log growing.
    fn drop(&mut self) {
        let Some(mut kept) = self.kept.take() else { return };
        kept.link.set_deadline(None);
        if self.begun && kept.link.own("commit").is_err() {
            return;
        }
        if kept.link.is_autocommit() {
            // The thread may be ending already; then its links close with it.
            let _ = LINKS.try_with(|links| links.borrow_mut().push(kept));
        }
    }
}

/// The queries that went past a deadline lately, so that they needn't fail again at each visit. They are forgotten
/// after a while: a machine that was busy for a moment makes any query slow.
struct SlowQueries {
    memory: Duration,
    /// How many there are; lets the common case of none go without the lock.
    count: AtomicUsize,
    /// The hash of the query's text, and when it was slow.
    seen: RwLock<HashMap<u64, Instant>>,
}

impl SlowQueries {
    fn new(memory: Duration) -> SlowQueries {
        SlowQueries { memory, count: AtomicUsize::new(0), seen: RwLock::default() }
    }

    fn remember(&self, sql: &str) {
        let now = Instant::now();
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SLOW_QUERIES {
            seen.retain(|_, when| now.saturating_duration_since(*when) < self.memory);
        }
        if seen.len() < SLOW_QUERIES {
            seen.insert(hash(sql), now);
        }
        self.count.store(seen.len(), Ordering::Relaxed);
    }

    fn holds(&self, sql: &str) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.get(&hash(sql)).is_some_and(|when| when.elapsed() < self.memory)
    }
}

fn hash(sql: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    sql.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_queries_are_remembered_for_a_while() {
        let slow = SlowQueries::new(Duration::from_secs(3600));
        assert!(!slow.holds("select 1"));
        slow.remember("select 1");
        assert!(slow.holds("select 1"));
        assert!(!slow.holds("select 2"));

        let forgetful = SlowQueries::new(Duration::ZERO);
        forgetful.remember("select 1");
        assert!(!forgetful.holds("select 1"));
    }
}
