//! Snapshots: pieces of reading whose queries all see the database as it was at the first.
//!
//! What is sent at once is one transaction by itself, so a page whose queries don't need each other costs one round trip,
//! and may share that with other pages (`pipeline.rs`). Else the `begin` travels with the first queries, and nobody waits
//! for the `commit`. PostgreSQL documentation, chapters "Transaction Isolation", "Repeatable Read" and "Frontend/Backend
//! Protocol", "Pipelining".

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::Plan;
use super::failure::Trouble;
use super::link::{Link, Standing, Step, Stop};
use super::pipeline;
use super::pool::{Lease, Pool};
use crate::database::{Call, Failure, Limit};
use crate::value::{Declared, Rows, Value};

const BEGIN: &str = "begin isolation level repeatable read, read only";

/// How long the system may take to accept the few bytes of a `commit`.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// A piece of reading.
pub struct Snapshot {
    pool: Rc<Pool>,
    deadline: Instant,
    lease: Option<Lease>,
    /// Whether the work has seen a result.
    given: bool,
    /// Why nothing more can be asked.
    ended: Option<Failure>,
}

impl Snapshot {
    pub(super) fn new(plan: &Arc<Plan>, deadline: Instant) -> Snapshot {
        Snapshot { pool: Pool::of(plan), deadline, lease: None, given: false, ended: None }
    }

    /// Runs one query.
    ///
    /// # Errors
    /// Any [`Failure`]; after [`Failure::Deadline`] and [`Failure::Down`] every further query fails so, too.
    pub async fn query(
        &mut self,
        sql: &str,
        kinds: &[Declared],
        binds: &[Value],
        limit: impl Into<Limit>,
    ) -> Result<Rows, Failure> {
        self.single(Call { sql, kinds, binds, limit: limit.into() }, false).await
    }

    /// Like [`Snapshot::query`], for work that has this one query only: it saves the transaction around it, and may share a
    /// round trip with other requests. A query after it sees a newer snapshot.
    ///
    /// # Errors
    /// As [`Snapshot::query`].
    pub async fn only(
        &mut self,
        sql: &str,
        kinds: &[Declared],
        binds: &[Value],
        limit: impl Into<Limit>,
    ) -> Result<Rows, Failure> {
        self.single(Call { sql, kinds, binds, limit: limit.into() }, true).await
    }

