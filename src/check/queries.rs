//! Prepares every statement of a site against its schema.

use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::differences;
use crate::builtin;
use crate::database::{Database, Description, SqlFault, Tables};
use crate::problem::{Fault, suggestion};
use crate::site::{Endpoint, Site, keeping};
use crate::sqlfile::tokens::{Token, tokenize};
use crate::sqlfile::{Dialect, Query, QueryKind, Script, Source, Type};

/// What a script is for; decides what its statements may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A page or data: it only reads.
    Read,
    /// An action or a visit: it may write.
    Write,
}

/// What is known of each statement of each script.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the script's identity, which is where it stands in memory, and the statement's place in it.
    descriptions: HashMap<(usize, usize), Description>,
}

impl Known {
    /// What is known of one statement; `None` when it doesn't prepare.
    pub(super) fn get(&self, script: &Arc<Script>, index: usize) -> Option<&Description> {
        self.descriptions.get(&(Arc::as_ptr(script).addr(), index))
    }

    /// The columns of a result by its slot, if all statements that share the slot give the same ones; columns that
    /// only some give count, too, since each may be the one that runs.
    pub(super) fn columns(&self, script: &Arc<Script>, slot: usize) -> Option<Vec<String>> {
        let mut columns: Vec<String> = Vec::new();
        for (index, _) in script.queries.iter().enumerate().filter(|(_, query)| query.slot == slot) {
            for column in &self.get(script, index)?.columns {
                if !columns.contains(column) {
                    columns.push(column.clone());
                }
            }
        }
        Some(columns)
    }
}

/// Describes every statement, and tells the faults of those that don't prepare or do what they may not.
pub(super) fn describe(site: &Site, schema: &Database, faults: &mut Vec<Fault>) -> Known {
    let mut known = Known::default();
    for (script, purpose) in scripts(site) {
        for (index, query) in script.queries.iter().enumerate() {
            if known.descriptions.contains_key(&(Arc::as_ptr(&script).addr(), index)) {
                continue;
            }
            match schema.describe(&query.sql, &query.kinds) {
                Ok(description) => {
                    allowed(query, &description, purpose, script.dialect, faults);
                    known.descriptions.insert((Arc::as_ptr(&script).addr(), index), description);
                }
                // The check of `[owners]` tells of those where they stand.
                Err(fault) if is_of_owners(query) && !matches!(Missing::of(&fault.message), Missing::Other) => {}
                Err(fault) => faults.push(told(query, &fault, script.dialect, schema)),
            }
        }
        columns_of_earlier(&script, &known, faults);
    }
    known
}

/// Whether a query was made of an entry of `[owners]`.
fn is_of_owners(query: &Query) -> bool {
    query.place.file.strip_prefix(builtin::ROOT).and_then(|file| file.strip_prefix("pages/")) == Some(builtin::OWN_DATA)
}

/// The server's own tables that proofs and logins write.
const OWN_WRITES: [&str; 7] =
    ["_attempts", "_security_log", "_accounts", "_recovery_codes", "_passkeys", "_oidc", "outbox"];

/// Tells each action which tables it may write.
pub(super) fn tell_writes(site: &Site, known: &Known) {
    let actions = |endpoint: &Arc<Endpoint>| {
        let by_method = endpoint.actions.iter().map(|(_, action)| action);
        by_method.chain(&endpoint.visit).cloned().collect::<Vec<_>>()
    };
    for action in site.endpoints.iter().flat_map(actions) {
        let script = &action.script;
        let mut writes = Tables::none();
        for script in action.scripts() {
            for index in 0..script.queries.len() {
                writes.add(known.get(script, index).map_or(&Tables::Unknown, |description| &description.writes));
            }
        }
        if action.asks_who() {
            writes.add(&Tables::Known(["_sessions".to_string()].into()));
        }
        if script.has_proofs() || script.directives.login.is_some() || script.directives.logout {
            writes.add(&Tables::Known(OWN_WRITES.map(String::from).into()));
        }
        if script.parameters.iter().any(|parameter| parameter.kind == Type::File) {
            writes.add(&Tables::Known(["uploads".to_string()].into()));
        }
        // A site that is checked again is as it was.
        let _ = action.writes.set(writes);
    }
}

/// Tells each page and all data what the cache must know: which tables they read, and why they are never kept.
pub(super) fn tell_reads(site: &Site, known: &Known) {
    for page in site.endpoints.iter().filter_map(|endpoint| endpoint.page.as_ref()) {
        page.keeping.learn(reads(&page.scripts, known));
    }
    for (_, data) in site.endpoints.iter().flat_map(|endpoint| &endpoint.data) {
        data.keeping.learn(reads(std::slice::from_ref(&data.script), known));
    }
}

