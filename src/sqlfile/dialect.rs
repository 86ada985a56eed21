//! The two databases' ways of writing SQL.

/// Whose SQL a text is written in: what counts as a string, a comment or an operator differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite (<https://sqlite.org/lang.html>).
    #[default]
    Sqlite,
    /// PostgreSQL (chapter "Lexical Structure" of its manual).
    Postgres,
}
