//! What SQLite's compiler makes of a statement, as `explain` shows it (<https://www.sqlite.org/opcode.html>): whether a
//! query looks up one row and reads nothing else, and whether a write changes rows without telling of them.
//!
//! Programs are read by what is known of them, and never by the names of what SQLite may yet come to do: an instruction
//! that isn't in the lists here means "no".

use rusqlite::Connection;

use super::link::prepare_only;
use super::statement::Bounds;
use crate::database::Limit;
use crate::value::Value;

/// What neither opens a cursor, nor moves one, nor puts anything into a register.
const QUIET: &str = " Init Goto Halt Transaction Noop Explain IsNull NotNull If IfNot Eq Ne Lt Le Gt Ge CollSeq DecrJumpZero ReleaseReg ";

/// What finds one row, or none, by its rowid or by a key.
const FINDS: &str = " OpenRead SeekRowid NotExists SeekGE IdxGT DeferredSeek FinishSeek ";

/// What puts something into the register that its second operand names.
const TO_SECOND: &str = " Integer Int64 Real String8 Variable SCopy Rowid IdxRowid Not BitNot IsTrue ZeroOrNull ";

/// What puts something into the registers from the one to the other: each as they are reckoned from its operands.
const TO_SEVERAL: &str = " Null Copy Affinity Cast RealAffinity MustBeInt ";

/// What puts something into the register that its third operand names.
const TO_THIRD: &str = " Column Add Subtract Multiply Divide Remainder Concat BitAnd BitOr ShiftLeft ShiftRight And Or \
    Function PureFunc ";

/// The flag of `Delete` that says that the hook is told
/// (<https://www.sqlite.org/c3ref/update_hook.html>): it is not of rows that make room for others, or get another key.
const COUNTED: i64 = 0x01;

/// The flag of `OpenRead` that its second operand is a register.
const IN_REGISTER: i64 = 0x10;

/// One instruction.
struct Step {
    name: String,
    operands: [i64; 3],
    flags: i64,
}

impl Step {
    fn is_one_of(&self, list: &str) -> bool {
        list.contains(&format!(" {} ", self.name))
    }

    /// Whether it puts something into the register.
    fn fills(&self, register: i64) -> bool {
        let [first, second, third] = self.operands;
        let filled = match &*self.name {
            "Null" => second..=second.max(third),
            "Copy" => second..=second + third,
            "Affinity" => first..=first + second - 1,
            "Cast" | "RealAffinity" | "MustBeInt" => first..=first,
            _ if self.is_one_of(TO_SECOND) => second..=second,
            _ if self.is_one_of(TO_THIRD) => third..=third,
            _ => return false,
        };
        filled.contains(&register)
    }
}

/// The instructions of a statement and of all triggers and foreign keys' actions that it may start.
fn program(connection: &Connection, sql: &str) -> Option<Vec<Step>> {
    let mut statement = prepare_only(connection, &format!("explain {sql}")).ok()?;
    let bounds = Bounds { rows: Limit::AtMost(usize::MAX), bytes: usize::MAX };
    let binds = vec![Value::Null; statement.placeholders()];
    let rows = statement.run(connection, &binds, bounds).ok()?;
    let number = |row, name| rows.cell(row, name).and_then(Value::as_int);
    let step = |row| {
        let operands = [number(row, "p1")?, number(row, "p2")?, number(row, "p3")?];
        Some(Step { name: rows.cell(row, "opcode")?.as_str()?.to_string(), operands, flags: number(row, "p5")? })
    };
    (0..rows.len()).map(step).collect()
}

/// Whether a statement may change rows of which the connection's update hook isn't told.
pub(super) fn hides_changes(connection: &Connection, sql: &str) -> bool {
    let is_told = |step: &Step| step.name == "Delete" && step.operands[1] & COUNTED != 0;
    let hides = |steps: &[Step], at: usize| match &*steps[at].name {
        "Delete" if is_told(&steps[at]) => false,
        // The entry of the index by which a row was found, right after the row.
        "Delete" => at == 0 || !is_told(&steps[at - 1]) || steps[at - 1].operands[0] == steps[at].operands[0],
        "Clear" | "Destroy" | "VUpdate" => true,
        _ => false,
    };
    program(connection, sql).is_none_or(|steps| (0..steps.len()).any(|at| hides(&steps, at)))
}

/// A query that looks up one row of one table by its rowid or a unique key, and reads nothing else: where the program
/// finds it, and the column that tells its rowid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LooksUp {
    /// The first pages of the table, of its index, or of both.
    pub(super) roots: Vec<i64>,
    /// The place of the column.
    pub(super) column: usize,
}

