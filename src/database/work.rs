//! What work for the database holds in its hands: a snapshot or a transaction, whichever back-end it belongs to, and the
//! answer of an action to come.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::answers::Hearer;
use super::commit::Commit;
use super::{Failure, Limit, postgres, sqlite};
use crate::value::{Declared, Kind, Rows, Value};

/// A piece of reading: all its queries see the database as it was at the first.
pub struct Snapshot<'a>(pub(super) Reading<'a>);

/// A snapshot of each back-end.
pub(super) enum Reading<'a> {
    Sqlite(sqlite::Snapshot<'a>),
    Postgres(&'a mut postgres::Snapshot),
}

/// What waits for a server is boxed, so that work for SQLite doesn't carry the room for it along.
impl Snapshot<'_> {
    /// Runs one query with its placeholders bound to `binds` in their order. `kinds` tells what each is declared to
    /// take; an empty slice tells nothing. SQLite needs no kinds and binds a list as a JSON array.
    ///
    /// # Errors
    /// Any [`Failure`]; after [`Failure::Deadline`] every further query fails so, too.
    pub async fn query(
        &mut self,
        sql: &str,
        kinds: &[Declared],
        binds: &[Value],
        limit: impl Into<Limit>,
    ) -> Result<Rows, Failure> {
        let limit = limit.into();
        match &mut self.0 {
            Reading::Sqlite(snapshot) => snapshot.query(sql, binds, limit),
            Reading::Postgres(snapshot) => Box::pin(snapshot.query(sql, kinds, binds, limit)).await,
        }
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
        let limit = limit.into();
        match &mut self.0 {
            Reading::Sqlite(snapshot) => snapshot.only(sql, binds, limit),
            Reading::Postgres(snapshot) => Box::pin(snapshot.only(sql, kinds, binds, limit)).await,
        }
    }

    /// Whether [`Snapshot::level`] saves time: each question of the database is a way there and back.
    pub fn prefers_levels(&self) -> bool {
        match &self.0 {
            Reading::Sqlite(_) => false,
            Reading::Postgres(_) => true,
        }
    }

    /// Runs queries of which none needs the rows of another, in one way to the database and back where there is one.
    /// `last` tells that this snapshot is asked nothing after them, so that nothing need be begun for a single one.
    ///
    /// # Errors
    /// The first that failed, after which this snapshot can be asked nothing more.
    pub async fn level(&mut self, calls: &[Call<'_>], last: bool) -> Result<Vec<Rows>, Box<CallFailure>> {
        match &mut self.0 {
            Reading::Sqlite(snapshot) => {
                let alone = last && calls.len() == 1;
                up_to_a_failure(calls.iter().map(|Call { sql, binds, limit, .. }| match alone {
                    true => snapshot.only(sql, binds, *limit),
                    false => snapshot.query(sql, binds, *limit),
                }))
            }
            Reading::Postgres(snapshot) => up_to_a_failure(Box::pin(snapshot.level(calls, last)).await),
        }
    }

    /// Whether a query of this snapshot asked for the time (`datetime('now')`, `current_timestamp`).
    pub fn read_the_clock(&self) -> bool {
        match &self.0 {
            Reading::Sqlite(snapshot) => snapshot.read_the_clock(),
            Reading::Postgres(snapshot) => snapshot.read_the_clock(),
        }
    }
}

/// Takes answers until the first that failed.
fn up_to_a_failure(answers: impl IntoIterator<Item = Result<Rows, Failure>>) -> Result<Vec<Rows>, Box<CallFailure>> {
    let mut before = Vec::new();
    for (call, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(rows) => before.push(rows),
            Err(failure) => return Err(Box::new(CallFailure { call, failure, before })),
        }
    }
    Ok(before)
}

/// One query of [`Snapshot::level`]; what [`Snapshot::query`] takes.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The SQL.
    pub sql: &'c str,
    /// What each placeholder is declared to take, or nothing.
    pub kinds: &'c [Declared],
    /// A value for each placeholder.
    pub binds: &'c [Value],
    /// How many rows it may give.
    pub limit: Limit,
}

/// Which query of [`Snapshot::level`] failed, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFailure {
    /// Its place among the calls.
    pub call: usize,
    /// Why.
    pub failure: Failure,
    /// The rows of those before it; fewer, or none, where they were lost with it.
    pub before: Vec<Rows>,
}

/// An action's part of a transaction.
pub struct Transaction<'a>(pub(super) Writing<'a>);

/// A transaction of each back-end.
pub(super) enum Writing<'a> {
    Sqlite(sqlite::Transaction<'a>),
    Postgres(&'a mut postgres::Transaction),
}

impl Transaction<'_> {
    /// Runs one statement, reading or writing; as [`Snapshot::query`]. [`Rows::changed`] tells the rows that it changed
    /// by itself, not through triggers or cascades.
    ///
    /// # Errors
    /// Any [`Failure`]. After one that ended the transaction, and past the action's time, every further statement
    /// fails.
    pub async fn query(
        &mut self,
        sql: &str,
        kinds: &[Declared],
        binds: &[Value],
        limit: impl Into<Limit>,
    ) -> Result<Rows, Failure> {
        let limit = limit.into();
        match &mut self.0 {
            Writing::Sqlite(transaction) => transaction.query(sql, binds, limit),
            Writing::Postgres(transaction) => Box::pin(transaction.query(sql, kinds, binds, limit)).await,
        }
    }
}

