//! Migrations: the files that bring a schema to the site's state, each once, in order, in its own transaction.
//!
//! This file decides and reports; what a back-end does with one migration stands in `sqlite/schema.rs` and
//! `postgres/schema.rs`. It reads no
//! files: the caller brings their texts and the fingerprints of their tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::database::{Database, Engine};
use crate::problem::{Fault, Place};

/// One migration of a site.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Its number, from 1; the `0002` of `0002_cities.csv`.
    pub number: u32,
    /// Its file, relative to the site's folder: `migrations/0002_cities.csv`.
    pub path: Arc<str>,
    /// What it does.
    pub content: Content,
    /// SHA-256 over the tokens of SQL, or over the bytes of a CSV file; an applied migration must keep it.
    pub fingerprint: [u8; 32],
}

/// What a migration does.
#[derive(Clone, Debug)]
pub enum Content {
    /// SQL statements, run as they stand.
    Sql(Arc<str>),
    /// Rows for a table: the first line names the columns, an empty cell is null.
    Csv {
        /// The table that is filled.
        table: Arc<str>,
        /// The text of the file.
        text: Arc<str>,
    },
}

/// What brings a schema to the site's state.
#[derive(Clone, Debug, Default)]
pub struct Migrations {
    /// The site's own, in order.
    pub list: Vec<Migration>,
    /// Whether the site has accounts, and so needs the tables of those.
    pub accounts: bool,
}

impl std::ops::Deref for Migrations {
    type Target = [Migration];

    fn deref(&self) -> &[Migration] {
        &self.list
    }
}

/// What is to be applied: [`Migrations`], or a list alone.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'m> {
    /// The site's own, in order.
    pub list: &'m [Migration],
    /// Whether the tables of accounts are needed.
    pub accounts: bool,
}

impl<'m> From<&'m Migrations> for Wanted<'m> {
    fn from(migrations: &'m Migrations) -> Wanted<'m> {
        Wanted { list: &migrations.list, accounts: migrations.accounts }
    }
}

impl<'m, L: AsRef<[Migration]> + ?Sized> From<&'m L> for Wanted<'m> {
    fn from(list: &'m L) -> Wanted<'m> {
        Wanted { list: list.as_ref(), accounts: false }
    }
}

/// A migration of the server's own tables.
pub(super) struct Own {
    /// Its number; each is applied once, in order.
    pub(super) number: i64,
    /// Its file.
    pub(super) name: &'static str,
    /// Its SQL.
    pub(super) sql: &'static str,
    /// Whether only a site with accounts needs it.
    pub(super) accounts: bool,
}

/// What stands in the file and in the database about one migration.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its number.
    pub number: u32,
    /// Its file; for one whose file is gone, the file it had.
    pub path: Arc<str>,
    /// How it stands.
    pub state: State,
}

/// How a migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Applied, at this time (`YYYY-MM-DDTHH:MM:SS.mmmZ`).
    Applied(String),
    /// To be applied next.
    Pending,
    /// Applied, but the file says something else now.
    Edited,
    /// Applied, but the file is gone.
    Missing,
    /// Not applied, though one with a higher number is; or its number stands on two files.
    OutOfOrder,
}

/// How each migration stands, by number. Changes nothing.
///
/// # Errors
/// The database can't be read.
pub fn status(database: &Database, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>> {
    match &database.engine {
        Engine::Sqlite(sqlite) => sqlite.migration_status(migrations),
        Engine::Postgres(server) => server.keeper.status(migrations),
    }
}

/// Makes the server's own tables, then applies what is pending, each migration in a transaction of its own. Of several
/// processes that start at once one applies, the others wait for it. Returns what was applied now.
///
/// # Errors
/// The first fault, with its place in the migration's file: an applied migration that was edited or is missing, a
/// number out of order, SQL or CSV that fails, rows whose foreign keys lead nowhere. Migrations before it stay applied.
pub fn apply<'m>(database: &Database, migrations: impl Into<Wanted<'m>>) -> Result<Vec<Status>, Box<Fault>> {
    match &database.engine {
        Engine::Sqlite(sqlite) => sqlite.migrate(migrations.into()),
        Engine::Postgres(server) => server.keeper.apply(migrations),
    }
}

