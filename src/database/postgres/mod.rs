//! PostgreSQL, on a server: a pool of connections for each serving thread, snapshots and serializable transactions.
//!
//! It speaks the server's protocol itself, on the messages, types and log-in of `postgres-protocol`: so the first
//! statement travels with its `begin`, the server stops at a limit of rows without a cursor, columns of any type
//! arrive as text, and no task stands between who asks and the socket.
//!
//! | file | holds |
//! |---|---|
//! | `address` `tls` `connect` `wire` | the URL; what is encrypted; opening a connection; its messages |
//! | `link` `statement` `failure` | a connection in use; its prepared statements; what its codes mean |
//! | `server` | what stands at the other end, and whether it keeps what it acknowledges |
//! | `pool` `pipeline` | the links of a thread; queries of several requests that share one |
//! | `reader` `writer` | snapshots; transactions |
//! | `types` `encode` `decode` | the types of placeholders; values to the server, and from it |
//! | `keeper` `schema` `identity` | who looks after the schema; migrations; `integer primary key` |
//! | `moving` `copy` | a whole site's data, from here or to here; rows in bulk |
//! | `notify` `line` `news` `triggers` | what other nodes and other programs write |
//! | `describe` `nodes` `catalog` `functions` `dependencies` | what a statement takes, gives, reads and writes |
//!
//! A link belongs to the thread and the runtime that opened it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::database::answers::{self, Hearer};
use crate::database::commit::Commit;
use crate::database::versions::{TableSet, Versions};
use crate::database::work::{Told, durable};
use crate::database::{Failure, Limits};
use crate::problem::Problem;
use crate::value::Declared;

mod address;
mod catalog;
mod connect;
mod copy;
mod decode;
mod dependencies;
mod describe;
mod encode;
mod failure;
mod functions;
mod identity;
mod keeper;
mod line;
mod link;
mod moving;
mod news;
mod nodes;
mod notify;
mod pipeline;
mod pool;
mod reader;
mod schema;
mod server;
mod statement;
mod tls;
mod triggers;
mod types;
mod wire;
mod writer;

use address::Address;
use link::Link;
use pool::Pool;

pub use keeper::Keeper;
pub(super) use moving::Mover;
pub use notify::{BYPASS, Notifier, Tell};
pub use reader::Snapshot;
pub use server::{Engine, Server};
pub use writer::Transaction;

/// What [`Postgres::open`] needs to know.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database?sslmode=verify-full`.
    pub url: String,
    /// The limits.
    pub limits: Limits,
    /// How long the server works at a statement at most, or keeps a transaction in which nothing happens: for the case
    /// that nobody is left to cancel it.
    pub statement_time: Duration,
    /// Connections of each serving thread at most.
    pub connections: usize,
    /// Requests of each serving thread that may wait for a connection; one more is refused at once with
    /// [`Failure::Busy`].
    pub waiting: usize,
    /// Whether a server that may lose what it has acknowledged is fine.
    pub unsafe_is_fine: bool,
}

impl Options {
    /// The default limits for the database of the URL.
    pub fn new(url: impl Into<String>) -> Options {
        Options {
            url: url.into(),
            limits: Limits::default(),
            statement_time: Duration::from_secs(30),
            connections: 8,
            waiting: 256,
            unsafe_is_fine: false,
        }
    }
}

/// One open database on a server. Dropping it closes it.
pub struct Postgres {
    plan: Arc<Plan>,
    server: Server,
}

impl Postgres {
    /// Looks at the server once. Connections are opened when they are needed.
    ///
    /// # Errors
    /// A URL that can't be read, a server that can't be reached, or one that may lose what it has acknowledged.
    pub async fn open(options: &Options) -> Result<Postgres, Problem> {
        let problem = |cause: String| Problem::broken(format!("cannot open the database: {cause}"));
        let plan = Arc::new(Plan::new(options).map_err(problem)?);
        let mut link = Link::open(&plan, Role::Keeper).await.map_err(|trouble| problem(trouble.message()))?;
        let server = server::examine(&mut link, options.unsafe_is_fine).await.map_err(problem)?;
        let _ = plan.engine.set(server.engine);
        Ok(Postgres { plan, server })
    }

    /// The same with a server that was looked at before.
    ///
    /// # Errors
    /// A URL that can't be read.
    pub fn known(options: &Options, server: Server) -> Result<Postgres, Problem> {
        let plan = Plan::new(options).map_err(|cause| Problem::broken(format!("cannot open the database: {cause}")))?;
        let _ = plan.engine.set(server.engine);
        Ok(Postgres { plan: Arc::new(plan), server })
    }

    /// What the server says of itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Why the server could not be reached when that was last tried; `None` since it could.
    pub fn trouble(&self) -> Option<String> {
        self.plan.trouble.lock().unwrap_or_else(PoisonError::into_inner).cause.clone()
    }

