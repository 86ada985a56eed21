//! What a statement is, told by PostgreSQL before it runs: its placeholders and columns by preparing it, what it reads and
//! writes by parsing it as the body of a function.
//!
//! The function is made in the temporary schema, with the placeholders' types, `begin atomic …`, so that PostgreSQL keeps
//! its tree; the tree is read, and all is rolled back. Nothing runs.

use std::collections::BTreeSet;

use super::catalog::{Catalog, FINGERPRINT, OWN_FUNCTIONS, QUERIES};
use super::dependencies::Dependencies;
use super::failure::Trouble;
use super::functions::is_time;
use super::keeper::Desk;
use super::nodes::Facts;
use crate::database::{Description, Failure, SqlFault, Tables};
use crate::sqlfile::Dialect;
use crate::sqlfile::tokens::{Token, TokenKind, tokenize};
use crate::value::{Declared, Kind};

/// Statements that only read and write rows; all others are not for query files.
const ALLOWED: &str = " select with insert update delete merge values table ";

/// Words that begin, end or divide a transaction.
const TRANSACTION: &str = " abort begin commit end prepare release rollback savepoint start ";

/// The words in a text that a date or time may be read from.
const NOW: &str = " now today tomorrow yesterday ";

/// The first version that keeps the bodies of functions parsed.
const KEEPS_TREES: u32 = 140_000;

/// Describes a statement; see [`crate::database::Database::describe`].
pub(super) async fn describe(desk: &mut Desk, sql: &str, kinds: &[Declared]) -> Result<Description, SqlFault> {
    let tokens: Vec<Token> = tokenize(sql, Dialect::Postgres).into_iter().filter(Token::is_significant).collect();
    refuse(sql, &tokens)?;
    refresh(desk).await.map_err(|trouble| fault(trouble, sql))?;
    let link = desk.link().await.map_err(|trouble| fault(trouble, sql))?;
    let statement = link.prepare(sql, kinds).await.map_err(|trouble| fault(trouble, sql))?;
    let (facts, dependencies) = match facts(desk, sql, &statement.parameters).await {
        Ok(Some(tree)) => {
            let mut facts = Facts::of(&tree);
            facts.types.extend(read_from_texts(&statement.parameters, kinds));
            let catalog = desk.catalog.as_ref().map(|(_, catalog)| catalog);
            let known = catalog.map_or_else(|| Dependencies::unknown(""), |catalog| Dependencies::of(&facts, catalog));
            (facts, known)
        }
        Ok(None) => (Facts::default(), Dependencies::unknown("PostgreSQL tells it from version 14 on")),
        // `select … into` makes a table.
        Err(Trouble::Server(error)) if matches!(&*error.code, "0A000" | "42601") => {
            return Err(SqlFault { message: "this is not allowed in a query file".into(), offset: Some(0) });
        }
        Err(trouble) => (Facts::default(), Dependencies::unknown(trouble.message())),
    };
    let reads_now = tokens.iter().any(|token| token.kind == TokenKind::String && says_now(token.text(sql)));
    let writes = match &dependencies.writes {
        Tables::Known(tables) => !tables.is_empty(),
        Tables::Unknown => desk.version < KEEPS_TREES && !is_query(sql, &tokens),
    };
    let counts = facts.counts || ["nextval", "setval"].iter().any(|name| dependencies.impure.contains(*name));
    Ok(Description {
        columns: statement.columns.iter().map(|name| name.to_string()).collect(),
        reads: dependencies.reads,
        writes: dependencies.writes,
        impure: dependencies.impure,
        may_read_clock: dependencies.clock || reads_now,
        placeholders: statement.parameters.len(),
        row: None,
        read_only: facts.writes.is_empty() && !facts.locks && !writes && !counts,
        because: dependencies.because,
    })
}

/// Tables and views that authors may name, sorted.
pub(super) async fn tables(desk: &mut Desk) -> Vec<String> {
    if refresh(desk).await.is_err() {
        return Vec::new();
    }
    let Some((_, catalog)) = &desk.catalog else { return Vec::new() };
    let usable = catalog.relations.values().filter(|table| table.kind != 'S' && !table.name.starts_with('_'));
    let names: BTreeSet<String> = usable.map(|table| table.name.clone()).collect();
    names.into_iter().collect()
}