/// The tables of all statements, and whether one of them gives something else each time.
fn reads(scripts: &[Arc<Script>], known: &Known) -> keeping::Known {
    let mut found = keeping::Known {
        reads: Tables::none(),
        off: None,
        requires: false,
        statements: Arc::default(),
        rows: looks_up(scripts, known),
    };
    let mut statements = Vec::with_capacity(scripts.len());
    for script in scripts {
        let queries = script.queries.iter().enumerate();
        statements.push(queries.map(|(index, query)| shelved(query, known.get(script, index)?)).collect());
        for (index, query) in script.queries.iter().enumerate() {
            let Some(description) = known.get(script, index) else {
                found.reads = Tables::Unknown;
                continue;
            };
            if let Some(function) = description.impure.iter().next() {
                found.off.get_or_insert_with(|| format!("off: {} calls {function}()", query.name).into());
            }
            // SQLite tells at run time whether it did.
            if description.may_read_clock && script.dialect == Dialect::Postgres {
                found.off.get_or_insert_with(|| format!("off: {} may ask for the time", query.name).into());
            }
            found.reads.add(&description.reads);
        }
        if script.computed.iter().any(|value| value.expression.is_random()) {
            found.off.get_or_insert_with(|| "off: it computes something random".into());
        }
        found.requires |= script.has_requires();
    }
    found.statements = Arc::new(keeping::Statements(statements));
    found
}

/// The statements of which each looks up one row of a table that no other one reads.
fn looks_up(scripts: &[Arc<Script>], known: &Known) -> Vec<keeping::LooksUp> {
    let mut all = Vec::new();
    for (place, script) in scripts.iter().enumerate() {
        all.extend((0..script.queries.len()).map(|query| (place, query, known.get(script, query))));
    }
    let may_read = |table: &str, it: &Option<&Description>| it.is_none_or(|it| it.reads.may_hold(table));
    let found = all.iter().filter_map(|(script, query, described)| {
        let Tables::Known(tables) = &described.as_ref()?.reads else { return None };
        let (table, column) = (tables.first().filter(|_| tables.len() == 1)?, described.as_ref()?.row?);
        let alone = all.iter().filter(|(.., other)| may_read(table, other)).count() == 1;
        alone.then(|| keeping::LooksUp { table: table.as_str().into(), script: *script, query: *query, column })
    });
    found.collect()
}

/// What must be known of a statement so that its rows are kept. A `:require` is asked at each request, and what asks for
/// the time is of its moment.
fn shelved(query: &Query, description: &Description) -> Option<keeping::Statement> {
    let is_kept = !matches!(query.kind, QueryKind::Require(_) | QueryKind::Exec)
        && description.impure.is_empty()
        && !description.may_read_clock
        && description.reads != Tables::Unknown;
    is_kept.then(|| keeping::Statement::new(xxh3_128(query.sql.as_bytes()), description.reads.clone()))
}

/// Every script of the site with its purpose.
fn scripts(site: &Site) -> Vec<(Arc<Script>, Purpose)> {
    let mut all = Vec::new();
    let pages = site.endpoints.iter().filter_map(|endpoint| endpoint.page.as_ref()).chain(site.error_pages.values());
    for page in pages {
        all.extend(page.scripts.iter().map(|script| (script.clone(), Purpose::Read)));
    }
    for endpoint in &site.endpoints {
        all.extend(endpoint.data.iter().map(|(_, data)| (data.script.clone(), Purpose::Read)));
        let actions = endpoint.actions.iter().map(|(_, action)| action).chain(&endpoint.visit);
        all.extend(
            actions
                .flat_map(|action| action.scripts().cloned().collect::<Vec<_>>())
                .map(|script| (script, Purpose::Write)),
        );
    }
    all
}

/// A statement that does what its file or its kind doesn't allow.
fn allowed(query: &Query, description: &Description, purpose: Purpose, dialect: Dialect, faults: &mut Vec<Fault>) {
    if purpose == Purpose::Read && !description.read_only {
        faults.push(
            Fault::error(format!("`{}` writes, but a page only reads", query.name), query.place.clone())
                .help("move it to an action (`.post.sql`) or a visit (`.visit.sql`)"),
        );
    }
    own_tables(query, description, dialect, faults);
    let gives_rows = !matches!(query.kind, QueryKind::Exec);
    if gives_rows && description.columns.is_empty() {
        faults.push(
            Fault::error(format!("`{}` gives no rows", query.name), query.place.clone())
                .help("name it `:exec`, or add `returning …`"),
        );
    }
    let mut seen = std::collections::HashSet::new();
    for column in &description.columns {
        if gives_rows && !seen.insert(column) {
            faults.push(
                Fault::warning(format!("`{}` gives two columns named `{column}`", query.name), query.place.clone())
                    .help("give one of them another name with `as`"),
            );
        }
    }
}

