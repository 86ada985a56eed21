//! What a statement reads and writes, told by SQLite's own compiler: the authorizer hears of every table that it
//! touches (<https://www.sqlite.org/c3ref/set_authorizer.html>), through views, common table expressions, triggers and
//! the actions of foreign keys.
//!
//! Virtual tables are compiled no further, so they are known here: one stands for itself and its shadow tables, and
//! reading it depends on its `content=` table, too. Where nothing is known, the answer is [`Tables::Unknown`].

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::failure;
use super::gate::{Gate, Mode};
use super::link::{Link, Plan, Role, prepare_only};
use super::program;
use crate::database::{Description, Failure, SqlFault, Tables};
use crate::value::Value;

/// SQLite's pure functions, and ours (see [`super::functions`]). A function outside of this list and [`CLOCK`] makes a
/// result that must not be kept.
const PURE: &str = " abs avg bm25 ceil ceiling char chr coalesce concat concat_ws count cume_dist date_trunc dense_rank \
    first_value floor format glob greatest group_concat hex highlight if ifnull iif instr json json_agg json_array \
    json_array_insert json_array_length json_build_object json_error_position json_extract json_group_array \
    json_group_object json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set \
    json_type json_valid jsonb jsonb_array jsonb_array_insert jsonb_extract jsonb_group_array jsonb_group_object \
    jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set lag last_value lead least left length \
    like likelihood likely lower ltrim match max min nth_value ntile nullif octet_length percent_rank power printf \
    quote rank replace right round row_number rtrim seconds_between shift sign snippet soundex split_part sqrt \
    starts_with string_agg strpos substr substring sum to_char total trim typeof unhex unicode unistr unistr_quote \
    unlikely upper zeroblob -> ->> ";

/// Functions that read the clock when they are called with `now` or without arguments. Whether they did shows at run
/// time, through [`super::clock`].
const CLOCK: &str =
    " current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch ";

/// Table-valued functions that depend on nothing but their arguments.
const PURE_TABLES: &str = " json_each json_tree jsonb_each jsonb_tree generate_series ";

/// Modules whose virtual tables keep their rows in shadow tables of their own.
const KEEPING_MODULES: &str = " fts3 fts4 fts5 rtree rtree_i32 geopoly ";

fn listed(list: &str, name: &str) -> bool {
    list.contains(&format!(" {name} "))
}

/// A connection that only prepares, and listens.
pub(super) struct Describer {
    link: Link,
    heard: Arc<Mutex<Heard>>,
    schema: Schema,
    /// SQLite's `schema_version` that `schema` was read at.
    version: Option<Value>,
}

/// What the authorizer heard about one statement; names as SQLite gave them.
#[derive(Default)]
struct Heard {
    reads: BTreeSet<String>,
    writes: BTreeSet<String>,
    functions: BTreeSet<String>,
}

