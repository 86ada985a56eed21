//! Migrations on SQLite: each in one transaction, and what is applied is written down in the same one.
//!
//! Foreign keys are not enforced while a migration runs, because SQLite's way to change a table is to build a new one
//! and drop the old (<https://www.sqlite.org/lang_altertable.html#otheralter>), which would cascade; they are checked
//! before its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::params;
use sha2::{Digest, Sha256};

use super::failure;
use super::gate::Mode;
use super::link::{Link, Plan, Role};
use super::statement::{Bounds, Statement};
use crate::clock::{Clock, datetime_text};
use crate::database::migrations::{Applied, Content, Migration, Own, State, Status, Wanted, judge, refuse, word_at};
use crate::database::{Failure, Limit};
use crate::problem::{Fault, Place};
use crate::value::Value;

/// The state of the schema against which the site was checked, by SQLite's `schema_version`
/// (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
#[derive(Debug, Default)]
pub(super) struct KnownSchema(Mutex<Option<i64>>);

impl KnownSchema {
    /// The site was checked against this one.
    pub(super) fn set(&self, version: Option<i64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }

    /// Whether it is this one; as long as none is known, any is.
    pub(super) fn is(&self, version: Option<i64>) -> bool {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_none() || known == version
    }
}

/// The server's own tables.
const OWN: [Own; 3] = [
    Own { number: 1, name: "system.sql", sql: include_str!("../system.sql"), accounts: false },
    Own { number: 2, name: "sessions.sql", sql: include_str!("../sessions.sql"), accounts: false },
    Own { number: 3, name: "accounts.sql", sql: include_str!("../accounts.sql"), accounts: true },
];

/// How long one process waits for another that migrates.
const PATIENCE: Duration = Duration::from_secs(120);

/// How each migration stands.
pub(super) fn status(plan: &Plan, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>> {
    let mut link = open(plan)?;
    let applied = applied(&mut link).map_err(nowhere)?;
    Ok(judge(&applied, migrations))
}

/// Applies what is pending.
pub(super) fn apply(plan: &Plan, clock: &Clock, migrations: Wanted<'_>) -> Result<Vec<Status>, Box<Fault>> {
    let mut link = open(plan)?;
    in_transaction(&mut link, |link| make_own_tables(link, clock, migrations.accounts))?;
    let mut done = Vec::new();
    while let Some(status) = in_transaction(&mut link, |link| apply_next(link, clock, migrations.list))? {
        done.push(status);
    }
    if !done.is_empty() {
        // Plans get better with statistics, and are right without.
        let _ = link.own("pragma analysis_limit = 1000").and_then(|_| link.own("pragma optimize = 0x10002"));
    }
    Ok(done)
}

/// Applies what is pending inside of the transaction that is open.
pub(super) fn apply_within(link: &mut Link, clock: &Clock, migrations: Wanted<'_>) -> Result<(), Box<Fault>> {
    make_own_tables(link, clock, migrations.accounts)?;
    while apply_next(link, clock, migrations.list)?.is_some() {}
    Ok(())
}

fn open(plan: &Plan) -> Result<Link, Box<Fault>> {
    let link = Link::open(plan, Role::Migrator).map_err(nowhere)?;
    link.gate.enter(Mode::Migration);
    Ok(link)
}

pub(super) fn nowhere(failure: Failure) -> Box<Fault> {
    Box::new(Fault::everywhere(format!("the database can't be migrated: {failure}")))
}

/// Runs `work` in a transaction, which it alone writes; another process that migrates is waited for. What stands in the
/// database is read only after the lock is there.
fn in_transaction<T>(link: &mut Link, work: impl FnOnce(&mut Link) -> Result<T, Box<Fault>>) -> Result<T, Box<Fault>> {
    begin(link).map_err(nowhere)?;
    let result = work(link).and_then(|value| link.own("commit").map(|_| value).map_err(nowhere));
    if !link.is_autocommit() {
        link.own("rollback").map_err(nowhere)?;
    }
    result
}

/// Begins a transaction of which no other process is in the way.
pub(super) fn begin(link: &mut Link) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        // Each try waits for the busy timeout by itself.
        match link.own("begin immediate") {
            Err(Failure::Busy) if Instant::now() < until => {}
            result => return result.map(|_| ()),
        }
    }
}

fn make_own_tables(link: &mut Link, clock: &Clock, accounts: bool) -> Result<(), Box<Fault>> {
    let known = own(link).map_err(nowhere)?;
    for part in OWN.iter().filter(|part| accounts || !part.accounts).filter(|part| !known.contains(&part.number)) {
        run_sql(link, part.name, part.sql)?;
        let fingerprint: [u8; 32] = Sha256::digest(part.sql).into();
        write_down(link, clock, "server", part.number, part.name, &fingerprint)?;
    }
    Ok(())
}