/// The columns of a table or view.
pub(super) async fn columns_of(desk: &mut Desk, table: &str) -> Vec<String> {
    columns(desk, table).await.into_iter().map(|(name, _)| name).collect()
}

/// The columns that may be null, and those that never are. Those of a view count as neither.
pub(super) async fn nullable(desk: &mut Desk, table: &str) -> [BTreeSet<String>; 2] {
    let (mut null, mut never) = (BTreeSet::new(), BTreeSet::new());
    for (name, may_be_null) in columns(desk, table).await {
        match may_be_null.as_str() {
            "t" => drop(null.insert(name)),
            "f" => drop(never.insert(name)),
            _ => {}
        }
    }
    [null, never]
}

/// The tables and columns of foreign keys to a table that have no `on delete`.
pub(super) async fn held_by(desk: &mut Desk, table: &str) -> Vec<(String, String)> {
    let sql = format!(
        "select c.relname, a.attname from pg_catalog.pg_constraint k \
         join pg_catalog.pg_class c on c.oid = k.conrelid \
         join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey) \
         where k.contype = 'f' and k.confrelid = to_regclass('{}') and k.confdeltype = 'a' \
         order by c.relname, a.attnum",
        quoted(table)
    );
    let rows = desk.cells(&sql).await.unwrap_or_default();
    let pair = |cells: Vec<Option<String>>| {
        let mut cells = cells.into_iter().map(Option::unwrap_or_default);
        Some((cells.next()?, cells.next()?))
    };
    rows.into_iter().filter_map(pair).collect()
}

/// A table's name as `to_regclass` reads it, between the quotes of a text.
fn quoted(table: &str) -> String {
    let parts = table.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    parts.collect::<Vec<_>>().join(".").replace('\'', "''")
}

/// The columns of a table or view, and whether each may be null.
async fn columns(desk: &mut Desk, table: &str) -> Vec<(String, String)> {
    let name = quoted(table);
    let sql = format!(
        "select a.attname, case c.relkind when 'v' then '' else (not a.attnotnull)::text end \
         from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
         where a.attrelid = to_regclass('{name}') and a.attnum > 0 and not a.attisdropped order by a.attnum"
    );
    let rows = desk.cells(&sql).await.unwrap_or_default();
    let pair = |cells: Vec<Option<String>>| {
        let mut cells = cells.into_iter().map(Option::unwrap_or_default);
        Some((cells.next()?, cells.next()?.chars().take(1).collect()))
    };
    rows.into_iter().filter_map(pair).collect()
}

/// Refuses what is not one statement that reads or writes rows.
fn refuse(sql: &str, tokens: &[Token]) -> Result<(), SqlFault> {
    let refused = |message: String, offset: usize| Err(SqlFault { message, offset: Some(offset) });
    let Some(first) = tokens.iter().find(|token| token.kind != TokenKind::Open) else {
        return refused("there is no statement".into(), 0);
    };
    let word = first.text(sql).to_ascii_lowercase();
    let listed = |list: &str| first.kind == TokenKind::Word && list.contains(&format!(" {word} "));
    if listed(TRANSACTION) {
        let message = "the server itself begins and commits: leave out `begin`, `commit`, `rollback` and `savepoint`";
        return refused(message.into(), first.from);
    }
    if !listed(ALLOWED) && first.kind == TokenKind::Word && is_command(&word) {
        return refused(format!("{} is not allowed in a query file", word.to_ascii_uppercase()), first.from);
    }
    let end = tokens.iter().position(|token| token.kind == TokenKind::Semicolon);
    match end.and_then(|end| tokens[end..].iter().find(|token| token.kind != TokenKind::Semicolon)) {
        Some(more) => refused("there is more than one statement".into(), more.from),
        None => Ok(()),
    }
}

