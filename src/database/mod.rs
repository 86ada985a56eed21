//! The room of the databases: reading, writing, dependencies, migrations. Only this room names rusqlite.
//!
//! It knows SQL text and [`Value`]s, not query files and not HTTP. What the types of this file say holds for each
//! back-end; [`Engine`] and the two enums beside it ([`Reading`], [`Writing`]) are the only places that choose one.
//!
//! Work is given as async closures, so that it is written once. On SQLite, which is embedded, each query is ready at
//! once: the work runs to its end at the first poll, on the thread where the engine runs it, and so it may await
//! nothing but its queries. Its future is made and finished there and need never be `Send`.
//!
//! - [`Database::here`] and [`Database::apart`] read: one snapshot for all queries of a piece of work.
//! - [`Database::write`] runs an action inside a transaction and answers after the durable commit.
//! - [`Database::describe`] tells what a statement reads and writes before it ever runs.
//! - [`migrations`] bring the schema to the site's state.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::problem::{Kind, Problem};
use crate::value::{Declared, Rows, Value};

pub mod migrations;
pub mod postgres;
mod sqlite;

/// What [`Database::open`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file; its folder is made if it is missing.
    pub path: PathBuf,
    /// The clock that SQL's `now` reads.
    pub clock: Clock,
    /// The limits.
    pub limits: Limits,
}

impl Options {
    /// The system's clock and the default limits for the database file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Options {
        Options { path: path.into(), clock: Clock::system(), limits: Limits::default() }
    }
}

/// What the database room allows. Each has a default that suits a site on a small machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Actions that may wait for the writer; one more is refused at once with [`Failure::Busy`].
    pub waiting_actions: usize,
    /// Actions that share one commit at most.
    pub group: usize,
    /// How long one action may work, its queries included.
    pub action_time: Duration,
    /// Threads for reading apart from the callers' threads.
    pub apart_threads: usize,
    /// Pieces of work that may wait for such a thread; one more is refused at once with [`Failure::Busy`].
    pub apart_waiting: usize,
    /// How long a lock held by another process is waited for.
    pub busy_time: Duration,
    /// Bytes of one value or one row: no deadline fires inside one SQL function.
    pub value_bytes: usize,
    /// Bytes of all texts and blobs of one query's rows.
    pub result_bytes: usize,
    /// The largest size of the database file; `None` is as large as the disk allows.
    pub database_bytes: Option<u64>,
    /// Prepared statements that one connection keeps.
    pub statements: usize,
    /// How long a query that went past its deadline is remembered as slow.
    pub slow_memory: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            waiting_actions: 1024,
            group: 128,
            action_time: Duration::from_secs(5),
            apart_threads: 4,
            apart_waiting: 256,
            busy_time: Duration::from_secs(5),
            value_bytes: 16 << 20,
            result_bytes: 64 << 20,
            database_bytes: None,
            statements: 512,
            slow_memory: Duration::from_secs(60),
        }
    }
}

/// How many rows a query may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// One row more is [`Failure::TooManyRows`].
    AtMost(usize),
    /// The first rows are kept; whether there are more is told by [`Rows::more`].
    First(usize),
}

impl From<usize> for Limit {
    fn from(rows: usize) -> Limit {
        Limit::AtMost(rows)
    }
}

/// Why a query, an action or a piece of reading failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It took longer than its limit. A reader may run it again with [`Database::apart`].
    Deadline,
    /// A rule of the schema forbids it.
    Constraint(Constraint),
    /// More rows than the limit, which is told.
    TooManyRows(usize),
    /// A value, a row or a result is longer than the limit.
    TooLarge,
    /// A queue is full, the database is closing, or another process holds a lock for too long.
    Busy,
    /// The disk is full, or the database has reached its largest size.
    Full,
    /// There is no connection to the database, and none can be made now.
    Down,
    /// The connection was lost while the transaction was being committed: nobody can tell whether it was.
    Unknown,
    /// A bound value doesn't fit where it stands: a number out of range, a character that can't be kept, a text that
    /// is no UUID.
    BadValue {
        /// The database's own message.
        message: String,
        /// The place of the value among those that were bound, from 0, where the database tells it.
        bind: Option<usize>,
    },
    /// Anything else: a fault of the SQL, the site or the machine.
    Broken {
        /// The database's own message.
        message: String,
        /// The byte of the SQL text that it points at.
        offset: Option<usize>,
    },
}