    /// Reads. All queries of `work` see the same snapshot, which ends with `work`. Past `limit` (of the whole work,
    /// waiting for a connection included) a query is cancelled with [`Failure::Deadline`]. A future that is dropped
    /// cancels what it asked, too. It must be called where local tasks can be spawned (`tokio::task::LocalSet`).
    ///
    /// # Errors
    /// Whatever `work` answers.
    pub async fn read<T, E, W>(&self, limit: Duration, work: W) -> Result<T, E>
    where
        W: AsyncFnOnce(&mut Snapshot) -> Result<T, E>,
    {
        let mut snapshot = Snapshot::new(&self.plan, Instant::now() + limit);
        let result = work(&mut snapshot).await;
        snapshot.finish().await;
        result
    }

    /// Runs one action in a serializable transaction, answered after the durable commit. It begins with this call,
    /// not at the first poll. `work` may be run again from
    /// its start when another action got between, so it must do no more than its queries. It runs to its end
    /// even if the answer is dropped. `Err` rolls the action back, and so does a panic. It must be called where local
    /// tasks can be spawned (`tokio::task::LocalSet`).
    ///
    /// # Errors
    /// Whatever `work` answers; [`Failure::Busy`] when others got between too often; [`Failure::Unknown`] when the
    /// connection was lost during the commit and nobody can tell what became of it.
    pub fn write<T, E, W>(&self, work: W) -> impl Future<Output = Result<T, E>> + use<T, E, W>
    where
        T: 'static,
        E: From<Failure> + 'static,
        W: AsyncFnMut(&mut Transaction) -> Result<T, E> + 'static,
    {
        self.write_to(TableSet::all(), work)
    }

    /// As [`Postgres::write`], with the tables that the action writes; [`Postgres::write`] takes it to write any. They
    /// are counted up, and other nodes are told, before this answers.
    ///
    /// # Errors
    /// As [`Postgres::write`].
    pub fn write_to<T, E, W>(&self, tables: TableSet, work: W) -> impl Future<Output = Result<T, E>> + use<T, E, W>
    where
        T: 'static,
        E: From<Failure> + 'static,
        W: AsyncFnMut(&mut Transaction) -> Result<T, E> + 'static,
    {
        let answer = self.begin(tables, work);
        async move { durable(answer.await.unwrap_or_else(|| Err(Failure::broken("the work panicked").into()))) }
    }

    /// How often each table has changed.
    pub fn versions(&self) -> &Arc<Versions> {
        &self.plan.versions
    }

    /// Begins to hear what other nodes write, and to tell them what this one does; blocks until that is so. To be
    /// called once, before the first action, and not inside of a runtime. `watch_others` has triggers tell of other
    /// programs' writes; `tell` is called with what the operator should know.
    ///
    /// # Errors
    /// The server can't be reached.
    pub fn listen(&self, watch_others: bool, tell: Tell) -> Result<Notifier, Problem> {
        notify::Notifier::start(&self.plan, watch_others, tell)
            .map_err(|cause| Problem::broken(format!("the other nodes can't be heard: {cause}")))
    }

    /// Refuses new work with [`Failure::Busy`]; what runs goes on to its end. This thread's idle connections are
    /// closed, those of other threads when they are next asked for one, or end.
    pub fn close(&self) {
        self.plan.closed.store(true, Ordering::Relaxed);
        Pool::sweep();
    }

    /// Begins an action as a local task; see [`Postgres::write`]. The answer never comes when the work panics.
    pub(super) fn begin<T, E, W>(&self, tables: TableSet, work: W) -> Hearer<Told<T, E>>
    where
        T: 'static,
        E: From<Failure> + 'static,
        W: AsyncFnMut(&mut Transaction) -> Result<T, E> + 'static,
    {
        let plan = Arc::clone(&self.plan);
        let (teller, answer) = answers::way();
        let running = writer::Running::begin();
        tokio::task::spawn_local(async move {
            let result = writer::run(&plan, tables, work).await;
            // Who asked may be gone; what is committed stays so.
            teller.tell(result.map(|value| (value, Commit::default())));
            drop(running);
        });
        answer
    }

    /// Waits for the actions of this thread, then closes its connections.
    pub(super) async fn finish(&self) {
        writer::all_ended().await;
        Pool::close_all();
    }

    /// Whom to tell of an outage. Only the first counts.
    pub(super) fn on_outage(&self, tell: OnOutage) {
        let _ = self.plan.on_outage.set(tell);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.close();
    }
}

