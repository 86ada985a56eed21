//! The tokenizer beside its oracles: SQLite's own, and sqlparser's for PostgreSQL.

use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, Error};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token as Other, Tokenizer};
use tableside::sqlfile::tokens::{TokenKind, tokenize};
use tableside::sqlfile::{Dialect, QueryFile, Script, parse, split};

/// Expressions and aliases that SQLite takes wherever a column of the result may stand.
const COLUMNS: [&str; 22] = [
    ":a",
    ":b",
    "@c",
    "@d",
    ":a_1",
    "':e'",
    "'it''s @e'",
    "x'00'",
    "1 as \":f\"",
    "2 as `:g`",
    "3 as [:h]",
    "4 as \"a\"\":b\"",
    ":é",
    "1--:i\n",
    "/* :j */ 5",
    "/* /* :k */ 6",
    "7 /* ' */",
    "8 -- \"\n",
    "json('{\"a\":1}')->>'$.a'",
    "-:a",
    "9<@c",
    "(1,:b)=(@d,2)",
];

/// Pieces that make anything, mostly nonsense.
const SOUP: [&str; 30] = [
    "select ", "1", " ", ",", "'", "\"", "`", "[", "]", "--", "\n", "/*", "*/", ":a", "@b", ":", "@", "a", "x'", "''",
    "(", ")", "+", "||", "->>", "1.5e", ".", "=", "é", ";",
];

/// The names of the values that our tokenizer finds, each once.
fn found(sql: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for token in tokenize(sql, Dialect::Sqlite) {
        let text = token.text(sql);
        if matches!(token.kind, TokenKind::Parameter | TokenKind::Server) && !names.iter().any(|name| name == text) {
            names.push(text.to_string());
        }
    }
    names
}

/// The names that SQLite finds; `None` when it doesn't take the text.
fn found_by_sqlite(connection: &Connection, sql: &str) -> Option<Vec<String>> {
    let statement = connection.prepare(sql).ok()?;
    let names =
        (1..=statement.parameter_count()).map(|index| statement.parameter_name(index).unwrap_or("?").to_string());
    Some(names.collect())
}

fn mixed(pieces: &'static [&'static str], length: usize) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(proptest::sample::select(pieces), 1..length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn sqlite_finds_the_same_values(columns in mixed(&COLUMNS, 8)) {
        let connection = Connection::open_in_memory().unwrap();
        let sql = format!("select {}", columns.join(", "));
        let expected = found_by_sqlite(&connection, &sql);
        prop_assert!(expected.is_some(), "SQLite refuses {}", sql);
        prop_assert_eq!(Some(found(&sql)), expected, "{}", sql);
    }

    #[test]
    fn what_sqlite_takes_holds_the_same_values(pieces in mixed(&SOUP, 12)) {
        let connection = Connection::open_in_memory().unwrap();
        let sql = format!("select {}", pieces.concat());
        // A statement ends at its semicolon; what stands behind is not read by SQLite. A comment that doesn't end is
        // one for SQLite, and a fault for us.
        let tokens = tokenize(&sql, Dialect::Sqlite);
        let whole = !tokens.iter().any(|token| matches!(token.kind, TokenKind::Semicolon | TokenKind::Unfinished));
        if let (true, Some(expected)) = (whole, found_by_sqlite(&connection, &sql)) {
            // SQLite takes `:a(b)` and `:a::b` for names, as Tcl writes its variables; we write no such names to it.
            let of_tcl = expected.iter().any(|name| name.contains('(') || name.contains("::"));
            prop_assert!(of_tcl || found(&sql) == expected, "{}", sql);
        }
    }

    #[test]
    fn sqlite_splits_migrations_in_the_same_way(pieces in mixed(&STATEMENTS, 8)) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table t (a)").unwrap();
        let sql = pieces.concat();
        let mut batch = Batch::new(&connection, &sql);
        let mut expected = 0;
        while let Some(statement) = batch.next().unwrap() {
            let ours = split(&sql, Dialect::Sqlite).get(expected).map(|range| sql[range.clone()].to_string());
            let theirs = statement.expanded_sql().unwrap_or_default();
            let ours = ours.unwrap_or_default();
            prop_assert!(!ours.is_empty() && theirs.contains(&ours), "{:?} is not in {:?}", ours, theirs);
            expected += 1;
        }
        prop_assert_eq!(split(&sql, Dialect::Sqlite).len(), expected, "{}", sql);
    }

    #[test]
    fn sqlparser_finds_the_same_words(pieces in mixed(&POSTGRES, 10)) {
        let sql = pieces.join(" ");
        let dialect = PostgreSqlDialect {};
        let expected: Vec<String> = Tokenizer::new(&dialect, &sql)
            .tokenize()
            .unwrap()
            .into_iter()
            .filter_map(|token| match token {
                Other::Word(word) if word.quote_style.is_none() => Some(word.value),
                _ => None,
            })
            .collect();
        let ours: Vec<String> = tokenize(&sql, Dialect::Postgres)
            .into_iter()
            .filter_map(|token| match token.kind {
                TokenKind::Word => Some(token.text(&sql).to_string()),
                TokenKind::Parameter => Some(token.text(&sql)[1..].to_string()),
                _ => None,
            })
            .collect();
        prop_assert_eq!(ours, expected, "{}", sql);
    }
}

