//! Taking a migration apart into its statements.

use std::ops::Range;

use super::dialect::Dialect;
use super::tokens::{Token, TokenKind, tokenize};

/// The statements of a text, each from its first to its last byte without the semicolon and without comments around
/// it. A `create trigger … begin … end` is one statement.
pub fn split(sql: &str, dialect: Dialect) -> Vec<Range<usize>> {
    let tokens: Vec<Token> = tokenize(sql, dialect).into_iter().filter(Token::is_significant).collect();
    let mut statements = Vec::new();
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        let length = statement_length(sql, rest, dialect);
        if let Some(last) = length.checked_sub(1) {
            statements.push(rest[0].from..rest[last].to);
        }
        rest = rest.get(length + 1..).unwrap_or(&[]);
    }
    statements
}

/// How many tokens stand before the semicolon that ends the first statement.
fn statement_length(sql: &str, tokens: &[Token], dialect: Dialect) -> usize {
    let mut has_body = false;
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Semicolon if has_body && !ends_body(sql, &tokens[..index]) => {}
            // PostgreSQL's `create rule … do (a; b)`.
            TokenKind::Semicolon if depth > 0 && dialect == Dialect::Postgres => {}
            TokenKind::Semicolon => return index,
            TokenKind::Word if token.is_word(sql, "begin") => {
                has_body |= opens_body(sql, &tokens[..index], tokens.get(index + 1), dialect);
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Whether a `begin` starts a body with semicolons of its own: a trigger of SQLite, `begin atomic` of PostgreSQL.
fn opens_body(sql: &str, before: &[Token], next: Option<&Token>, dialect: Dialect) -> bool {
    let creates = before.first().is_some_and(|first| first.is_word(sql, "create"));
    match dialect {
        Dialect::Sqlite => creates && before.iter().take(4).any(|token| token.is_word(sql, "trigger")),
        Dialect::Postgres => creates && next.is_some_and(|next| next.is_word(sql, "atomic")),
    }
}

/// Whether a body has ended: `…; end`, where a `case … end` has no semicolon before its `end`. The body may be empty.
fn ends_body(sql: &str, before: &[Token]) -> bool {
    match before {
        [.., earlier, last] if last.is_word(sql, "end") => {
            earlier.kind == TokenKind::Semicolon || earlier.is_word(sql, "atomic") || earlier.is_word(sql, "begin")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(sql: &str, dialect: Dialect) -> Vec<&str> {
        split(sql, dialect).into_iter().map(|range| &sql[range]).collect()
    }

    #[test]
    fn statements_come_without_their_semicolons_and_comments() {
        let sql = "-- a\ncreate table a (b text default ';');;\n/* ; */ insert into a values ('x') -- end\n; ";
        let expected = ["create table a (b text default ';')", "insert into a values ('x')"];
        assert_eq!(pieces(sql, Dialect::Sqlite), expected);
        assert_eq!(pieces(" -- nothing\n ; ;", Dialect::Sqlite), [""; 0]);
    }

    #[test]
    fn a_trigger_is_one_statement() {
        let trigger = "create temp trigger t after insert on a begin update a set b = case when 1 then 2 end; \
                       delete from c; end";
        let sql = format!("{trigger}; select 1; create table \"trigger\" (\"begin\" int); select 2");
        assert_eq!(
            pieces(&sql, Dialect::Sqlite),
            [trigger, "select 1", "create table \"trigger\" (\"begin\" int)", "select 2"]
        );
    }

    #[test]
    fn bodies_of_postgres() {
        let function = "create function f() returns void begin atomic insert into a values (1); select 2; end";
        let rule = "create rule r as on insert to a do (insert into b values (1); select 2)";
        let sql = format!("{function}; {rule}; do $$ begin x; end $$; begin; commit");
        assert_eq!(pieces(&sql, Dialect::Postgres), [function, rule, "do $$ begin x; end $$", "begin", "commit"]);
    }
}
