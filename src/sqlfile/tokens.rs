//! A lossless tokenizer for both dialects of SQL.

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
    /// A number.
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

/// Takes a text apart.
pub fn tokenize(_sql: &str, _dialect: Dialect) -> Vec<Token> {
    Vec::new()
}

/// SHA-256 over the tokens without comments and white space: an edited comment changes nothing.
pub fn fingerprint(_sql: &str, _dialect: Dialect) -> [u8; 32] {
    [0; 32]
}
