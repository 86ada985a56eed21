//! The database: a reading connection for each thread, one writer thread.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::Fault;
use crate::settings::Synchronous;

/// The site's own migration.
pub const SCHEMA: &str = include_str!("../../site/migrations/0001_start.sql");

const SESSIONS: &str = "create table sessions (
    id text primary key,
    secret_hash blob not null unique,
    created_at text not null default current_timestamp
)";

/// The session that a cookie's secret opens, by the secret's hash.
pub const SESSION: &str = "select id from sessions where secret_hash = ?1";

const BEGIN_SESSION: &str = "insert into sessions (id, secret_hash) values (?1, ?2)";
const IN_STOCK: &str = "select 1 from products where id = ?1 and stock >= ?2";
const ADD_LINE: &str = "insert into cart_lines (session_id, product_id, qty) \
    values (?1, ?2, ?3) \
    on conflict (session_id, product_id) do update set qty = cart_lines.qty + excluded.qty";

const SET_STOCK: &str = "update products set stock = ?2 where id = ?1";

/// Writes that may wait; beyond it the senders wait in turn.
const QUEUE: usize = 1024;

/// Creates schema and rows when the file is new.
pub fn prepare(file: &Path, synchronous: Synchronous) -> Result<(), Fault> {
    let mut connection = open_writer(file, synchronous)?;
    let transaction = connection.transaction()?;
    let tables: i64 = transaction.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.execute_batch(SESSIONS)?;
    }
    Ok(transaction.commit()?)
}

/// Hands each thread a read-only connection of its own.
pub struct Readers {
    file: PathBuf,
}

thread_local! {
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

impl Readers {
    /// For a database that `prepare` has made.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    /// Runs a short query right here, on this thread's connection.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        READER.with_borrow_mut(|reader| {
            if reader.is_none() {
                *reader = Some(open_reader(&self.file)?);
            }
            query(reader.as_ref().expect("opened above"))
        })
    }
}

fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "mmap_size", 256 << 20)?;
    Ok(connection)
}

fn open_writer(file: &Path, synchronous: Synchronous) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = match synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -65536)?;
    Ok(connection)
}

/// What visitors may have written.
pub enum Write {
    /// A line of a cart.
    Line(NewLine),
    /// What is left of a product.
    Stock {
        /// The product's id.
        product: i64,
        /// How many pieces.
        stock: i64,
    },
}

/// A line for the cart of the session that this secret opens.
pub struct NewLine {
    /// From the visitor's cookie.
    pub secret: Option<String>,
    /// The product's id.
    pub product: i64,
    /// How many; checked by the caller.
    pub qty: i64,
}

/// What came of a write.
pub enum Written {
    /// It is committed.
    Done {
        /// The secret of the session that began with it, for the cookie.
        new_secret: Option<String>,
    },
    /// The product isn't there, or less of it than asked for; nothing changed.
    NotEnough,
}

/// The write could not be done.
#[derive(Debug)]
pub enum WriteFault {
    /// SQLite refused.
    Database(rusqlite::Error),
    /// The commit that it shared with others failed.
    Commit,
    /// The writer thread is gone.
    Stopped,
}

impl std::fmt::Display for WriteFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(cause) => write!(formatter, "write failed: {cause}"),
            Self::Commit => formatter.write_str("the commit failed"),
            Self::Stopped => formatter.write_str("the writer has stopped"),
        }
    }
}

impl std::error::Error for WriteFault {}

type Outcome = Result<Written, WriteFault>;

struct Job {
    write: Write,
    answer: oneshot::Sender<Outcome>,
}

/// The way to the writer thread.
pub struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Opens the writing connection and starts its thread. Writes that wait at
    /// the same time share a commit, at most so many `together`.
    pub fn start(file: &Path, synchronous: Synchronous, together: usize) -> Result<Self, Fault> {
        let connection = open_writer(file, synchronous)?;
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE);
        thread::Builder::new().name("writer".into()).spawn(move || {
            while let Some(job) = jobs.blocking_recv() {
                let mut group = vec![job];
                while group.len() < together
                    && let Ok(job) = jobs.try_recv()
                {
                    group.push(job);
                }
                work_off(&connection, group);
            }
        })?;
        Ok(Self { queue })
    }

    /// Returns once the write is committed.
    pub async fn write(&self, write: Write) -> Outcome {
        let (answer, written) = oneshot::channel();
        self.queue.send(Job { write, answer }).await.map_err(|_| WriteFault::Stopped)?;
        written.await.map_err(|_| WriteFault::Stopped)?
    }
}