impl Transaction<'_> {
    /// Does work whose changes are taken back at once; what it gives, or fails with, stays.
    ///
    /// # Errors
    /// Whatever `work` answers; then the action can only be rolled back.
    pub(crate) async fn undone<T, E: From<Failure>>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.own("savepoint tableside_undone").await?;
        let done = work(self).await?;
        self.own("rollback to savepoint tableside_undone").await?;
        self.own("release savepoint tableside_undone").await?;
        Ok(done)
    }

    /// Runs a statement of the server's own.
    async fn own(&mut self, sql: &str) -> Result<(), Failure> {
        match &mut self.0 {
            Writing::Sqlite(transaction) => transaction.own(sql),
            Writing::Postgres(transaction) => Box::pin(transaction.query(sql, &[], &[], 0)).await.map(drop),
        }
    }
}

/// What can run one query: a page's snapshot and an action's transaction alike.
pub(crate) trait Queries {
    /// Runs one statement, as [`Snapshot::query`] and [`Transaction::query`].
    async fn run(&mut self, sql: &str, kinds: &[Declared], binds: &[Value], limit: Limit) -> Result<Rows, Failure>;

    /// The same of a statement that takes these bytes and reads nothing but the table of sessions: what it gave before may
    /// be given again, as long as that table is as it was.
    async fn recall(&mut self, sql: &'static str, key: &[u8], limit: Limit) -> Result<Arc<Rows>, Failure> {
        ask_by_key(self, sql, key, limit).await
    }
}

async fn ask_by_key<Q: Queries + ?Sized>(
    queries: &mut Q,
    sql: &'static str,
    key: &[u8],
    limit: Limit,
) -> Result<Arc<Rows>, Failure> {
    let key = Value::Blob(Arc::from(key));
    queries.run(sql, &[Kind::Bytes.one()], &[key], limit).await.map(Arc::new)
}

impl Queries for Snapshot<'_> {
    async fn run(&mut self, sql: &str, kinds: &[Declared], binds: &[Value], limit: Limit) -> Result<Rows, Failure> {
        self.query(sql, kinds, binds, limit).await
    }
}

impl Queries for Transaction<'_> {
    async fn run(&mut self, sql: &str, kinds: &[Declared], binds: &[Value], limit: Limit) -> Result<Rows, Failure> {
        self.query(sql, kinds, binds, limit).await
    }

    async fn recall(&mut self, sql: &'static str, key: &[u8], limit: Limit) -> Result<Arc<Rows>, Failure> {
        match &mut self.0 {
            Writing::Sqlite(transaction) => transaction.recall(sql, key, limit),
            Writing::Postgres(_) => ask_by_key(self, sql, key, limit).await,
        }
    }
}

/// The answer of an action to come; a future. Dropping it does not stop the action.
#[must_use = "the action runs, but nobody hears whether it succeeded"]
pub struct Written<T, E> {
    /// `None` when the queue was full.
    pub(super) answer: Option<Hearer<Told<T, E>>>,
}

/// What an action gave, and the commit that it waits for.
pub(super) type Told<T, E> = Result<(T, Commit), E>;

impl<T, E: From<Failure>> Written<T, E> {
    /// The answer as soon as the action has run, with the commit to come.
    pub fn ahead(self) -> Ahead<T, E> {
        self.answer.iter().for_each(Hearer::hurry);
        Ahead(self)
    }

    /// Blocks the calling thread until the answer is there; not for threads that drive a runtime.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<T, E> {
        let answer = self.answer.ok_or(Failure::Busy)?;
        durable(answer.wait().unwrap_or_else(|| Err(ended().into())))
    }
}

impl<T, E: From<Failure>> Future for Written<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.poll_told(context).map(durable)
    }
}

impl<T, E: From<Failure>> Written<T, E> {
    fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Told<T, E>> {
        match &mut self.answer {
            None => Poll::Ready(Err(Failure::Busy.into())),
            Some(answer) => Pin::new(answer).poll(context).map(|answer| answer.unwrap_or_else(|| Err(ended().into()))),
        }
    }
}

/// What was told to somebody who doesn't hurry: that holds.
pub(super) fn durable<T, E>(told: Told<T, E>) -> Result<T, E> {
    told.map(|(value, _)| value)
}

/// What an action gives, with the commit that it waits for: a future. Where many commit together, it is ready before
/// they do, so that answers can be made while the disk is at work. Dropping it does not stop the action.
#[must_use = "the action runs, but nobody hears whether it succeeded"]
pub struct Ahead<T, E>(Written<T, E>);

impl<T, E: From<Failure>> Future for Ahead<T, E> {
    type Output = Result<(T, Commit), E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(T, Commit), E>> {
        self.0.poll_told(context)
    }
}

/// The writer ended before it answered; it never does so on purpose.
fn ended() -> Failure {
    Failure::broken("the writer ended before the action did")
}