/// Whether PostgreSQL has a command of this name; another word is a mistake, which PostgreSQL tells best.
fn is_command(word: &str) -> bool {
    const COMMANDS: &str = " alter analyze call checkpoint close cluster comment copy create deallocate declare discard do \
        drop execute explain fetch grant import listen load lock move notify reassign refresh reindex reset revoke \
        security set show truncate unlisten vacuum ";
    COMMANDS.contains(&format!(" {word} "))
}

fn is_query(sql: &str, tokens: &[Token]) -> bool {
    let writes = ["insert", "update", "delete", "merge"];
    !tokens.iter().any(|token| writes.iter().any(|word| token.is_word(sql, word)))
}

/// The types of placeholders that are made of what is bound, but for moments that are bound to a time: those never say
/// `now`.
fn read_from_texts<'k>(parameters: &'k [u32], kinds: &'k [Declared]) -> impl Iterator<Item = u32> + 'k {
    let declared = kinds.iter().map(|declared| declared.kind).chain(std::iter::repeat(Kind::Any));
    let made = parameters.iter().copied().zip(declared);
    made.filter(|(kind, declared)| !(is_time(*kind) && matches!(declared, Kind::Date | Kind::Datetime)))
        .map(|(kind, _)| kind)
}

fn says_now(literal: &str) -> bool {
    let text = literal.to_ascii_lowercase();
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| NOW.contains(&format!(" {word} ")))
}

/// Reads the catalog, unless it is as it was.
async fn refresh(desk: &mut Desk) -> Result<(), Trouble> {
    // A new link forgets the catalog.
    desk.link().await?;
    let fingerprint = desk.cells(FINGERPRINT).await?.into_iter().flatten().flatten().next().unwrap_or_default();
    if desk.catalog.as_ref().is_some_and(|(known, _)| *known == fingerprint) {
        return Ok(());
    }
    if desk.own_functions.is_none() {
        desk.own_functions = Some(desk.cells(OWN_FUNCTIONS).await?);
    }
    let mut results = Vec::with_capacity(QUERIES.len());
    for query in QUERIES {
        let query = match desk.version {
            KEEPS_TREES.. => query.to_string(),
            _ => query.replace("p.prosqlbody::text", "null"),
        };
        results.push(desk.cells(&query).await?);
    }
    let own_functions = desk.own_functions.take().unwrap_or_default();
    desk.catalog = Some((fingerprint, Catalog::read(&results, &own_functions)));
    desk.own_functions = Some(own_functions);
    // What was prepared before may have other columns now.
    desk.link().await?.forget_statements().await
}

/// The tree of a statement whose placeholders have these types; `None` where PostgreSQL is too old.
async fn facts(desk: &mut Desk, sql: &str, parameters: &[u32]) -> Result<Option<String>, Trouble> {
    if desk.version < KEEPS_TREES {
        return Ok(None);
    }
    let numbers = parameters.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let types = desk
        .cells(&format!(
            "select coalesce(string_agg(format_type(t, null), ', ' order by n), '') \
             from unnest(array[{numbers}]::oid[]) with ordinality as p (t, n)"
        ))
        .await?;
    let types = types.into_iter().flatten().flatten().next().unwrap_or_default();
    let body = sql.trim_end().trim_end_matches(';');
    // The statement's last line may be a comment.
    let batch = format!(
        "begin; create function pg_temp.tableside_described({types}) returns void begin atomic {body}\n; end; \
         select prosqlbody::text from pg_catalog.pg_proc where oid = 'pg_temp.tableside_described'::regproc"
    );
    let link = desk.link().await?;
    let tree = link.simple(&batch).await;
    link.simple("rollback").await?;
    Ok(tree?.cells.first().map(ToString::to_string))
}

/// What an author reads; the hint of PostgreSQL with it.
fn fault(trouble: Trouble, sql: &str) -> SqlFault {
    match trouble.into_failure(sql, false) {
        Failure::Broken { message, offset } => SqlFault { message, offset },
        failure => SqlFault { message: failure.to_string(), offset: None },
    }
}
