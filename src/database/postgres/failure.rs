//! PostgreSQL's errors as [`Failure`]s (documentation, appendix "PostgreSQL Error Codes", chapter "Frontend/Backend
//! Protocol", "Error and Notice Message Fields").

use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorResponseBody;

use crate::database::{Constraint, ConstraintKind, Failure};

/// An error as the server tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServerError {
    /// The SQLSTATE: five letters and digits.
    pub(super) code: String,
    /// The message in the server's language, with its detail and hint.
    pub(super) message: String,
    /// The character of the statement that it points at, from 1.
    pub(super) position: Option<usize>,
    /// The table of a broken rule, without its schema.
    pub(super) table: Option<String>,
    /// The column of a broken rule.
    pub(super) column: Option<String>,
    /// The rule's name.
    pub(super) constraint: Option<String>,
    /// Where it came up: a parameter, or functions from the inside out.
    pub(super) context: Option<String>,
    detail: Option<String>,
    hint: Option<String>,
}

/// Why talking with the server ended.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server answered with an error; the connection lives on.
    Server(Box<ServerError>),
    /// The connection is gone, or what comes from it is no answer.
    Lost(String),
    /// What was asked or answered breaks a limit of ours.
    Refused(Failure),
}

impl ServerError {
    /// Reads the fields of a message.
    pub(super) fn read(body: &ErrorResponseBody) -> ServerError {
        let mut error = ServerError::default();
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => error.code = value(),
                b'M' => error.message = value(),
                b'P' => error.position = value().parse().ok(),
                b't' => error.table = Some(value()),
                b'c' => error.column = Some(value()),
                b'n' => error.constraint = Some(value()),
                b'W' => error.context = Some(value()),
                b'D' => error.detail = Some(value()),
                b'H' => error.hint = Some(value()),
                _ => {}
            }
        }
        error
    }

    /// Whether the transaction may succeed when it is run again from its start.
    pub(super) fn is_retryable(&self) -> bool {
        matches!(&*self.code, "40001" | "40P01") || self.is_stale()
    }

    /// Whether a prepared statement has outlived the schema that it was prepared for, or is not there.
    pub(super) fn is_stale(&self) -> bool {
        self.code == "26000" || self.code == "0A000" && self.message.contains("cached plan")
    }

    /// Whether it says that the connection is ended, or that none is given.
    pub(super) fn is_down(&self) -> bool {
        self.code.starts_with("08") || matches!(&*self.code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53300")
    }

    /// Whether the server could not tell which type a parameter has, or took two parameters for types that don't fit.
    pub(super) fn is_about_types(&self) -> bool {
        matches!(&*self.code, "42P18" | "42P08" | "42725" | "42883" | "42804" | "42846" | "22P02")
    }

    /// The placeholder that the message or its context names, from 1.
    pub(super) fn parameter(&self) -> Option<usize> {
        let number = |text: &str| {
            let rest = &text[text.find('$')? + 1..];
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<usize>().ok().filter(|number| *number > 0)
        };
        let context = self.context.as_deref().filter(|context| context.contains("parameter $"));
        context.and_then(number).or_else(|| number(&self.message))
    }

    /// The failure of a statement with this text; `binds` tells whether it took values that may be at fault.
    pub(super) fn into_failure(self, sql: &str, binds: bool) -> Failure {
        let class = self.code.get(..2).unwrap_or("");
        match (&*self.code, class) {
            ("P0001", _) | (_, "23") => Failure::Constraint(self.into_constraint()),
            // Whoever divides by zero is the query, and then also without a value.
            ("22012", _) => self.into_broken(sql),
            (_, "22") if binds => {
                Failure::BadValue { bind: self.parameter().map(|number| number - 1), message: self.message }
            }
            ("57014", _) => Failure::Deadline,
            ("53100", _) => Failure::Full,
            ("54000", _) => Failure::TooLarge,
            _ if self.is_down() => Failure::Down,
            _ if self.is_retryable() => Failure::Busy,
            ("55P03", _) | (_, "53") => Failure::Busy,
            _ => self.into_broken(sql),
        }
    }

    fn into_broken(self, sql: &str) -> Failure {
        let offset = self.position.and_then(|position| offset_of(sql, position));
        let mut message = self.message;
        for more in [self.detail, self.hint].into_iter().flatten() {
            message.push_str("; ");
            message.push_str(&more);
        }
        if !matches!(self.code.get(..2), Some("42")) && !self.code.is_empty() {
            message = format!("{message} (PostgreSQL code {})", self.code);
        }
        Failure::Broken { message, offset }
    }

    fn into_constraint(self) -> Constraint {
        let kind = match &*self.code {
            "23505" | "23P01" => ConstraintKind::Unique,
            "23502" => ConstraintKind::NotNull,
            "23514" => ConstraintKind::Check,
            "23503" | "23001" => ConstraintKind::ForeignKey,
            "P0001" => ConstraintKind::Raised,
            _ => ConstraintKind::Other,
        };
        let columns = match &self.column {
            Some(column) => vec![column.clone()],
            None => self.detail.as_deref().and_then(columns_of).unwrap_or_default(),
        };
        Constraint { kind, name: self.constraint, table: self.table, columns, message: self.message }
    }
}