/// Whether a query is one that looks up one row, and tells its rowid.
///
/// There is no instruction in it that goes on to a next row, so that what is found is found by a whole unique key:
/// another row can only be found instead once this one has changed or is gone.
pub(super) fn looks_up(connection: &Connection, sql: &str) -> Option<LooksUp> {
    let steps = program(connection, sql)?;
    let known = [QUIET, FINDS, TO_SECOND, TO_SEVERAL, TO_THIRD, " ResultRow "];
    if !steps.iter().all(|step| known.iter().any(|list| step.is_one_of(list))) {
        return None;
    }
    let all = |name: &'static str| steps.iter().filter(move |step| step.name == name);
    let opened: Vec<&Step> = all("OpenRead").collect();
    let here = |step: &&Step| step.operands[2] == 0 && step.flags & IN_REGISTER == 0;
    if !opened.iter().all(here) || !is_one_place(&steps, &opened) {
        return None;
    }
    let (Some(result), 1) = (all("ResultRow").next(), all("ResultRow").count()) else { return None };
    let [start, count, _] = result.operands;
    let mut rowids = all("Rowid").chain(all("IdxRowid")).map(|step| step.operands[1]);
    let register = rowids.find(|register| (start..start + count).contains(register))?;
    let alone = steps.iter().filter(|step| step.fills(register)).count() == 1;
    let column = usize::try_from(register - start).ok().filter(|_| alone)?;
    Some(LooksUp { roots: opened.iter().map(|step| step.operands[1]).collect(), column })
}

