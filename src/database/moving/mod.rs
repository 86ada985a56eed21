//! Moves a site's data from SQLite to PostgreSQL, or back: one snapshot of the source, one transaction on the target.
//!
//! Nothing is there before everything was found equal: the target's schema is made by the site's migrations inside of
//! the same transaction, the rows are copied, rules are checked, both sides are read and compared, and only then the
//! transaction ends. Whatever fails before leaves the target as it was, so that the move can be made again.
//!
//! This file holds the order of steps. What a back-end does with each stands in `sqlite/moving.rs` and
//! `postgres/moving.rs`; what becomes of values, in `form.rs`.

use std::fmt;
use std::path::PathBuf;

use crate::clock::Clock;
use crate::database::migrations::{Migration, State, Status, Wanted};
use crate::database::{Options, postgres, sqlite};
use crate::problem::{Fault, Problem};

pub(super) mod form;
mod sums;
pub(super) mod tables;

use sums::Sums;
use tables::{Copied, End, Pair, Row, Table};

/// Rows that are told when values don't fit; there may be many more, and all for the same reason.
const MOST_WRONG: usize = 20;

/// Progress is told once in so many rows.
const PROGRESS: u64 = 1000;

/// A database.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(String),
}

/// What is moved where.
#[derive(Debug)]
pub struct Order<'o> {
    /// The database of the site, and its migrations there, which must all be applied.
    pub source: (Place, Wanted<'o>),
    /// The other database, and its migrations.
    pub target: (Place, Wanted<'o>),
    /// Whether a target that may lose what it has acknowledged is fine.
    pub unsafe_is_fine: bool,
    /// Tells when migrations are applied.
    pub clock: &'o Clock,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// What is done: `copying`, `comparing`.
    pub step: &'static str,
    /// The table.
    pub table: &'p str,
    /// Rows done.
    pub rows: u64,
    /// Rows in all.
    pub all: u64,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Report {
    /// The tables in the order in which they were copied.
    pub tables: Vec<Moved>,
    /// What the operator should know: what was not copied, what the target computes.
    pub notes: Vec<String>,
    /// Whether the source was written to meanwhile; what was written then is not at the target.
    pub source_changed: bool,
}

/// One table that was copied, and found equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// The sum of the hashes of its rows: the same on both sides, whatever the order.
    pub checksum: u128,
}

/// A value that the target can't take.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// The table.
    pub table: String,
    /// The row by its key: `id = 5`.
    pub row: String,
    /// The column.
    pub column: String,
    /// What is there, and what belongs there.
    pub message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, row {}, column {}: {}", self.table, self.row, self.column, self.message)
    }
}

/// Why nothing was moved.
#[derive(Debug)]
pub enum Stopped {
    /// A migration.
    Fault(Box<Fault>),
    /// A database can't be opened, is not empty, breaks off, or refuses a row.
    Refused(String),
    /// Values that don't fit, the first twenty.
    Wrong(Vec<Wrong>),
}

impl From<String> for Stopped {
    fn from(message: String) -> Stopped {
        Stopped::Refused(message)
    }
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Stopped {
        Stopped::Refused(problem.to_string())
    }
}

impl From<Box<Fault>> for Stopped {
    fn from(fault: Box<Fault>) -> Stopped {
        Stopped::Fault(fault)
    }
}

/// What is done with each row that is read.
pub(in crate::database) type Each<'e> = dyn FnMut(&Row<'_>) -> Result<(), String> + 'e;

/// A value of a row for the target: as it was taken, and its canonical text; `None` is null.
pub(in crate::database) type Cell<'c> = Option<(&'c [u8], &'c [u8])>;