/// The server's own tables whose rows refer to `users`, or to rows that do.
const OF_ACCOUNTS: [&str; 8] =
    ["_accounts", "_roles", "_links", "_invited_roles", "_recovery_codes", "_passkeys", "_api_tokens", "_identities"];

/// Tables of the server itself: they hold sessions and keys, and their columns may change with any version.
fn own_tables(query: &Query, description: &Description, dialect: Dialect, faults: &mut Vec<Fault>) {
    if query.place.file.starts_with(builtin::ROOT) {
        return;
    }
    for tables in [&description.reads, &description.writes] {
        let Tables::Known(names) = tables else { continue };
        // SQLite looks at what refers to an account that comes or goes.
        let looks_up = |name: &str| {
            description.writes != Tables::Unknown
                && description.writes.may_hold("users")
                && OF_ACCOUNTS.contains(&name)
                && offset_of_table(query, name, dialect).is_none()
        };
        if let Some(name) = names.iter().find(|name| name.starts_with('_') && !looks_up(name)) {
            // A view or trigger may name it instead of the statement.
            let place =
                offset_of_table(query, name, dialect).map_or_else(|| query.place.clone(), |at| query.place_of(at));
            faults.push(
                Fault::error(format!("`{name}` is the server's own table"), place)
                    .help("names that begin with `_` are kept for the server"),
            );
        }
    }
}

/// What an error says is missing.
enum Missing<'m> {
    Table(&'m str),
    Column(&'m str),
    Other,
}

impl Missing<'_> {
    /// Reads a message of SQLite or PostgreSQL.
    fn of(message: &str) -> Missing<'_> {
        let quoted = |rest: &'_ str| rest.split_once(" does not exist").map(|(name, _)| name.trim_matches('"').len());
        if let Some(name) = message.strip_prefix("no such table: ") {
            Missing::Table(name)
        } else if let Some(name) = message.strip_prefix("no such column: ") {
            Missing::Column(name.rsplit('.').next().unwrap_or(name))
        } else if let Some((rest, length)) =
            message.strip_prefix("relation \"").and_then(|rest| Some((rest, quoted(rest)?)))
        {
            Missing::Table(&rest[..length])
        } else if let Some(rest) = message.strip_prefix("column ") {
            let name = rest.split(" does not exist").next().unwrap_or(rest).trim_matches('"');
            Missing::Column(name.rsplit('.').next().unwrap_or(name))
        } else {
            Missing::Other
        }
    }
}

/// SQL that doesn't prepare, with the nearest name that exists.
fn told(query: &Query, fault: &SqlFault, dialect: Dialect, schema: &Database) -> Fault {
    let mut offset = fault.offset;
    let mut help = match Missing::of(&fault.message) {
        Missing::Table(name) => {
            offset = offset.or_else(|| offset_of_table(query, name, dialect));
            suggestion(name, schema.tables().iter().map(String::as_str))
        }
        Missing::Column(name) => suggestion(name, columns_named_near(query, schema).iter().map(String::as_str)),
        Missing::Other => String::new(),
    };
    if help.is_empty() && dialect == Dialect::Postgres {
        help = differences::help(&query.sql, &fault.message, fault.offset);
    }
    Fault::error(fault.message.clone(), query.place_of(offset.unwrap_or(0))).help(help)
}

/// Where a statement names a table: SQLite tells the places of columns, but not of tables.
pub(super) fn offset_of_table(query: &Query, name: &str, dialect: Dialect) -> Option<usize> {
    let name = name.rsplit('.').next().unwrap_or(name);
    let named = |token: &Token| token.text(&query.sql).trim_matches(['"', '`', '[', ']']).eq_ignore_ascii_case(name);
    tokenize(&query.sql, dialect).iter().find(|token| named(token)).map(|token| token.from)
}

/// The columns of all tables that the statement's text names.
fn columns_named_near(query: &Query, schema: &Database) -> Vec<String> {
    let words: std::collections::HashSet<String> =
        query.sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_lowercase).collect();
    let named = schema.tables().into_iter().filter(|table| words.contains(&table.to_lowercase()));
    named.flat_map(|table| schema.columns_of(&table)).collect()
}

/// `@query.column` where the earlier query has no such column.
fn columns_of_earlier(script: &Arc<Script>, known: &Known, faults: &mut Vec<Fault>) {
    for query in &script.queries {
        for bind in &query.binds {
            let Source::Column(slot, column) = &bind.source else { continue };
            let Some(columns) = known.columns(script, *slot) else { continue };
            if !columns.iter().any(|name| **name == **column) {
                let name = &script.names[*slot];
                faults.push(
                    Fault::error(format!("`{name}` gives no column `{column}`"), query.place_of(bind.at))
                        .help(suggestion(column, columns.iter().map(String::as_str))),
                );
            }
        }
    }
}