/// Whether all cursors stand at one row: there is one, or an index's with that of its table, which goes to the row of the
/// index's entry; and one seek only.
fn is_one_place(steps: &[Step], opened: &[&Step]) -> bool {
    let cursor = |step: &Step| step.operands[0];
    let follows = |index: i64, table: i64| {
        let to = |step: &Step| step.name == "DeferredSeek" && (cursor(step), step.operands[2]) == (index, table);
        steps.iter().any(to)
    };
    let seeks = steps.iter().filter(|step| matches!(&*step.name, "SeekRowid" | "NotExists" | "SeekGE")).count();
    seeks == 1
        && match opened {
            [_] => true,
            [one, two] => follows(cursor(one), cursor(two)) || follows(cursor(two), cursor(one)),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "
        create table shelf (id integer primary key, name text);
        create table thing (id integer primary key, slug text not null unique, name text collate nocase, price integer,
            shelf integer references shelf (id) on delete cascade, code text unique on conflict ignore);
        create unique index by_name on thing (name, price);
        create index by_price on thing (price);
        create unique index of_shelf on thing (shelf) where price > 5;
        create table tag (thing integer, word text, primary key (thing, word)) without rowid;
        create table log (id integer primary key, what text unique);
        create view cheap as select id, slug from thing where price < 10;
        create virtual table words using fts5 (word);
        create trigger logged after update of price on shelf begin select 1; end;";

    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("pragma foreign_keys = on; pragma recursive_triggers = off").unwrap();
        connection.execute_batch(&SCHEMA.replace("update of price", "update of name")).unwrap();
        connection
    }

    #[test]
    fn a_look_up_by_a_whole_unique_key_is_known() {
        let connection = connection();
        let column = |sql: &str| looks_up(&connection, sql).map(|found| (found.column, found.roots.len()));
        for (sql, found) in [
            ("select id, name from thing where id = ?", (0, 1)),
            ("select name, rowid from thing where rowid = ?", (1, 1)),
            ("select price / 100 || '.' || substr(price, -2) as p, t.* from thing t where slug = ? limit 1", (1, 2)),
            ("select id from thing where slug = ?", (0, 1)),
            ("select upper(slug), id from thing where name = ? and price = ? and slug <> 'x'", (1, 2)),
            ("select slug, id from cheap where slug = ?", (1, 2)),
            ("select id, slug from thing where shelf = ? and price > 5", (0, 2)),
            (
                "select id, coalesce(name, slug), case when price > 3 then 1 else 2 end from thing where id in (?)",
                (0, 1),
            ),
        ] {
            assert_eq!(column(sql), Some(found), "{sql}");
        }
    }

    #[test]
    fn what_may_depend_on_other_rows_is_none() {
        let connection = connection();
        for sql in [
            "select name from thing where id = ?",
            "select id + 1 as id from thing where id = ?",
            "select coalesce(id, 1) from thing where slug = ?",
            "select id from thing",
            "select id from thing limit 1",
            "select id from thing where price = ?",
            "select id from thing where price = ? limit 1",
            "select id from thing where name = ?",
            "select id from thing where name = ? limit 1",
            "select id from thing where name collate binary = ? and price = ?",
            "select id from thing where id > ? limit 1",
            "select id from thing where id in (?, ?)",
            "select id from thing where slug in (?, ?)",
            "select id from thing where slug in (select word from tag)",
            "select id from thing where slug = ? or id = ?",
            "select id from thing where code is ?",
            "select id from thing where shelf = ?",
            "select id, count(*) from thing where slug = ?",
            "select max(id) from thing",
            "select id from thing where slug = (select max(word) from tag)",
            "select id from thing where slug = ? and exists (select 1 from tag where thing = id)",
            "select id, (select count(*) from tag where thing = t.id) from thing t where slug = ?",
            "select t.id from thing t join shelf s on s.id = t.shelf where t.slug = ?",
            "select t.id, s.name from thing t left join shelf s on s.id = t.shelf where t.slug = ?",
            "select a.id from thing a, thing b where a.id = ? and b.id = a.price",
            "select b.id from thing a, thing b where a.id = ? and b.id = a.price",
            "select a.id from thing a, thing b where a.name = ? and a.price = ? and b.id = a.price",
            "select b.id from thing a, thing b where a.name = ? and a.price = ? and b.id = a.price",
            "select a.id from thing a, thing b where a.name = ? and a.price = ? and b.slug = a.name",
            "select id from thing where slug = ? union select id from log where id = ?",
            "select id, row_number() over () from thing where slug = ?",
            "select thing, word from tag where thing = ? and word = ?",
            "select rowid from words where rowid = ?",
            "select rowid from words where words match ?",
            "with recursive n (id) as (select 1 union all select id + 1 from n limit 3) select id from n",
            "select 1 as id",
        ] {
            assert_eq!(looks_up(&connection, sql), None, "{sql}");
        }
    }

    /// The rows of which the hook is told while the statement runs, and all that it really changes.
    fn told(connection: &mut Connection, sql: &str) -> Vec<(String, i64)> {
        use std::sync::{Arc, Mutex};
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let hook = move |_: rusqlite::hooks::Action, _: &str, table: &str, row: i64| {
            ear.lock().unwrap().push((table.to_string(), row));
        };
        connection.update_hook(Some(hook)).unwrap();
        connection.execute_batch("savepoint s").unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let _ = statement.raw_query().next().map(|_| ()).map_err(|error| panic!("{sql}: {error}"));
        drop(statement);
        connection.execute_batch("rollback to s; release s").unwrap();
        heard.lock().unwrap().clone()
    }

    #[test]
    fn rows_that_change_unheard_are_known() {
        let mut connection = connection();
        connection
            .execute_batch(
                "insert into shelf values (1, 'a'), (2, 'b');
                 insert into thing values (1, 'one', 'One', 1, 1, 'x'), (2, 'two', 'Two', 2, 1, 'y');
                 insert into log values (1, 'a'), (2, 'b');
                 create trigger follows after insert on log begin
                     update thing set price = 9 where id = new.id; delete from shelf where id = new.id;
                 end;",
            )
            .unwrap();
        for (sql, heard) in [
            ("update thing set price = 3 where id = 2", vec![("thing", 2)]),
            ("delete from thing where id = 2", vec![("thing", 2)]),
            ("delete from thing where slug = 'two'", vec![("thing", 2)]),
            ("delete from thing where name >= 'o'", vec![("thing", 1), ("thing", 2)]),
            (
                "insert into thing (id, slug, price) values (9, 'one', 1) on conflict (slug) do update set price = 7",
                vec![("thing", 1)],
            ),
            ("insert into shelf values (7, 'g')", vec![("shelf", 7)]),
            // Cascades and triggers are heard of, too.
            ("delete from shelf where id = 1", vec![("shelf", 1), ("thing", 1), ("thing", 2)]),
            ("insert into log values (7, 'c')", vec![("log", 7)]),
        ] {
            assert!(!hides_changes(&connection, sql), "{sql}");
            let mut told = told(&mut connection, sql);
            told.sort();
            let told: Vec<(&str, i64)> = told.iter().map(|(table, row)| (&**table, *row)).collect();
            assert_eq!(told, heard, "{sql}");
        }
        for sql in [
            "insert or replace into thing (id, slug) values (9, 'one')",
            "replace into log values (9, 'b')",
            "update or replace thing set slug = 'two' where id = 1",
            "update log set id = 7 where id = 1",
            "update log set rowid = rowid + 10",
            "delete from log",
            "insert into words values ('a')",
            "delete from words",
            "nonsense",
        ] {
            assert!(hides_changes(&connection, sql), "{sql}");
        }
        connection
            .execute_batch("create trigger replaces after insert on shelf begin replace into log values (9, 'b'); end")
            .unwrap();
        assert!(hides_changes(&connection, "insert into shelf values (7, 'g')"));
        connection.execute_batch("create table strict (id integer primary key, a unique on conflict replace)").unwrap();
        assert!(hides_changes(&connection, "insert into strict values (1, 2)"));
        assert!(hides_changes(&connection, "update strict set a = 2"));
    }
}
