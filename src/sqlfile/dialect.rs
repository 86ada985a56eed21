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

impl Dialect {
    /// The dialect of the database that a setting `database.url` names: PostgreSQL for `postgres://…` and
    /// `postgresql://…`, else SQLite.
    pub fn of_url(url: &str) -> Dialect {
        match url.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Dialect::Postgres,
            _ => Dialect::Sqlite,
        }
    }

    /// The database's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SQLite",
            Dialect::Postgres => "PostgreSQL",
        }
    }

    /// The word before `.sql` in the name of a file that is for this database alone: `cart.post.postgres.sql`.
    pub fn word(self) -> &'static str {
        match self {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
        }
    }
}

/// A file's path without the word that gives it to one database, and that database: `x.postgres.sql` stands in for
/// `x.sql`.
pub fn without_dialect(path: &str) -> (String, Option<Dialect>) {
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        if let Some(stem) = path.strip_suffix(&format!(".{}.sql", dialect.word())) {
            return (format!("{stem}.sql"), Some(dialect));
        }
    }
    (path.to_string(), None)
}
