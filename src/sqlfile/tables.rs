//! Finds where a statement names tables, to put the shared parts (`:with`) in front of those that name them.

use super::tokens::{Token, TokenKind};

/// The places in `tokens` of names in table position: after FROM or JOIN, or after a comma of the FROM clause. `tokens`
/// are the significant ones. A name that is followed by a bracket is a function.
pub(super) fn table_names(sql: &str, tokens: &[Token]) -> Vec<usize> {
    let mut names = Vec::new();
    // For each open bracket: whether the FROM clause of its query is being read.
    let mut in_from = vec![false];
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| tokens[before]);
        match token.kind {
            TokenKind::Open => {
                // `from (a join b)`; in `from ((a join b) join c)` the inner bracket stands first in the outer one.
                // `using (x)` holds columns.
                let opens = |before: Token| {
                    before.kind == TokenKind::Open || starts_table(sql, before) && !before.is_word(sql, "using")
                };
                let inner = *in_from.last().unwrap_or(&false) && before.is_some_and(opens);
                in_from.push(inner);
            }
            TokenKind::Close if in_from.len() > 1 => {
                in_from.pop();
            }
            TokenKind::Word | TokenKind::QuotedName => {
                let here = in_from.last_mut().expect("the outermost level stays");
                let called = tokens.get(index + 1).is_some_and(|next| next.kind == TokenKind::Open);
                let positioned =
                    before.is_some_and(|before| starts_table(sql, before) || before.kind == TokenKind::Open);
                if *here && positioned && !called && !is_clause(sql, token) {
                    names.push(index);
                }
                // PostgreSQL's `delete from a using b`; `join b using (x)` is no list of tables.
                let using = token.is_word(sql, "using") && !called;
                if token.is_word(sql, "from") || token.is_word(sql, "join") || using {
                    *here = true;
                } else if is_clause(sql, token) {
                    *here = false;
                }
            }
            _ => {}
        }
    }
    names
}

/// Whether a table may stand after this token.
fn starts_table(sql: &str, token: Token) -> bool {
    token.kind == TokenKind::Comma || ["from", "join", "using", "only"].iter().any(|word| token.is_word(sql, word))
}

/// Words that end a FROM clause.
fn is_clause(sql: &str, token: &Token) -> bool {
    const CLAUSES: [&str; 14] = [
        "select",
        "where",
        "group",
        "having",
        "order",
        "limit",
        "offset",
        "union",
        "except",
        "intersect",
        "values",
        "set",
        "returning",
        "window",
    ];
    CLAUSES.iter().any(|word| token.is_word(sql, word))
}

/// A name without its quotes, in lower case if it had none.
pub(super) fn plain_name(text: &str) -> String {
    let inner = |open: char, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    match inner('"', '"').or_else(|| inner('`', '`')).or_else(|| inner('[', ']')) {
        Some(name) => name.replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlfile::Dialect;
    use crate::sqlfile::tokens::tokenize;

    fn named(sql: &str) -> Vec<&str> {
        let tokens: Vec<Token> = tokenize(sql, Dialect::Sqlite).into_iter().filter(Token::is_significant).collect();
        table_names(sql, &tokens).into_iter().map(|index| tokens[index].text(sql)).collect()
    }

    #[test]
    fn tables_are_told_from_columns() {
        assert_eq!(
            named("select p, x from a join b on a.p = b.x, c where p in (select x from d)"),
            ["a", "b", "c", "d"]
        );
        assert_eq!(named("select a from (b join c using (x)) order by d, e"), ["b", "c"]);
        assert_eq!(named("select * from json_each(:x), t"), ["t"]);
        assert_eq!(named("insert into t select a, b from \"v\""), ["\"v\""]);
        assert_eq!(named("select 1 from ((a join b) join c), (d) where (e) = 1"), ["a", "b", "c", "d"]);
        assert_eq!(named("delete from a using b where a.x in (b)"), ["a", "b"]);
        assert_eq!(named("select extract(year from x), trim(both from y) from z"), ["x", "y", "z"]);
        assert_eq!(named("select a, b"), Vec::<&str>::new());
        assert_eq!(named("with r as (select 1 from q) select * from r union select * from s"), ["q", "r", "s"]);
    }
}
