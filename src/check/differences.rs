//! What means something else on PostgreSQL than on SQLite, or nothing at all: told of texts that run on both.
//!
//! One list says what, why, and what to write instead. It is looked through by tokens; what stands in strings, comments
//! and quoted names is never meant.

use std::collections::BTreeSet;

use crate::database::migrations::Content;
use crate::problem::{Fault, Place};
use crate::site::Site;
use crate::sqlfile::Dialect;
use crate::sqlfile::tokens::{Token, TokenKind, tokenize};

/// How a difference shows in a text.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A call of this function.
    Call(&'static str),
    /// These words, one behind the other.
    Words(&'static [&'static str]),
    /// What a function of this file finds: the tokens from the first one on that are meant.
    Found(fn(&str, &[Token]) -> Option<usize>),
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// PostgreSQL takes it, and does something else.
    Silently,
    /// PostgreSQL refuses it; then this says what to write.
    AsError,
}

use Shows::{AsError, Silently};
use What::{Call, Found, Words};

/// What, how it shows, why, and what to write instead.
const DIFFERENCES: &[(What, Shows, &str, &str)] = &[
    (
        Found(cast_to_integer),
        Silently,
        "SQLite cuts a fraction off, PostgreSQL rounds",
        "write `floor(…)` or `round(…)` inside of the cast",
    ),
    (
        Found(mixed_case_alias),
        Silently,
        "PostgreSQL makes it lower case",
        "write it in lower case, or in double quotes",
    ),
    (
        Found(like_with_backslash),
        Silently,
        "a backslash escapes on PostgreSQL, and nothing on SQLite",
        "add `escape '\\'`",
    ),
    (Found(negative_substring), Silently, "SQLite counts from the end, PostgreSQL doesn't", "write `right(text, n)`"),
    (
        Words(&["limit", "-"]),
        Silently,
        "no limit on SQLite, an error on PostgreSQL when it runs",
        "leave the limit out",
    ),
    (
        Call("random"),
        Silently,
        "a whole number on SQLite, a fraction below 1 on PostgreSQL",
        "compute it: `-- @x = random(12)`",
    ),
    (Words(&["current_timestamp"]), Silently, "another form on each database", "write `@now`"),
    (Words(&["current_date"]), Silently, "a text on SQLite, a date on PostgreSQL", "compute it: `-- @today = today`"),
    (
        Call("json_each"),
        Silently,
        "PostgreSQL takes objects only, and has other columns",
        "write `in :list`, or an override for each database",
    ),
    (Call("json_object"), Silently, "PostgreSQL builds it of arrays", "write `json_build_object('name', value)`"),
    (
        Call("date"),
        Silently,
        "a text on SQLite, a date on PostgreSQL",
        "write `date_trunc('day', x)` or `to_char(x, 'YYYY-MM-DD')`",
    ),
    (Call("total"), AsError, "PostgreSQL has no such function", "write `coalesce(sum(x), 0)`"),
    (Call("ifnull"), AsError, "PostgreSQL has no such function", "write `coalesce(a, b)`"),
    (Call("iif"), AsError, "PostgreSQL has no such function", "write `case when a then b else c end`"),
    (Call("group_concat"), AsError, "PostgreSQL has no such function", "write `string_agg(x, ',')`"),
    (Call("json_group_array"), AsError, "PostgreSQL has no such function", "write `json_agg(x)`"),
    (
        Call("json_group_object"),
        AsError,
        "PostgreSQL has no such function",
        "write `json_object_agg(name, x)`, with an override for SQLite",
    ),
    (Call("json_extract"), AsError, "PostgreSQL has no such function", "write `x ->> 'name'`"),
    (
        Call("json_array_length"),
        AsError,
        "PostgreSQL wants a value of type json",
        "cast it: `json_array_length(cast(x as json))`",
    ),
    (Call("instr"), AsError, "PostgreSQL has no such function", "write `strpos(text, part)`"),
    (Call("printf"), AsError, "PostgreSQL has no such function", "write `to_char(x, '990.00')`"),
    (Call("hex"), AsError, "PostgreSQL has no such function", "write `encode(x, 'hex')` in an override"),
    (Call("unicode"), AsError, "PostgreSQL has no such function", "write `ascii(x)` in an override"),
    (Call("char"), AsError, "PostgreSQL has no such function", "write `chr(n)`"),
    (Call("typeof"), AsError, "PostgreSQL has no such function", "a column has one type there; leave it out"),
    (
        Call("last_insert_rowid"),
        AsError,
        "PostgreSQL has no such function",
        "add `returning id` to the insert and use `@name.id`",
    ),
    (Call("changes"), AsError, "PostgreSQL has no such function", "write `@name.count` of the earlier `:exec`"),
    (
        Call("strftime"),
        AsError,
        "PostgreSQL has no such function",
        "write `to_char(x, 'YYYY-MM-DD')` or `date_trunc('month', x)`",
    ),
    (Call("datetime"), AsError, "PostgreSQL has no such function", "write `@now`, or `shift(x, 3, 'days')`"),
    (Call("julianday"), AsError, "PostgreSQL has no such function", "write `seconds_between(a, b)`"),
    (Call("unixepoch"), AsError, "PostgreSQL has no such function", "write `seconds_between(a, b)`"),
    (Call("min"), AsError, "of several values it is `least` on both", "write `least(a, b)`"),
    (Call("max"), AsError, "of several values it is `greatest` on both", "write `greatest(a, b)`"),
    (
        Words(&["insert", "or"]),
        AsError,
        "PostgreSQL doesn't know it",
        "write `on conflict (…) do nothing` or `do update set …`",
    ),
    (
        Words(&["replace", "into"]),
        AsError,
        "PostgreSQL doesn't know it",
        "write `insert … on conflict (…) do update set …`",
    ),
    (Words(&["collate", "nocase"]), AsError, "PostgreSQL has no such collation", "compare `lower(a)` with `lower(b)`"),
    (Words(&["glob"]), AsError, "PostgreSQL doesn't know it", "write `like`"),
    (Words(&["rowid"]), AsError, "PostgreSQL has no rowid", "name the primary key"),
    (Words(&["without", "rowid"]), AsError, "PostgreSQL doesn't know it", "leave it out: it is no more than a wish"),
    (
        Words(&["virtual", "table"]),
        AsError,
        "PostgreSQL has no virtual tables",
        "write a migration for each database: `0002_x.sqlite.sql`, `0002_x.postgres.sql`",
    ),
    (
        Words(&["blob"]),
        AsError,
        "PostgreSQL calls it bytea",
        "write a migration for each database: `0002_x.sqlite.sql`, `0002_x.postgres.sql`",
    ),
];