impl Failure {
    /// A [`Failure::Broken`] that points at no place.
    pub fn broken(message: impl Into<String>) -> Failure {
        Failure::Broken { message: message.into(), offset: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Deadline => out.write_str("the query took longer than its limit"),
            Failure::Constraint(constraint) => out.write_str(&constraint.message),
            Failure::TooManyRows(limit) => write!(out, "the query gave more than {limit} rows"),
            Failure::TooLarge => out.write_str("a value or a result is larger than its limit"),
            Failure::Busy => out.write_str("the database is busy"),
            Failure::Full => out.write_str("the disk or the database is full"),
            Failure::Down => out.write_str("the database can't be reached"),
            Failure::Unknown => out.write_str("the connection was lost during the commit"),
            Failure::BadValue { message, .. } | Failure::Broken { message, .. } => out.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Problem {
    /// The problem when nobody knows a better one: who runs a query file turns constraints and bad values into errors
    /// of fields first.
    fn from(failure: Failure) -> Problem {
        let cause = failure.to_string();
        match failure {
            Failure::Busy | Failure::Full | Failure::Down | Failure::Deadline => Problem::busy(cause),
            Failure::Unknown => Problem::new(Kind::Busy, "It is not known whether this was done.").caused_by(cause),
            Failure::BadValue { .. } => Problem::malformed("A value of this request can't be used.").caused_by(cause),
            Failure::Constraint(_) => {
                Problem::new(Kind::Conflict, "This doesn't fit what is already there.").caused_by(cause)
            }
            Failure::TooLarge => Problem::new(Kind::TooLarge, "This is too large.").caused_by(cause),
            Failure::TooManyRows(_) | Failure::Broken { .. } => Problem::broken(cause),
        }
    }
}

/// A rule of the schema that a statement broke.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraint {
    /// What kind of rule.
    pub kind: ConstraintKind,
    /// The rule's name: of a `check`, or of the `create unique index`; `None` where the schema gives it none.
    pub name: Option<String>,
    /// The table, where the database tells it.
    pub table: Option<String>,
    /// The columns in the order of the rule, where the database tells them.
    pub columns: Vec<String>,
    /// The database's message, or the author's own text from `raise(abort, '…')`.
    pub message: String,
}

impl Constraint {
    /// Whether an author means this rule by `name`: its own name, or the one that PostgreSQL would give it where the
    /// schema gives none (`items_slug_key`, `items_pkey`, `items_price_not_null`).
    pub fn is_called(&self, name: &str) -> bool {
        if self.name.as_deref() == Some(name) {
            return true;
        }
        let Some(rest) = self.table.as_deref().and_then(|table| name.strip_prefix(table)) else { return false };
        let columns = self.columns.join("_");
        match self.kind {
            ConstraintKind::Unique => rest == "_pkey" || rest == format!("_{columns}_key"),
            ConstraintKind::NotNull => rest == format!("_{columns}_not_null"),
            _ => false,
        }
    }
}

/// The kinds of rules that a schema has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConstraintKind {
    /// The same value, or key, is there already.
    Unique,
    /// A value is missing.
    NotNull,
    /// A `check` doesn't hold.
    Check,
    /// What is pointed at doesn't exist, or what is removed is still pointed at.
    ForeignKey,
    /// A trigger called `raise(…)`.
    Raised,
    /// A value has the wrong type for its column.
    Type,
    /// Another rule.
    #[default]
    Other,
}

/// What a statement reads or writes: tables by name, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Exactly known, or more than what is really touched, never less.
    Known(BTreeSet<String>),
    /// It can't be told; the caller must take every table for touched.
    Unknown,
}

impl Tables {
    /// No table at all.
    pub fn none() -> Tables {
        Tables::Known(BTreeSet::new())
    }

    /// Whether the table may be among them.
    pub fn may_hold(&self, table: &str) -> bool {
        match self {
            Tables::Known(names) => names.contains(table),
            Tables::Unknown => true,
        }
    }

    /// Whether it is known that no table is touched.
    pub fn is_none(&self) -> bool {
        matches!(self, Tables::Known(names) if names.is_empty())
    }

