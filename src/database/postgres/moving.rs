//! Moving a site's data from PostgreSQL, or onto it: see [`crate::database::moving`].
//!
//! All is asked on one connection, which a runtime of its own drives: whoever moves is not asynchronous. While rows are
//! put in, the triggers of the tables are disabled and their foreign keys are gone, both inside of the transaction;
//! making the keys again checks every row. This needs no superuser, only the owner of the tables.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::failure::Trouble;
use super::link::Link;
use super::{Options, Plan, Role, copy, schema, server};
use crate::clock::Clock;
use crate::database::migrations::{Migration, Status, Wanted, judge};
use crate::database::moving::form::Form;
use crate::database::moving::tables::{Column, Copied, End, Kind, Pair, Row, Table};
use crate::database::moving::{Cell, Each, Side};
use crate::problem::{Fault, Problem};
use crate::value::Value;

/// The schema of the server's own functions.
const FUNCTIONS: &str = "tableside";

/// Bytes of rows that are sent at once.
const BATCH: usize = 64 << 10;

/// No limit of ours on one row: what is there is moved.
const ROW_BYTES: usize = 1 << 30;

/// The site's tables: those that a query finds by their bare names, without partitions (their table stands for them) and
/// what extensions brought.
const TABLES: &str = "select c.oid, c.relname, format('%I.%I', n.nspname, c.relname), c.relkind \
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p') and not c.relispartition and pg_catalog.pg_table_is_visible(c.oid) \
    and n.nspname = any(current_schemas(false)) and not exists (select from pg_catalog.pg_depend d \
    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') order by c.relname";

/// Columns with the type that a domain stands for.
const COLUMNS: &str = "select a.attrelid, a.attname, a.attgenerated <> '', b.typname, \
    case when t.typtype = 'd' then t.typtypmod else a.atttypmod end, \
    pg_get_serial_sequence(a.attrelid::regclass::text, a.attname), \
    array_position(i.indkey::int2[], a.attnum) \
    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid \
    join pg_catalog.pg_type b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid) \
    left join pg_catalog.pg_index i on i.indrelid = a.attrelid and i.indisprimary \
    where a.attnum > 0 and not a.attisdropped order by a.attrelid, a.attnum";

/// Foreign keys, with what makes each again.
const FOREIGN_KEYS: &str = "select k.conrelid, p.relname, format('%I.%I', n.nspname, c.relname), quote_ident(k.conname), \
    pg_get_constraintdef(k.oid), quote_literal(obj_description(k.oid, 'pg_constraint')) \
    from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid \
    join pg_catalog.pg_class p on p.oid = k.confrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    where k.contype = 'f' and k.conparentid = 0 and n.nspname = any(current_schemas(false)) order by c.relname, k.conname";

/// Triggers that would fire, with how they do.
const TRIGGERS: &str = "select format('%I.%I', n.nspname, c.relname), quote_ident(g.tgname), g.tgenabled \
    from pg_catalog.pg_trigger g join pg_catalog.pg_class c on c.oid = g.tgrelid \
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace where not g.tgisinternal and g.tgenabled <> 'D' \
    and c.relkind in ('r', 'p') and n.nspname = any(current_schemas(false))";

/// Where a snapshot stands: what it can't see comes from this transaction or a later one.
const HORIZON: &str = "select pg_snapshot_xmin(pg_current_snapshot())";

/// Whatever limits the server or the role sets to statements, a large table takes longer.
const PATIENTLY: &str = "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0";

/// One side of a move.
pub(in crate::database) struct Mover {
    runtime: Runtime,
    link: Link,
    clock: Clock,
    /// What puts foreign keys and triggers back.
    restore: Vec<String>,
    /// Rows that are not sent yet.
    batch: Vec<u8>,
    /// See [`HORIZON`].
    horizon: i64,
}

/// Rows of texts.
type Cells = Vec<Vec<Option<String>>>;