/// Messages of PostgreSQL that say nothing of what to do.
const MESSAGES: &[(&str, &str)] = &[
    ("boolean = integer", "write the condition alone, or `not …`; compare with `true` and `false`"),
    ("integer = boolean", "compare with 1 and 0 where the column is an integer"),
    ("is of type integer but expression is of type boolean", "write 1 or 0, or make the column a boolean"),
    ("is of type boolean but expression is of type integer", "write `true` or `false`"),
    ("must appear in the GROUP BY clause", "name it in `group by`, or take `min(…)` of it"),
    ("double precision, integer) does not exist", "cast the first one to numeric"),
];

/// What is told of all texts that run on both databases. `tables` are those that a query may name, `nullable` gives
/// the columns of one that may be null.
pub(super) fn check(
    site: &Site,
    tables: &[String],
    nullable: &dyn Fn(&str) -> [BTreeSet<String>; 2],
    faults: &mut Vec<Fault>,
) {
    for file in site.query_files.iter().filter(|file| site.is_shared(&file.path)) {
        for statement in &file.statements {
            let sql = &file.source[statement.text.clone()];
            let start = statement.text.start;
            let place = |from: usize, to: usize| Place::of(file.path.clone(), &file.source, start + from, start + to);
            faults.extend(found(sql, &place));
            faults.extend(nulls(sql, tables, nullable, &place));
        }
    }
    for migration in site.migrations.iter().filter(|migration| site.is_shared(&migration.path)) {
        if let Content::Sql(sql) = &migration.content {
            faults.extend(found(sql, &|from, to| Place::of(migration.path.clone(), sql, from, to)));
        }
    }
}

/// What to do about an error that PostgreSQL told at a byte of a statement; empty when this file doesn't know.
pub(super) fn help(sql: &str, message: &str, offset: Option<usize>) -> String {
    if let Some((_, help)) = MESSAGES.iter().find(|(part, _)| message.contains(part)) {
        return (*help).to_string();
    }
    let Some(offset) = offset else { return String::new() };
    let tokens = significant(sql);
    let meant = DIFFERENCES.iter().filter(|(_, shows, ..)| *shows == AsError).find(|(what, ..)| {
        let mut ranges = (0..tokens.len()).filter_map(|index| range(*what, sql, &tokens[index..]));
        ranges.any(|(from, to)| from <= offset && offset < to)
    });
    meant.map_or_else(String::new, |(_, _, why, instead)| format!("{why}: {instead}"))
}

fn significant(sql: &str) -> Vec<Token> {
    tokenize(sql, Dialect::Postgres).into_iter().filter(Token::is_significant).collect()
}

