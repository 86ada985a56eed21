//! A lossless tokenizer for both dialects of SQL.
//!
//! It follows `sqlite3GetToken` of SQLite and `scan.l` of PostgreSQL in where a token begins and ends, because a
//! `:name` inside a string must stay text and one outside must be found. It knows no grammar.

use sha2::{Digest, Sha256};

use super::dialect::Dialect;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// White space, a byte order mark included.
    Space,
    /// `-- …` to the end of the line, or `/* … */`.
    Comment,
    /// A keyword or an unquoted name.
    Word,
    /// `"x"`, and on SQLite also `` `x` `` and `[x]`.
    QuotedName,
    /// `'x'`, on PostgreSQL also `E'x'` and `$tag$x$tag$`; on SQLite also `x'00'`.
    String,
    /// A number, with whatever is glued to its end.
    Number,
    /// `:name`, a value from the visitor.
    Parameter,
    /// `@name` or `@name.column`, a value from the server.
    Server,
    /// `?`, `?1`, `$1`, `#x`: a placeholder written by hand.
    Placeholder,
    /// `;`
    Semicolon,
    /// `,`
    Comma,
    /// `.`
    Dot,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `=`, `||`, `->>`, `::`, `@>` …
    Operator,
    /// A string, quoted name or block comment that doesn't end.
    Unfinished,
    /// A character that SQL doesn't know.
    Unknown,
}

/// A stretch of the text. All tokens together cover every byte once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its first byte.
    pub from: usize,
    /// The byte after its last.
    pub to: usize,
}

impl Token {
    /// Whether it means something to a database: neither white space nor a comment.
    pub fn is_significant(&self) -> bool {
        !matches!(self.kind, TokenKind::Space | TokenKind::Comment)
    }

    /// Its text in the text that was taken apart.
    pub fn text<'s>(&self, sql: &'s str) -> &'s str {
        &sql[self.from..self.to]
    }

    /// Whether it is this unquoted word, in any case.
    pub fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text(sql).eq_ignore_ascii_case(word)
    }
}

/// Takes a text apart. It never fails: what SQL doesn't know becomes [`TokenKind::Unknown`].
pub fn tokenize(sql: &str, dialect: Dialect) -> Vec<Token> {
    let scanner = Scanner { bytes: sql.as_bytes(), dialect };
    let mut tokens = Vec::with_capacity(sql.len() / 4);
    let mut from = 0;
    while from < sql.len() {
        let (kind, to) = scanner.token(from);
        tokens.push(Token { kind, from, to });
        from = to;
    }
    tokens
}

/// SHA-256 over the tokens without comments and white space: an edited comment changes nothing.
pub fn fingerprint(sql: &str, dialect: Dialect) -> [u8; 32] {
    let mut hash = Sha256::new();
    for token in tokenize(sql, dialect).iter().filter(|token| token.is_significant()) {
        hash.update(token.text(sql).as_bytes());
        // A byte that no token ends with keeps `ab c` and `a bc` apart.
        hash.update([0]);
    }
    hash.finalize().into()
}

/// Whether a byte may stand inside a name. Everything beyond ASCII may, in both dialects.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// Whether a byte may begin a name.
fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// The characters of PostgreSQL's operators.
const OPERATOR_BYTES: &[u8] = b"+-*/<>=~!@#%^&|`?";

/// SQLite's operators of several characters, longest first.
const SQLITE_OPERATORS: [&str; 11] = ["->>", "->", "||", "<<", "<=", "<>", ">>", ">=", "==", "!=", "::"];

struct Scanner<'s> {
    bytes: &'s [u8],
    dialect: Dialect,
}

