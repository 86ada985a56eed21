//! The rows that an action changes, as SQLite's update hook tells them (<https://www.sqlite.org/c3ref/update_hook.html>),
//! so that what depends on other rows of the same tables stays current.
//!
//! The hook isn't told of all: which statements may change more is known from their programs ([`super::program`]), and
//! then the whole tables count as changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::database::versions::{Change, TableSet};

/// An action that changes more rows than these changes its tables at large.
const MOST: usize = 1_000;

/// What the hook of the writer's connection was told since the last [`ChangedRows::begin`].
pub(super) struct ChangedRows(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// The tables' names, each once: there are few.
    tables: Vec<Box<str>>,
    /// Rows, each with the place of its table's name.
    rows: Vec<(usize, i64)>,
    /// Whether there may be others.
    misses: bool,
}

impl Told {
    fn add(&mut self, table: &str, row: i64) {
        let place = self.tables.iter().position(|known| **known == *table).unwrap_or_else(|| {
            self.tables.push(table.into());
            self.tables.len() - 1
        });
        match self.rows.len() < MOST {
            true => self.rows.push((place, row)),
            false => self.misses = true,
        }
    }
}

impl ChangedRows {
    /// Hangs itself into the connection's hook.
    pub(super) fn listen(connection: &mut Connection) -> rusqlite::Result<ChangedRows> {
        let told = Arc::new(Mutex::new(Told::default()));
        let ear = Arc::clone(&told);
        let hook = move |_, _: &str, table: &str, row| lock(&ear).add(table, row);
        connection.update_hook(Some(hook))?;
        Ok(ChangedRows(told))
    }

    /// Forgets what was told.
    pub(super) fn begin(&self) {
        let mut told = lock(&self.0);
        told.rows.clear();
        told.misses = false;
    }

    /// A statement has run of which the hook isn't told all.
    pub(super) fn miss(&self) {
        lock(&self.0).misses = true;
    }

    /// Adds what was changed of these tables to the last change before, if it is all known and that was of the same ones.
    pub(super) fn join(&self, tables: &TableSet, last: Option<&mut Change>) -> bool {
        let told = lock(&self.0);
        let rows = || told.rows.iter().map(|(place, row)| (&*told.tables[*place], *row));
        !told.misses && last.is_some_and(|last| last.join_rows(tables, rows()))
    }

    /// What was changed of these tables.
    pub(super) fn of(&self, tables: &TableSet) -> Change {
        let told = lock(&self.0);
        match told.misses {
            true => Change::of(tables),
            false => Change::of_rows(tables, told.rows.iter().map(|(place, row)| (&*told.tables[*place], *row))),
        }
    }
}

/// A thread that panics while it holds the lock leaves nothing halfway.
fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