/// The warnings about one text.
fn found(sql: &str, place: &dyn Fn(usize, usize) -> Place) -> Vec<Fault> {
    let tokens = significant(sql);
    let mut faults = Vec::new();
    for index in 0..tokens.len() {
        for (what, _, why, instead) in DIFFERENCES.iter().filter(|(_, shows, ..)| *shows == Silently) {
            if let Some((from, to)) = range(*what, sql, &tokens[index..]) {
                let message = format!("`{}` differs between SQLite and PostgreSQL", one_line(&sql[from..to]));
                faults.push(Fault::warning(message, place(from, to)).label(*why).help(*instead));
            }
        }
    }
    faults
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The bytes of a difference that begins with the first of these tokens.
fn range(what: What, sql: &str, tokens: &[Token]) -> Option<(usize, usize)> {
    let first = tokens.first()?;
    let length = match what {
        Call(name) => {
            let called = tokens.get(1).is_some_and(|next| next.kind == TokenKind::Open);
            (first.is_word(sql, name) && called).then_some(1)?
        }
        Words(words) => {
            let is = |(token, word): (&Token, &&str)| token.text(sql).eq_ignore_ascii_case(word);
            (tokens.len() >= words.len() && tokens.iter().zip(words).all(is)).then_some(words.len())?
        }
        Found(find) => find(sql, tokens)?,
    };
    Some((first.from, tokens.get(length.checked_sub(1)?)?.to))
}

/// `cast(a / 2.0 as integer)`; a single value in it is not the result of a division.
fn cast_to_integer(sql: &str, tokens: &[Token]) -> Option<usize> {
    let [cast, open, ..] = tokens else { return None };
    if !cast.is_word(sql, "cast") || open.kind != TokenKind::Open {
        return None;
    }
    let end = closing(&tokens[1..])? + 1;
    let [inside @ .., word, kind] = tokens.get(2..end)? else { return None };
    let whole = ["integer", "int", "bigint"].iter().any(|name| kind.is_word(sql, name));
    let single = inside.len() <= 1 || inside.iter().all(|token| matches!(token.kind, TokenKind::Word | TokenKind::Dot));
    (word.is_word(sql, "as") && whole && !single).then_some(end + 1)
}

/// `as fooBar`
fn mixed_case_alias(sql: &str, tokens: &[Token]) -> Option<usize> {
    let [word, name, ..] = tokens else { return None };
    let mixed = name.kind == TokenKind::Word && name.text(sql).chars().any(char::is_uppercase);
    // `cast(x as INTEGER)` names a type: those are written in capitals alone.
    let capitals = !name.text(sql).chars().any(char::is_lowercase);
    (word.is_word(sql, "as") && mixed && !capitals).then_some(2)
}

/// `like 'a\_%'` without `escape`.
fn like_with_backslash(sql: &str, tokens: &[Token]) -> Option<usize> {
    let [like, pattern, rest @ ..] = tokens else { return None };
    let escaped = rest.first().is_some_and(|next| next.is_word(sql, "escape"));
    let backslash = pattern.kind == TokenKind::String && pattern.text(sql).contains('\\');
    (like.is_word(sql, "like") && backslash && !escaped).then_some(2)
}

/// `substr(a, -3)`
fn negative_substring(sql: &str, tokens: &[Token]) -> Option<usize> {
    let [name, open, ..] = tokens else { return None };
    let called = (name.is_word(sql, "substr") || name.is_word(sql, "substring")) && open.kind == TokenKind::Open;
    let end = if called { closing(&tokens[1..])? + 1 } else { return None };
    let negative = |pair: &[Token]| pair[0].kind == TokenKind::Comma && pair[1].text(sql) == "-";
    tokens[..end].windows(2).any(negative).then_some(end + 1)
}

/// The place of the bracket that closes the one that these tokens begin with.
fn closing(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

/// `order by` a column that may be null: SQLite puts nulls first, PostgreSQL last.
fn nulls(
    sql: &str,
    tables: &[String],
    nullable: &dyn Fn(&str) -> [BTreeSet<String>; 2],
    place: &dyn Fn(usize, usize) -> Place,
) -> Vec<Fault> {
    let tokens = significant(sql);
    let named: Vec<_> = tables
        .iter()
        .filter(|table| tokens.iter().any(|token| token.is_word(sql, table)))
        .map(|table| nullable(table))
        .collect();
    // A name that stands for a column in one table and for one that is never null in another is left alone.
    let may_be_null = |name: &str| {
        named.iter().any(|[null, _]| null.contains(name)) && !named.iter().any(|[_, never]| never.contains(name))
    };
    let is_alias = |name: &str| tokens.windows(2).any(|pair| pair[0].is_word(sql, "as") && pair[1].is_word(sql, name));
    let mut faults = Vec::new();
    for column in sorted_columns(sql, &tokens) {
        let name = column.text(sql).to_lowercase();
        if may_be_null(&name) && !is_alias(&name) {
            let fault =
                Fault::warning(format!("`{name}` may be null, and is sorted by"), place(column.from, column.to));
            let fault = fault.label("nulls come first on SQLite, last on PostgreSQL");
            faults.push(fault.help("add `nulls first` or `nulls last`, which both know"));
        }
    }
    faults
}

/// The plain columns in the `order by` of a statement that don't say where nulls go.
fn sorted_columns(sql: &str, tokens: &[Token]) -> Vec<Token> {
    let mut columns = Vec::new();
    for (index, _) in
        tokens.windows(2).enumerate().filter(|(_, pair)| pair[0].is_word(sql, "order") && pair[1].is_word(sql, "by"))
    {
        let mut depth = 0_usize;
        let mut item: Vec<Token> = Vec::new();
        for token in tokens[index + 2..].iter().copied() {
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close if depth == 0 => break,
                TokenKind::Close => depth -= 1,
                TokenKind::Comma if depth == 0 => {
                    columns.extend(plain_column(sql, &item));
                    item.clear();
                    continue;
                }
                TokenKind::Word if depth == 0 && ends_order(sql, token) => break,
                _ => {}
            }
            item.push(token);
        }
        columns.extend(plain_column(sql, &item));
    }
    columns
}

fn ends_order(sql: &str, token: Token) -> bool {
    ["limit", "offset", "for", "fetch", "rows", "range", "groups"].iter().any(|word| token.is_word(sql, word))
}

/// The column of `name`, `t.name`, `name desc`.
fn plain_column(sql: &str, item: &[Token]) -> Option<Token> {
    let item = match item {
        [rest @ .., last] if last.is_word(sql, "desc") || last.is_word(sql, "asc") => rest,
        all => all,
    };
    let name = match item {
        [name] => *name,
        [_, dot, name] if dot.kind == TokenKind::Dot => *name,
        _ => return None,
    };
    (name.kind == TokenKind::Word).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(sql: &str) -> Vec<String> {
        let place = |from: usize, to: usize| Place::of("a.sql", sql, from, to);
        let nullable = |table: &str| match table {
            "t" => [BTreeSet::from(["due".to_string()]), BTreeSet::from(["id".to_string()])],
            _ => Default::default(),
        };
        let tables = ["t".to_string()];
        let faults = found(sql, &place).into_iter().chain(nulls(sql, &tables, &nullable, &place));
        faults.map(|fault| fault.message.split('`').nth(1).unwrap_or("").to_string()).collect()
    }

    #[test]
    fn what_differs_in_silence_is_found() {
        for (sql, what) in [
            ("select cast(price * 1.19 as integer) from t", "cast(price * 1.19 as integer)"),
            ("select price as priceNow from t", "as priceNow"),
            ("select 1 where a like '10\\%%'", "like '10\\%%'"),
            ("select substr(a, -3) from t", "substr(a, -3)"),
            ("select id from t order by due desc, id limit 3", "due"),
            ("select rank() over (partition by a order by t.due) from t", "due"),
            ("select random()", "random"),
            ("select value from json_each(:x)", "json_each"),
            ("select * from t limit -1", "limit -"),
        ] {
            assert_eq!(warned(sql), [what], "{sql}");
        }
    }

    #[test]
    fn what_is_the_same_is_left_alone() {
        for sql in [
            "select cast(:q as integer), cast(t.id as int), 'random()' -- as fooBar",
            "select \"fooBar\", a as foo_bar from t where a like :q",
            "select id from t order by due nulls last, id",
            "select coalesce(due, '') as due from t order by due",
            "select substr(a, 1, 3), a like 'x\\_' escape '\\' from t order by lower(due)",
            "select * from other order by due",
        ] {
            assert_eq!(warned(sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn errors_of_postgres_get_their_help() {
        let sql = "select ifnull(a, 0), max(b, c) from t";
        assert_eq!(
            help(sql, "function ifnull(text, integer) does not exist", Some(7)),
            "PostgreSQL has no such function: write `coalesce(a, b)`"
        );
        assert_eq!(
            help(sql, "function max(integer, integer) does not exist", Some(21)),
            "of several values it is `greatest` on both: write `greatest(a, b)`"
        );
        assert_eq!(help(sql, "column \"a\" does not exist", Some(14)), "");
        assert!(help(sql, "operator does not exist: boolean = integer", Some(1)).contains("true"));
    }
}
