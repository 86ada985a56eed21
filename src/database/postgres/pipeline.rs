//! Single queries of several requests that share a link, sent at once: pipelining.
//!
//! A round trip of its own costs a query more than its answer does: two calls of the system and a wakening, here and at
//! the server. So single queries that come together go together, each still a piece of its own: each has its own
//! snapshot, and the failure of one touches no other. Only statements that have shown to be quick ride so, because each
//! waits for those before it. Where anything is out of the ordinary, also where it takes longer than thought, a query is asked
//! again by its own request, which may be done because it only reads. PostgreSQL documentation, chapter "Pipelining".

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::KNOWN_STATEMENTS;
use super::failure::Trouble;
use super::link::{Link, Step};
use super::pool::{Counted, Pool};
use super::statement::{self, Statement};
use crate::database::{Call, Failure, Limit};
use crate::value::{Declared, Rows, Value};

/// Queries that share a link at most.
const MOST: usize = 16;
/// A statement that takes longer, rides alone.
const QUICK: Duration = Duration::from_millis(2);
/// How long those that share a link are thought to take together.
const TOGETHER: Duration = Duration::from_millis(4);
/// After so long a request asks by itself.
const PATIENCE: Duration = Duration::from_millis(50);
/// One run in so many makes up what is known of a statement's time.
const SMOOTHING: u32 = 8;

/// The answer to a query; `None` where it has to be asked again by itself.
type Answer = Option<Result<Rows, Failure>>;

/// What rides, and what may ride, on the links of one pool.
#[derive(Default)]
pub(super) struct Pipeline {
    waiting: RefCell<VecDeque<Rider>>,
    /// Requests whose queries ride or wait.
    asking: Cell<usize>,
    /// Drivers that are on their way to a link.
    drivers: Cell<usize>,
    known: RefCell<HashMap<u64, Rc<Known>>>,
}

/// A statement that has been run.
struct Known {
    sql: Box<str>,
    kinds: Box<[Declared]>,
    /// How long it takes, smoothed.
    takes: Cell<Duration>,
}

impl Known {
    fn note(&self, took: Duration) {
        let before = self.takes.get();
        self.takes.set(before - before / SMOOTHING + took / SMOOTHING);
    }
}

/// A query that waits for a link.
struct Rider {
    known: Rc<Known>,
    binds: Box<[Value]>,
    limit: Limit,
    answer: oneshot::Sender<Answer>,
}

impl Rider {
    fn step<'a>(&'a self, statement: &'a Statement) -> Step<'a> {
        Step::Run { statement, binds: &self.binds, limit: self.limit }
    }
}

impl Pipeline {
    /// Notes how long a query took that was asked alone.
    pub(super) fn learn(&self, call: &Call<'_>, took: Duration) {
        if let Some(known) = self.known(call) {
            return known.note(took);
        }
        let mut known = self.known.borrow_mut();
        if known.len() >= KNOWN_STATEMENTS {
            known.clear();
        }
        let statement = Known { sql: call.sql.into(), kinds: call.kinds.into(), takes: Cell::new(took) };
        known.insert(statement::key(call.sql, call.kinds), Rc::new(statement));
    }

    fn known(&self, call: &Call<'_>) -> Option<Rc<Known>> {
        let known = self.known.borrow();
        let known = known.get(&statement::key(call.sql, call.kinds))?;
        (*known.sql == *call.sql && *known.kinds == *call.kinds).then(|| Rc::clone(known))
    }

    /// Takes those who ride together next.
    fn board(&self) -> Vec<Rider> {
        let mut waiting = self.waiting.borrow_mut();
        let mut riders = Vec::with_capacity(waiting.len().min(MOST));
        let mut takes = Duration::ZERO;
        while riders.len() < MOST
            && let Some(rider) = waiting.front()
        {
            takes += rider.known.takes.get();
            if takes > TOGETHER && !riders.is_empty() {
                break;
            }
            // Who doesn't wait any more is left behind.
            riders.extend(waiting.pop_front().filter(|rider| !rider.answer.is_closed()));
        }
        riders
    }
}

/// Asks a query together with others, if its statement is known to be quick. `None` where it has to be asked by itself.
/// It must be called where local tasks can be spawned.
pub(super) async fn ask(pool: &Rc<Pool>, call: &Call<'_>, deadline: Instant) -> Answer {
    let pipeline = &pool.pipeline;
    let known = pipeline.known(call).filter(|known| known.takes.get() <= QUICK)?;
    if pipeline.asking.get() >= pool.most_waiting {
        return Some(Err(Failure::Busy));
    }
    let _asking = Counted::new(&pipeline.asking);
    let (answer, hears) = oneshot::channel();
    let rider = Rider { known: Rc::clone(&known), binds: call.binds.into(), limit: call.limit, answer };
    pipeline.waiting.borrow_mut().push_back(rider);
    call_driver(pool);
    match timeout_at(deadline.min(Instant::now() + PATIENCE), hears).await {
        Ok(answer) => answer.ok().flatten(),
        Err(_) => {
            // Behind whom it had to wait can't be told; the next few times each of them asks by itself.
            known.note(PATIENCE);
            None
        }
    }
}

/// Has a driver come if those on their way can't take all who wait. He starts once this thread has looked at all that
/// arrived with the request, and so takes what those ask, too.
fn call_driver(pool: &Rc<Pool>) {
    let pipeline = &pool.pipeline;
    if pipeline.waiting.borrow().len() > pipeline.drivers.get() * MOST {
        pipeline.drivers.set(pipeline.drivers.get() + 1);
        tokio::task::spawn_local(drive(Rc::clone(pool)));
    }
}

/// Takes a link, and those who wait for one.
async fn drive(pool: Rc<Pool>) {
    let lease = pool.take(Instant::now() + PATIENCE).await;
    let pipeline = &pool.pipeline;
    pipeline.drivers.set(pipeline.drivers.get() - 1);
    let riders = pipeline.board();
    call_driver(&pool);
    // Where there is no link, they ask by themselves and are told why.
    if let Ok(mut lease) = lease
        && let Ok(link) = lease.link()
    {
        // Then nobody waits any more: the link is closed, and what the server still does for it is cancelled.
        let _ = timeout(PATIENCE, carry(link, riders)).await;
    }
}

/// Asks for all and answers each. Whom it doesn't answer asks by itself.
///
/// # Errors
/// The link can't be used on.
async fn carry(link: &mut Link, riders: Vec<Rider>) -> Result<(), Trouble> {
    let mut carried = Vec::with_capacity(riders.len());
    for rider in riders {
        match link.prepare(&rider.known.sql, &rider.known.kinds).await {
            Ok(statement) => carried.push((rider, statement)),
            Err(Trouble::Server(_)) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    carried.retain(|(rider, statement)| link.write_apart(&rider.step(statement)));
    if carried.is_empty() {
        return Ok(());
    }
    let (mut before, mut left, mut is_stale) = (Instant::now(), carried.len(), false);
    link.send().await?;
    for (rider, statement) in carried {
        left -= 1;
        let answer = link.answer_apart(&rider.step(&statement), left == 0).await;
        let now = Instant::now();
        rider.known.note(now - before);
        before = now;
        match answer {
            // Who asked may be gone.
            Ok(rows) => drop(rider.answer.send(Some(rows))),
            Err(Trouble::Server(error)) => is_stale |= error.is_stale(),
            Err(trouble) => return Err(trouble),
        }
    }
    if is_stale { link.forget_statements().await } else { Ok(()) }
}