impl Mover {
    /// Connects.
    ///
    /// # Errors
    /// A URL that can't be read, a server that can't be reached or, unless `unsafe_is_fine`, may lose what it has
    /// acknowledged.
    pub(in crate::database) fn open(url: &str, unsafe_is_fine: bool, clock: &Clock) -> Result<Mover, Problem> {
        let problem = |cause: String| Problem::broken(format!("cannot open the database: {cause}"));
        let mut options = Options::new(url);
        options.limits.value_bytes = ROW_BYTES;
        let plan = Arc::new(Plan::new(&options).map_err(problem)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| problem(error.to_string()))?;
        let link = runtime.block_on(async {
            let mut link = Link::open(&plan, Role::Keeper).await.map_err(|trouble| trouble.message())?;
            server::examine(&mut link, unsafe_is_fine).await.map(|_| link)
        });
        let (link, clock) = (link.map_err(problem)?, clock.clone());
        let (restore, batch, horizon) = (Vec::new(), Vec::new(), 0);
        Ok(Mover { runtime, link, clock, restore, batch, horizon })
    }

    fn run(&mut self, sql: &str) -> Result<(), String> {
        wait(&self.runtime, self.link.simple(sql)).map(drop)
    }

    fn cells(&mut self, sql: &str) -> Result<Cells, String> {
        let rows = wait(&self.runtime, self.link.simple(sql))?;
        let text = |cell: &Value| cell.as_str().map(str::to_string);
        Ok((0..rows.len()).map(|row| rows.row(row).iter().map(text).collect()).collect())
    }

    fn number(&mut self, sql: &str) -> Result<Option<i64>, String> {
        let rows = self.cells(sql)?;
        Ok(rows.into_iter().flatten().next().flatten().and_then(|text| text.parse().ok()))
    }

    fn table(&mut self, row: &[Option<String>], columns: &Cells, keys: &Cells) -> Result<Table, String> {
        let [Some(oid), Some(name), Some(quoted), Some(kind)] = row else { return Err(UNKNOWN.into()) };
        let from = if kind == "r" { format!("only {quoted}") } else { quoted.clone() };
        let rows = self.number(&format!("select count(*) from {from}"))?;
        let mut table = Table {
            name: name.clone(),
            quoted: quoted.clone(),
            from,
            rows: rows.and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0),
            ..Table::default()
        };
        let mut key = Vec::new();
        for column in columns.iter().filter(|column| column[0].as_ref() == Some(oid)) {
            let [_, Some(name), Some(generated), Some(kind), Some(modifier), sequence, place] = &column[..] else {
                return Err(UNKNOWN.into());
            };
            let form = Form::of(kind, modifier.parse().unwrap_or(-1));
            table.columns.push(Column { name: name.clone(), generated: generated == "t", kind: Kind::Postgres(form) });
            key.extend(place.as_ref().and_then(|place| place.parse::<i32>().ok()).map(|place| (place, name.clone())));
            if let Some(sequence) = sequence {
                let last = self.number(&format!("select last_value from {sequence} where is_called"))?;
                table.counters.push((name.clone(), last));
            }
        }
        key.sort();
        table.key = key.into_iter().map(|(_, name)| name).collect();
        let parents = keys.iter().filter(|key| key[0].as_ref() == Some(oid));
        table.parents = parents.filter_map(|key| key[1].clone()).collect();
        Ok(table)
    }

    /// Sends what was gathered.
    fn send(&mut self) -> Result<(), String> {
        let sent = wait(&self.runtime, self.link.copy_in(&self.batch));
        self.batch.clear();
        sent
    }

    /// Sets what counts by itself: past the largest number, and past the last that the source gave.
    fn count_on(&mut self, pair: &Pair) -> Result<(), String> {
        for (column, _) in &pair.target.counters {
            let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let source = pair.source.counters.iter().find(|(other, _)| other.eq_ignore_ascii_case(column));
            let last = source.and_then(|(_, last)| *last).map_or("null".into(), |last| last.to_string());
            let quoted = crate::database::moving::tables::quoted(column);
            let sql = format!(
                "select setval(s.seqrelid::regclass, greatest(t.top, s.seqstart), coalesce(t.top >= s.seqstart, false)) \
                 from pg_catalog.pg_sequence s, (select greatest(max({quoted}), {last}) as top from {}) t \
                 where s.seqrelid = pg_get_serial_sequence({}, {})::regclass and s.seqincrement > 0",
                pair.target.quoted,
                literal(&pair.target.quoted),
                literal(column),
            );
            self.run(&sql).map_err(|message| format!("{}.{column}: {message}", pair.target.name))?;
        }
        Ok(())
    }
}

