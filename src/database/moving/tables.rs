//! The tables of both sides, which belongs to which, and the order in which they are filled.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::form::{Affinity, Form};

/// A table as one side has it.
#[derive(Clone, Debug, Default)]
pub(in crate::database) struct Table {
    /// Its name.
    pub(in crate::database) name: String,
    /// How SQL names it: quoted, with its schema where there are some.
    pub(in crate::database) quoted: String,
    /// What a query reads: `only` its own rows where others inherit from it.
    pub(in crate::database) from: String,
    pub(in crate::database) columns: Vec<Column>,
    /// The columns that name a row in messages.
    pub(in crate::database) key: Vec<String>,
    /// The tables that its foreign keys lead to.
    pub(in crate::database) parents: BTreeSet<String>,
    /// The columns that count by themselves, each with the last number that was given.
    pub(in crate::database) counters: Vec<(String, Option<i64>)>,
    /// How many rows it has.
    pub(in crate::database) rows: u64,
}

/// A column as one side has it.
#[derive(Clone, Debug)]
pub(in crate::database) struct Column {
    pub(in crate::database) name: String,
    /// Whether the database computes it.
    pub(in crate::database) generated: bool,
    pub(in crate::database) kind: Kind,
}

/// What a column keeps.
#[derive(Clone, Debug)]
pub(in crate::database) enum Kind {
    Sqlite(Affinity),
    Postgres(Form),
}

/// A column that is copied.
#[derive(Clone, Debug)]
pub(in crate::database) struct Copied {
    /// The name by which both sides know it.
    pub(in crate::database) key: String,
    /// Its quoted names at the source and at the target.
    pub(in crate::database) quoted: [String; 2],
    pub(in crate::database) form: Form,
    pub(in crate::database) affinity: Affinity,
}

/// A table that is copied.
#[derive(Clone, Debug)]
pub(in crate::database) struct Pair {
    pub(in crate::database) source: Table,
    pub(in crate::database) target: Table,
    /// By their keys.
    pub(in crate::database) columns: Vec<Copied>,
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::database) enum End {
    Source,
    Target,
}

/// A row of a table on its way.
pub(in crate::database) struct Row<'r> {
    /// What each column holds, as PostgreSQL would read it; `None` is null. Or what is wrong with it.
    pub(in crate::database) cells: Vec<Result<Option<Cow<'r, [u8]>>, String>>,
    /// The names of the key's columns with their values.
    pub(in crate::database) key: Vec<(String, String)>,
}

impl Row<'_> {
    /// How messages name it: `id = 5`.
    pub(in crate::database) fn name(&self) -> String {
        let parts: Vec<String> = self.key.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        if parts.is_empty() { "without a key".into() } else { parts.join(", ") }
    }
}

/// A name in SQL of both databases.
pub(in crate::database) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Pair {
    /// The table of a side.
    pub(in crate::database) fn table(&self, end: End) -> &Table {
        match end {
            End::Source => &self.source,
            End::Target => &self.target,
        }
    }

    /// The quoted names of the copied columns on a side.
    pub(in crate::database) fn names(&self, end: End) -> Vec<&str> {
        self.columns.iter().map(|column| &*column.quoted[usize::from(end == End::Target)]).collect()
    }

    /// The query of all its rows on a side: the copied columns, then the key.
    pub(in crate::database) fn query(&self, end: End) -> String {
        let keys: Vec<String> = self.table(end).key.iter().map(|name| quoted(name)).collect();
        let mut names = self.names(end);
        names.extend(keys.iter().map(String::as_str));
        format!("select {} from {}", names.join(", "), self.table(end).from)
    }
}

/// What is copied, and what is said of the rest.
#[derive(Debug, Default)]
pub(in crate::database) struct Plan {
    /// In the order of their foreign keys.
    pub(in crate::database) pairs: Vec<Pair>,
    /// What the operator should know.
    pub(in crate::database) notes: Vec<String>,
}

/// Finds the tables and columns that belong together: those of one name, whatever its case.
///
/// # Errors
/// What would be lost.
pub(in crate::database) fn plan(source: &[Table], target: &[Table]) -> Result<Plan, String> {
    let by_name = |tables: &[Table]| -> BTreeMap<String, Table> {
        tables.iter().filter(|table| !is_own(table)).map(|table| (table.name.to_lowercase(), table.clone())).collect()
    };
    let mut targets = by_name(target);
    let mut plan = Plan::default();
    let mut lost = Vec::new();
    for (name, table) in by_name(source) {
        match targets.remove(&name) {
            Some(target) => plan.pairs.push(pair(table, target, &mut plan.notes, &mut lost)),
            None if table.rows == 0 => plan.notes.push(format!("{name}: empty, and only the source has it")),
            None => lost.push(format!("the table `{}` with {} rows", table.name, table.rows)),
        }
    }
    plan.notes.extend(targets.keys().map(|name| format!("{name}: only the target has it; left as migrations made it")));
    if !lost.is_empty() {
        let lost = lost.join("\n  ");
        return Err(format!("the target has no place for\n  {lost}\nadd a migration for its database that makes one"));
    }
    plan.pairs = ordered(plan.pairs);
    Ok(plan)
}