impl Trouble {
    /// The failure of a statement with this text.
    pub(super) fn into_failure(self, sql: &str, binds: bool) -> Failure {
        match self {
            Trouble::Server(error) => error.into_failure(sql, binds),
            Trouble::Lost(_) => Failure::Down,
            Trouble::Refused(failure) => failure,
        }
    }

    /// The trouble of a statement that had no values yet: what is wrong in it the author wrote.
    pub(super) fn without_values(self, sql: &str) -> Trouble {
        match self {
            Trouble::Server(error) if error.code.starts_with("22") => Trouble::Refused(error.into_failure(sql, false)),
            trouble => trouble,
        }
    }

    /// What the operator reads.
    pub(super) fn message(&self) -> String {
        match self {
            Trouble::Server(error) => error.message.clone(),
            Trouble::Lost(message) => message.clone(),
            Trouble::Refused(failure) => failure.to_string(),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Lost(error.to_string())
    }
}

impl From<ServerError> for Trouble {
    fn from(error: ServerError) -> Trouble {
        Trouble::Server(Box::new(error))
    }
}

/// The columns in `Key (a, b)=(1, 2) already exists.`: with the parentheses alone it is the same in every language.
fn columns_of(detail: &str) -> Option<Vec<String>> {
    let rest = &detail[detail.find('(')? + 1..];
    let (columns, _) = rest.split_once(")=(")?;
    Some(columns.split(", ").map(|column| column.trim_matches('"').to_string()).collect())
}

/// The byte of a text's character; characters count from 1.
fn offset_of(sql: &str, position: usize) -> Option<usize> {
    let index = position.checked_sub(1)?;
    sql.char_indices().map(|(offset, _)| offset).chain([sql.len()]).nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str) -> ServerError {
        ServerError { code: code.to_string(), message: message.to_string(), ..ServerError::default() }
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(offset_of("select 'é', nmae", 13), Some(13));
        assert_eq!(offset_of("select nmae", 8), Some(7));
        assert_eq!(offset_of("a", 2), Some(1));
        assert_eq!(offset_of("a", 3), None);
    }

    #[test]
    fn rules_are_named_with_their_columns() {
        let unique = ServerError {
            detail: Some("Key (a, \"B\")=(1, 2) already exists.".to_string()),
            constraint: Some("line_a_B_key".to_string()),
            table: Some("line".to_string()),
            ..error("23505", "duplicate key")
        };
        let Failure::Constraint(rule) = unique.into_failure("", true) else { panic!("no constraint") };
        assert_eq!((rule.kind, rule.columns), (ConstraintKind::Unique, vec!["a".to_string(), "B".to_string()]));
        assert_eq!(rule.name.as_deref(), Some("line_a_B_key"));
    }

    #[test]
    fn values_are_at_fault_only_where_there_are_some() {
        let wrong = || ServerError {
            context: Some("unnamed portal parameter $2 = 'x'".to_string()),
            ..error("22P02", "invalid input syntax for type uuid: \"x\"")
        };
        assert!(matches!(wrong().into_failure("", true), Failure::BadValue { bind: Some(1), .. }));
        assert!(matches!(wrong().into_failure("", false), Failure::Broken { .. }));
        assert!(matches!(error("22012", "division by zero").into_failure("", true), Failure::Broken { .. }));
    }

    #[test]
    fn codes_say_what_to_do() {
        for (code, failure) in [
            ("57014", Failure::Deadline),
            ("53100", Failure::Full),
            ("57P01", Failure::Down),
            ("53300", Failure::Down),
            ("08006", Failure::Down),
            ("55P03", Failure::Busy),
            ("40001", Failure::Busy),
        ] {
            assert_eq!(error(code, "").into_failure("", true), failure, "{code}");
        }
        assert!(error("0A000", "cached plan must not change result type").is_stale());
        assert!(!error("0A000", "not supported").is_stale());
    }
}
