//! What several requests ask, sent at once over one link: pipelining.
//!
//! A round trip of its own costs a query more than its answer does: two calls of the system and a wakening, here and at
//! the server. So requests that come together go together. What each asks is still a piece of its own: it has its own
//! snapshot, and its failure touches no other. Only statements that have shown to be quick ride so, because each waits for
//! those before it. Where anything is out of the ordinary, also where it takes longer than thought, a request asks again
//! by itself, which may be done because it only reads. PostgreSQL documentation, chapter "Pipelining".

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

/// Requests that share a link at most.
const MOST: usize = 16;
/// What takes longer goes alone.
const QUICK: Duration = Duration::from_millis(2);
/// How long those that share a link are thought to take together.
const TOGETHER: Duration = Duration::from_millis(4);
/// After so long a request asks by itself.
const PATIENCE: Duration = Duration::from_millis(50);
/// One run in so many makes up what is known of a statement's time.
const SMOOTHING: u32 = 8;

/// The answers to what a request asked.
type Answers = Vec<Result<Rows, Failure>>;

/// What rides, and what may ride, on the links of one pool.
#[derive(Default)]
pub(super) struct Pipeline {
    waiting: RefCell<VecDeque<Rider>>,
    /// Requests that ride or wait.
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

/// A request that waits for a link.
struct Rider {
    asks: Box<[Ask]>,
    /// Gone without a word, it has the request ask by itself.
    answers: oneshot::Sender<Answers>,
}

struct Ask {
    known: Rc<Known>,
    binds: Box<[Value]>,
    limit: Limit,
}

impl Rider {
    fn takes(&self) -> Duration {
        self.asks.iter().map(|ask| ask.known.takes.get()).sum()
    }

    fn note(&self, took: Duration) {
        self.asks.iter().for_each(|ask| ask.known.note(took / self.asks.len() as u32));
    }

    /// With each statement as it is prepared on a link.
    fn steps<'a>(&'a self, statements: &'a [Rc<Statement>]) -> Vec<Step<'a>> {
        let asks = self.asks.iter().zip(statements);
        asks.map(|(ask, statement)| Step::Run { statement, binds: &ask.binds, limit: ask.limit }).collect()
    }
}

impl Pipeline {
    /// Notes how long a request's queries took that were asked alone.
    pub(super) fn learn(&self, calls: &[Call<'_>], took: Duration) {
        calls.iter().for_each(|call| self.learn_one(call, took / calls.len() as u32));
    }

    fn learn_one(&self, call: &Call<'_>, took: Duration) {
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

    /// What a request asks, if it is known to be quick.
    fn quick(&self, calls: &[Call<'_>]) -> Option<Box<[Ask]>> {
        let mut takes = Duration::ZERO;
        let asks = calls.iter().map(|call| {
            let known = self.known(call)?;
            takes += known.takes.get();
            (takes <= QUICK).then(|| Ask { known, binds: call.binds.into(), limit: call.limit })
        });
        asks.collect()
    }

    /// Takes those who ride together next.
    fn board(&self) -> Vec<Rider> {
        let mut waiting = self.waiting.borrow_mut();
        let mut riders = Vec::with_capacity(waiting.len().min(MOST));
        let mut takes = Duration::ZERO;
        while riders.len() < MOST
            && let Some(rider) = waiting.front()
        {
            takes += rider.takes();
            if takes > TOGETHER && !riders.is_empty() {
                break;
            }
            // Who doesn't wait any more is left behind.
            riders.extend(waiting.pop_front().filter(|rider| !rider.answers.is_closed()));
        }
        riders
    }
}

/// Asks together with others, if all of it is known to be quick; the answers up to the first failure. `None` where the
/// request has to ask by itself. It must be called where local tasks can be spawned.
///
/// # Errors
/// [`Failure::Busy`] when too many wait.
pub(super) async fn ask(pool: &Rc<Pool>, calls: &[Call<'_>], deadline: Instant) -> Result<Option<Answers>, Failure> {
    let pipeline = &pool.pipeline;
    let Some(asks) = pipeline.quick(calls) else { return Ok(None) };
    if pipeline.asking.get() >= pool.most_waiting {
        return Err(Failure::Busy);
    }
    let _asking = Counted::new(&pipeline.asking);
    let (answers, hears) = oneshot::channel();
    pipeline.waiting.borrow_mut().push_back(Rider { asks, answers });
    call_driver(pool);
    match timeout_at(deadline.min(Instant::now() + PATIENCE), hears).await {
        Ok(answers) => Ok(answers.ok()),
        Err(_) => {
            // Behind whom it had to wait can't be told; the next few times each of them asks by itself.
            pipeline.learn(calls, PATIENCE * calls.len() as u32);
            Ok(None)
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
        match prepare(link, &rider).await {
            Ok(statements) => carried.push((rider, statements)),
            Err(Trouble::Server(_)) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    carried.retain(|(rider, statements)| link.write_apart(&rider.steps(statements)));
    if carried.is_empty() {
        return Ok(());
    }
    let (mut before, mut left, mut is_stale) = (Instant::now(), carried.len(), false);
    link.send().await?;
    for (rider, statements) in carried {
        left -= 1;
        let answers = link.read_apart(&rider.steps(&statements), left == 0).await;
        let now = Instant::now();
        rider.note(now - before);
        before = now;
        match answers {
            // Who asked may be gone.
            Ok(answers) => drop(rider.answers.send(answers)),
            Err(Trouble::Server(error)) => is_stale |= error.is_stale(),
            Err(trouble) => return Err(trouble),
        }
    }
    if is_stale { link.forget_statements().await } else { Ok(()) }
}

async fn prepare(link: &mut Link, rider: &Rider) -> Result<Vec<Rc<Statement>>, Trouble> {
    let mut statements = Vec::with_capacity(rider.asks.len());
    for Ask { known, .. } in &rider.asks {
        statements.push(link.prepare(&known.sql, &known.kinds).await?);
    }
    Ok(statements)
}