/// What each database writes down for itself.
pub(in crate::database) fn is_own(table: &Table) -> bool {
    table.name == "_migrations"
}

fn pair(source: Table, target: Table, notes: &mut Vec<String>, lost: &mut Vec<String>) -> Pair {
    let mut columns = Vec::new();
    for column in &source.columns {
        let key = column.name.to_lowercase();
        let place = format!("{}.{}", source.name, column.name);
        match target.columns.iter().find(|other| other.name.to_lowercase() == key) {
            Some(other) if other.generated && column.generated => {}
            Some(other) if other.generated => notes.push(format!("{place}: the target computes it")),
            Some(other) => columns.push(copied(key, column, other)),
            None if column.generated => {}
            None => lost.push(format!("the column `{place}`")),
        }
    }
    for column in target.columns.iter().filter(|column| !column.generated) {
        if !source.columns.iter().any(|other| other.name.to_lowercase() == column.name.to_lowercase()) {
            notes.push(format!("{}.{}: only the target has it; it gets its default", target.name, column.name));
        }
    }
    columns.sort_by(|one, other| one.key.cmp(&other.key));
    Pair { source, target, columns }
}

fn copied(key: String, source: &Column, target: &Column) -> Copied {
    let mut form = Form::Text { most: None, padded: false };
    let mut affinity = Affinity::Blob;
    for column in [source, target] {
        match &column.kind {
            Kind::Sqlite(kind) => affinity = *kind,
            Kind::Postgres(kind) => form = kind.clone(),
        }
    }
    Copied { key, quoted: [quoted(&source.name), quoted(&target.name)], form, affinity }
}

/// Each table behind those that it points at; where they point at each other in a ring, by name.
fn ordered(mut waiting: Vec<Pair>) -> Vec<Pair> {
    let name = |pair: &Pair| pair.source.name.to_lowercase();
    let mut done = Vec::new();
    while !waiting.is_empty() {
        let names: BTreeSet<String> = waiting.iter().map(name).collect();
        let is_free = |pair: &Pair| {
            let parents = pair.source.parents.iter().chain(&pair.target.parents).map(|parent| parent.to_lowercase());
            parents.filter(|parent| *parent != name(pair)).all(|parent| !names.contains(&parent))
        };
        let (mut free, rest): (Vec<Pair>, Vec<Pair>) = waiting.into_iter().partition(is_free);
        waiting = rest;
        if free.is_empty() {
            free.push(waiting.remove(0));
        }
        done.append(&mut free);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, parents: &[&str], columns: &[(&str, bool)]) -> Table {
        let column = |(name, generated): &(&str, bool)| Column {
            name: (*name).into(),
            generated: *generated,
            kind: Kind::Sqlite(Affinity::Text),
        };
        Table {
            name: name.into(),
            parents: parents.iter().map(ToString::to_string).collect(),
            columns: columns.iter().map(column).collect(),
            rows: 1,
            ..Table::default()
        }
    }

    #[test]
    fn tables_stand_behind_those_that_they_point_at() {
        let tables =
            [table("a", &["c"], &[]), table("b", &["b", "a"], &[]), table("C", &[], &[]), table("x", &["y"], &[])];
        let all = [&tables[..], &[table("y", &["x"], &[])]].concat();
        let plan = plan(&all, &all).unwrap();
        let order: Vec<&str> = plan.pairs.iter().map(|pair| &*pair.source.name).collect();
        assert_eq!(order, ["C", "a", "b", "x", "y"]);
    }

    #[test]
    fn nothing_is_lost_in_silence() {
        let source = [table("A", &[], &[("Id", false), ("sum", true), ("n", false)]), table("gone", &[], &[])];
        let told = plan(&source, &[table("a", &[], &[("id", false)])]).unwrap_err();
        assert!(told.contains("`A.n`") && told.contains("`gone` with 1 rows") && !told.contains("sum"), "{told}");
        let target = [table("a", &[], &[("id", false), ("n", true), ("new", false)]), table("gone", &[], &[])];
        let plan = plan(&source, &target).unwrap();
        assert_eq!(plan.pairs[0].names(End::Source), ["\"Id\""]);
        assert_eq!(plan.notes, ["A.n: the target computes it", "a.new: only the target has it; it gets its default"]);
    }
}
