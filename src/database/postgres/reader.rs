//! Snapshots: pieces of reading whose queries all see the database as it was at the first.
//!
//! The `begin` travels with the first queries and nobody waits for the `commit`, so a page whose queries don't need each other costs
//! one round trip. PostgreSQL documentation, chapter "Transaction Isolation", "Repeatable Read".

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::Plan;
use super::failure::Trouble;
use super::link::{Link, Standing, Step};
use super::pool::{Lease, Pool};
use crate::database::{Call, CallFailure, Failure, Limit};
use crate::value::{Declared, Rows, Value};

const BEGIN: &str = "begin isolation level repeatable read, read only";

/// How long the system may take to accept the few bytes of a `commit`.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// A piece of reading.
pub struct Snapshot {
    pool: Rc<Pool>,
    plan: Arc<Plan>,
    deadline: Instant,
    lease: Option<Lease>,
    /// Whether the work has seen a result.
    given: bool,
    /// Why nothing more can be asked.
    ended: Option<Failure>,
}

impl Snapshot {
    pub(super) fn new(plan: &Arc<Plan>, deadline: Instant) -> Snapshot {
        Snapshot { pool: Pool::of(plan), plan: Arc::clone(plan), deadline, lease: None, given: false, ended: None }
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
        self.single(Call { sql, kinds, binds, limit: limit.into() }, true).await
    }

    /// Like [`Snapshot::query`], for work that has this one query only: it saves the transaction around it. A query
    /// after it sees a newer snapshot.
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
        self.single(Call { sql, kinds, binds, limit: limit.into() }, false).await
    }

    /// Runs several queries that don't need each other's results, in one round trip. `last` tells that nothing is asked
    /// after them, so that nothing need be begun for a single one.
    ///
    /// # Errors
    /// The first that failed. As after [`Snapshot::query`], but queries of the same snapshot can't succeed after any
    /// error of the server.
    pub async fn level(&mut self, calls: &[Call<'_>], last: bool) -> Result<Vec<Rows>, Box<CallFailure>> {
        let results = self.run(calls, !(last && calls.len() == 1)).await?;
        let mut before = Vec::with_capacity(results.len());
        for (call, result) in results.into_iter().enumerate() {
            match result {
                Ok(rows) => before.push(rows),
                Err(failure) => return Err(Box::new(CallFailure { call, failure, before })),
            }
        }
        Ok(before)
    }

    /// Whether a query asked for the time: PostgreSQL doesn't tell, the list of functions does before.
    pub fn read_the_clock(&self) -> bool {
        false
    }

    async fn single(&mut self, call: Call<'_>, begin: bool) -> Result<Rows, Failure> {
        let mut results = self.run(&[call], begin).await.map_err(|failed| failed.failure)?;
        results.pop().unwrap_or(Err(Failure::Down))
    }

    async fn run(&mut self, calls: &[Call<'_>], begin: bool) -> Result<Vec<Result<Rows, Failure>>, Box<CallFailure>> {
        let failed = |failure| Box::new(CallFailure { call: 0, failure, before: Vec::new() });
        let mut first_try = true;
        loop {
            if let Some(failure) = &self.ended {
                return Err(failed(failure.clone()));
            }
            if self.lease.is_none() {
                let lease = self.pool.take(&self.plan, self.deadline).await.map_err(failed)?;
                self.lease = Some(lease);
            }
            let Some(lease) = &mut self.lease else { return Err(failed(Failure::Down)) };
            let used = lease.used;
            let link = lease.link().map_err(failed)?;
            let before = (begin && link.standing() == Standing::Idle).then_some(BEGIN);
            let Ok(result) = timeout_at(self.deadline, exchange(link, before, calls, None)).await else {
                return Err(failed(self.end(Failure::Deadline)));
            };
            let (call, trouble) = match result {
                Ok(done) => {
                    self.given = true;
                    return Ok(done.rows);
                }
                Err(stopped) => stopped,
            };
            match &trouble {
                // Nothing was given out yet, so all can be asked again: after a change of the schema, or where the
                // server was started anew since the link was last used.
                Trouble::Server(error) if first_try && !self.given && error.is_stale() => {
                    self.renew().await.map_err(failed)?;
                }
                Trouble::Lost(_) if first_try && !self.given && used => {
                    self.pool.drop_idle();
                    self.lease = None;
                }
                _ => {
                    let lost = !matches!(trouble, Trouble::Server(_));
                    let bad_value =
                        matches!(trouble, Trouble::Refused(Failure::BadValue { .. } | Failure::Broken { .. }));
                    let failure = failure_of(trouble, calls, call);
                    if lost && !bad_value {
                        self.end(failure.clone());
                    }
                    return Err(Box::new(CallFailure { call, failure, before: Vec::new() }));
                }
            }
            first_try = false;
        }
    }

    /// Forgets the statements that an older schema prepared.
    async fn renew(&mut self) -> Result<(), Failure> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let renewed = timeout_at(self.deadline, lease.link()?.forget_statements()).await;
        match renewed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(trouble)) => Err(self.end(trouble.into_failure("", false))),
            Err(_) => Err(self.end(Failure::Deadline)),
        }
    }

    /// Gives the link up; gives the failure back.
    fn end(&mut self, failure: Failure) -> Failure {
        self.lease = None;
        self.ended = Some(failure.clone());
        failure
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

/// Prepares what is not prepared yet, then sends all at once: a statement of ours, the calls, another of ours.
///
/// # Errors
/// The call at which it ended, from 0, and why.
pub(super) async fn exchange(
    link: &mut Link,
    before: Option<&str>,
    calls: &[Call<'_>],
    after: Option<&str>,
) -> Result<Exchanged, (usize, Trouble)> {
    let mut statements = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        statements.push(link.prepare(call.sql, call.kinds).await.map_err(|trouble| (index, trouble))?);
    }
    let runs = calls.iter().zip(&statements).map(|(call, statement)| Step::Run {
        statement,
        binds: call.binds,
        limit: call.limit,
    });
    let steps: Vec<Step<'_>> = before.map(Step::Own).into_iter().chain(runs).chain(after.map(Step::Own)).collect();
    let own = usize::from(before.is_some());
    let mut rows = match link.run(&steps).await {
        Ok(rows) => rows,
        Err(stop) => return Err((stop.step.saturating_sub(own).min(calls.len().saturating_sub(1)), stop.trouble)),
    };
    let after = after.and_then(|_| rows.pop()?.ok()?.cells.into_iter().next());
    rows.drain(..own);
    Ok(Exchanged { rows, after })
}

/// The failure of one of the calls.
pub(super) fn failure_of(trouble: Trouble, calls: &[Call<'_>], call: usize) -> Failure {
    match calls.get(call) {
        Some(call) => trouble.into_failure(call.sql, !call.binds.is_empty()),
        None => trouble.into_failure("", false),
    }
}