/// What the catalog never tells.
const UNKNOWN: &str = "the database's catalog has an unknown form";

fn wait<T>(runtime: &Runtime, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, String> {
    runtime.block_on(work).map_err(|trouble| match trouble {
        Trouble::Server(error) => error.whole(),
        trouble => trouble.message(),
    })
}

/// The statement that gives all rows of a table.
fn copy_out(pair: &Pair, end: End) -> String {
    format!("copy ({}) to stdout", pair.query(end))
}

/// A value as the server sent it.
fn taken<'v>(column: &Copied, value: Option<Cow<'v, [u8]>>) -> Result<Option<Cow<'v, [u8]>>, String> {
    match (&column.form, value) {
        (Form::Bytes, Some(text)) => match copy::bytes_of(&text) {
            Some(bytes) => Ok(Some(Cow::Owned(bytes))),
            None => Err("bytes in an unknown form".into()),
        },
        (_, value) => Ok(value),
    }
}

impl Side for Mover {
    fn begin_reading(&mut self) -> Result<(), String> {
        self.run("begin isolation level repeatable read read only")?;
        self.run(PATIENTLY)?;
        self.horizon = self.number(HORIZON)?.unwrap_or(0);
        Ok(())
    }

    fn begin_writing(&mut self) -> Result<(), String> {
        self.run(schema::BEGIN)
    }

    fn status(&mut self, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>> {
        let applied = self.runtime.block_on(schema::applied(&mut self.link)).map_err(schema::nowhere)?;
        Ok(judge(&applied, migrations))
    }

    fn migrate(&mut self, migrations: Wanted<'_>) -> Result<(), Box<Fault>> {
        self.runtime.block_on(schema::apply_within(&mut self.link, FUNCTIONS, &self.clock, migrations))
    }

    fn tables(&mut self) -> Result<Vec<Table>, String> {
        let (tables, keys) = (self.cells(TABLES)?, self.cells(FOREIGN_KEYS)?);
        let columns = match tables.is_empty() {
            true => Vec::new(),
            false => {
                let oids: Vec<&str> = tables.iter().filter_map(|table| table[0].as_deref()).collect();
                let of = format!("where a.attrelid in ({}) and", oids.join(", "));
                self.cells(&COLUMNS.replace("where", &of))?
            }
        };
        tables.iter().map(|table| self.table(table, &columns, &keys)).collect()
    }

    fn rows(&mut self, pair: &Pair, end: End, each: &mut Each<'_>) -> Result<(), String> {
        wait(&self.runtime, self.link.begin_copy_out(&copy_out(pair, end)))?;
        let keys = &pair.table(end).key;
        while let Some(row) = wait(&self.runtime, self.link.copy_out())? {
            let mut values = copy::values(&row);
            let cells = pair.columns.iter().map(|column| taken(column, values.next().flatten())).collect();
            let shown = |value: Option<Cow<'_, [u8]>>| match value {
                None => "null".into(),
                Some(value) => String::from_utf8_lossy(&value).into_owned(),
            };
            let key = keys.iter().map(|name| (name.clone(), shown(values.next().flatten()))).collect();
            each(&Row { cells, key })?;
        }
        Ok(())
    }

