//! Why the database refuses, in words that are the same for every back-end, and what a visitor is told of it.

use std::fmt;

use crate::problem::{Kind, Problem};

/// Why a query, an action or a piece of reading failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It took longer than its limit. A reader may run it again with [`Database::apart`](super::Database::apart).
    Deadline,
    /// A rule of the schema forbids it.
    Constraint(Constraint),
    /// More rows than the limit, which is told.
    TooManyRows(usize),
    /// A value, a row or a result is longer than the limit.
    TooLarge,
    /// A queue is full, the database is closing, or another process holds a lock for too long.
    Busy,
    /// The disk is full, or the database has reached its largest size.
    Full,
    /// There is no connection to the database, and none can be made now.
    Down,
    /// The connection was lost while the transaction was being committed: nobody can tell whether it was.
    Unknown,
    /// A bound value doesn't fit where it stands: a number out of range, a character that can't be kept, a text that
    /// is no UUID.
    BadValue {
        /// The database's own message.
        message: String,
        /// The place of the value among those that were bound, from 0, where the database tells it.
        bind: Option<usize>,
    },
    /// Anything else: a fault of the SQL, the site or the machine.
    Broken {
        /// The database's own message.
        message: String,
        /// The byte of the SQL text that it points at.
        offset: Option<usize>,
    },
}

impl Failure {
    /// A [`Failure::Broken`] that points at no place.
    pub fn broken(message: impl Into<String>) -> Failure {
        Failure::Broken { message: message.into(), offset: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Deadline => out.write_str("the query took longer than its limit"),
            Failure::Constraint(constraint) => out.write_str(&constraint.message),
            Failure::TooManyRows(limit) => write!(out, "the query gave more than {limit} rows"),
            Failure::TooLarge => out.write_str("a value or a result is larger than its limit"),
            Failure::Busy => out.write_str("the database is busy"),
            Failure::Full => out.write_str("the disk or the database is full"),
            Failure::Down => out.write_str("the database can't be reached"),
            Failure::Unknown => out.write_str("the connection was lost during the commit"),
            Failure::BadValue { message, .. } | Failure::Broken { message, .. } => out.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Problem {
    /// The problem when nobody knows a better one: who runs a query file turns constraints and bad values into errors
    /// of fields first.
    fn from(failure: Failure) -> Problem {
        let cause = failure.to_string();
        match failure {
            // The log tells the cause once for all requests; see `Database::on_outage`.
            Failure::Down => Problem { cause: None, ..Problem::busy(cause) },
            Failure::Busy | Failure::Full | Failure::Deadline => Problem::busy(cause),
            Failure::Unknown => Problem::new(Kind::Unknown, "It is not known whether this was done.").caused_by(cause),
            Failure::BadValue { .. } => Problem::malformed("A value of this request can't be used.").caused_by(cause),
            Failure::Constraint(_) => {
                Problem::new(Kind::Conflict, "This doesn't fit what is already there.").caused_by(cause)
            }
            Failure::TooLarge => Problem::new(Kind::TooLarge, "This is too large.").caused_by(cause),
            Failure::TooManyRows(_) | Failure::Broken { .. } => Problem::broken(cause),
        }
    }
}

/// A rule of the schema that a statement broke.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraint {
    /// What kind of rule.
    pub kind: ConstraintKind,
    /// The rule's name: of a `check`, or of the `create unique index`; `None` where the schema gives it none.
    pub name: Option<String>,
    /// The table, where the database tells it.
    pub table: Option<String>,
    /// The columns in the order of the rule, where the database tells them.
    pub columns: Vec<String>,
    /// The database's message, or the author's own text from `raise(abort, '…')`.
    pub message: String,
}

impl Constraint {
    /// Whether an author means this rule by `name`: its own name, or the one that PostgreSQL would give it where the
    /// schema gives none (`items_slug_key`, `items_pkey`, `items_price_not_null`).
    pub fn is_called(&self, name: &str) -> bool {
        if self.name.as_deref() == Some(name) {
            return true;
        }
        let Some(rest) = self.table.as_deref().and_then(|table| name.strip_prefix(table)) else { return false };
        let columns = self.columns.join("_");
        match self.kind {
            ConstraintKind::Unique => rest == "_pkey" || rest == format!("_{columns}_key"),
            ConstraintKind::NotNull => rest == format!("_{columns}_not_null"),
            _ => false,
        }
    }
}

/// The kinds of rules that a schema has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConstraintKind {
    /// The same value, or key, is there already.
    Unique,
    /// A value is missing.
    NotNull,
    /// A `check` doesn't hold.
    Check,
    /// What is pointed at doesn't exist, or what is removed is still pointed at.
    ForeignKey,
    /// A trigger called `raise(…)`.
    Raised,
    /// A value has the wrong type for its column.
    Type,
    /// Another rule.
    #[default]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_does_to_us_is_told_honestly() {
        let unknown = Problem::from(Failure::Unknown);
        assert_eq!((unknown.kind, &*unknown.public), (Kind::Unknown, "It is not known whether this was done."));
        assert_eq!(Problem::from(Failure::Down).kind, Kind::Busy);
        let bad = Failure::BadValue { message: "out of range".into(), bind: None };
        assert_eq!(bad.to_string(), "out of range");
        assert_eq!(Problem::from(bad).kind, Kind::Malformed);
    }
}
