//! Who looks after a database's schema: migrates it and describes statements against it.
//!
//! Those who ask are not asynchronous, and some of them stand inside of a runtime, where nothing may block on another.
//! So a keeper has a thread of its own, with a runtime and a link, and is asked one thing after another.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use super::catalog::{Catalog, Cells};
use super::failure::Trouble;
use super::link::Link;
use super::server::{self, Server};
use super::{Options, Plan, Role, describe, schema};
use crate::clock::Clock;
use crate::database::migrations::{Migration, Migrations, Status, Wanted};
use crate::database::{Description, Failure, SqlFault};
use crate::problem::{Fault, Problem};
use crate::value::{Declared, Value};

/// What a keeper is asked.
type Question = Box<dyn FnOnce(&tokio::runtime::Runtime, &mut Desk) + Send>;

/// See the top of this file. Whoever asks waits for the answer.
pub struct Keeper {
    questions: Mutex<Option<mpsc::Sender<Question>>>,
    thread: Option<JoinHandle<()>>,
    server: Server,
    url: String,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Keeper")
    }
}

/// Where the server's own functions stand, and which schemas names are looked for in.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// The schema of the functions in `functions.sql`.
    pub(super) functions: String,
    /// What is to be said about the search path when a link is opened; empty for the one that every link has.
    pub(super) path: String,
}

/// What the keeper's thread has at hand.
pub(super) struct Desk {
    plan: Arc<Plan>,
    pub(super) clock: Clock,
    pub(super) home: Home,
    /// `150003` for 15.3.
    pub(super) version: u32,
    link: Option<Link>,
    /// The catalog, and the fingerprint that it was read at.
    pub(super) catalog: Option<(String, Catalog)>,
    /// See [`super::catalog::OWN_FUNCTIONS`].
    pub(super) own_functions: Option<Cells>,
}

impl Desk {
    /// The link; a new one if the last is lost.
    pub(super) async fn link(&mut self) -> Result<&mut Link, Trouble> {
        if self.link.as_mut().is_some_and(|link| !link.is_clean() || link.wire.is_closed()) {
            self.link = None;
        }
        if self.link.is_none() {
            let mut link = Link::open(&self.plan, Role::Keeper).await?;
            if !self.home.path.is_empty() {
                link.simple(&format!("set search_path = {}", self.home.path)).await?;
            }
            self.catalog = None;
            self.link = Some(link);
        }
        self.link.as_mut().ok_or_else(|| Trouble::Lost("there is no connection".into()))
    }

    /// Forgets the link, and what was set on it.
    pub(super) fn hang_up(&mut self) {
        self.link = None;
    }

    /// The rows of a query of our own as texts.
    pub(super) async fn cells(&mut self, sql: &str) -> Result<Cells, Trouble> {
        let rows = self.link().await?.simple(sql).await?;
        let text = |cell: &Value| cell.as_str().map(str::to_string);
        Ok((0..rows.len()).map(|row| rows.row(row).iter().map(text).collect()).collect())
    }
}

impl Keeper {
    /// Looks after the database that the options name.
    ///
    /// # Errors
    /// A URL that can't be read; a server that refuses, or one that may lose what it has acknowledged. A server that can't
    /// be reached is a [`Kind::Busy`](crate::problem::Kind::Busy).
    pub fn open(options: &Options, clock: &Clock) -> Result<Keeper, Problem> {
        let home = Home { functions: "tableside".into(), path: String::new() };
        Keeper::at(options, clock, home, None)
    }

    /// An empty database on the same server, gone with the keeper: a database of its own where that may be made, else a
    /// schema. What stands in the database of the options is not touched.
    ///
    /// # Errors
    /// As [`Keeper::open`]; neither may be made.
    pub fn scratch(options: &Options, clock: &Clock) -> Result<Keeper, Problem> {
        let name = format!("tableside_check_{}", uuid::Uuid::new_v4().simple());
        let options = Options { unsafe_is_fine: true, ..options.clone() };
        let keeper = Keeper::open(&options, clock)?;
        let server = keeper.server.clone();
        let sql =
            format!("create database {name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8'");
        let plain = format!("create database {name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'");
        let made = keeper.run(&sql).or_else(|_| keeper.run(&plain)).is_ok();
        if made {
            let url = super::address::with_database(&options.url, &name);
            let home = Home { functions: "tableside".into(), path: "\"$user\", public, tableside".into() };
            let goodbye = Goodbye { keeper, sql: format!("drop database if exists {name} with (force)") };
            let mut scratch = Keeper::at(&Options { url, ..options }, clock, home, Some(goodbye))?;
            // What is told of the server is told of the database that the site will stand in.
            scratch.server = server;
            return Ok(scratch);
        }
        keeper.run(&format!("create schema {name}")).map_err(|failure| {
            Problem::broken(format!("neither a database nor a schema can be made for the check: {failure}"))
        })?;
        let url = super::address::with_schema(&options.url, &name);
        let home = Home { functions: name.clone(), path: name.clone() };
        let goodbye = Goodbye { keeper, sql: format!("drop schema if exists {name} cascade") };
        Keeper::at(&Options { url, ..options }, clock, home, Some(goodbye))
    }

