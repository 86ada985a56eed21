//! Moving a site's data from an SQLite file, or into one: see [`crate::database::moving`].
//!
//! While rows are put in, the connection fires no triggers and enforces no foreign keys; those are checked before the
//! commit. Virtual tables and what they keep in tables of their own are not copied: an FTS5 index over another table is
//! built again.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{ToSql, params_from_iter};

use super::gate::Mode;
use super::link::{Link, Plan, Role};
use super::{clock, failure, make_folder_of, schema};
use crate::clock::Clock;
use crate::database::Options;
use crate::database::migrations::{Migration, Status, Wanted, judge};
use crate::database::moving::form::{Affinity, Stored};
use crate::database::moving::tables::{Column, Copied, End, Kind, Pair, Row, Table, quoted};
use crate::database::moving::{Cell, Each, Side};
use crate::problem::{Fault, Problem};
use crate::sqlfile::Dialect;
use crate::sqlfile::tokens::tokenize;

/// No limit of ours on one value: what is there is moved.
const VALUE_BYTES: usize = 1 << 30;

/// Tables of the site and of the server. SQLite's own, virtual ones and what those keep are of other types.
const TABLES: &str = "select l.name, s.sql from pragma_table_list l join sqlite_schema s on s.name = l.name \
    where s.type = 'table' and l.schema = 'main' and l.type = 'table' and substr(l.name, 1, 7) <> 'sqlite_' order by l.name";

/// Columns that a query finds; `hidden` is 2 or 3 for those that are computed.
const COLUMNS: &str = "select name, type, hidden, pk from pragma_table_xinfo(?1) where hidden <> 1 order by cid";

/// One side of a move.
pub(in crate::database) struct Mover {
    link: Link,
    clock: Clock,
    /// SQLite's `data_version` when the snapshot began.
    version: i64,
}

impl Mover {
    /// Opens the file: a source for reading only, a target with its folder.
    ///
    /// # Errors
    /// A file that can't be opened, or that is no database.
    pub(in crate::database) fn open(options: &Options, writes: bool) -> Result<Mover, Problem> {
        let path = &options.path;
        let problem = |cause: String| Problem::broken(format!("cannot open the database {}: {cause}", path.display()));
        if writes {
            make_folder_of(path).map_err(|error| problem(error.to_string()))?;
        } else if !path.exists() {
            return Err(problem("there is no such file".into()));
        }
        let vfs = clock::register(&options.clock).map_err(problem)?;
        let mut plan = Plan { path: path.clone(), vfs, limits: options.limits.clone(), durable: true };
        plan.limits.value_bytes = VALUE_BYTES;
        // A source is opened as its server would open it: a link that can only read would leave the files of the
        // write-ahead log behind, and they would belong to who moves.
        let role = if writes { Role::Migrator } else { Role::Writer };
        let mut link = Link::open(&plan, role).map_err(|failure| problem(failure.to_string()))?;
        link.gate.enter(Mode::Own);
        if !writes {
            link.own("pragma query_only = on").map_err(|failure| problem(failure.to_string()))?;
        }
        Ok(Mover { link, clock: options.clock.clone(), version: 0 })
    }

    fn own(&mut self, sql: &str) -> Result<(), String> {
        self.link.own(sql).map(drop).map_err(|failure| failure.to_string())
    }