    fn clear(&mut self, pairs: &[Pair]) -> Result<(), String> {
        self.run(PATIENTLY)?;
        // What waits for the commit would be in the way of changes to its table.
        self.run("set constraints all immediate")?;
        for trigger in self.cells(TRIGGERS)? {
            let [Some(table), Some(name), Some(enabled)] = &trigger[..] else { return Err(UNKNOWN.into()) };
            let how = match &**enabled {
                "R" => "enable replica",
                "A" => "enable always",
                _ => "enable",
            };
            self.run(&format!("alter table {table} disable trigger {name}"))?;
            self.restore.push(format!("alter table {table} {how} trigger {name}"));
        }
        for key in self.cells(FOREIGN_KEYS)? {
            let [_, _, Some(table), Some(name), Some(definition), comment] = &key[..] else {
                return Err(UNKNOWN.into());
            };
            self.run(&format!("alter table {table} drop constraint {name}"))?;
            self.restore.push(format!("alter table {table} add constraint {name} {definition}"));
            let comment = comment.as_ref().map(|text| format!("comment on constraint {name} on {table} is {text}"));
            self.restore.extend(comment);
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let tables: Vec<&str> = pairs.iter().map(|pair| &*pair.target.quoted).collect();
        self.run(&format!("truncate {}", tables.join(", ")))
    }

    fn open(&mut self, pair: &Pair) -> Result<(), String> {
        let sql = format!("copy {} ({}) from stdin", pair.target.quoted, pair.names(End::Target).join(", "));
        wait(&self.runtime, self.link.begin_copy_in(&sql))
    }

    fn put(&mut self, pair: &Pair, _row: &Row<'_>, cells: &[Cell<'_>]) -> Result<(), String> {
        for (at, (column, cell)) in pair.columns.iter().zip(cells).enumerate() {
            if at > 0 {
                self.batch.push(b'\t');
            }
            match (cell, &column.form) {
                (None, _) => self.batch.extend_from_slice(b"\\N"),
                (Some((bytes, _)), Form::Bytes) => copy::escape_bytes(bytes, &mut self.batch),
                (Some((taken, canonical)), form) => copy::escape(form.sent(taken, canonical), &mut self.batch),
            }
        }
        self.batch.push(b'\n');
        if self.batch.len() >= BATCH { self.send() } else { Ok(()) }
    }

    fn close(&mut self, pair: &Pair) -> Result<(), String> {
        self.send()?;
        wait(&self.runtime, self.link.end_copy_in()).map_err(|message| format!("{}: {message}", pair.target.name))
    }

    fn settle(&mut self) -> Result<Vec<String>, String> {
        self.run("set constraints all immediate")?;
        for sql in std::mem::take(&mut self.restore) {
            self.run(&sql)?;
        }
        Ok(Vec::new())
    }

    fn commit(&mut self, pairs: &[Pair]) -> Result<(), String> {
        for pair in pairs {
            self.count_on(pair)?;
        }
        let unsure = |message| format!("{message}; move again: a target that has the rows after all will refuse");
        self.run("commit").map_err(unsure)?;
        for pair in pairs {
            // Plans get better with statistics, and are right without.
            let _ = self.run(&format!("analyze {}", pair.target.quoted));
        }
        Ok(())
    }

    fn changed(&mut self, pairs: &[Pair]) -> Result<bool, String> {
        self.run("commit")?;
        let horizon = self.horizon & 0xffff_ffff;
        for pair in pairs {
            // A row's own number has 32 bits and goes round: what is less than half the way ahead is newer.
            let sql = format!(
                "select count(*) = {} and count(*) filter (where \
                 mod(xmin::text::bigint - {horizon} + 4294967296, 4294967296) < 2147483648) = 0 from {}",
                pair.source.rows, pair.source.from
            );
            if self.cells(&sql)?.into_iter().flatten().next().flatten().as_deref() != Some("t") {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
