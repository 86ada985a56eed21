//! The room of the databases: reading, writing, dependencies, migrations. Only this room names rusqlite and the
//! messages of PostgreSQL.
//!
//! It knows SQL text and [`Value`](crate::value::Value)s, not query files and not HTTP. What the types of this file say holds for each
//! back-end; the enum `Engine` here, `Reading` and `Writing` in `work.rs` are the only places that choose one.
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
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::problem::Problem;
use crate::value::Declared;
use versions::{TableSet, Versions};

mod answers;
mod commit;
mod failure;
pub mod migrations;
pub mod moving;
pub mod postgres;
mod sqlite;
pub mod versions;
mod work;

pub use commit::Commit;
pub use failure::{Constraint, ConstraintKind, Failure};
pub(crate) use work::Queries;
pub use work::{Ahead, Call, CallFailure, Snapshot, Transaction, Written};
use work::{Reading, Writing};

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
    /// If it looks up one row of its only table by a unique key, and depends on nothing else: the column that tells the
    /// row's rowid. Only on SQLite.
    pub row: Option<usize>,
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
    Postgres(Arc<Server>),
}

/// A database on a server.
struct Server {
    /// It goes first: it says goodbye.
    notifier: Mutex<Option<postgres::Notifier>>,
    postgres: postgres::Postgres,
    /// Who looks after its schema. It goes last: it drops a scratch database.
    keeper: postgres::Keeper,
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

    /// Opens a database on a PostgreSQL server. It runs no migration.
    ///
    /// # Errors
    /// A URL that can't be read; a server that refuses, or one that may lose what it has acknowledged. A server that can't
    /// be reached is a [`Kind::Busy`](crate::problem::Kind::Busy): it may come.
    pub fn connect(options: &postgres::Options, clock: &Clock) -> Result<Database, Problem> {
        Database::on_server(postgres::Keeper::open(options, clock)?, options)
    }

    /// An empty database on the same server, gone with the last clone of it: for `check` and `test`.
    ///
    /// # Errors
    /// As [`Database::connect`]; none may be made there.
    pub fn scratch_on(options: &postgres::Options, clock: &Clock) -> Result<Database, Problem> {
        let keeper = postgres::Keeper::scratch(options, clock)?;
        let options = postgres::Options { url: keeper.url().to_string(), unsafe_is_fine: true, ..options.clone() };
        Database::on_server(keeper, &options)
    }

    fn on_server(keeper: postgres::Keeper, options: &postgres::Options) -> Result<Database, Problem> {
        let postgres = postgres::Postgres::known(options, keeper.server().clone())?;
        Ok(Database { engine: Engine::Postgres(Arc::new(Server { keeper, postgres, notifier: Mutex::default() })) })
    }

