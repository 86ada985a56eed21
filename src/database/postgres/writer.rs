//! Transactions: an action runs serializable, again from its start when another one got between, and never twice.
//!
//! `begin` travels with the first statement. The transaction's number is asked for with each statement until it has
//! one, which is when it first writes: should the connection be lost during the commit, another connection learns by
//! that number what became of it. PostgreSQL documentation, chapters "Transaction Isolation", "Serializable", and
//! "Transaction ID and Snapshot Information Functions".

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::failure::Trouble;
use super::link::{Link, Standing, Step, Stop};
use super::pool::{Lease, Pool, pause};
use super::reader::{exchange, failure_of};
use super::{Plan, Role};
use crate::database::versions::{Mark, TableSet};
use crate::database::{Call, Failure, Limit};
use crate::value::{Declared, Rows, Value};

const BEGIN: &str = "begin isolation level serializable, read write";
const ASK_NUMBER: &str = "select pg_catalog.pg_current_xact_id_if_assigned()";

/// How often one action is run at most.
const MOST_RUNS: u32 = 40;
/// The first pause before an action is run again.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// How long the commit itself may take, beside the action's own time.
const COMMIT_TIME: Duration = Duration::from_secs(10);
/// The pause between two questions at first, and at last.
const FATE_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Questions after which a server process that still holds the transaction is ended.
const PATIENT_QUESTIONS: u32 = 4;

/// A piece of writing: all of it is committed, or nothing.
pub struct Transaction {
    pool: Rc<Pool>,
    plan: Arc<Plan>,
    deadline: Instant,
    /// What it may write.
    tables: TableSet,
    lease: Option<Lease>,
    /// The transaction's number, once it has written.
    number: Option<Arc<str>>,
    /// Why it can only be rolled back.
    failed: Option<Failure>,
    /// Whether another run from the start may succeed.
    again: bool,
}

/// What became of one run.
enum Fate {
    /// It is committed, or had nothing to commit.
    Committed,
    /// It is rolled back, because the work wanted so.
    Undone,
    /// It is rolled back, although the work took it for done.
    Failed(Failure),
    /// It is rolled back and may be run again.
    Again(Failure),
}

thread_local! {
    /// The actions of this thread.
    static ACTIONS: Rc<Actions> = Rc::default();
}

#[derive(Default)]
struct Actions {
    count: Cell<usize>,
    all_ended: Notify,
}

/// An action of this thread that has not ended; also one that panics ends.
pub(super) struct Running(Rc<Actions>);

impl Running {
    /// One more.
    pub(super) fn begin() -> Running {
        let actions = ACTIONS.with(Rc::clone);
        actions.count.set(actions.count.get() + 1);
        Running(actions)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.all_ended.notify_waiters();
        }
    }
}

/// Waits until no action of this thread runs.
pub(super) async fn all_ended() {
    let actions = ACTIONS.with(Rc::clone);
    while actions.count.get() > 0 {
        actions.all_ended.notified().await;
    }
}

/// Runs an action until it is committed or has failed for good.
pub(super) async fn run<T, E, W>(plan: &Arc<Plan>, tables: TableSet, mut work: W) -> Result<T, E>
where
    E: From<Failure>,
    W: AsyncFnMut(&mut Transaction) -> Result<T, E>,
{
    let deadline = Instant::now() + plan.limits.action_time;
    let mut runs = 1;
    loop {
        let mut transaction = Transaction::new(plan, tables.clone(), deadline);
        let result = work(&mut transaction).await;
        match transaction.finish(result.is_ok()).await {
            Fate::Committed | Fate::Undone => return result,
            Fate::Failed(failure) => return Err(failure.into()),
            Fate::Again(failure) if runs >= MOST_RUNS || Instant::now() >= deadline => return Err(failure.into()),
            Fate::Again(_) => {}
        }
        sleep(pause(FIRST_PAUSE, runs, LONGEST_PAUSE)).await;
        runs += 1;
    }
}