    fn fire_triggers(&self, fire: bool) -> Result<(), String> {
        let set = self.link.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, fire);
        set.map(drop).map_err(|error| text(&error))
    }

    /// The only cell of a query.
    fn cell<T: rusqlite::types::FromSql>(&self, sql: &str, values: &[&dyn ToSql]) -> Result<T, String> {
        self.link.connection.query_row(sql, values, |row| row.get(0)).map_err(|error| text(&error))
    }

    /// All rows of a query of our own.
    fn all<T>(
        &self,
        sql: &str,
        table: Option<&str>,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, String> {
        let rows = || -> rusqlite::Result<Vec<T>> {
            self.link.connection.prepare(sql)?.query_map(params_from_iter(table), read)?.collect()
        };
        rows().map_err(|error| text(&error))
    }

    fn table(&self, name: String, sql: &str) -> Result<Table, String> {
        let columns = self.all(COLUMNS, Some(&name), |row| {
            let declared: String = row.get(1)?;
            let kind = Kind::Sqlite(Affinity::of(&declared));
            let column = Column { name: row.get(0)?, generated: row.get::<_, i64>(2)? > 0, kind };
            Ok((column, row.get::<_, i64>(3)?))
        })?;
        let mut keys: Vec<(i64, String)> =
            columns.iter().filter(|(_, key)| *key > 0).map(|(column, key)| (*key, column.name.clone())).collect();
        keys.sort();
        let key: Vec<String> = keys.into_iter().map(|(_, name)| name).collect();
        let parents: Vec<String> =
            self.all("select distinct \"table\" from pragma_foreign_key_list(?1)", Some(&name), |row| row.get(0))?;
        let counters = match counts(sql) {
            true => {
                let last =
                    self.all("select seq from sqlite_sequence where name = ?1", Some(&name), |row| row.get(0))?;
                key.first().map(|column| (column.clone(), last.first().copied())).into_iter().collect()
            }
            false => Vec::new(),
        };
        let quoted = quoted(&name);
        let rows: i64 = self.cell(&format!("select count(*) from {quoted}"), &[])?;
        Ok(Table {
            from: quoted.clone(),
            quoted,
            columns: columns.into_iter().map(|(column, _)| column).collect(),
            // A table without a key has numbers of its own.
            key: if key.is_empty() { vec!["rowid".into()] } else { key },
            parents: BTreeSet::from_iter(parents),
            counters,
            rows: u64::try_from(rows).unwrap_or(0),
            name,
        })
    }

    /// Refuses rows that point at nothing.
    fn check_foreign_keys(&mut self) -> Result<(), String> {
        let dangling = self.link.own("pragma foreign_key_check").map_err(|failure| failure.to_string())?;
        let Some(table) = dangling.cell(0, "table") else { return Ok(()) };
        let cell = |name| dangling.cell(0, name).map(ToString::to_string).unwrap_or_default();
        let (rows, row, parent) = (dangling.len(), cell("rowid"), cell("parent"));
        Err(format!("{rows} rows have foreign keys that lead nowhere; the first is in {table}, row {row}, to {parent}"))
    }

    /// Builds the FTS5 indexes of other tables again, and tells what was left.
    fn rebuild(&mut self) -> Result<Vec<String>, String> {
        let virtual_tables = "select name from pragma_table_list where schema = 'main' and type = 'virtual'";
        let names: Vec<String> = self.all(virtual_tables, None, |row| row.get(0))?;
        let mut notes = Vec::new();
        for name in &names {
            let shadow = "select count(*) from sqlite_schema where name = ?1 || ?2";
            let parts = |part: &str| self.cell::<i64>(shadow, &[name, &part]).map(|count| count > 0);
            // Its index is a table of its own; so is its text, unless that stands in another table.
            let indexes_another = parts("_docsize")? && !parts("_content")?;
            let sql = format!("insert into {0} ({0}) values ('rebuild')", quoted(name));
            notes.push(match indexes_another && self.own(&sql).is_ok() {
                true => format!("{name}: built again from its table"),
                false => format!("{name}: a virtual table, left as migrations made it; fill it by hand"),
            });
        }
        Ok(notes)
    }

    /// Where AUTOINCREMENT counted on at the source, beyond its rows.
    fn count_on(&mut self, pair: &Pair) -> Result<(), String> {
        for (column, _) in &pair.target.counters {
            let name = &pair.target.name;
            let last = pair.source.counters.iter().find(|(other, _)| other.eq_ignore_ascii_case(column));
            let Some(last) = last.and_then(|(_, last)| *last) else { continue };
            let largest =
                format!("select max(?1, coalesce((select max({}) from {}), 0))", quoted(column), quoted(name));
            let largest: i64 = self.cell(&largest, &[&last])?;
            let connection = &self.link.connection;
            let set = connection.execute("delete from sqlite_sequence where name = ?1", [name]).and_then(|_| {
                connection.execute("insert into sqlite_sequence (name, seq) values (?1, ?2)", (name, largest))
            });
            set.map_err(|error| text(&error))?;
        }
        Ok(())
    }
}

/// Whether a table counts on even past rows that are gone.
fn counts(sql: &str) -> bool {
    tokenize(sql, Dialect::Sqlite).iter().any(|token| token.is_word(sql, "autoincrement"))
}

fn text(error: &rusqlite::Error) -> String {
    failure::from_rusqlite(error).to_string()
}

impl Side for Mover {
    fn begin_reading(&mut self) -> Result<(), String> {
        self.own("begin")?;
        // The snapshot begins with the first reading, and the version is that of the snapshot.
        self.cell::<i64>("select count(*) from sqlite_schema", &[])?;
        self.version = self.cell("pragma data_version", &[])?;
        Ok(())
    }

    fn begin_writing(&mut self) -> Result<(), String> {
        schema::begin(&mut self.link).map_err(|failure| failure.to_string())
    }