    /// Who looks after the schema of a database on a server; none for one that is embedded.
    pub fn keeper(&self) -> Option<&postgres::Keeper> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(server) => Some(&server.keeper),
        }
    }

    /// Whether queries run inside this process, on the thread that asks. Then what takes long holds up all that the
    /// thread serves, so reading begins with [`Database::here`] and goes on with [`Database::apart`]; else
    /// [`Database::apart`] alone does, because the thread is free while the database works.
    pub fn is_embedded(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => true,
            Engine::Postgres(_) => false,
        }
    }

    /// What a statement reads and writes, what it gives and takes. Each call prepares it afresh, against the schema
    /// as it is now; nothing is run. `kinds` tells what each placeholder is declared to take, as [`Snapshot::query`].
    ///
    /// # Errors
    /// SQL that doesn't prepare, more than one statement, and what a query file must not hold (`begin`, PRAGMA, DDL).
    pub fn describe(&self, sql: &str, kinds: &[Declared]) -> Result<Description, SqlFault> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.describe(sql),
            Engine::Postgres(server) => server.keeper.describe(sql, kinds),
        }
    }

    /// The names of all tables and views that a query may name, sorted; for suggestions.
    pub fn tables(&self) -> Vec<String> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.tables(),
            Engine::Postgres(server) => server.keeper.tables(),
        }
    }

    /// The columns of a table or view in their order; empty if there is no such table.
    pub fn columns_of(&self, table: &str) -> Vec<String> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.columns_of(table),
            Engine::Postgres(server) => server.keeper.columns_of(table),
        }
    }

    /// The tables and columns whose foreign keys, for want of an `on delete`, keep rows of a table from being deleted.
    pub fn held_by(&self, table: &str) -> Vec<(String, String)> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.held_by(table),
            Engine::Postgres(server) => server.keeper.held_by(table),
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
        self.here_until(Instant::now() + limit, work).await
    }

    /// The same until a moment that has not come yet.
    ///
    /// # Errors
    /// As [`Database::here`].
    pub async fn here_until<T, E: From<Failure>>(
        &self,
        deadline: Instant,
        work: impl AsyncFnOnce(&mut Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.here(deadline, work),
            // Boxed, so that a page that reads from SQLite doesn't carry the room for this along.
            Engine::Postgres(server) => {
                let limit = deadline.saturating_duration_since(Instant::now());
                Box::pin(server.read(limit, work)).await
            }
        }
    }

    /// The same without holding up the calling thread. `limit` counts from this call, waiting included.
    ///
    /// An embedded database runs the work on a thread of a bounded pool, even if the future is dropped, but not when its
    /// turn comes after the limit. One on a server runs it in this future; dropping that cancels the work.
    pub fn apart<T, E, W>(&self, limit: Duration, work: W) -> impl Future<Output = Result<T, E>> + use<T, E, W>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnOnce(&mut Snapshot<'_>) -> Result<T, E> + Send + 'static,
    {
        let engine = match &self.engine {
            Engine::Sqlite(sqlite) => Ok(sqlite.apart(limit, work)),
            Engine::Postgres(server) => Err((Arc::clone(server), Instant::now() + limit, work)),
        };
        async move {
            match engine {
                Ok(answer) => answer.await,
                Err((server, until, work)) => {
                    Box::pin(server.read(until.saturating_duration_since(Instant::now()), work)).await
                }
            }
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
            Engine::Sqlite(sqlite) => sqlite.here(Instant::now() + limit, work),
            Engine::Postgres(server) => {
                let server = Arc::clone(server);
                postgres::on_a_thread(async move || server.read(limit, work).await)
            }
        }
    }

    /// Whether the query went past a deadline lately, so that it should run [`Database::apart`] at once.
    pub fn is_slow(&self, sql: &str) -> bool {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.is_slow(sql),
            Engine::Postgres(_) => false,
        }
    }

    /// Runs one action. It is queued at this call, not at the first poll; it is whole or not at all, and is answered
    /// after the durable commit. `work` must do no more than its queries: it may be run again from its start, when
    /// another action takes the transaction that it shares down, or when the database asks for it. It runs to its end
    /// even if the answer is dropped. `Err` rolls the action back, and so does a panic.
    ///
    /// On a server it runs as a local task of the calling thread (`tokio::task::LocalSet`); [`Database::finish`] waits
    /// for those.
    ///
    /// What it writes is not known; [`Database::write_to`] is told.
    pub fn write<T, E, W>(&self, work: W) -> Written<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        self.write_to(&TableSet::all(), work)
    }

    /// As [`Database::write`], with all the tables that the action may write. They are counted up in
    /// [`Database::versions`] before the answer, if it wrote anything.
    pub fn write_to<T, E, W>(&self, tables: &TableSet, work: W) -> Written<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(tables, work),
            Engine::Postgres(server) => {
                let mut work = work;
                let action = async move |transaction: &mut postgres::Transaction| {
                    work(&mut Transaction(Writing::Postgres(transaction))).await
                };
                Written { answer: Some(server.postgres.begin(tables.clone(), action)) }
            }
        }
    }

    /// Waits until the actions that began on this thread have ended, and closes the thread's connections: what each
    /// serving thread calls when it ends. Nothing to do for an embedded database.
    pub async fn finish(&self) {
        if let Engine::Postgres(server) = &self.engine {
            server.postgres.finish().await;
        }
    }

    /// How often each table has changed.
    pub fn versions(&self) -> &Arc<Versions> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.versions(),
            Engine::Postgres(server) => server.postgres.versions(),
        }
    }

    /// Begins to hear what other nodes on the same server write, and to tell them what this one does. Until then the
    /// counts of [`Database::versions`] are not trusted. To be called once, before the first action, and not inside
    /// of a runtime. `watch_others` has triggers tell what other programs write; `tell` is called with what the
    /// operator should know. An embedded database has no other nodes.
    ///
    /// # Errors
    /// The server can't be reached.
    pub fn listen(&self, watch_others: bool, tell: impl Fn(&str) + Send + Sync + 'static) -> Result<(), Problem> {
        if let Engine::Postgres(server) = &self.engine {
            let notifier = server.postgres.listen(watch_others, Box::new(tell))?;
            *server.notifier.lock().unwrap_or_else(PoisonError::into_inner) = Some(notifier);
        }
        Ok(())
    }

    /// Has `tell` called with the cause when the server can't be reached any more, and with `None` when it can again:
    /// once each, whatever the number of requests that meet it.
    pub fn on_outage(&self, tell: impl Fn(Option<&str>) + Send + Sync + 'static) {
        if let Engine::Postgres(server) = &self.engine {
            server.postgres.on_outage(Box::new(tell));
        }
    }

    /// Finishes the actions that wait, refuses new ones, and closes the writer. Blocks until that is done; the last
    /// clone to go does the same.
    pub fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close(),
            // What still runs is waited for by each thread; see `Database::finish`. The other nodes are told that nothing
            // more comes.
            Engine::Postgres(server) => {
                server.postgres.close();
                drop(server.notifier.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
        }
    }
}

impl Server {
    async fn read<T, E: From<Failure>>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let read = async |snapshot: &mut postgres::Snapshot| work(&mut Snapshot(Reading::Postgres(snapshot))).await;
        self.postgres.read(limit, read).await
    }
}