impl Transaction {
    fn new(plan: &Arc<Plan>, tables: TableSet, deadline: Instant) -> Transaction {
        let (pool, plan) = (Pool::of(plan), Arc::clone(plan));
        Transaction { pool, plan, deadline, tables, lease: None, number: None, failed: None, again: false }
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// Any [`Failure`]. After any but [`Failure::TooManyRows`] the action can only be rolled back: every further
    /// statement fails in the same way, and so does the action whatever its work says.
    pub async fn query(
        &mut self,
        sql: &str,
        kinds: &[Declared],
        binds: &[Value],
        limit: impl Into<Limit>,
    ) -> Result<Rows, Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        if self.lease.is_none() {
            match self.pool.take(self.deadline).await {
                Ok(lease) => self.lease = Some(lease),
                Err(failure) => return Err(self.fail(failure)),
            }
        }
        let call = [Call { sql, kinds, binds, limit: limit.into() }];
        let Some(link) = self.lease.as_mut().and_then(|lease| lease.link().ok()) else {
            return Err(self.fail(Failure::Down));
        };
        let before = (link.standing() == Standing::Idle).then_some(BEGIN);
        let after = (self.number.is_none() && self.plan.tells_fates()).then_some(ASK_NUMBER);
        let asked = async {
            if after.is_some() {
                link.ask_life().await.map_err(|trouble| Stop { done: Vec::new(), trouble })?;
            }
            exchange(link, before, &call, after).await
        };
        match timeout_at(self.deadline, asked).await {
            Ok(Ok(mut done)) => {
                if let Some(Value::Text(number)) = done.after {
                    self.number = Some(number);
                }
                done.rows.pop().unwrap_or(Err(Failure::Down))
            }
            Ok(Err(Stop { trouble, .. })) => {
                self.again = match &trouble {
                    Trouble::Server(error) => error.is_retryable(),
                    Trouble::Lost(_) => true,
                    Trouble::Refused(_) => false,
                };
                if matches!(&trouble, Trouble::Server(error) if error.is_stale()) {
                    self.forget_statements().await;
                }
                if let Trouble::Lost(_) = trouble {
                    self.pool.drop_idle();
                    self.lease = None;
                }
                let failure = failure_of(trouble, &call, 0);
                Err(self.fail(failure))
            }
            Err(_) => {
                self.lease = None;
                Err(self.fail(Failure::Deadline))
            }
        }
    }

    fn fail(&mut self, failure: Failure) -> Failure {
        self.failed = Some(failure.clone());
        failure
    }

    /// A link that can't be renewed is not used again: it is not clean.
    async fn forget_statements(&mut self) {
        if let Some(link) = self.lease.as_mut().and_then(|lease| lease.link().ok()) {
            let _ = timeout_at(self.deadline, link.forget_statements()).await;
        }
    }

    /// Commits or rolls back.
    async fn finish(mut self, wanted: bool) -> Fate {
        // What it has read, others may have committed a moment ago without having counted it.
        self.plan.versions.count_marked(&TableSet::all());
        if wanted && self.failed.is_none() && self.tell_within().await.is_ok() {
            return self.commit().await;
        }
        if let Some(link) = self.lease.as_mut().and_then(|lease| lease.link().ok())
            && !link.is_working()
            && link.standing() != Standing::Idle
        {
            let _ = timeout(COMMIT_TIME, link.send_and_forget("rollback")).await;
        }
        match self.failed {
            Some(failure) if self.again => Fate::Again(failure),
            Some(failure) if wanted => Fate::Failed(failure),
            _ => Fate::Undone,
        }
    }

    /// An action that has only read changes nothing.
    fn may_change(&self) -> bool {
        self.number.is_some() || !self.plan.tells_fates()
    }

    /// Says what it changes within the transaction, where the notifier's word might be missed by nobody.
    async fn tell_within(&mut self) -> Result<(), Failure> {
        let nodes = self.plan.nodes.get().filter(|_| self.may_change());
        match nodes.and_then(|nodes| nodes.word_within(&self.tables)) {
            Some(word) => self.query(&word, &[], &[], 1).await.map(drop),
            None => Ok(()),
        }
    }

    async fn commit(self) -> Fate {
        let change = self.may_change().then(|| Change::begin(&self.plan, &self.tables));
        let fate = self.try_to_commit().await;
        if let Some(change) = change {
            change.end(matches!(fate, Fate::Committed | Fate::Failed(Failure::Unknown))).await;
        }
        fate
    }