/// Statements of migrations, whole ones.
const STATEMENTS: [&str; 10] = [
    "select 1;",
    "select ';' -- ;\n;",
    " ; ",
    "-- a ; comment\n",
    "/* ; */",
    "insert into t values (';');\n",
    "create trigger if not exists r after insert on t begin select 1; update t set a = case when 1 then 2 end; end;",
    "create temp trigger if not exists s after delete on t begin select 'begin'; END ;",
    "select 1 as \"begin\", 2 as [end;];",
    "explain select 1;",
];

/// Pieces of PostgreSQL's SQL that hide words, and some that don't.
const POSTGRES: [&str; 16] = [
    "a",
    ":b",
    "'c ''d'",
    "\"e \"\"f\"",
    "$$ g ' $$",
    "$t$ h $$ i $t$",
    "E'j \\' k'",
    "-- l\n",
    "/* m /* n */ o */",
    "p::text",
    "q @> r",
    "s <@ t",
    "u || v",
    "1.5",
    "w.x",
    "y->>'z'",
];

fn script(source: &str) -> Script {
    let (file, faults) = parse("pages/a.sql", source, Dialect::Sqlite);
    assert_eq!(faults, []);
    let file: Arc<QueryFile> = Arc::new(file);
    let (script, faults) = Script::build(&file, &[], &mut |_| None);
    assert_eq!(faults, []);
    script
}

/// The rewritten SQL is run by SQLite itself: lists, shared parts, repeated names.
#[test]
fn sqlite_runs_what_is_written() {
    let script = script(
        "-- :ids int multiple\n-- :q text\n\
         -- name: visible :with\nselect column1 as id, column2 as name from (values (1, 'a'), (2, 'b'), (3, 'c'))\n\
         -- name: found :many\nwith own as (select 1 as x) select name from visible v join own on true\n\
         where v.id in :ids and v.id not in :ids is false and name >= :q and :q is not null order by name",
    );
    let connection = Connection::open_in_memory().unwrap();
    let mut statement = connection.prepare(&script.queries[0].sql).unwrap();
    assert_eq!(statement.parameter_count(), 2);
    let names: Vec<String> =
        statement.query_map(["[1,3]", "b"], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(names, ["c"]);
}

/// SQLite tells the byte of a fault in the rewritten SQL; it leads to the author's line.
#[test]
fn faults_of_sqlite_lead_to_the_line() {
    let script = script(
        "-- :ids int multiple\n-- name: v :with\nselect 1 as id\n-- name: found :many\n\
         select id\nfrom v where id in :ids\nand prize = 3",
    );
    let connection = Connection::open_in_memory().unwrap();
    let query = &script.queries[0];
    let Err(Error::SqlInputError { offset, .. }) = connection.prepare(&query.sql) else { panic!("no fault") };
    let place = query.place_of(usize::try_from(offset).unwrap());
    assert_eq!((place.line, place.column, place.width, place.text.as_str()), (7, 5, 5, "and prize = 3"));
}