    /// Runs several queries that don't need each other's results, in one round trip. Gives their answers in their
    /// order, up to the first failure; after an error of the server no query of this snapshot can succeed. `last` tells
    /// that nothing is asked after them: then the snapshot ends with them, and if nothing was asked before them, they may
    /// share the round trip with other requests.
    pub async fn level(&mut self, calls: &[Call<'_>], last: bool) -> Vec<Result<Rows, Failure>> {
        let mut answers = self.run(calls, last).await;
        if let Some(failed) = answers.iter().position(Result::is_err) {
            answers.truncate(failed + 1);
        }
        answers
    }

    /// Whether a query asked for the time: PostgreSQL doesn't tell, the list of functions does before.
    pub fn read_the_clock(&self) -> bool {
        false
    }

    async fn single(&mut self, call: Call<'_>, last: bool) -> Result<Rows, Failure> {
        self.run(&[call], last).await.pop().unwrap_or(Err(Failure::Down))
    }

    /// The answers up to the one that failed.
    async fn run(&mut self, calls: &[Call<'_>], last: bool) -> Vec<Result<Rows, Failure>> {
        if self.lease.is_none() && self.ended.is_none() && last && self.makes_one(calls) {
            match pipeline::ask(&self.pool, calls, self.deadline).await {
                Ok(Some(answers)) => return answers,
                Ok(None) => {}
                Err(failure) => {
                    self.ended = Some(failure.clone());
                    return vec![Err(failure)];
                }
            }
        }
        let stopped = match self.attempt(calls, last).await {
            // Nothing was given out yet, so all can be asked again: after a change of the schema, or where the server
            // was started anew since the link was last used.
            Err(stop) if !self.given && self.renew(&stop.trouble).await => self.attempt(calls, last).await,
            result => result,
        };
        match stopped {
            Ok(rows) => {
                self.given = true;
                rows
            }
            Err(Stop { mut done, trouble }) => {
                let goes_on = match &trouble {
                    Trouble::Server(_) => true,
                    Trouble::Refused(failure) => matches!(failure, Failure::BadValue { .. } | Failure::Broken { .. }),
                    Trouble::Lost(_) => false,
                };
                let failure = failure_of(trouble, calls, done.len());
                if !goes_on {
                    self.lease = None;
                    self.ended = Some(failure.clone());
                }
                done.push(Err(failure));
                done
            }
        }
    }

    async fn attempt(&mut self, calls: &[Call<'_>], last: bool) -> Result<Vec<Result<Rows, Failure>>, Stop> {
        let refused = |failure| Stop { done: Vec::new(), trouble: Trouble::Refused(failure) };
        if let Some(failure) = &self.ended {
            return Err(refused(failure.clone()));
        }
        let is_one = last && self.makes_one(calls);
        if self.lease.is_none() {
            self.lease = Some(self.pool.take(self.deadline).await.map_err(refused)?);
        }
        let Some(link) = self.lease.as_mut().and_then(|lease| lease.link().ok()) else {
            return Err(refused(Failure::Down));
        };
        let is_idle = link.standing() == Standing::Idle;
        let is_whole = is_one && is_idle;
        let (begin, commit) = (is_idle && !is_whole, last && !is_whole);
        let exchanged = exchange(link, begin.then_some(BEGIN), calls, commit.then_some("commit"));
        let began = Instant::now();
        let exchanged = timeout_at(self.deadline, exchanged).await.map_err(|_| refused(Failure::Deadline))??;
        if is_whole {
            self.pool.pipeline.learn(calls, began.elapsed());
        }
        Ok(exchanged.rows)
    }

    /// Whether the server makes one transaction of what is sent at once.
    fn makes_one(&self, calls: &[Call<'_>]) -> bool {
        calls.len() == 1 || self.pool.plan.makes_one_transaction()
    }

    /// Prepares for another attempt, if one may go better.
    async fn renew(&mut self, trouble: &Trouble) -> bool {
        let Some(lease) = &mut self.lease else { return false };
        match trouble {
            Trouble::Lost(_) if lease.used => {
                self.pool.drop_idle();
                self.lease = None;
                true
            }
            Trouble::Server(error) if error.is_stale() => {
                let Ok(link) = lease.link() else { return false };
                matches!(timeout_at(self.deadline, link.forget_statements()).await, Ok(Ok(())))
            }
            _ => false,
        }
    }

    /// Ends the snapshot after the work; nobody waits for the answer.
    pub(super) async fn finish(&mut self) {
        if let Some(lease) = &mut self.lease
            && let Ok(link) = lease.link()
            && link.standing() != Standing::Idle
            && !link.is_working()
        {
            let _ = timeout(PARTING_TIME, link.send_and_forget("commit")).await;
        }
        self.lease = None;
    }
}

/// What a batch gave.
pub(super) struct Exchanged {
    /// For each call.
    pub(super) rows: Vec<Result<Rows, Failure>>,
    /// The only cell of the step after the calls.
    pub(super) after: Option<Value>,
}

/// Prepares what is not prepared yet, then sends all at once: a statement of ours, the calls, another of ours. Where
/// a call can't be prepared, those before it are run alone.
///
/// # Errors
/// The answers of the calls before the one at which it ended, and why.
pub(super) async fn exchange(
    link: &mut Link,
    before: Option<&str>,
    calls: &[Call<'_>],
    after: Option<&str>,
) -> Result<Exchanged, Stop> {
    let mut statements = Vec::with_capacity(calls.len());
    let mut refused = None;
    for call in calls {
        match link.prepare(call.sql, call.kinds).await.map_err(|trouble| trouble.without_values(call.sql)) {
            Ok(statement) => statements.push(statement),
            Err(trouble @ (Trouble::Server(_) | Trouble::Refused(Failure::Broken { .. })))
                if !statements.is_empty() =>
            {
                refused = Some(trouble);
                break;
            }
            Err(trouble) => return Err(Stop { done: Vec::new(), trouble }),
        }
    }
    let runs = calls.iter().zip(&statements);
    let runs = runs.map(|(call, statement)| Step::Run { statement, binds: call.binds, limit: call.limit });
    let steps: Vec<Step<'_>> = before.map(Step::Own).into_iter().chain(runs).chain(after.map(Step::Own)).collect();
    let own = usize::from(before.is_some());
    let mut rows = match link.run(&steps).await {
        Ok(rows) => rows,
        Err(mut stop) => {
            stop.done.drain(..own.min(stop.done.len()));
            return Err(stop);
        }
    };
    let after = after.and_then(|_| rows.pop()?.ok()?.cells.into_iter().next());
    rows.drain(..own);
    match refused {
        Some(trouble) => Err(Stop { done: rows, trouble }),
        None => Ok(Exchanged { rows, after }),
    }
}

/// The failure of one of the calls.
pub(super) fn failure_of(trouble: Trouble, calls: &[Call<'_>], call: usize) -> Failure {
    match calls.get(call) {
        Some(call) => trouble.into_failure(call.sql, !call.binds.is_empty()),
        None => trouble.into_failure("", false),
    }
}
