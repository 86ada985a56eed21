//! The links of one thread: at most so many, and at most so many requests that wait for one.
//!
//! A place is taken first, then an idle link or a new one. A link comes back only if it is as if new; one whose user
//! went away in the middle is closed, what the server still does for it is cancelled, and its place is free after that.
//! While the server can't be reached, requests fail at once, and one of them tries again from time to time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use super::pipeline::Pipeline;
use super::{Plan, Role, connect};
use crate::database::Failure;

/// The first pause after the server could not be reached; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A server that takes longer to let somebody in can't be reached.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// This thread's pools, one for each open database; most threads have one.
    static POOLS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

struct Entry {
    runtime: Id,
    pool: Rc<Pool>,
}

/// The pool of one thread for one database.
pub(super) struct Pool {
    pub(super) plan: Arc<Plan>,
    idle: RefCell<Vec<Link>>,
    places: Arc<Semaphore>,
    waiting: Cell<usize>,
    /// Requests that may wait for a link.
    pub(super) most_waiting: usize,
    /// The queries that share links.
    pub(super) pipeline: Pipeline,
    outage: RefCell<Outage>,
}

/// What is known about a server that can't be reached.
#[derive(Default)]
struct Outage {
    failures: u32,
    /// Before this moment nobody tries.
    until: Option<Instant>,
    /// Somebody is trying.
    trying: bool,
}

/// A link and its place; both go back to the pool with it.
pub(super) struct Lease {
    link: Option<Link>,
    pool: Rc<Pool>,
    place: Option<OwnedSemaphorePermit>,
    /// Whether the link was used before: then the server may have gone meanwhile.
    pub(super) used: bool,
}

impl Pool {
    /// This thread's pool.
    pub(super) fn of(plan: &Arc<Plan>) -> Rc<Pool> {
        let runtime = Handle::current().id();
        POOLS.with_borrow_mut(|pools| {
            let own = |entry: &&Entry| entry.runtime == runtime && Arc::ptr_eq(&entry.pool.plan, plan);
            if let Some(entry) = pools.iter().find(own) {
                return Rc::clone(&entry.pool);
            }
            // A thread drives one runtime at a time: links of another can't be used again.
            pools.retain(|entry| entry.runtime == runtime && !entry.pool.plan.is_closed());
            let pool = Rc::new(Pool {
                plan: Arc::clone(plan),
                idle: RefCell::default(),
                places: Arc::new(Semaphore::new(plan.connections.max(1))),
                waiting: Cell::new(0),
                most_waiting: plan.waiting,
                pipeline: Pipeline::default(),
                outage: RefCell::default(),
            });
            pools.push(Entry { runtime, pool: Rc::clone(&pool) });
            pool
        })
    }

    /// Closes all idle links of this thread; must be called inside their runtime.
    pub(super) fn close_all() {
        POOLS.with_borrow_mut(Vec::clear);
    }

    /// Closes this thread's idle links of databases that are closed.
    pub(super) fn sweep() {
        // The thread may be ending already; then its links close with it.
        let _ = POOLS.try_with(|pools| pools.borrow_mut().retain(|entry| !entry.pool.plan.is_closed()));
    }

    /// Takes a link until the deadline.
    ///
    /// # Errors
    /// [`Failure::Busy`] when too many wait, none came free in time or the database is closed, [`Failure::Down`] when
    /// there is no server.
    pub(super) async fn take(self: &Rc<Self>, deadline: Instant) -> Result<Lease, Failure> {
        if self.plan.is_closed() {
            return Err(Failure::Busy);
        }
        let place = self.place(deadline).await?;
        let mut lease = Lease { link: None, pool: Rc::clone(self), place: Some(place), used: true };
        while lease.link.is_none() {
            let idle = self.idle.borrow_mut().pop();
            lease.link = match idle {
                Some(mut link) => (!link.wire.is_closed()).then_some(link),
                None => {
                    lease.used = false;
                    Some(self.open(deadline).await?)
                }
            };
        }
        Ok(lease)
    }

    /// Closes the idle links: the server that they were connected with is gone.
    pub(super) fn drop_idle(&self) {
        self.idle.borrow_mut().clear();
    }

    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        if self.waiting.get() >= self.most_waiting {
            return Err(Failure::Busy);
        }
        let _waiting = Counted::new(&self.waiting);
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Failure::Busy),
        }
    }

    async fn open(&self, deadline: Instant) -> Result<Link, Failure> {
        {
            let mut outage = self.outage.borrow_mut();
            if outage.failures > 0 && (outage.trying || outage.until.is_some_and(|until| Instant::now() < until)) {
                return Err(Failure::Down);
            }
            outage.trying = true;
        }
        let (trying, started) = (Trying(&self.outage), Instant::now());
        let result = timeout_at(deadline, Link::open(&self.plan, Role::Site)).await;
        drop(trying);
        match result {
            Ok(Ok(link)) => {
                *self.outage.borrow_mut() = Outage::default();
                self.plan.tell_trouble(started, None);
                Ok(link)
            }
            // A visitor's time may be short; that alone says nothing about the server.
            Err(_) if started.elapsed() < PATIENCE => Err(Failure::Down),
            Err(_) => Err(self.note_outage(started, "the database did not answer in time".to_string())),
            Ok(Err(trouble)) => Err(self.note_outage(started, trouble.message())),
        }
    }

    fn note_outage(&self, started: Instant, cause: String) -> Failure {
        let mut outage = self.outage.borrow_mut();
        outage.failures = outage.failures.saturating_add(1);
        outage.until = Some(Instant::now() + pause(FIRST_PAUSE, outage.failures, LONGEST_PAUSE));
        self.plan.tell_trouble(started, Some(cause));
        Failure::Down
    }
}

/// Takes back the word that somebody is trying, also when he goes away.
struct Trying<'a>(&'a RefCell<Outage>);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().trying = false;
    }
}

/// One that is counted as long as it lives.
pub(super) struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    /// Counts one more until it goes.
    pub(super) fn new(count: &'a Cell<usize>) -> Counted<'a> {
        count.set(count.get() + 1);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Lease {
    /// The link.
    pub(super) fn link(&mut self) -> Result<&mut Link, Failure> {
        self.link.as_mut().ok_or(Failure::Down)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        if link.is_clean() && !self.pool.plan.is_closed() {
            self.pool.idle.borrow_mut().push(link);
        } else if link.is_working()
            && let Ok(runtime) = Handle::try_current()
        {
            let place = self.place.take();
            let (plan, key) = (Arc::clone(&link.plan), link.key.clone());
            // The server notices that the connection is gone only when it next writes to it.
            runtime.spawn(async move {
                let _ = connect::cancel(&plan, &key).await;
                drop(place);
            });
        }
    }
}

/// A pause that doubles with each try and is different for each who waits.
pub(super) fn pause(first: Duration, tries: u32, longest: Duration) -> Duration {
    let whole = first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(longest);
    let mut random = [0; 1];
    // Without randomness the pauses are even.
    let _ = getrandom::fill(&mut random);
    whole / 2 + whole * u32::from(random[0]) / 512
}