    fn status(&mut self, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>> {
        let applied = schema::applied(&mut self.link).map_err(schema::nowhere)?;
        Ok(judge(&applied, migrations))
    }

    fn migrate(&mut self, migrations: Wanted<'_>) -> Result<(), Box<Fault>> {
        self.link.gate.enter(Mode::Migration);
        let result = schema::apply_within(&mut self.link, &self.clock, migrations);
        self.link.gate.enter(Mode::Own);
        result
    }

    fn tables(&mut self) -> Result<Vec<Table>, String> {
        let tables: Vec<(String, String)> = self.all(TABLES, None, |row| Ok((row.get(0)?, row.get(1)?)))?;
        tables.into_iter().map(|(name, sql)| self.table(name, &sql)).collect()
    }

    fn rows(&mut self, pair: &Pair, end: End, each: &mut Each<'_>) -> Result<(), String> {
        let mut statement = self.link.connection.prepare(&pair.query(end)).map_err(|error| text(&error))?;
        let mut rows = statement.query([]).map_err(|error| text(&error))?;
        let count = pair.columns.len();
        while let Some(row) = rows.next().map_err(|error| text(&error))? {
            let value = |at: usize| row.get_ref(at).unwrap_or(ValueRef::Null);
            let cells = pair.columns.iter().enumerate().map(|(at, column)| column.form.take(stored(value(at))));
            let names = pair.table(end).key.iter().enumerate();
            let key = names.map(|(at, name)| (name.clone(), shown(value(count + at))));
            each(&Row { cells: cells.collect(), key: key.collect() })?;
        }
        Ok(())
    }

    fn clear(&mut self, pairs: &[Pair]) -> Result<(), String> {
        self.fire_triggers(false)?;
        for pair in pairs {
            self.own(&format!("delete from {}", pair.target.quoted))?;
            if !pair.target.counters.is_empty() {
                let forget = "delete from sqlite_sequence where name = ?1";
                self.link.connection.execute(forget, [&pair.target.name]).map_err(|error| text(&error))?;
            }
        }
        Ok(())
    }

    fn open(&mut self, _pair: &Pair) -> Result<(), String> {
        Ok(())
    }

    fn put(&mut self, pair: &Pair, row: &Row<'_>, cells: &[Cell<'_>]) -> Result<(), String> {
        let here = |message: String| format!("{}, row {}: {message}", pair.target.name, row.name());
        let names = pair.names(End::Target);
        let places = vec!["?"; names.len()].join(", ");
        let sql = match names.is_empty() {
            true => format!("insert into {} default values", pair.target.quoted),
            false => format!("insert into {} ({}) values ({places})", pair.target.quoted, names.join(", ")),
        };
        let mut values = Vec::with_capacity(cells.len());
        for (column, cell) in pair.columns.iter().zip(cells) {
            values.push(match cell {
                None => Stored::Null,
                Some((taken, canonical)) => column.form.store(column.affinity, taken, canonical)?,
            });
        }
        let insert = || {
            let mut statement = self.link.connection.prepare_cached(&sql)?;
            statement.execute(params_from_iter(values.iter().map(Bound)))
        };
        insert().map(drop).map_err(|error| here(text(&error)))
    }

    fn fits(&self, column: &Copied, taken: &[u8], canonical: &[u8]) -> Result<(), String> {
        column.form.store(column.affinity, taken, canonical).map(drop)
    }

    fn close(&mut self, _pair: &Pair) -> Result<(), String> {
        Ok(())
    }

    fn settle(&mut self) -> Result<Vec<String>, String> {
        self.check_foreign_keys()?;
        let notes = self.rebuild()?;
        self.fire_triggers(true)?;
        Ok(notes)
    }

    fn commit(&mut self, pairs: &[Pair]) -> Result<(), String> {
        for pair in pairs {
            self.count_on(pair)?;
        }
        self.own("commit")?;
        // Plans get better with statistics, and are right without.
        let _ = self.own("pragma analysis_limit = 1000").and_then(|()| self.own("pragma optimize = 0x10002"));
        Ok(())
    }

    fn changed(&mut self, _pairs: &[Pair]) -> Result<bool, String> {
        self.own("commit")?;
        Ok(self.cell::<i64>("pragma data_version", &[])? != self.version)
    }
}

fn stored(value: ValueRef<'_>) -> Stored<'_> {
    match value {
        ValueRef::Null => Stored::Null,
        ValueRef::Integer(number) => Stored::Int(number),
        ValueRef::Real(number) => Stored::Real(number),
        ValueRef::Text(text) => Stored::Text(Cow::Borrowed(text)),
        ValueRef::Blob(bytes) => Stored::Blob(Cow::Borrowed(bytes)),
    }
}

/// A value of a key, for messages.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// A value that is bound without copying it.
struct Bound<'v>(&'v Stored<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self.0 {
            Stored::Null => ValueRef::Null,
            Stored::Int(number) => ValueRef::Integer(*number),
            Stored::Real(number) => ValueRef::Real(*number),
            Stored::Text(text) => ValueRef::Text(text),
            Stored::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
