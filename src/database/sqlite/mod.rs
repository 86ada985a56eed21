//! SQLite, embedded: one writing thread, a reading link on each thread that asks, and a pool for long reading.
//!
//! | file | holds |
//! |---|---|
//! | `statement` `link` `gate` `failure` | a prepared statement; a connection; what its hooks allow; what its codes mean |
//! | `reader` `pool` | snapshots on the caller's thread, and apart |
//! | `writer` `queue` `transaction` `changed` `recall` `checkpoint` | group commit and what it needs |
//! | `dependencies` `program` | what a statement reads and writes; which row it looks up, which it changes unheard |
//! | `functions` `time` `to_char` `clock` | SQL functions and SQL's `now` |
//! | `schema` | migrations |
//! | `moving` | a whole site's data, from here or to here |

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answers::{self, Round, Teller};
use super::commit::{Commit, Committing};
use super::migrations::{Migration, Status, Wanted};
use super::versions::{TableSet, Versions};
use super::work::{Told, Writing};
use super::{Description, Failure, Options, SqlFault, Written};
use crate::clock::Clock;
use crate::problem::{Fault, Problem};

mod changed;
mod checkpoint;
mod clock;
mod dependencies;
mod failure;
mod functions;
mod gate;
mod link;
mod moving;
mod pool;
mod program;
mod queue;
mod reader;
mod recall;
mod schema;
mod statement;
mod time;
mod to_char;
mod transaction;
mod writer;

use dependencies::Describer;
use link::Plan;
use pool::Pool;
use reader::Readers;
use schema::KnownSchema;
use writer::{Fate, Job, Writer};

pub(super) use moving::Mover;
pub(super) use reader::Snapshot;
pub(super) use transaction::Transaction;

/// One open SQLite database.
pub(super) struct Sqlite {
    plan: Plan,
    clock: Clock,
    writer: Writer,
    versions: Arc<Versions>,
    schema: Arc<KnownSchema>,
    readers: Arc<Readers>,
    pool: Pool,
    /// Opened at the first question.
    describer: Mutex<Option<Describer>>,
    /// Only there to go last: removes a scratch database's folder.
    _folder: Option<TemporaryFolder>,
}

impl Sqlite {
    /// Opens the file, and the folder that it stands in.
    pub(super) fn open(options: &Options) -> Result<Sqlite, Problem> {
        Sqlite::open_with(options, true, None)
    }

    /// An empty database in a temporary folder. It is a real file, so that it behaves like a site's database in all but
    /// one: nothing is synced.
    pub(super) fn scratch(clock: &Clock) -> Result<Sqlite, Problem> {
        let folder = TemporaryFolder::make()?;
        let options = Options { clock: clock.clone(), ..Options::new(folder.0.join("scratch.db")) };
        Sqlite::open_with(&options, false, Some(folder))
    }

    fn open_with(options: &Options, durable: bool, folder: Option<TemporaryFolder>) -> Result<Sqlite, Problem> {
        let path = &options.path;
        let problem = |cause: String| Problem::broken(format!("cannot open the database {}: {cause}", path.display()));
        make_folder_of(path).map_err(|error| problem(error.to_string()))?;
        link::quiet_statistics();
        let vfs = clock::register(&options.clock).map_err(problem)?;
        let plan = Plan { path: path.clone(), vfs, limits: options.limits.clone(), durable };
        let versions = Versions::new();
        let schema = Arc::new(KnownSchema::default());
        let writer = Writer::start(&plan, &versions, &schema).map_err(|failure| problem(failure.to_string()))?;
        Ok(Sqlite {
            clock: options.clock.clone(),
            writer,
            versions,
            schema,
            readers: Readers::new(plan.clone()),
            pool: Pool::new(plan.limits.apart_threads, plan.limits.apart_waiting),
            describer: Mutex::new(None),
            plan,
            _folder: folder,
        })
    }

    /// See [`super::Database::describe`].
    pub(super) fn describe(&self, sql: &str) -> Result<Description, SqlFault> {
        self.with_describer(|describer| describer.describe(sql))
            .unwrap_or_else(|failure| Err(SqlFault { message: failure.to_string(), offset: None }))
    }

    /// See [`super::Database::tables`].
    pub(super) fn tables(&self) -> Vec<String> {
        self.with_describer(|describer| describer.tables()).unwrap_or_default()
    }

    /// See [`super::Database::columns_of`].
    pub(super) fn columns_of(&self, table: &str) -> Vec<String> {
        self.with_describer(|describer| describer.columns_of(table)).unwrap_or_default()
    }

    /// See [`super::Database::held_by`].
    pub(super) fn held_by(&self, table: &str) -> Vec<(String, String)> {
        self.with_describer(|describer| describer.held_by(table)).unwrap_or_default()
    }

    fn with_describer<T>(&self, ask: impl FnOnce(&mut Describer) -> T) -> Result<T, Failure> {
        let mut describer = self.describer.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *describer {
            Some(describer) => Ok(ask(describer)),
            empty => Ok(ask(empty.insert(Describer::open(&self.plan)?))),
        }
    }