/// The numbers of the server's own migrations that were applied.
fn own(link: &mut Link) -> Result<BTreeSet<i64>, Failure> {
    if link.own("select 1 from sqlite_schema where name = '_migrations'")?.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = link.own("select number from _migrations where source = 'server'")?;
    Ok(rows.cells.iter().filter_map(Value::as_int).collect())
}

/// SQLite's number of the schema as it is now.
pub(super) fn version(plan: &Plan) -> Result<Option<i64>, Box<Fault>> {
    let rows = open(plan)?.own("pragma schema_version").map_err(nowhere)?;
    Ok(rows.cells.first().and_then(Value::as_int))
}

/// Whether the server's own tables are all there.
pub(super) fn has_own(plan: &Plan, accounts: bool) -> Result<bool, Box<Fault>> {
    let known = own(&mut open(plan)?).map_err(nowhere)?;
    Ok(OWN.iter().filter(|part| accounts || !part.accounts).all(|part| known.contains(&part.number)))
}

/// The applied migrations of the site, by number; none before the first start.
pub(super) fn applied(link: &mut Link) -> Result<BTreeMap<u32, Applied>, Failure> {
    if link.own("select 1 from sqlite_schema where name = '_migrations'")?.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = link
        .own("select number, name, fingerprint, applied_at from _migrations where source = 'site' order by number")?;
    let read = |row: usize| match rows.row(row) {
        [number, Value::Text(path), Value::Blob(fingerprint), at] => {
            let number = u32::try_from(number.as_int()?).ok()?;
            Some((number, Applied { path: path.clone(), fingerprint: fingerprint.to_vec(), at: at.to_string() }))
        }
        _ => None,
    };
    Ok((0..rows.len()).filter_map(read).collect())
}

/// Applies the first pending migration, unless something is wrong with any; `None` when nothing is pending.
fn apply_next(link: &mut Link, clock: &Clock, migrations: &[Migration]) -> Result<Option<Status>, Box<Fault>> {
    let all = judge(&applied(link).map_err(nowhere)?, migrations);
    for status in &all {
        refuse(status, migrations)?;
    }
    let Some(status) = all.into_iter().find(|status| status.state == State::Pending) else { return Ok(None) };
    let Some(migration) = migrations.iter().find(|migration| migration.number == status.number) else {
        return Ok(None);
    };
    match &migration.content {
        Content::Sql(sql) => run_sql(link, &migration.path, sql)?,
        Content::Csv { table, text } => fill(link, &migration.path, table, text)?,
    }
    check_foreign_keys(link, migration)?;
    let number = i64::from(migration.number);
    write_down(link, clock, "site", number, &migration.path, &migration.fingerprint)?;
    let now = datetime_text(clock.now());
    Ok(Some(Status { state: State::Applied(now), ..status }))
}

fn write_down(
    link: &mut Link,
    clock: &Clock,
    source: &str,
    number: i64,
    path: &str,
    fingerprint: &[u8; 32],
) -> Result<(), Box<Fault>> {
    let now = datetime_text(clock.now());
    let sql = "insert into _migrations (source, number, name, fingerprint, applied_at) values (?1, ?2, ?3, ?4, ?5)";
    link.connection
        .execute(sql, params![source, number, path, fingerprint, now])
        .map(|_| ())
        .map_err(|error| nowhere(failure::from_rusqlite(&error)))
}

/// Runs all statements of a file.
fn run_sql(link: &mut Link, path: &str, sql: &str) -> Result<(), Box<Fault>> {
    let mut at = 0;
    let place_at = |offset: usize| word_at(path, sql, offset);
    while at < sql.len() {
        let (statement, taken) = Statement::prepare(&link.connection, &sql[at..])
            .map_err(|failure| link.gate.explain(failure))
            .map_err(|failure| sql_fault(&failure, |offset| place_at(at + offset.unwrap_or(blank(&sql[at..])))))?;
        let Some(mut statement) = statement else {
            if taken == 0 {
                break;
            }
            at += taken;
            continue;
        };
        let bounds = Bounds { rows: Limit::AtMost(usize::MAX), bytes: usize::MAX };
        statement
            .run(&link.connection, &[], bounds)
            .map_err(|failure| sql_fault(&failure, |_| place_at(at + blank(&sql[at..]))))?;
        at += taken;
    }
    Ok(())
}

/// The bytes of space and comments before a statement.
fn blank(sql: &str) -> usize {
    let mut rest = sql;
    loop {
        rest = rest.trim_start();
        let comment_end = if rest.starts_with("--") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 2)
        } else {
            return sql.len() - rest.len();
        };
        rest = &rest[comment_end.unwrap_or(rest.len())..];
    }
}

fn sql_fault(failure: &Failure, place: impl FnOnce(Option<usize>) -> Place) -> Fault {
    let offset = match failure {
        Failure::Broken { offset, .. } => *offset,
        _ => None,
    };
    Fault::error(failure.to_string(), place(offset))
}

