//! SQLite's result codes and messages as [`Failure`]s (<https://www.sqlite.org/rescode.html>).

use std::ffi::{CStr, c_int};

use rusqlite::{Connection, ffi};

use crate::database::{Constraint, ConstraintKind, Failure};

/// The failure that the last call on this connection ended with. Must be asked before the next call.
pub(super) fn of(connection: &Connection, code: c_int) -> Failure {
    // SAFETY: the connection is open; the message is a C string until the next call, and it is copied at once.
    let (code, message, offset) = unsafe {
        let handle = connection.handle();
        let extended = ffi::sqlite3_extended_errcode(handle);
        // Misuse and full memory don't set the connection's own code.
        let code = if extended & 0xff == code & 0xff { extended } else { code };
        let message = CStr::from_ptr(ffi::sqlite3_errmsg(handle)).to_string_lossy().into_owned();
        (code, message, usize::try_from(ffi::sqlite3_error_offset(handle)).ok())
    };
    match code & 0xff {
        ffi::SQLITE_INTERRUPT => Failure::Deadline,
        ffi::SQLITE_CONSTRAINT => Failure::Constraint(constraint(code, message)),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Failure::Busy,
        ffi::SQLITE_FULL => Failure::Full,
        ffi::SQLITE_TOOBIG => Failure::TooLarge,
        ffi::SQLITE_IOERR | ffi::SQLITE_CORRUPT | ffi::SQLITE_CANTOPEN => {
            Failure::Broken { message: format!("{message} (SQLite code {code})"), offset }
        }
        _ => Failure::Broken { message, offset },
    }
}

/// The failure of a call through rusqlite.
pub(super) fn from_rusqlite(error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Failure::Busy,
        Some(rusqlite::ErrorCode::DiskFull) => Failure::Full,
        _ => Failure::broken(error.to_string()),
    }
}

/// Reads a constraint out of SQLite's message, which is the only place that names it.
fn constraint(code: c_int, message: String) -> Constraint {
    let kind = match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            ConstraintKind::Unique
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        ffi::SQLITE_CONSTRAINT_CHECK => ConstraintKind::Check,
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_TRIGGER => ConstraintKind::Raised,
        ffi::SQLITE_CONSTRAINT_DATATYPE => ConstraintKind::Type,
        _ => ConstraintKind::Other,
    };
    let mut found = Constraint { kind, message, ..Constraint::default() };
    let subject = match kind {
        ConstraintKind::Raised => return found,
        // `cannot store TEXT value in INTEGER column line.qty`
        ConstraintKind::Type => found.message.rsplit(' ').next().unwrap_or("").to_string(),
        _ => found.message.split_once(" constraint failed: ").map_or("", |(_, subject)| subject).to_string(),
    };
    match kind {
        ConstraintKind::Check => found.name = Some(subject).filter(|name| !name.is_empty()),
        _ => match subject.strip_prefix("index '").and_then(|rest| rest.strip_suffix('\'')) {
            Some(index) => found.name = Some(index.to_string()),
            None => name_columns(&mut found, &subject),
        },
    }
    found
}

/// Takes `line.session_id, line.product_id` apart.
fn name_columns(found: &mut Constraint, subject: &str) {
    for part in subject.split(", ") {
        if let Some((table, column)) = part.split_once('.') {
            found.table = Some(table.to_string());
            found.columns.push(column.to_string());
        }
    }
}

/// An action that leaves deferred foreign keys unresolved.
pub(super) fn deferred_violation() -> Failure {
    let message = "FOREIGN KEY constraint failed".to_string();
    Failure::Constraint(Constraint { kind: ConstraintKind::ForeignKey, message, ..Constraint::default() })
}

/// An action that panicked.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::broken(format!("the action panicked: {}", text.unwrap_or("without a message")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_failed() {
        let unique = constraint(ffi::SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: line.a, line.b".into());
        assert_eq!(unique.kind, ConstraintKind::Unique);
        assert_eq!((unique.table.as_deref(), unique.columns), (Some("line"), vec!["a".into(), "b".into()]));

        let index = constraint(ffi::SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: index 'by_name'".into());
        assert_eq!((index.name.as_deref(), index.table), (Some("by_name"), None));

        let check = constraint(ffi::SQLITE_CONSTRAINT_CHECK, "CHECK constraint failed: price >= 0.5, or so".into());
        assert_eq!((check.name.as_deref(), check.columns.len()), (Some("price >= 0.5, or so"), 0));

        let datatype = "cannot store TEXT value in INTEGER column line.qty";
        let datatype = constraint(ffi::SQLITE_CONSTRAINT_DATATYPE, datatype.into());
        assert_eq!((datatype.table.as_deref(), datatype.columns), (Some("line"), vec!["qty".into()]));

        let raised = constraint(ffi::SQLITE_CONSTRAINT_TRIGGER, "no a.b, please".into());
        assert_eq!(
            (raised.kind, raised.table, raised.message),
            (ConstraintKind::Raised, None, "no a.b, please".into())
        );
    }
}