    /// Adds the tables of another statement.
    pub fn add(&mut self, other: &Tables) {
        match (&mut *self, other) {
            (Tables::Known(mine), Tables::Known(theirs)) => mine.extend(theirs.iter().cloned()),
            _ => *self = Tables::Unknown,
        }
    }
}

/// What a statement is, known without running it.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Names of the columns that it gives; empty for a write without `returning`.
    pub columns: Vec<String>,
    /// The tables that its result depends on: views followed, triggers and cascades included.
    pub reads: Tables,
    /// The tables that it may change, by itself, through triggers and through foreign keys.
    pub writes: Tables,
    /// Functions outside the closed list of pure ones (`random`, `changes` …): a result must not be kept.
    pub impure: BTreeSet<String>,
    /// Whether it calls a date function, so that it may read the clock; see [`Snapshot::read_the_clock`].
    pub may_read_clock: bool,
    /// How many placeholders it has.
    pub placeholders: usize,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Why tables are unknown, such as `calls f()`; empty when they are known, or when nobody can tell.
    pub because: String,
}

/// Why a statement can't be prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFault {
    /// The message, such as `no such column: nmae`.
    pub message: String,
    /// The byte of the SQL text that it points at.
    pub offset: Option<usize>,
}

/// A database that is open. Clones are the same database; the last one to go closes it.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
}

/// The back-ends.
#[derive(Clone)]
enum Engine {
    Sqlite(Arc<sqlite::Sqlite>),
}

impl fmt::Debug for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Database")
    }
}

/// All serving threads share one.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Database>();
};

impl Database {
    /// Opens the database file, makes it if it is missing, and starts its writer. It runs no migration.
    ///
    /// # Errors
    /// A file or folder that can't be opened, or that is no database.
    pub fn open(options: &Options) -> Result<Database, Problem> {
        Ok(Database { engine: Engine::Sqlite(Arc::new(sqlite::Sqlite::open(options)?)) })
    }

    /// An empty database that is gone when the last clone of it goes: for `check` and `test`.
    ///
    /// # Errors
    /// The folder for temporary files can't be written.
    pub fn scratch(clock: &Clock) -> Result<Database, Problem> {
        Ok(Database { engine: Engine::Sqlite(Arc::new(sqlite::Sqlite::scratch(clock)?)) })
    }

    /// Whether queries run inside this process, on the thread that asks. Then what takes long holds up all that the
    /// thread serves, so reading begins with [`Database::here`] and goes on with [`Database::apart`]; else
    /// [`Database::apart`] alone does, because the thread is free while the database works.
    pub fn is_embedded(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => true,
        }
    }

    /// What a statement reads and writes, what it gives and takes. Each call prepares it afresh, against the schema
    /// as it is now; nothing is run.
    ///
    /// # Errors
    /// SQL that doesn't prepare, more than one statement, and what a query file must not hold (`begin`, PRAGMA, DDL).
    pub fn describe(&self, sql: &str) -> Result<Description, SqlFault> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.describe(sql),
        }
    }

    /// The names of all tables and views that a query may name, sorted; for suggestions.
    pub fn tables(&self) -> Vec<String> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.tables(),
        }
    }

    /// The columns of a table or view in their order; empty if there is no such table.
    pub fn columns_of(&self, table: &str) -> Vec<String> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.columns_of(table),
        }
    }

    /// Reads on the calling thread's own connection. All queries of `work` see the same snapshot; it ends with
    /// `work`, also when that fails or panics. Past `limit` (wall time of the whole work) a query is dropped with
    /// [`Failure::Deadline`], remembered as slow, and the caller may run the whole work again by [`Database::apart`].
    ///
    /// On an embedded database the future is ready at its first poll.
    ///
    /// # Errors
    /// Whatever `work` answers; the connection may fail to open.
    pub async fn here<T, E: From<Failure>>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.here(limit, work),
        }
    }

    /// The same without holding up the calling thread: an embedded database runs the work on a thread of a bounded
    /// pool. `limit` counts from this call, waiting included. The work runs even if the future is dropped, but not when
    /// its turn comes after the limit.
    pub fn apart<T, E, W>(&self, limit: Duration, work: W) -> impl Future<Output = Result<T, E>> + use<T, E, W>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnOnce(&mut Snapshot<'_>) -> Result<T, E> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.apart(limit, work),
        }
    }

    /// Reads and blocks the calling thread until that is done; not for threads that drive a runtime.
    ///
    /// # Errors
    /// As [`Database::here`].
    pub fn read_and_wait<T, E, W>(&self, limit: Duration, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnOnce(&mut Snapshot<'_>) -> Result<T, E> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.here(limit, work),
        }
    }

    /// Whether the query went past a deadline lately, so that it should run [`Database::apart`] at once.
    pub fn is_slow(&self, sql: &str) -> bool {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.is_slow(sql),
        }
    }

    /// Runs one action. It is queued at this call, not at the first poll; it is whole or not at all, and is answered
    /// after the durable commit. `work` must do no more than its queries: it may be run again from its start, when
    /// another action takes the transaction that it shares down, or when the database asks for it. It runs to its end
    /// even if the answer is dropped. `Err` rolls the action back, and so does a panic.
    pub fn write<T, E, W>(&self, work: W) -> Written<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(work),
        }
    }

    /// Finishes the actions that wait, refuses new ones, and closes the writer. Blocks until that is done; the last
    /// clone to go does the same.
    pub fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close(),
        }
    }
}