/// Writes and answers. A visitor who has gone away doesn't undo the write.
fn work_off(connection: &Connection, mut group: Vec<Job>) {
    if group.len() == 1 {
        let job = group.remove(0);
        let _ = job.answer.send(alone(connection, &job.write).map_err(WriteFault::Database));
        return;
    }
    let outcomes = together(connection, &group);
    for (job, outcome) in group.into_iter().zip(outcomes) {
        let _ = job.answer.send(outcome);
    }
}

/// `begin`, the write, `commit`; any other end rolls back. Cached statements
/// instead of rusqlite's `Transaction`, which parses its three words each time.
fn alone(connection: &Connection, write: &Write) -> rusqlite::Result<Written> {
    run(connection, "begin immediate")?;
    let written = perform(connection, write);
    if matches!(written, Ok(Written::Done { .. })) {
        let committed = run(connection, "commit");
        if committed.is_ok() {
            return written;
        }
        connection.execute_batch("rollback")?;
        committed?;
    }
    connection.execute_batch("rollback")?;
    written
}

/// All of a group in one transaction, each in a savepoint of its own.
fn together(connection: &Connection, group: &[Job]) -> Vec<Outcome> {
    let begun = run(connection, "begin immediate");
    let outcomes: Vec<Outcome> = match begun {
        Ok(()) => group.iter().map(|job| in_savepoint(connection, &job.write).map_err(WriteFault::Database)).collect(),
        Err(_) => Vec::new(),
    };
    if begun.is_ok() && run(connection, "commit").is_ok() {
        return outcomes;
    }
    let _ = connection.execute_batch("rollback");
    group.iter().map(|_| Err(WriteFault::Commit)).collect()
}

fn in_savepoint(connection: &Connection, write: &Write) -> rusqlite::Result<Written> {
    run(connection, "savepoint one")?;
    let written = perform(connection, write);
    if written.is_err() {
        run(connection, "rollback to one")?;
    }
    run(connection, "release one")?;
    written
}

fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(|_| ())
}

fn perform(connection: &Connection, write: &Write) -> rusqlite::Result<Written> {
    match write {
        Write::Line(line) => write_line(connection, line),
        Write::Stock { product, stock } => {
            connection.prepare_cached(SET_STOCK)?.execute([product, stock])?;
            Ok(Written::Done { new_secret: None })
        }
    }
}

fn write_line(connection: &Connection, line: &NewLine) -> rusqlite::Result<Written> {
    let in_stock = connection.prepare_cached(IN_STOCK)?.exists([line.product, line.qty])?;
    if !in_stock {
        return Ok(Written::NotEnough);
    }
    let (session, new_secret) = session(connection, line.secret.as_deref())?;
    connection.prepare_cached(ADD_LINE)?.execute((session, line.product, line.qty))?;
    Ok(Written::Done { new_secret })
}

/// The visitor's session, or a new one and its secret.
fn session(connection: &Connection, secret: Option<&str>) -> rusqlite::Result<(String, Option<String>)> {
    if let Some(secret) = secret {
        let mut statement = connection.prepare_cached(SESSION)?;
        let found = statement.query_row([secret_hash(secret)], |row| row.get(0));
        if let Some(session) = found.optional()? {
            return Ok((session, None));
        }
    }
    let (id, secret) = (random_text::<16>(), random_text::<32>());
    connection.prepare_cached(BEGIN_SESSION)?.execute((&id, secret_hash(&secret)))?;
    Ok((id, Some(secret)))
}

/// What the sessions table keeps in place of a cookie's secret.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// `BYTES` random bytes in hexadecimal.
fn random_text<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes.iter().fold(String::with_capacity(2 * BYTES), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
