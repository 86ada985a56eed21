//! The database: a reading connection for each thread, one writer thread.

use std::cell::RefCell;
use std::fmt::Write;
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

/// A line for the cart of the session that this secret opens.
pub struct NewLine {
    /// From the visitor's cookie.
    pub secret: Option<String>,
    /// The product's id.
    pub product: i64,
    /// How many; checked by the caller.
    pub qty: i64,
}

/// What came of a new line.
pub enum Added {
    /// It is committed.
    Line {
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
    /// The writer thread is gone.
    Stopped,
}

impl std::fmt::Display for WriteFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(cause) => write!(formatter, "write failed: {cause}"),
            Self::Stopped => formatter.write_str("the writer has stopped"),
        }
    }
}

impl std::error::Error for WriteFault {}

struct Job {
    line: NewLine,
    answer: oneshot::Sender<rusqlite::Result<Added>>,
}

/// The way to the writer thread.
pub struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Opens the writing connection and starts its thread.
    pub fn start(file: &Path, synchronous: Synchronous) -> Result<Self, Fault> {
        let connection = open_writer(file, synchronous)?;
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE);
        thread::Builder::new().name("writer".into()).spawn(move || {
            while let Some(job) = jobs.blocking_recv() {
                // A visitor who has gone away doesn't undo the write.
                let _ = job.answer.send(add_line(&connection, &job.line));
            }
        })?;
        Ok(Self { queue })
    }

    /// Adds a line in a transaction of its own; returns once it is committed.
    pub async fn add(&self, line: NewLine) -> Result<Added, WriteFault> {
        let (answer, added) = oneshot::channel();
        let job = Job { line, answer };
        self.queue.send(job).await.map_err(|_| WriteFault::Stopped)?;
        let added = added.await.map_err(|_| WriteFault::Stopped)?;
        added.map_err(WriteFault::Database)
    }
}

/// `begin`, the write, `commit`; any other end rolls back. Cached statements
/// instead of rusqlite's `Transaction`, which parses its three words each time.
fn add_line(connection: &Connection, line: &NewLine) -> rusqlite::Result<Added> {
    connection.prepare_cached("begin immediate")?.execute([])?;
    let added = write_line(connection, line);
    if matches!(added, Ok(Added::Line { .. })) {
        let committed = connection.prepare_cached("commit")?.execute([]);
        if committed.is_ok() {
            return added;
        }
        connection.execute_batch("rollback")?;
        committed?;
    }
    connection.execute_batch("rollback")?;
    added
}

fn write_line(connection: &Connection, line: &NewLine) -> rusqlite::Result<Added> {
    let in_stock = connection.prepare_cached(IN_STOCK)?.exists([line.product, line.qty])?;
    if !in_stock {
        return Ok(Added::NotEnough);
    }
    let (session, new_secret) = session(connection, line.secret.as_deref())?;
    connection.prepare_cached(ADD_LINE)?.execute((session, line.product, line.qty))?;
    Ok(Added::Line { new_secret })
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