/// A piece of reading: all its queries see the database as it was at the first.
pub struct Snapshot<'a>(Reading<'a>);

/// A snapshot of each back-end.
enum Reading<'a> {
    Sqlite(sqlite::Snapshot<'a>),
}

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
        let _ = kinds;
        match &mut self.0 {
            Reading::Sqlite(snapshot) => snapshot.query(sql, binds, limit.into()),
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
        let _ = kinds;
        match &mut self.0 {
            Reading::Sqlite(snapshot) => snapshot.only(sql, binds, limit.into()),
        }
    }

    /// Whether [`Snapshot::level`] saves time: each question of the database is a way there and back.
    pub fn prefers_levels(&self) -> bool {
        match &self.0 {
            Reading::Sqlite(_) => false,
        }
    }

    /// Runs queries of which none needs the rows of another, in one way to the database and back where there is one.
    /// Gives their answers in their order, up to the first failure, after which no query can be asked. `last` tells that
    /// this snapshot is asked nothing after them: what ends it can go with them, and if they are the first, too, and
    /// only one, nothing need be begun.
    pub async fn level(&mut self, calls: &[Call<'_>], last: bool) -> Vec<Result<Rows, Failure>> {
        let _ = last;
        let mut answers = Vec::with_capacity(calls.len());
        match &mut self.0 {
            Reading::Sqlite(snapshot) => {
                for call in calls {
                    answers.push(snapshot.query(call.sql, call.binds, call.limit));
                    if let Some(Err(_)) = answers.last() {
                        break;
                    }
                }
            }
        }
        answers
    }

    /// Whether a query of this snapshot asked for the time (`datetime('now')`, `current_timestamp`).
    pub fn read_the_clock(&self) -> bool {
        match &self.0 {
            Reading::Sqlite(snapshot) => snapshot.read_the_clock(),
        }
    }
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

/// An action's part of a transaction.
pub struct Transaction<'a>(Writing<'a>);

/// A transaction of each back-end.
enum Writing<'a> {
    Sqlite(sqlite::Transaction<'a>),
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
        let _ = kinds;
        match &mut self.0 {
            Writing::Sqlite(transaction) => transaction.query(sql, binds, limit.into()),
        }
    }
}

/// The answer of an action to come; a future. Dropping it does not stop the action.
#[must_use = "the action runs, but nobody hears whether it succeeded"]
pub struct Written<T, E> {
    /// `None` when the queue was full.
    answer: Option<oneshot::Receiver<Result<T, E>>>,
}

impl<T, E: From<Failure>> Written<T, E> {
    /// Blocks the calling thread until the answer is there; not for threads that drive a runtime.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<T, E> {
        let answer = self.answer.ok_or(Failure::Busy)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(ended().into()))
    }
}

impl<T, E: From<Failure>> Future for Written<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        match &mut self.answer {
            None => Poll::Ready(Err(Failure::Busy.into())),
            Some(answer) => Pin::new(answer).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(ended().into()))),
        }
    }
}

/// The writer ended before it answered; it never does so on purpose.
fn ended() -> Failure {
    Failure::broken("the writer ended before the action did")
}