    async fn try_to_commit(mut self) -> Fate {
        let Some(link) = self.lease.as_mut().and_then(|lease| lease.link().ok()) else { return Fate::Committed };
        if link.standing() == Standing::Idle {
            return Fate::Committed;
        }
        let (process, life) = (link.key.process, link.life.clone().unwrap_or_default());
        match timeout(COMMIT_TIME, link.run(&[Step::Own("commit")])).await {
            Ok(Ok(_)) => Fate::Committed,
            Ok(Err(Stop { trouble: Trouble::Server(error), .. })) => {
                let retryable = error.is_retryable();
                let failure = error.into_failure("", false);
                if retryable { Fate::Again(failure) } else { Fate::Failed(failure) }
            }
            _ => {
                self.lease = None;
                self.pool.drop_idle();
                match &self.number {
                    None if !self.plan.tells_fates() => Fate::Failed(Failure::Unknown),
                    // It has written nothing, so nothing is lost and nothing can be there twice.
                    None => Fate::Again(Failure::Down),
                    Some(number) => fate_of(&self.plan, &Lost { number, process, life: &life }).await,
                }
            }
        }
    }
}

/// The commit of what changes tables. Whatever becomes of it, what was read before it counts no more.
struct Change {
    plan: Arc<Plan>,
    /// `None` once that is settled.
    mark: Option<Mark>,
}

impl Change {
    fn begin(plan: &Arc<Plan>, tables: &TableSet) -> Change {
        Change { mark: Some(plan.versions.mark(tables)), plan: Arc::clone(plan) }
    }

    /// To be called before anybody is answered. Other nodes are told only of what may be committed.
    async fn end(mut self, may_be_committed: bool) {
        if let Some(told) = self.settle(may_be_committed) {
            told.await;
        }
    }

    fn settle(&mut self, may_be_committed: bool) -> Option<impl Future<Output = ()> + use<>> {
        let tables = self.mark.take()?.tables().clone();
        let nodes = self.plan.nodes.get().filter(|_| may_be_committed)?;
        Some(nodes.tell(&tables))
    }
}

impl Drop for Change {
    /// The action was dropped in the middle: it may be committed, and nobody is answered.
    fn drop(&mut self) {
        drop(self.settle(true));
    }
}

/// A transaction whose connection was lost during the commit.
struct Lost<'a> {
    number: &'a str,
    /// The server's process that held it.
    process: i32,
    /// The server's life in which it had the number; see [`Link::ask_life`].
    life: &'a str,
}

/// Learns what became of a transaction.
async fn fate_of(plan: &Arc<Plan>, lost: &Lost<'_>) -> Fate {
    let until = Instant::now() + plan.limits.action_time.saturating_mul(2);
    let mut questions = 0;
    while Instant::now() < until {
        questions += 1;
        match timeout_at(until, ask_fate(plan, lost, questions > PATIENT_QUESTIONS)).await {
            Ok(Ok(Some(fate))) => return fate,
            Ok(_) => sleep(pause(FATE_PAUSES.0, questions, FATE_PAUSES.1)).await,
            Err(_) => break,
        }
    }
    Fate::Failed(Failure::Unknown)
}

/// Asks once, on a connection of its own; `None` is no answer yet.
async fn ask_fate(plan: &Arc<Plan>, lost: &Lost<'_>, end_it: bool) -> Result<Option<Fate>, Trouble> {
    let Lost { number, process, life } = lost;
    let mut link = Link::open(plan, Role::Keeper).await?;
    let question = format!("select pg_catalog.pg_xact_status('{number}'::xid8)");
    let rows = match link.simple(&question).await {
        Ok(rows) => rows,
        // Another server stands there now, one that has never come so far.
        Err(Trouble::Server(_)) => return Ok(Some(Fate::Failed(Failure::Unknown))),
        Err(trouble) => return Err(trouble),
    };
    let (known, other) = (!life.is_empty(), *link.ask_life().await? != **life);
    match rows.cells.first().and_then(Value::as_str) {
        Some("committed") if known && !other => Ok(Some(Fate::Committed)),
        // After a crash another transaction may have the number: if this one had been committed, none could.
        Some("committed") => Ok(Some(Fate::Failed(Failure::Unknown))),
        Some("in progress") if known && other => Ok(Some(Fate::Again(Failure::Down))),
        Some("aborted") => Ok(Some(Fate::Again(Failure::Down))),
        Some(_) => {
            if end_it {
                // Nobody will ever tell it to go on. The process that had this number may be another one by now.
                let end = format!(
                    "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity \
                     where pid = {process} and backend_xid = '{number}'::xid8::xid"
                );
                link.simple(&end).await?;
            }
            Ok(None)
        }
        None => Ok(Some(Fate::Failed(Failure::Unknown))),
    }
}