/// Refuses a migration that leaves rows pointing at nothing.
fn check_foreign_keys(link: &mut Link, migration: &Migration) -> Result<(), Box<Fault>> {
    let dangling = link.own("pragma foreign_key_check").map_err(nowhere)?;
    let Some(table) = dangling.cell(0, "table") else { return Ok(()) };
    let parent = dangling.cell(0, "parent").cloned().unwrap_or_default();
    let (Content::Sql(source) | Content::Csv { text: source, .. }) = &migration.content;
    let message = format!("after this migration {} row(s) have foreign keys that lead nowhere", dangling.len());
    let row = dangling.cell(0, "rowid").filter(|rowid| !rowid.is_null());
    let row = row.map_or(String::new(), |rowid| format!(" (row {rowid})"));
    let fault = Fault::error(message, Place::of_line(migration.path.clone(), source, 1));
    Err(Box::new(fault.help(format!("the first is in `{table}`{row} and points at `{parent}`"))))
}

/// Fills a table from a CSV text: the header names the columns, an empty cell is null.
fn fill(link: &mut Link, path: &Arc<str>, table: &str, text: &str) -> Result<(), Box<Fault>> {
    let text = text.trim_start_matches('\u{feff}');
    let fault = |message: String, line: u64| {
        let line = usize::try_from(line).unwrap_or(1);
        Fault::error(message, Place::of_line(path.clone(), text, line))
    };
    let broken = |error: &csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        fault(format!("this is not CSV: {error}"), line)
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| broken(&error))?.clone();
    let at_once = (BATCH_VALUES / header.len().max(1)).clamp(1, BATCH_ROWS);
    let insert_rows = |link: &Link, rows| insert_into(link, table, &header, rows);
    let mut one = insert_rows(link, 1).map_err(|failure| fault(failure.to_string(), 1))?;
    let mut many: Option<(usize, Statement)> = None;
    let mut records = reader.records();
    loop {
        let batch = records.by_ref().take(at_once).collect::<Result<Vec<_>, _>>().map_err(|error| broken(&error))?;
        let Some(first) = batch.first() else { return Ok(()) };
        let line = |record: &csv::StringRecord| record.position().map_or(1, csv::Position::line);
        let refused = |failure: Failure, record| fault(failure.to_string(), line(record));
        let mut statement = match many.take_if(|(rows, _)| *rows == batch.len()) {
            Some((_, statement)) => statement,
            None => insert_rows(link, batch.len()).map_err(|failure| refused(failure, first))?,
        };
        let ended = |failure| {
            let others = if batch.len() > 1 {
                format!(" (in this line or one of the next {})", batch.len() - 1)
            } else {
                String::new()
            };
            fault(format!("{failure}{others}"), line(first))
        };
        if !all_or_none(link, &mut statement, &batch).map_err(ended)? {
            // One of them is refused: which one is told.
            for record in &batch {
                insert(link, &mut one, record.iter()).map_err(|failure| refused(failure, record))?;
            }
        }
        many = Some((batch.len(), statement));
    }
}

/// The rows of a CSV text that are inserted by one statement. What a table sets off by itself is done for all of them
/// together: a search index writes itself down once for each statement.
const BATCH_ROWS: usize = 500;

/// The values that one statement takes at most, half of SQLite's limit
/// (<https://www.sqlite.org/limits.html#max_variable_number>).
const BATCH_VALUES: usize = 16_000;

/// Inserts these rows; `false` when one of them is refused, and then none is there.
fn all_or_none(link: &mut Link, statement: &mut Statement, rows: &[csv::StringRecord]) -> Result<bool, Failure> {
    link.own("savepoint rows")?;
    let outcome = insert(link, statement, rows.iter().flatten());
    match outcome {
        // Whatever refused them has ended the whole transaction.
        Err(failure) if link.is_autocommit() => return Err(failure),
        Err(_) => drop(link.own("rollback to rows")?),
        Ok(()) => {}
    }
    link.own("release rows")?;
    Ok(outcome.is_ok())
}

/// Inserts the rows of these cells.
fn insert<'c>(link: &Link, statement: &mut Statement, cells: impl Iterator<Item = &'c str>) -> Result<(), Failure> {
    let cells: Vec<Value> = cells.map(|cell| if cell.is_empty() { Value::Null } else { Value::from(cell) }).collect();
    let bounds = Bounds { rows: Limit::AtMost(0), bytes: 0 };
    statement.run(&link.connection, &cells, bounds).map(drop)
}

/// A statement that inserts some rows.
fn insert_into(link: &Link, table: &str, header: &csv::StringRecord, rows: usize) -> Result<Statement, Failure> {
    let quoted = |name: &str| format!("\"{}\"", name.trim().replace('"', "\"\""));
    let columns: Vec<String> = header.iter().map(quoted).collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    let sql = format!("insert into {} ({}) values {}", quoted(table), columns.join(", "), vec![row; rows].join(", "));
    let (statement, _) = Statement::prepare(&link.connection, &sql).map_err(|failure| link.gate.explain(failure))?;
    statement.ok_or_else(|| Failure::broken("the header names no columns"))
}