    /// See [`super::Database::here`].
    pub(super) fn here<T, E: From<Failure>>(
        &self,
        deadline: Instant,
        work: impl AsyncFnOnce(&mut super::Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.here(deadline, work)
    }

    /// See [`super::Database::apart`].
    pub(super) fn apart<T, E, W>(
        &self,
        limit: Duration,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnOnce(&mut super::Snapshot<'_>) -> Result<T, E> + Send + 'static,
    {
        let (tell, answer) = oneshot::channel();
        let deadline = Instant::now() + limit;
        let readers = Arc::clone(&self.readers);
        let queued = self.pool.run(Box::new(move || {
            let in_time = Instant::now() < deadline;
            let result = if in_time { readers.here(deadline, work) } else { Err(Failure::Deadline.into()) };
            // Who asked may be gone.
            let _ = tell.send(result);
        }));
        async move {
            queued?;
            answer.await.unwrap_or_else(|_| Err(Failure::broken("the work panicked").into()))
        }
    }

    /// See [`super::Database::is_slow`].
    pub(super) fn is_slow(&self, sql: &str) -> bool {
        self.readers.is_slow(sql)
    }

    /// See [`super::Database::versions`].
    pub(super) fn versions(&self) -> &Arc<Versions> {
        &self.versions
    }

    /// See [`super::Database::write_to`].
    pub(super) fn write<T, E, W>(&self, tables: &TableSet, work: W) -> Written<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: AsyncFnMut(&mut super::Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, written) = answers::way();
        match self.writer.push(Box::new(Action {
            work: Some(work),
            tables: tables.clone(),
            result: None,
            answer: Some(answer),
        })) {
            Ok(()) => Written { answer: Some(written) },
            Err(_) => Written { answer: None },
        }
    }

    /// See [`super::Database::close`].
    pub(super) fn close(&self) {
        self.writer.close();
        self.pool.close();
        *self.describer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// See [`super::migrations::status`].
    pub(super) fn migration_status(&self, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>> {
        schema::status(&self.plan, migrations)
    }

    /// See [`super::migrations::are_applied`].
    pub(super) fn has_own(&self, accounts: bool) -> Result<bool, Box<Fault>> {
        schema::has_own(&self.plan, accounts)
    }

    /// See [`super::migrations::apply`].
    pub(super) fn migrate(&self, migrations: Wanted<'_>) -> Result<Vec<Status>, Box<Fault>> {
        // What others change in the schema from here on is not what the site was checked against.
        self.schema.set(None);
        let done = schema::apply(&self.plan, &self.clock, migrations)?;
        self.schema.set(schema::version(&self.plan)?);
        self.versions.trust();
        Ok(done)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

fn make_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

/// A folder that is removed with what is in it.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> Result<TemporaryFolder, Problem> {
        let path = std::env::temp_dir().join(format!("tableside-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)
            .map_err(|error| Problem::broken(format!("cannot make the folder {}: {error}", path.display())))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What can't be removed is left to the system's cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An action in the writer's queue, with the way back to who waits for it.
struct Action<T, E, W> {
    /// Gone when nothing is to be run any more.
    work: Option<W>,
    tables: TableSet,
    /// Of the last run.
    result: Option<Result<T, E>>,
    /// Until it is told.
    answer: Option<Teller<Told<T, E>>>,
}

impl<T, E, W> Job for Action<T, E, W>
where
    T: Send + 'static,
    E: From<Failure> + Send + 'static,
    W: AsyncFnMut(&mut super::Transaction<'_>) -> Result<T, E> + Send,
{
    fn tables(&self) -> &TableSet {
        &self.tables
    }

    fn run(&mut self, transaction: Transaction<'_>) -> bool {
        // A panic must not leave the result of an earlier run behind.
        self.result = None;
        let Some(work) = &mut self.work else { return false };
        let mut transaction = super::Transaction(Writing::Sqlite(transaction));
        self.result.insert(at_once(work(&mut transaction))).is_ok()
    }

    fn tell_ahead(&mut self, committing: &Committing, round: &mut Round) {
        let Some(answer) = self.answer.take_if(|answer| answer.hurries()) else { return };
        match self.result.take() {
            Some(Ok(value)) => {
                // It isn't run again, so what it holds is given back where it comes from, while we commit.
                self.work = None;
                answer.tell_in(Ok((value, committing.commit())), round);
            }
            // Why it failed may be what others have done who still may fail.
            other => (self.result, self.answer) = (other, Some(answer)),
        }
    }

    fn is_told(&self) -> bool {
        self.answer.is_none()
    }

    fn answer(&mut self, fate: Fate, round: &mut Round) {
        let Some(answer) = self.answer.take() else { return };
        let result = match (fate, self.result.take()) {
            (Fate::Committed, Some(result)) => result,
            (Fate::Undone(_), Some(Err(error))) => Err(error),
            (Fate::Undone(failure) | Fate::Lost(failure), _) => Err(failure.into()),
            (Fate::Committed, None) => Err(Failure::broken("the action was not run").into()),
        };
        // The client may be gone; what is committed stays so.
        answer.tell_in(result.map(|value| (value, Commit::default())), round);
    }
}

/// Runs work to its end on this thread: its queries are ready at once, and it awaits nothing else.
fn at_once<T, E: From<Failure>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Failure::broken("the work waits for something else than its queries").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_waits_for_anything_else_is_a_fault() {
        assert_eq!(at_once(async { Ok::<i32, Failure>(1) }), Ok(1));
        let waits = at_once(std::future::pending::<Result<(), Failure>>());
        assert!(matches!(waits, Err(Failure::Broken { .. })), "{waits:?}");
    }
}
