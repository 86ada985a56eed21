//! The room of the databases: reading, writing, dependencies, migrations. Only this room names rusqlite.
//!
//! It knows SQL text and [`Value`](crate::value::Value)s, not query files and not HTTP. Today there is one back-end, SQLite;
//! what the types of this file say is meant to hold for PostgreSQL as well.
//!
//! - [`Database::here`] and [`Database::apart`] read: one snapshot for all queries of a piece of work.
//! - [`Database::write`] runs an action inside a group commit and answers after the durable commit.
//! - [`Database::describe`] tells what a statement reads and writes before it ever runs.
//! - [`migrations`] bring the schema to the site's state.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::problem::{Kind, Problem};

pub mod migrations;
pub mod postgres;
mod sqlite;

pub use sqlite::{Snapshot, Transaction, Written};

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
    /// The first rows are kept; whether there are more is told by [`Rows::more`](crate::value::Rows::more).
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
    engine: Arc<sqlite::Sqlite>,
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
        Ok(Database { engine: Arc::new(sqlite::Sqlite::open(options)?) })
    }

    /// An empty database that is gone when the last clone of it goes: for `check` and `test`.
    ///
    /// # Errors
    /// The folder for temporary files can't be written.
    pub fn scratch(clock: &Clock) -> Result<Database, Problem> {
        Ok(Database { engine: Arc::new(sqlite::Sqlite::scratch(clock)?) })
    }

    /// What a statement reads and writes, what it gives and takes. Each call prepares it afresh, against the schema
    /// as it is now; nothing is run.
    ///
    /// # Errors
    /// SQL that doesn't prepare, more than one statement, and what a query file must not hold (`begin`, PRAGMA, DDL).
    pub fn describe(&self, sql: &str) -> Result<Description, SqlFault> {
        self.engine.describe(sql)
    }

    /// The names of all tables and views that a query may name, sorted; for suggestions.
    pub fn tables(&self) -> Vec<String> {
        self.engine.tables()
    }

    /// The columns of a table or view in their order; empty if there is no such table.
    pub fn columns_of(&self, table: &str) -> Vec<String> {
        self.engine.columns_of(table)
    }

    /// Reads on the calling thread's own connection. All queries of `work` see the same snapshot; it ends with
    /// `work`, also when that fails or panics. Past `limit` (wall time of the whole work) a query is dropped with
    /// [`Failure::Deadline`], remembered as slow, and the caller may run the whole work again by [`Database::apart`].
    ///
    /// # Errors
    /// Whatever `work` answers; the connection may fail to open.
    pub fn here<T, E: From<Failure>>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        self.engine.here(limit, work)
    }

    /// The same on a thread of a bounded pool. `limit` counts from this call, waiting included. The work runs even
    /// if the future is dropped, but not when its turn comes after the limit.
    pub fn apart<T, E, W>(&self, limit: Duration, work: W) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: FnOnce(&mut Snapshot) -> Result<T, E> + Send + 'static,
    {
        self.engine.apart(limit, work)
    }

    /// Whether the query went past a deadline lately, so that it should run [`Database::apart`] at once.
    pub fn is_slow(&self, sql: &str) -> bool {
        self.engine.is_slow(sql)
    }

    /// Runs one action. It is queued at this call, not at the first poll; it shares a transaction with the actions
    /// that wait beside it, each whole or not at all, and is answered after the durable commit. `work` must do no more
    /// than its queries: it may be run again from its start when another action takes the shared transaction down.
    /// It runs to its end even if the answer is dropped. `Err` rolls the action back, and so does a panic.
    pub fn write<T, E>(&self, work: impl FnMut(&mut Transaction) -> Result<T, E> + Send + 'static) -> Written<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        self.engine.write(work)
    }

    /// Finishes the actions that wait, refuses new ones, and closes the writer. Blocks until that is done; the last
    /// clone to go does the same.
    pub fn close(&self) {
        self.engine.close();
    }
}