/// What a back-end does for a move. A side that is dropped rolls back.
pub(in crate::database) trait Side {
    /// Begins the snapshot of a source.
    fn begin_reading(&mut self) -> Result<(), String>;
    /// Begins the transaction of a target.
    fn begin_writing(&mut self) -> Result<(), String>;
    /// How the site's migrations stand.
    fn status(&mut self, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>>;
    /// Applies what is pending, inside of the transaction.
    fn migrate(&mut self, migrations: Wanted<'_>) -> Result<(), Box<Fault>>;
    /// Its tables.
    fn tables(&mut self) -> Result<Vec<Table>, String>;
    /// Reads the rows of a table.
    fn rows(&mut self, pair: &Pair, end: End, each: &mut Each<'_>) -> Result<(), String>;
    /// Empties the tables, and keeps triggers and foreign keys still.
    fn clear(&mut self, pairs: &[Pair]) -> Result<(), String>;
    /// Makes ready for the rows of a table.
    fn open(&mut self, pair: &Pair) -> Result<(), String>;
    /// Takes a row, which may arrive only with [`Side::close`].
    fn put(&mut self, pair: &Pair, row: &Row<'_>, cells: &[Cell<'_>]) -> Result<(), String>;
    /// Whether a column can keep a value.
    fn fits(&self, _column: &Copied, _taken: &[u8], _canonical: &[u8]) -> Result<(), String> {
        Ok(())
    }
    /// Ends the rows of a table.
    fn close(&mut self, pair: &Pair) -> Result<(), String>;
    /// Puts triggers and foreign keys back, checks them, and fills what is made of other tables. Gives notes.
    fn settle(&mut self) -> Result<Vec<String>, String>;
    /// Sets what counts by itself past the largest number, then commits.
    fn commit(&mut self, pairs: &[Pair]) -> Result<(), String>;
    /// Ends the snapshot of a source; whether others wrote to it meanwhile.
    fn changed(&mut self, pairs: &[Pair]) -> Result<bool, String>;
}

/// Moves the data. The source is only read.
///
/// # Errors
/// Why nothing was moved; the target is as it was.
pub fn run(order: &Order<'_>, tell: &mut dyn FnMut(&Progress<'_>)) -> Result<Report, Stopped> {
    let mut source = open(&order.source.0, order, false)?;
    source.begin_reading()?;
    let applied = source.status(order.source.1.list)?;
    if let Some(status) = applied.iter().find(|status| !matches!(status.state, State::Applied(_))) {
        let path = &status.path;
        return Err(format!("{path} is not applied to the source as it stands: see `tableside migrate status`").into());
    }
    let mut target = open(&order.target.0, order, true)?;
    target.begin_writing()?;
    if let Some(table) = target.tables()?.iter().find(|table| table.rows > 0 && !tables::is_own(table)) {
        let (name, rows) = (&table.name, table.rows);
        let told = format!("the target is not empty: its table `{name}` has {rows} rows; name an empty database");
        return Err(told.into());
    }
    target.migrate(order.target.1)?;
    let mut plan = tables::plan(&source.tables()?, &target.tables()?)?;
    target.clear(&plan.pairs)?;
    let sums = copy(&mut *source, &mut *target, &plan.pairs, tell)?;
    plan.notes.extend(target.settle()?);
    compare(&mut *target, &plan.pairs, &sums, tell)?;
    target.commit(&plan.pairs)?;
    let moved = |(pair, sums): (&Pair, &Sums)| Moved {
        table: pair.source.name.clone(),
        rows: sums.rows,
        checksum: sums.rows_sum,
    };
    Ok(Report {
        tables: plan.pairs.iter().zip(&sums).map(moved).collect(),
        notes: plan.notes,
        // The data is there whatever becomes of the source now; who can't be asked is taken for changed.
        source_changed: source.changed(&plan.pairs).unwrap_or(true),
    })
}

fn open(place: &Place, order: &Order<'_>, writes: bool) -> Result<Box<dyn Side>, Stopped> {
    let clock = order.clock;
    Ok(match place {
        Place::Sqlite(path) => {
            let options = Options { clock: clock.clone(), ..Options::new(path) };
            Box::new(sqlite::Mover::open(&options, writes)?)
        }
        Place::Postgres(url) => Box::new(postgres::Mover::open(url, !writes || order.unsafe_is_fine, clock)?),
    })
}

/// Copies all tables; gives the sums of what was read.
fn copy(
    source: &mut dyn Side,
    target: &mut dyn Side,
    pairs: &[Pair],
    tell: &mut dyn FnMut(&Progress<'_>),
) -> Result<Vec<Sums>, Stopped> {
    let mut wrong = Vec::new();
    let mut all = Vec::new();
    for pair in pairs {
        let mut sums = Sums::default();
        let mut progress = Progress { step: "copying", table: &pair.source.name, rows: 0, all: pair.source.rows };
        tell(&progress);
        target.open(pair)?;
        source.rows(pair, End::Source, &mut |row| {
            let fits = |column: &Copied, taken: &[u8], text: &[u8]| target.fits(column, taken, text);
            let canonical = canonical(pair, row, fits, &mut wrong);
            // What can't be moved as a whole is not moved, but the rest of what is wrong is still looked for.
            if wrong.is_empty() {
                target.put(pair, row, &cells(row, &canonical))?;
            }
            sums.add(&pair.columns, &canonical);
            progress.rows = sums.rows;
            if sums.rows % PROGRESS == 0 {
                tell(&progress);
            }
            Ok(())
        })?;
        target.close(pair)?;
        tell(&Progress { all: sums.rows, ..progress });
        all.push(sums);
    }
    if !wrong.is_empty() {
        return Err(Stopped::Wrong(wrong));
    }
    Ok(all)
}

/// The canonical text of each value; notes those that have none, or that don't fit.
fn canonical(
    pair: &Pair,
    row: &Row<'_>,
    fits: impl Fn(&Copied, &[u8], &[u8]) -> Result<(), String>,
    wrong: &mut Vec<Wrong>,
) -> Vec<Option<Vec<u8>>> {
    let texts = pair.columns.iter().zip(&row.cells).map(|(column, cell)| {
        let text = match cell {
            Ok(None) => Ok(None),
            Ok(Some(taken)) => {
                let mut text = Vec::with_capacity(taken.len());
                let made = column.form.canonical(taken, &mut text);
                made.and_then(|()| fits(column, taken, &text)).map(|()| Some(text))
            }
            Err(message) => Err(message.clone()),
        };
        text.unwrap_or_else(|message| {
            if wrong.len() < MOST_WRONG {
                let (table, column) = (pair.source.name.clone(), column.key.clone());
                wrong.push(Wrong { table, row: row.name(), column, message });
            }
            None
        })
    });
    texts.collect()
}

fn cells<'c>(row: &'c Row<'_>, canonical: &'c [Option<Vec<u8>>]) -> Vec<Cell<'c>> {
    let both = row.cells.iter().zip(canonical);
    both.map(|(taken, canonical)| match (taken, canonical) {
        (Ok(Some(taken)), Some(canonical)) => Some((&**taken, &**canonical)),
        _ => None,
    })
    .collect()
}

/// Reads the target again and holds it against what was read at the source.
fn compare(
    target: &mut dyn Side,
    pairs: &[Pair],
    sums: &[Sums],
    tell: &mut dyn FnMut(&Progress<'_>),
) -> Result<(), Stopped> {
    for (pair, copied) in pairs.iter().zip(sums) {
        let (mut arrived, mut wrong) = (Sums::default(), Vec::new());
        let mut progress = Progress { step: "comparing", table: &pair.source.name, rows: 0, all: copied.rows };
        tell(&progress);
        target.rows(pair, End::Target, &mut |row| {
            arrived.add(&pair.columns, &canonical(pair, row, |_, _, _| Ok(()), &mut wrong));
            progress.rows = arrived.rows;
            if arrived.rows % PROGRESS == 0 {
                tell(&progress);
            }
            Ok(())
        })?;
        if !wrong.is_empty() {
            return Err(Stopped::Wrong(wrong));
        }
        if let Some(difference) = copied.difference(&arrived, &pair.columns) {
            return Err(format!("{}: {difference}; nothing was moved", pair.source.name).into());
        }
    }
    Ok(())
}