impl Describer {
    /// Opens its connection.
    pub(super) fn open(plan: &Plan) -> Result<Describer, Failure> {
        let mut link = Link::open(plan, Role::Reader)?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (gate, ear) = (Arc::clone(&link.gate), Arc::clone(&heard));
        link.connection
            .authorizer(Some(move |context: AuthContext<'_>| listen(&gate, &ear, &context)))
            .map_err(|error| failure::from_rusqlite(&error))?;
        Ok(Describer { link, heard, schema: Schema::default(), version: None })
    }

    /// Describes a statement; see [`crate::database::Database::describe`].
    pub(super) fn describe(&mut self, sql: &str) -> Result<Description, SqlFault> {
        self.refresh().map_err(fault)?;
        let (statement, heard) = self.prepare(sql).map_err(fault)?;
        // A statement that changes something, but no rows of a table, is one like VACUUM, of which the authorizer doesn't
        // hear.
        if statement.explains() || (!statement.read_only() && heard.writes.is_empty()) {
            let word = sql.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
            return Err(SqlFault { message: format!("{word} is not allowed in a query file"), offset: Some(0) });
        }
        let mut description = Description {
            columns: statement.columns().iter().map(|name| name.to_string()).collect(),
            reads: self.schema.reads(heard.reads.iter().map(String::as_str)),
            writes: self.schema.writes(&heard.writes),
            impure: BTreeSet::new(),
            may_read_clock: false,
            placeholders: statement.placeholders(),
            read_only: statement.read_only(),
            row: self.row(sql),
            because: String::new(),
        };
        for function in heard.functions {
            description.may_read_clock |= listed(CLOCK, &function);
            if !listed(PURE, &function) && !listed(CLOCK, &function) {
                description.impure.insert(function);
            }
        }
        match heard.reads.iter().find(|name| self.schema.is_pragma(name)) {
            Some(name) => Err(SqlFault { message: format!("`{name}` is not allowed in a query file"), offset: None }),
            None => Ok(description),
        }
    }

    /// The column that tells which row a query looks up, of a table whose rows can be told from each other.
    fn row(&mut self, sql: &str) -> Option<usize> {
        let found = program::looks_up(&self.link.connection, sql)?;
        let table = "select lower(tbl_name) from sqlite_schema where rootpage = ?1 and type in ('table', 'index')";
        let before = self.link.gate.enter(Mode::Own);
        let name = |root: &i64| self.link.connection.query_row(table, [root], |row| row.get::<_, String>(0)).ok();
        let names: Option<BTreeSet<String>> = found.roots.iter().map(name).collect();
        self.link.gate.enter(before);
        let is_one = names.is_some_and(|names| names.len() == 1 && !names.iter().any(|name| is_internal(name)));
        is_one.then_some(found.column)
    }

    /// Tables and views that authors may name, sorted.
    pub(super) fn tables(&mut self) -> Vec<String> {
        if self.refresh().is_err() {
            return Vec::new();
        }
        let known = self.schema.tables.values();
        let usable = known.filter(|table| !matches!(table.kind, Kind::Shadow(_)) && !is_internal(&table.name));
        let mut names: Vec<String> = usable.map(|table| table.name.clone()).collect();
        names.sort();
        names
    }

    /// The columns of a table or view.
    pub(super) fn columns_of(&mut self, table: &str) -> Vec<String> {
        self.own("select name from pragma_table_xinfo(?1) order by cid", table, |row| row.get(0))
    }

    /// See [`super::super::Database::held_by`].
    pub(super) fn held_by(&mut self, table: &str) -> Vec<(String, String)> {
        let sql = "select m.name, f.\"from\" from sqlite_schema m join pragma_foreign_key_list(m.name) f \
                   where m.type = 'table' and f.\"table\" = ?1 collate nocase and f.on_delete = 'NO ACTION' \
                   order by m.name, f.id, f.seq";
        self.own(sql, table, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// A question of our own about a table; nothing where it can't be answered.
    fn own<T>(&mut self, sql: &str, table: &str, of: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let before = self.link.gate.enter(Mode::Own);
        let read = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.link.connection.prepare_cached(sql)?;
            statement.query_map([table], |row| of(row))?.collect()
        };
        let answers = read().unwrap_or_default();
        self.link.gate.enter(before);
        answers
    }

    fn prepare(&mut self, sql: &str) -> Result<(super::statement::Statement, Heard), Failure> {
        self.lock_heard();
        let statement = prepare_only(&self.link.connection, sql).map_err(|failure| self.link.gate.explain(failure))?;
        Ok((statement, self.lock_heard()))
    }

    /// Takes what was heard since the last call.
    fn lock_heard(&self) -> Heard {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the schema again if it has changed.
    fn refresh(&mut self) -> Result<(), Failure> {
        let version = self.link.own("pragma schema_version")?.cells.pop();
        if version != self.version {
            self.schema = self.read_schema()?;
            self.version = version;
        }
        Ok(())
    }

    fn read_schema(&mut self) -> Result<Schema, Failure> {
        let rows = self.link.own(
            "select l.name, l.type, coalesce(s.sql, '') from pragma_table_list l \
             left join sqlite_schema s on s.name = l.name and s.type in ('table', 'view') where l.schema = 'main'",
        )?;
        let modules = self.link.own("select name from pragma_module_list")?;
        let mut schema = Schema::default();
        schema.modules.extend(modules.cells.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase));
        let texts = |row: usize| rows.row(row).iter().map(|cell| cell.as_str().unwrap_or("")).collect::<Vec<_>>();
        for row in 0..rows.len() {
            if let [name, kind, sql] = texts(row)[..] {
                let kind = match kind {
                    "view" => Kind::View,
                    "virtual" => self.virtual_kind(sql),
                    "shadow" => Kind::Shadow(String::new()),
                    _ => Kind::Table { counted: sql.to_ascii_lowercase().contains("autoincrement") },
                };
                schema.tables.insert(name.to_ascii_lowercase(), Table { name: name.to_string(), kind });
            }
        }
        schema.find_owners();
        Ok(schema)
    }

    /// What a virtual table depends on, from its `create virtual table`.
    fn virtual_kind(&mut self, sql: &str) -> Kind {
        let Some((module, arguments)) = module_and_arguments(sql) else { return Kind::Virtual(None) };
        let vocabulary = matches!(module.as_str(), "fts5vocab" | "fts4aux");
        let sources: Vec<String> = if vocabulary {
            arguments
        } else if listed(KEEPING_MODULES, &module) {
            arguments.iter().filter_map(|argument| content_table(argument)).collect()
        } else {
            return Kind::Virtual(None);
        };
        let mut depends = BTreeSet::new();
        for source in sources {
            let read = format!("select * from \"{}\"", source.replace('"', "\"\""));
            match self.prepare(&read) {
                Ok((_, heard)) => depends.extend(heard.reads),
                // The other arguments of a vocabulary are no tables.
                Err(_) if vocabulary => {}
                Err(_) => return Kind::Virtual(None),
            }
        }
        Kind::Virtual(Some(depends))
    }
}

fn fault(failure: Failure) -> SqlFault {
    match failure {
        Failure::Broken { message, offset } => SqlFault { message, offset },
        failure => SqlFault { message: failure.to_string(), offset: None },
    }
}

/// The authorizer of the describing connection: writes down what it hears, and refuses what the gate refuses.
fn listen(gate: &Gate, heard: &Mutex<Heard>, context: &AuthContext<'_>) -> Authorization {
    if gate.mode() == Mode::Own {
        return Authorization::Allow;
    }
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    match context.action {
        AuthAction::Read { table_name, .. } => {
            heard.reads.insert(table_name.to_string());
        }
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => {
            heard.writes.insert(table_name.to_string());
        }
        AuthAction::Function { function_name } => {
            heard.functions.insert(function_name.to_ascii_lowercase());
        }
        _ => {}
    }
    gate.allow(context)
}

/// The tables of the schema, by their names in lower case.
#[derive(Default)]
struct Schema {
    tables: HashMap<String, Table>,
    /// Names of table-valued functions, in lower case.
    modules: BTreeSet<String>,
}

struct Table {
    /// As the schema writes it.
    name: String,
    kind: Kind,
}

enum Kind {
    /// An ordinary table; `counted` by `sqlite_sequence`.
    Table { counted: bool },
    /// A view; what it reads is told beside it.
    View,
    /// A virtual table, and what it depends on beside itself, if that is known.
    Virtual(Option<BTreeSet<String>>),
    /// A table in which a virtual table keeps its rows; that virtual table's name.
    Shadow(String),
}

impl Schema {
    /// Gives each shadow table to the virtual table with the longest name that its own begins with.
    fn find_owners(&mut self) {
        let is_virtual = |table: &&Table| matches!(table.kind, Kind::Virtual(_));
        let owners: Vec<String> = self.tables.values().filter(is_virtual).map(|table| table.name.clone()).collect();
        for table in self.tables.values_mut() {
            if let Kind::Shadow(owner) = &mut table.kind {
                let name = table.name.to_ascii_lowercase();
                let owns =
                    |virtual_table: &&String| name.starts_with(&format!("{}_", virtual_table.to_ascii_lowercase()));
                *owner = owners.iter().filter(owns).max_by_key(|name| name.len()).cloned().unwrap_or_default();
            }
        }
    }

    /// The tables that a result depends on which reads these names.
    fn reads<'a>(&'a self, names: impl Iterator<Item = &'a str>) -> Tables {
        let mut found = BTreeSet::new();
        let mut asked = BTreeSet::new();
        let mut open: Vec<&str> = names.collect();
        while let Some(name) = open.pop() {
            if !asked.insert(name) {
                continue;
            }
            match self.tables.get(&name.to_ascii_lowercase()) {
                Some(Table { kind: Kind::View, .. }) => {}
                Some(Table { kind: Kind::Shadow(owner), .. }) if !owner.is_empty() => open.push(owner),
                Some(Table { kind: Kind::Virtual(None), .. }) => return Tables::Unknown,
                Some(Table { kind: Kind::Virtual(Some(depends)), name }) => {
                    found.insert(name.clone());
                    open.extend(depends.iter().map(String::as_str));
                }
                Some(table) => {
                    found.insert(table.name.clone());
                }
                None if is_schema(name) => {
                    found.insert("sqlite_master".to_string());
                }
                None if self.is_unknown_module(name) => return Tables::Unknown,
                // A common table expression, or a pure table-valued function.
                None => {}
            }
        }
        Tables::Known(found)
    }

    /// The tables that are changed when these names are written.
    fn writes(&self, names: &BTreeSet<String>) -> Tables {
        let mut found = BTreeSet::new();
        for name in names {
            match self.tables.get(&name.to_ascii_lowercase()) {
                // Its triggers are told beside it.
                Some(Table { kind: Kind::View, .. }) => {}
                Some(Table { kind: Kind::Shadow(owner), .. }) if !owner.is_empty() => {
                    found.insert(owner.clone());
                }
                Some(Table { kind: Kind::Virtual(None), .. }) | None => return Tables::Unknown,
                Some(Table { kind, name }) => {
                    found.insert(name.clone());
                    if matches!(kind, Kind::Table { counted: true }) {
                        found.insert("sqlite_sequence".to_string());
                    }
                }
            }
        }
        Tables::Known(found)
    }

    fn is_unknown_module(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.modules.contains(&name) && !listed(PURE_TABLES, &name)
    }

    fn is_pragma(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name.starts_with("pragma_") && !self.tables.contains_key(&name)
    }
}

fn is_schema(name: &str) -> bool {
    ["sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"]
        .iter()
        .any(|schema| name.eq_ignore_ascii_case(schema))
}

/// Whether a table is SQLite's or the server's own.
fn is_internal(name: &str) -> bool {
    name.starts_with('_') || name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
}

/// The module of a `create virtual table`, in lower case, and its arguments. `None` for what isn't understood.
fn module_and_arguments(sql: &str) -> Option<(String, Vec<String>)> {
    if sql.contains("--") || sql.contains("/*") {
        return None;
    }
    let lower = sql.to_ascii_lowercase();
    // The word may also stand in the table's name, but then quoted; arguments come after it in any case.
    let using = lower.match_indices("using").map(|(at, _)| at).find(|at| outside_quotes(sql, *at))?;
    let rest = &sql[using + "using".len()..];
    let (module, arguments) = match rest.split_once('(') {
        Some((module, arguments)) => (module, arguments.trim_end().strip_suffix(')')?),
        None => (rest, ""),
    };
    Some((unquote(module).to_ascii_lowercase(), split_arguments(arguments)))
}

fn outside_quotes(sql: &str, place: usize) -> bool {
    let mut quote = None;
    for character in sql[..place].chars() {
        quote = match (quote, character) {
            (None, '\'' | '"' | '`') => Some(character),
            (None, '[') => Some(']'),
            (Some(end), _) if end == character => None,
            (quote, _) => quote,
        };
    }
    quote.is_none()
}

/// Splits at the commas that stand neither in quotes nor in parentheses.
fn split_arguments(arguments: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quote, mut depth) = (None, 0_i32);
    for character in arguments.chars() {
        match (quote, character) {
            (None, '\'' | '"' | '`') => quote = Some(character),
            (None, '[') => quote = Some(']'),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            (Some(end), _) if end == character => quote = None,
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.iter().map(|part| unquote(part)).collect()
}

fn unquote(name: &str) -> String {
    let name = name.trim();
    for (open, close) in [('\'', '\''), ('"', '"'), ('`', '`'), ('[', ']')] {
        if let Some(inner) = name.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return inner.replace(&format!("{close}{close}"), &close.to_string());
        }
    }
    name.to_string()
}

/// The table of an argument `content = table`; none for contentless tables.
fn content_table(argument: &str) -> Option<String> {
    let (key, value) = argument.split_once('=')?;
    let table = unquote(value);
    (key.trim().eq_ignore_ascii_case("content") && !table.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_tables_are_taken_apart() {
        let cases = [
            ("create virtual table s using fts5(name, content='items', content_rowid=\"id\")", "fts5", Some("items")),
            ("CREATE VIRTUAL TABLE \"using it\" USING [fts5] (a, content = \"my, items\")", "fts5", Some("my, items")),
            ("create virtual table s using fts5(name, content='')", "fts5", None),
            ("create virtual table s using fts5(name, tokenize = \"unicode61 content='no'\")", "fts5", None),
            ("create virtual table r using rtree(id, x0, x1)", "rtree", None),
        ];
        for (sql, module, content) in cases {
            let (found, arguments) = module_and_arguments(sql).expect(sql);
            let table = arguments.iter().find_map(|argument| content_table(argument));
            assert_eq!((found.as_str(), table.as_deref()), (module, content), "{sql}");
        }
        assert_eq!(module_and_arguments("create virtual table s using fts5(a /* content='b' */)"), None);
    }
}