    fn at(options: &Options, clock: &Clock, home: Home, goodbye: Option<Goodbye>) -> Result<Keeper, Problem> {
        let problem = |cause: String| Problem::broken(format!("cannot open the database: {cause}"));
        let unreached = move |trouble: Trouble| match trouble {
            Trouble::Lost(cause) => Problem::busy(format!("the database server can't be reached: {cause}")),
            trouble => problem(trouble.message()),
        };
        let plan = Arc::new(Plan::new(options).map_err(problem)?);
        let (ask, questions) = mpsc::channel::<Question>();
        let (tell, opened) = mpsc::channel();
        let (clock, unsafe_is_fine) = (clock.clone(), options.unsafe_is_fine);
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(problem(error.to_string())))),
            };
            let mut desk = Desk { plan, clock, home, version: 0, link: None, catalog: None, own_functions: None };
            let server = runtime.block_on(async {
                let link = desk.link().await.map_err(unreached)?;
                server::examine(link, unsafe_is_fine).await.map_err(problem)
            });
            desk.version = server.as_ref().map_or(0, |server| server.number);
            let is_open = server.is_ok();
            if tell.send(server).is_ok() && is_open {
                questions.iter().for_each(|question| question(&runtime, &mut desk));
            }
            desk.link = None;
            drop(goodbye);
        });
        let thread = thread.map_err(|error| problem(error.to_string()))?;
        let server = opened.recv().unwrap_or_else(|_| Err(problem(ENDED.into())))?;
        Ok(Keeper { questions: Mutex::new(Some(ask)), thread: Some(thread), server, url: options.url.clone() })
    }

    /// Under which URL others find the same database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the server says of itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// See [`crate::database::Database::describe`].
    ///
    /// # Errors
    /// As there.
    pub fn describe(&self, sql: &str, kinds: &[Declared]) -> Result<Description, SqlFault> {
        let (sql, kinds) = (sql.to_string(), kinds.to_vec());
        self.ask(async move |desk| describe::describe(desk, &sql, &kinds).await)
            .unwrap_or_else(|| Err(SqlFault { message: ENDED.into(), offset: None }))
    }

    /// See [`crate::database::Database::tables`].
    pub fn tables(&self) -> Vec<String> {
        self.ask(async move |desk| describe::tables(desk).await).unwrap_or_default()
    }

    /// See [`crate::database::Database::columns_of`].
    pub fn columns_of(&self, table: &str) -> Vec<String> {
        let table = table.to_string();
        self.ask(async move |desk| describe::columns_of(desk, &table).await).unwrap_or_default()
    }

    /// See [`crate::database::Database::held_by`].
    pub fn held_by(&self, table: &str) -> Vec<(String, String)> {
        let table = table.to_string();
        self.ask(async move |desk| describe::held_by(desk, &table).await).unwrap_or_default()
    }

    /// The columns of a table or view: those that may be null, and those that never are.
    pub fn nullable(&self, table: &str) -> [BTreeSet<String>; 2] {
        let table = table.to_string();
        self.ask(async move |desk| describe::nullable(desk, &table).await).unwrap_or_default()
    }

    /// See [`crate::database::migrations::status`].
    ///
    /// # Errors
    /// As there.
    pub fn status(&self, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>> {
        let migrations = migrations.to_vec();
        self.ask(async move |desk| schema::status(desk, &migrations).await).unwrap_or_else(|| Err(ended()))
    }

    /// See [`crate::database::migrations::apply`].
    ///
    /// # Errors
    /// As there.
    pub fn apply<'m>(&self, migrations: impl Into<Wanted<'m>>) -> Result<Vec<Status>, Box<Fault>> {
        let migrations = migrations.into();
        let owned = Migrations { list: migrations.list.to_vec(), accounts: migrations.accounts };
        self.ask(async move |desk| schema::apply(desk, (&owned).into()).await).unwrap_or_else(|| Err(ended()))
    }

    /// See [`crate::database::migrations::are_applied`].
    ///
    /// # Errors
    /// As there.
    pub fn has_own(&self, accounts: bool) -> Result<bool, Box<Fault>> {
        self.ask(async move |desk| schema::has_own(desk, accounts).await).unwrap_or_else(|| Err(ended()))
    }

    /// Runs SQL of our own.
    fn run(&self, sql: &str) -> Result<(), Failure> {
        let sql = sql.to_string();
        let run = async move |desk: &mut Desk| match desk.link().await {
            Ok(link) => link.simple(&sql).await.map(drop).map_err(|trouble| trouble.into_failure(&sql, false)),
            Err(trouble) => Err(trouble.into_failure(&sql, false)),
        };
        self.ask(run).unwrap_or(Err(Failure::Down))
    }

    /// Asks, and waits for the answer; `None` if the keeper has ended.
    fn ask<T: Send + 'static>(&self, work: impl AsyncFnOnce(&mut Desk) -> T + Send + 'static) -> Option<T> {
        let (tell, answer) = mpsc::channel();
        let question: Question = Box::new(move |runtime, desk| {
            // Whoever asked waits.
            let _ = tell.send(runtime.block_on(work(desk)));
        });
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.send(question).ok()?;
        answer.recv().ok()
    }
}

/// The message when the keeper's thread is gone; it never goes on purpose.
const ENDED: &str = "the keeper of the database ended";

fn ended() -> Box<Fault> {
    Box::new(Fault::everywhere(ENDED))
}

impl Drop for Keeper {
    fn drop(&mut self) {
        *self.questions.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to clean up.
            let _ = thread.join();
        }
    }
}

/// What is to be run at last, by another keeper: a scratch database is not dropped by a link that stands in it.
struct Goodbye {
    keeper: Keeper,
    sql: String,
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        // What can't be dropped shows by its name what it is.
        let _ = self.keeper.run(&self.sql);
    }
}
