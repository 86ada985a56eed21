//! The gate: what the hooks of a connection obey. It stops queries at their deadline and refuses, when a statement is
//! prepared, what a file of the site must not do.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::recall;
use crate::database::Failure;

/// SQLite's virtual machine looks at the clock once in so many steps: often enough for a deadline of a millisecond, and
/// at most 2 % slower.
const STEPS: i32 = 1_000;

/// Deadlines are kept as nanoseconds since this moment, so that they fit an atomic.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Who is speaking on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The server itself: everything goes, without a deadline.
    Own = 0,
    /// A query file: reading and writing rows.
    Author = 1,
    /// A migration: the schema, too, but not transactions and settings.
    Migration = 2,
}

impl Mode {
    fn of(number: u8) -> Mode {
        match number {
            0 => Mode::Own,
            1 => Mode::Author,
            _ => Mode::Migration,
        }
    }
}

/// Shared by a link and the hooks of its connection; only the link's thread touches it.
pub(super) struct Gate {
    mode: AtomicU8,
    /// Nanoseconds since [`START`]; `u64::MAX` is no deadline.
    deadline: AtomicU64,
    /// Whether a statement that was prepared since this was asked last may write [`recall::TABLE`].
    writes_recalled: AtomicBool,
    /// Why the last statement was refused.
    refusal: Mutex<Option<&'static str>>,
}

impl Gate {
    /// Hangs a gate into the hooks of a connection. It begins with [`Mode::Author`].
    pub(super) fn install(connection: &mut Connection) -> rusqlite::Result<Arc<Gate>> {
        LazyLock::force(&START);
        let gate = Arc::new(Gate {
            mode: AtomicU8::new(Mode::Author as u8),
            deadline: AtomicU64::new(u64::MAX),
            writes_recalled: AtomicBool::new(false),
            refusal: Mutex::new(None),
        });
        let watched = Arc::clone(&gate);
        connection.progress_handler(STEPS, Some(move || watched.is_late()))?;
        let asked = Arc::clone(&gate);
        connection.authorizer(Some(move |context: AuthContext<'_>| asked.allow(&context)))?;
        Ok(gate)
    }

    /// Who speaks from now on; returns who spoke before.
    pub(super) fn enter(&self, mode: Mode) -> Mode {
        Mode::of(self.mode.swap(mode as u8, Ordering::Relaxed))
    }

    /// Who speaks now.
    pub(super) fn mode(&self) -> Mode {
        Mode::of(self.mode.load(Ordering::Relaxed))
    }

    /// Queries of authors are interrupted after this moment.
    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        let nanos = deadline.map_or(u64::MAX, nanos_since_start);
        self.deadline.store(nanos, Ordering::Relaxed);
    }

    /// Whether the deadline is over.
    pub(super) fn is_late(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        deadline != u64::MAX && self.mode() != Mode::Own && nanos_since_start(Instant::now()) >= deadline
    }

    /// Whether a statement that was prepared since this was asked last may write [`recall::TABLE`].
    pub(super) fn take_writes_recalled(&self) -> bool {
        self.writes_recalled.swap(false, Ordering::Relaxed)
    }

    /// Puts the reason in place of SQLite's bare "not authorized".
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        match (self.take_refusal(), failure) {
            (Some(reason), Failure::Broken { offset, .. }) => Failure::Broken { message: reason.to_string(), offset },
            (_, failure) => failure,
        }
    }

    fn take_refusal(&self) -> Option<&'static str> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The authorizer: whether the statement may do this.
    pub(super) fn allow(&self, context: &AuthContext<'_>) -> Authorization {
        if writes(context).is_some_and(|table| table.eq_ignore_ascii_case(recall::TABLE)) {
            self.writes_recalled.store(true, Ordering::Relaxed);
        }
        let refused = match self.mode() {
            Mode::Own => None,
            Mode::Author => in_migrations(context).or_else(|| in_query_files(context)),
            Mode::Migration => in_migrations(context),
        };
        match refused {
            None => Authorization::Allow,
            Some(reason) => {
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                Authorization::Deny
            }
        }
    }
}

/// The table that the action writes.
fn writes<'c>(context: &AuthContext<'c>) -> Option<&'c str> {
    match context.action {
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => Some(table_name),
        _ => None,
    }
}

/// Why the action may stand neither in a migration nor in a query file.
fn in_migrations(context: &AuthContext<'_>) -> Option<&'static str> {
    match context.action {
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            Some("the server itself begins and commits: leave out `begin`, `commit`, `rollback` and `savepoint`")
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Some("a site has one database: ATTACH is not allowed"),
        // FTS5 and R-Tree ask these two by themselves, on whatever connection uses them.
        AuthAction::Pragma { pragma_name: "data_version" | "page_size", pragma_value: None } => None,
        AuthAction::Pragma { .. } => Some("PRAGMA is not allowed: the server sets up the database"),
        _ => None,
    }
}

/// Why the action may not stand in a query file.
fn in_query_files(context: &AuthContext<'_>) -> Option<&'static str> {
    use AuthAction::*;
    match context.action {
        CreateTempIndex { .. } | CreateTempTable { .. } | CreateTempTrigger { .. } | CreateTempView { .. } => {
            Some("temporary tables, views and triggers are not allowed")
        }
        CreateIndex { .. }
        | CreateTable { .. }
        | CreateTrigger { .. }
        | CreateView { .. }
        | CreateVtable { .. }
        | DropIndex { .. }
        | DropTable { .. }
        | DropTrigger { .. }
        | DropView { .. }
        | DropVtable { .. }
        | DropTempIndex { .. }
        | DropTempTable { .. }
        | DropTempTrigger { .. }
        | DropTempView { .. }
        | AlterTable { .. }
        | Reindex { .. }
        | Analyze { .. } => Some("the schema is changed by migrations only, not by a query file"),
        _ => None,
    }
}

fn nanos_since_start(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(*START).as_nanos()).unwrap_or(u64::MAX - 1)
}