/// Who is told when the server can't be reached any more, with the cause, and when it can again.
pub(super) type OnOutage = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// Runs work to its end on a thread of its own, with a runtime of its own, and blocks until that is done.
pub(super) fn on_a_thread<T, E>(work: impl AsyncFnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Failure> + Send + 'static,
{
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::broken(error.to_string()))?;
        let result = tokio::task::LocalSet::new().block_on(&runtime, work());
        let _inside = runtime.enter();
        Pool::close_all();
        result
    };
    let thread = std::thread::Builder::new().name("reader".into()).spawn(run);
    let thread = thread.map_err(|error| Failure::broken(error.to_string()))?;
    thread.join().unwrap_or_else(|_| Err(Failure::broken("the work panicked").into()))
}

/// Where the database is and what its links may do.
pub(super) struct Plan {
    /// The servers, and who asks.
    address: Address,
    /// What answers there, once that is known.
    engine: OnceLock<Engine>,
    /// How the connections are encrypted.
    tls: Option<Arc<rustls::ClientConfig>>,
    /// The limits.
    limits: Limits,
    /// See [`Options`].
    statement_time: Duration,
    /// Connections of each thread at most.
    connections: usize,
    /// Requests of each thread that may wait for one.
    waiting: usize,
    /// Whether nothing new may be asked.
    closed: AtomicBool,
    trouble: Mutex<Reach>,
    on_outage: OnceLock<OnOutage>,
    /// How often each table has changed. Without a notifier they are not trusted: other nodes may write.
    versions: Arc<Versions>,
    /// The way to the other nodes, once it was looked for.
    nodes: OnceLock<Arc<notify::Shared>>,
    /// What is known about placeholders.
    types: KnownTypes,
}

impl fmt::Debug for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Plan")
    }
}

/// Whether the server can be reached.
#[derive(Default)]
struct Reach {
    /// Why it could not at last.
    cause: Option<String>,
    /// When that last began or ended.
    since: Option<Instant>,
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs what visitors ask for: it writes only where a transaction says `read write`, and each statement has a limit
    /// of time.
    Site,
    /// Migrations and descriptions: no limit of time, and it may write.
    Keeper,
    /// Tells other nodes what this one writes, and hears them.
    Listener,
}

impl Plan {
    /// Reads the URL and prepares for TLS; opens nothing.
    ///
    /// # Errors
    /// A text for the operator, without the password.
    pub(super) fn new(options: &Options) -> Result<Plan, String> {
        let address = Address::parse(&options.url)?;
        let versions = Versions::new();
        versions.distrust();
        Ok(Plan {
            tls: tls::settings(&address)?,
            address,
            engine: OnceLock::new(),
            statement_time: options.statement_time.max(options.limits.action_time),
            limits: options.limits.clone(),
            connections: options.connections,
            waiting: options.waiting,
            closed: AtomicBool::new(false),
            trouble: Mutex::default(),
            on_outage: OnceLock::new(),
            versions,
            nodes: OnceLock::new(),
            types: KnownTypes::default(),
        })
    }

    /// Whether the server numbers its transactions and tells of each number what became of it. Others that speak its
    /// protocol don't.
    fn tells_fates(&self) -> bool {
        self.is_postgres()
    }

    /// Whether what is sent up to one `Sync` is one transaction. Of other servers that isn't known.
    fn makes_one_transaction(&self) -> bool {
        self.is_postgres()
    }

    fn is_postgres(&self) -> bool {
        self.engine.get().is_none_or(|engine| *engine == Engine::Postgres)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Keeps why a try to reach the server failed, or that it didn't. What changes with that is told once, in its order.
    /// A try that began before the last change is of the past.
    fn tell_trouble(&self, began: Instant, cause: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = trouble.cause.is_some() != cause.is_some();
        if changes && trouble.since.is_some_and(|since| began < since) {
            return;
        }
        trouble.cause = cause;
        if changes {
            trouble.since = Some(Instant::now());
            if let Some(tell) = self.on_outage.get() {
                tell(trouble.cause.as_deref());
            }
        }
    }
}

/// Statements whose placeholders' types are remembered; a site has fewer.
const KNOWN_STATEMENTS: usize = 4096;

/// The types that were found for the placeholders of statements, so that each link needn't search for itself.
#[derive(Default)]
struct KnownTypes {
    known: RwLock<HashMap<u64, Arc<[u32]>>>,
}

impl KnownTypes {
    /// What was found last. It may be of a schema that has changed, or (by a clash of hashes) of another statement:
    /// the server decides whether it still fits.
    fn get(&self, sql: &str, kinds: &[Declared]) -> Option<Arc<[u32]>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&statement::key(sql, kinds)).cloned()
    }

    fn keep(&self, sql: &str, kinds: &[Declared], types: Vec<u32>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_STATEMENTS {
            known.clear();
        }
        known.insert(statement::key(sql, kinds), types.into());
    }
}