impl Scanner<'_> {
    /// The byte at a place; NUL past the end, which begins nothing.
    fn at(&self, index: usize) -> u8 {
        self.bytes.get(index).copied().unwrap_or(0)
    }

    fn starts(&self, from: usize, text: &str) -> bool {
        self.bytes[from..].starts_with(text.as_bytes())
    }

    /// The first place from `from` on where `wanted` doesn't hold.
    fn skip(&self, from: usize, wanted: impl Fn(u8) -> bool) -> usize {
        self.bytes[from..].iter().position(|byte| !wanted(*byte)).map_or(self.bytes.len(), |length| from + length)
    }

    fn is_space(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c) || (byte == 0x0b && self.dialect == Dialect::Postgres)
    }

    /// The kind and the end of the token that begins at `from`.
    fn token(&self, from: usize) -> (TokenKind, usize) {
        let one = from + 1;
        match self.at(from) {
            byte if self.is_space(byte) => (TokenKind::Space, self.skip(from, |byte| self.is_space(byte))),
            0xef if self.starts(from, "\u{feff}") => (TokenKind::Space, from + 3),
            b'-' if self.at(one) == b'-' => (TokenKind::Comment, self.line_end(from)),
            b'/' if self.at(one) == b'*' => self.block_comment(from),
            b'\'' => self.quoted(from, b'\'', TokenKind::String),
            b'"' => self.quoted(from, b'"', TokenKind::QuotedName),
            b'(' => (TokenKind::Open, one),
            b')' => (TokenKind::Close, one),
            b',' => (TokenKind::Comma, one),
            b';' => (TokenKind::Semicolon, one),
            b'0'..=b'9' => (TokenKind::Number, self.number(from)),
            b'.' if self.at(one).is_ascii_digit() => (TokenKind::Number, self.number(from)),
            b'.' => (TokenKind::Dot, one),
            byte if begins_name(byte) => self.word(from),
            _ if self.dialect == Dialect::Sqlite => self.sqlite_mark(from),
            _ => self.postgres_mark(from),
        }
    }

    fn line_end(&self, from: usize) -> usize {
        self.skip(from, |byte| byte != b'\n' && (byte != b'\r' || self.dialect == Dialect::Sqlite))
    }

    /// Comments nest on PostgreSQL and don't on SQLite.
    fn block_comment(&self, from: usize) -> (TokenKind, usize) {
        let mut depth = 1;
        let mut at = from + 2;
        while at < self.bytes.len() {
            if self.starts(at, "*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return (TokenKind::Comment, at);
                }
            } else if self.dialect == Dialect::Postgres && self.starts(at, "/*") {
                depth += 1;
                at += 2;
            } else {
                at += 1;
            }
        }
        (TokenKind::Unfinished, self.bytes.len())
    }

    /// From one quote to its fellow; a doubled one stands for itself.
    fn quoted(&self, from: usize, quote: u8, kind: TokenKind) -> (TokenKind, usize) {
        let mut at = from + 1;
        while at < self.bytes.len() {
            match (self.at(at) == quote, self.at(at + 1) == quote) {
                (true, true) => at += 2,
                (true, false) => return (kind, at + 1),
                (false, _) => at += 1,
            }
        }
        (TokenKind::Unfinished, self.bytes.len())
    }

    /// PostgreSQL's `E'…'`, in which a backslash escapes the quote; `from` is the quote.
    fn escaped_string(&self, from: usize) -> (TokenKind, usize) {
        let mut at = from + 1;
        while at < self.bytes.len() {
            match (self.at(at), self.at(at + 1)) {
                (b'\\', _) | (b'\'', b'\'') => at += 2,
                (b'\'', _) => return (TokenKind::String, at + 1),
                _ => at += 1,
            }
        }
        (TokenKind::Unfinished, self.bytes.len())
    }

    fn number(&self, from: usize) -> usize {
        if self.at(from) == b'0' && self.at(from + 1).is_ascii_alphabetic() {
            return self.skip(from, is_name_byte);
        }
        let digits = |at| self.skip(at, |byte| byte.is_ascii_digit() || byte == b'_');
        let mut at = digits(from);
        // `1..10` is a range of PL/pgSQL, not the number `1.`.
        if self.at(at) == b'.' && !(self.dialect == Dialect::Postgres && self.at(at + 1) == b'.') {
            at = digits(at + 1);
        }
        if self.at(at) | 0x20 == b'e' {
            let sign = usize::from(matches!(self.at(at + 1), b'+' | b'-'));
            if self.at(at + 1 + sign).is_ascii_digit() {
                at = digits(at + 1 + sign);
            }
        }
        self.skip(at, is_name_byte)
    }

    /// A name, or a prefix that belongs to the string behind it.
    fn word(&self, from: usize) -> (TokenKind, usize) {
        let to = self.skip(from, is_name_byte);
        let quote = self.at(to) == b'\'';
        match (&self.bytes[from..to], self.dialect) {
            (b"x" | b"X", Dialect::Sqlite) if quote => self.quoted(to, b'\'', TokenKind::String),
            (b"e" | b"E", Dialect::Postgres) if quote => self.escaped_string(to),
            (b"b" | b"B" | b"x" | b"X" | b"n" | b"N", Dialect::Postgres) if quote => {
                self.quoted(to, b'\'', TokenKind::String)
            }
            (b"u" | b"U", Dialect::Postgres) if self.starts(to, "&'") => self.quoted(to + 1, b'\'', TokenKind::String),
            (b"u" | b"U", Dialect::Postgres) if self.starts(to, "&\"") => {
                self.quoted(to + 1, b'"', TokenKind::QuotedName)
            }
            _ => (TokenKind::Word, to),
        }
    }

    fn sqlite_mark(&self, from: usize) -> (TokenKind, usize) {
        let one = from + 1;
        match self.at(from) {
            b'`' => self.quoted(from, b'`', TokenKind::QuotedName),
            b'[' => match self.bytes[from..].iter().position(|byte| *byte == b']') {
                Some(length) => (TokenKind::QuotedName, from + length + 1),
                None => (TokenKind::Unfinished, self.bytes.len()),
            },
            b':' if is_name_byte(self.at(one)) => (TokenKind::Parameter, self.skip(one, is_name_byte)),
            b'@' if is_name_byte(self.at(one)) => (TokenKind::Server, self.server_name(one)),
            b'?' => (TokenKind::Placeholder, self.skip(one, |byte| byte.is_ascii_digit())),
            b'$' | b'#' if is_name_byte(self.at(one)) => (TokenKind::Placeholder, self.skip(one, is_name_byte)),
            _ => self.sqlite_operator(from),
        }
    }

    fn sqlite_operator(&self, from: usize) -> (TokenKind, usize) {
        if let Some(operator) = SQLITE_OPERATORS.iter().find(|operator| self.starts(from, operator)) {
            return (TokenKind::Operator, from + operator.len());
        }
        match self.at(from) {
            b'+' | b'-' | b'*' | b'/' | b'%' | b'=' | b'<' | b'>' | b'|' | b'&' | b'~' => {
                (TokenKind::Operator, from + 1)
            }
            _ => (TokenKind::Unknown, from + 1),
        }
    }

    /// The end of `name` or `name.column`, from behind the at-sign.
    fn server_name(&self, from: usize) -> usize {
        let to = self.skip(from, is_name_byte);
        match self.at(to) == b'.' && begins_name(self.at(to + 1)) {
            true => self.skip(to + 1, is_name_byte),
            false => to,
        }
    }

    fn postgres_mark(&self, from: usize) -> (TokenKind, usize) {
        let one = from + 1;
        match self.at(from) {
            b':' if self.at(one) == b':' || self.at(one) == b'=' => (TokenKind::Operator, from + 2),
            b':' if begins_name(self.at(one)) => (TokenKind::Parameter, self.skip(one, is_name_byte)),
            b'@' if begins_name(self.at(one)) => (TokenKind::Server, self.server_name(one)),
            b'$' if self.at(one).is_ascii_digit() => (TokenKind::Placeholder, self.skip(one, is_name_byte)),
            b'$' => self.dollar_quoted(from),
            b':' | b'[' | b']' => (TokenKind::Operator, one),
            byte if OPERATOR_BYTES.contains(&byte) => (TokenKind::Operator, self.postgres_operator(from)),
            _ => (TokenKind::Unknown, one),
        }
    }

    /// `$$ … $$` or `$tag$ … $tag$`.
    fn dollar_quoted(&self, from: usize) -> (TokenKind, usize) {
        let tag_end = self.skip(from + 1, |byte| is_name_byte(byte) && byte != b'$');
        if self.at(tag_end) != b'$' {
            return (TokenKind::Unknown, from + 1);
        }
        let tag = &self.bytes[from..=tag_end];
        let inside = tag_end + 1;
        match self.bytes[inside..].windows(tag.len()).position(|window| window == tag) {
            Some(length) => (TokenKind::String, inside + length + tag.len()),
            None => (TokenKind::Unfinished, self.bytes.len()),
        }
    }

    /// The end of an operator. It stops before a comment, and before an `@name` unless `<@` or `@@` is meant.
    fn postgres_operator(&self, from: usize) -> usize {
        let mut to = from + 1;
        while OPERATOR_BYTES.contains(&self.at(to)) && !self.starts(to, "--") && !self.starts(to, "/*") {
            let names_value = self.at(to) == b'@' && begins_name(self.at(to + 1));
            if names_value && !matches!(&self.bytes[from..to], b"<" | b"@") {
                break;
            }
            to += 1;
        }
        let text = &self.bytes[from..to];
        // `x=-1`: a plus or minus at the end belongs to the operator only beside one of these characters.
        if text.iter().any(|byte| b"~!@#%^&|`?".contains(byte)) {
            return to;
        }
        let trimmed = text.iter().rposition(|byte| !b"+-".contains(byte)).map_or(1, |last| last + 1);
        from + trimmed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(sql: &str, dialect: Dialect) -> Vec<(TokenKind, &str)> {
        tokenize(sql, dialect).iter().filter(|t| t.kind != TokenKind::Space).map(|t| (t.kind, t.text(sql))).collect()
    }

    fn found(sql: &str, dialect: Dialect, kind: TokenKind) -> Vec<&str> {
        shown(sql, dialect).into_iter().filter(|(found, _)| *found == kind).map(|(_, text)| text).collect()
    }

    #[test]
    fn names_inside_strings_comments_and_quotes_stay_text() {
        let sql = "select ':a', \":b\", `:c`, [:d], x':e', :f -- :g\n/* :h */ || @i.j";
        assert_eq!(found(sql, Dialect::Sqlite, TokenKind::Parameter), [":f"]);
        assert_eq!(found(sql, Dialect::Sqlite, TokenKind::Server), ["@i.j"]);
    }

    #[test]
    fn postgres_strings_hide_names() {
        let sql = r"select E'it\' :a', $$ :b $$, $t$ $$ :c $t$, U&':d', ':e''s', :f /* /* :g */ :h */";
        assert_eq!(found(sql, Dialect::Postgres, TokenKind::Parameter), [":f"]);
    }

    #[test]
    fn casts_and_slices_are_no_parameters() {
        assert_eq!(found("select :q::text, a[1:2], b := 3", Dialect::Postgres, TokenKind::Parameter), [":q"]);
        assert_eq!(found("select x::text", Dialect::Sqlite, TokenKind::Parameter), [""; 0]);
    }

    #[test]
    fn operators_with_an_at_sign() {
        let sql = "a @> b <@c @@ d and e=@now and f <= @page.size and g||@x and j->>'k'";
        assert_eq!(found(sql, Dialect::Postgres, TokenKind::Server), ["@now", "@page.size", "@x"]);
        assert_eq!(found(sql, Dialect::Postgres, TokenKind::Operator), ["@>", "<@", "@@", "=", "<=", "||", "->>"]);
        assert_eq!(found("a<@user_id", Dialect::Sqlite, TokenKind::Server), ["@user_id"]);
    }

    #[test]
    fn operators_and_signs_keep_apart() {
        let operators = |sql| found(sql, Dialect::Postgres, TokenKind::Operator);
        assert_eq!(operators("a=-1"), ["=", "-"]);
        assert_eq!(operators("a @- 1"), ["@-"]);
        assert_eq!(operators("a +- 1"), ["+", "-"]);
        assert_eq!(operators("a*--x\n2"), ["*"]);
    }

    #[test]
    fn numbers() {
        let numbers = |sql| found(sql, Dialect::Sqlite, TokenKind::Number);
        assert_eq!(
            numbers("1 2.5 .5 1e5 1.e-3 0x1F 1_000 7up"),
            ["1", "2.5", ".5", "1e5", "1.e-3", "0x1F", "1_000", "7up"]
        );
        assert_eq!(found("1..10", Dialect::Postgres, TokenKind::Number), ["1", ".10"]);
    }

    #[test]
    fn what_does_not_end_is_told() {
        for sql in ["'a", "\"a", "/* a", "x'00"] {
            assert_eq!(tokenize(sql, Dialect::Sqlite)[0].kind, TokenKind::Unfinished, "{sql}");
        }
        for sql in ["'a", "$$ a", "E'a\\'", "/* /* a */"] {
            assert_eq!(tokenize(sql, Dialect::Postgres)[0].kind, TokenKind::Unfinished, "{sql}");
        }
    }

    #[test]
    fn handwritten_placeholders_are_found() {
        assert_eq!(found("? ?1 $a #b", Dialect::Sqlite, TokenKind::Placeholder), ["?", "?1", "$a", "#b"]);
        assert_eq!(found("$1", Dialect::Postgres, TokenKind::Placeholder), ["$1"]);
    }

    #[test]
    fn a_fingerprint_minds_tokens_only() {
        let print = |sql| fingerprint(sql, Dialect::Sqlite);
        assert_eq!(print("create table a (b int); -- x"), print("-- y\ncreate  table a(b int) ;"));
        assert_ne!(print("select 'a  b'"), print("select 'a b'"));
        assert_ne!(print("ab c"), print("a bc"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn tokens_cover_any_text(text in "(?s)([a-zé:@.$'\"`\\[\\]/*\\\\ \n#?;,()<>=|0-9+-]|E'|\\$\\$|--|.){0,60}") {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let tokens = tokenize(&text, dialect);
                let mut next = 0;
                for token in &tokens {
                    prop_assert_eq!(token.from, next);
                    prop_assert!(token.to > token.from);
                    prop_assert!(text.is_char_boundary(token.to));
                    next = token.to;
                }
                prop_assert_eq!(next, text.len());
            }
        }
    }
}