/// Whether all of that was applied, and the server's own tables are those that this version makes.
///
/// # Errors
/// The database can't be read.
pub fn are_applied<'m>(database: &Database, migrations: impl Into<Wanted<'m>>) -> Result<bool, Box<Fault>> {
    let wanted = migrations.into();
    let status = status(database, wanted.list)?;
    Ok(status.iter().all(|migration| matches!(migration.state, State::Applied(_)))
        && has_own(database, wanted.accounts)?)
}

/// Whether the server's own tables are those that this version makes; those of accounts, too, where they are wanted.
///
/// # Errors
/// The database can't be read.
pub fn has_own(database: &Database, accounts: bool) -> Result<bool, Box<Fault>> {
    match &database.engine {
        Engine::Sqlite(sqlite) => sqlite.has_own(accounts),
        Engine::Postgres(server) => server.keeper.has_own(accounts),
    }
}

/// One migration as the database remembers it.
pub(super) struct Applied {
    /// The file that it had.
    pub(super) path: Arc<str>,
    /// See [`Migration::fingerprint`].
    pub(super) fingerprint: Vec<u8>,
    /// When.
    pub(super) at: String,
}

/// Compares the files with what is applied; by number.
pub(super) fn judge(applied: &BTreeMap<u32, Applied>, migrations: &[Migration]) -> Vec<Status> {
    let highest = applied.keys().next_back().copied().unwrap_or(0);
    let mut all: Vec<Status> = Vec::new();
    for migration in migrations {
        let state = match applied.get(&migration.number) {
            _ if all.iter().any(|earlier| earlier.number == migration.number) => State::OutOfOrder,
            Some(applied) if applied.fingerprint == migration.fingerprint => State::Applied(applied.at.clone()),
            Some(_) => State::Edited,
            None if migration.number < highest => State::OutOfOrder,
            None => State::Pending,
        };
        all.push(Status { number: migration.number, path: migration.path.clone(), state });
    }
    for (number, applied) in applied {
        if migrations.iter().all(|migration| migration.number != *number) {
            all.push(Status { number: *number, path: applied.path.clone(), state: State::Missing });
        }
    }
    all.sort_by_key(|status| status.number);
    all
}

/// A fault for a migration that must not be as it is.
pub(super) fn refuse(status: &Status, migrations: &[Migration]) -> Result<(), Box<Fault>> {
    let path = &status.path;
    let (message, help) = match status.state {
        State::Applied(_) | State::Pending => return Ok(()),
        State::Edited => (
            "this migration was applied already and has been edited since".to_string(),
            "undo the edit and write a new migration instead",
        ),
        State::Missing => {
            let fault = Fault::everywhere(format!("the migration {path} was applied, but its file is missing"));
            return Err(Box::new(fault.help("bring the file back: what is applied can't be taken back")));
        }
        State::OutOfOrder => (
            format!("migration {} comes after one with a higher or the same number", status.number),
            "give it the next free number",
        ),
    };
    let source = match migrations.iter().rfind(|migration| migration.number == status.number) {
        Some(Migration { content: Content::Sql(text) | Content::Csv { text, .. }, .. }) => text,
        None => "",
    };
    Err(Box::new(Fault::error(message, Place::of_line(path.clone(), source, 1)).help(help)))
}

/// The place of the word that begins at a byte of a migration.
pub(super) fn word_at(path: &str, sql: &str, from: usize) -> Place {
    let rest = sql.get(from..).unwrap_or("");
    let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Place::of(path, sql, from, from + length.max(1))
}
