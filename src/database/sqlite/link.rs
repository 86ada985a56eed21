//! A link: one connection with its cached statements, its limits and the gate that its hooks obey.
//!
//! Readers, the writer, the checkpointer and migrations differ only in their [`Role`]. Who opens transactions, and when, is not
//! decided here.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Once;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit as SqliteLimit;
use rusqlite::{Connection, OpenFlags, ffi};

use super::changed::ChangedRows;
use super::failure;
use super::functions;
use super::gate::{Gate, Mode};
use super::recall::Recall;
use super::statement::{Bounds, Statement};
use crate::database::{Constraint, ConstraintKind, Failure, Limit, Limits};
use crate::hash::TextMap;
use crate::value::{Rows, Value};

/// Where the database is and what its links may do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The file.
    pub(super) path: PathBuf,
    /// The VFS with the database's clock.
    pub(super) vfs: CString,
    /// The limits.
    pub(super) limits: Limits,
    /// Whether a commit outlives a power failure; only scratch databases do without.
    pub(super) durable: bool,
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs queries; can't write.
    Reader,
    /// Runs actions.
    Writer,
    /// Moves committed pages from the write-ahead log to the database file.
    Checkpointer,
    /// Applies migrations: schema changes, without limits of size.
    Migrator,
}

/// One connection and what belongs to it. Fields drop in their order: statements before their connection.
pub(super) struct Link {
    statements: Statements,
    /// Ours, apart from the author's: an author's `commit` must not find one that was prepared without the gate.
    own_statements: Statements,
    /// The connection. Queries of the site's author go through [`Link::query`], never around it.
    pub(super) connection: Connection,
    /// What the hooks obey.
    pub(super) gate: Arc<Gate>,
    /// The rows that were changed, on the writer's link.
    pub(super) changed: Option<ChangedRows>,
    /// Rows of sessions that were asked for before; used on the writer's link.
    pub(super) recall: Recall,
    result_bytes: usize,
}

impl Link {
    /// Opens a connection for a role.
    pub(super) fn open(plan: &Plan, role: Role) -> Result<Link, Failure> {
        let connect = || -> rusqlite::Result<Link> {
            let mut connection = Connection::open_with_flags_and_vfs(&plan.path, flags(role), plan.vfs.as_c_str())?;
            connection.busy_timeout(busy_time(plan, role))?;
            set_pragmas(&connection, role, plan.durable)?;
            set_limits(&connection, role, &plan.limits)?;
            set_largest_size(&connection, role, plan.limits.database_bytes)?;
            functions::register(&connection)?;
            let gate = Gate::install(&mut connection)?;
            let changed = (role == Role::Writer).then(|| ChangedRows::listen(&mut connection)).transpose()?;
            let statements = Statements::with_capacity(plan.limits.statements, changed.is_some());
            let own_statements = Statements::with_capacity(plan.limits.statements, changed.is_some());
            let (recall, result_bytes) = (Recall::default(), plan.limits.result_bytes);
            Ok(Link { statements, own_statements, connection, gate, changed, recall, result_bytes })
        };
        // The change to a write-ahead log asks for the whole file, and is refused at once where SQLite fears that two
        // wait for each other (https://www.sqlite.org/rescode.html#busy): whoever is refused tries again.
        let until = Instant::now() + busy_time(plan, role);
        loop {
            match connect().map_err(|error| failure::from_rusqlite(&error)) {
                Err(Failure::Busy) if role != Role::Reader && Instant::now() < until => {
                    std::thread::sleep(TRY_AGAIN);
                }
                decided => return decided,
            }
        }
    }

    /// Runs a statement of the site's author, cached.
    pub(super) fn query(&mut self, sql: &str, binds: &[Value], rows: Limit) -> Result<Rows, Failure> {
        let bounds = Bounds { rows, bytes: self.result_bytes };
        let result = match self.statements.get(&self.connection, &self.gate, sql) {
            Ok(statement) => {
                let result = statement.run(&self.connection, binds, bounds);
                note_changes(&self.changed, &mut self.recall, statement);
                result
            }
            Err(failure) => Err(self.gate.explain(failure)),
        };
        match result {
            Err(Failure::Constraint(constraint)) => Err(Failure::Constraint(self.name_index(constraint))),
            result => result,
        }
    }

    /// Runs a statement of our own, such as `begin`: no gate, no deadline.
    pub(super) fn own(&mut self, sql: &str) -> Result<Rows, Failure> {
        let before = self.gate.enter(Mode::Own);
        let bounds = Bounds { rows: Limit::AtMost(usize::MAX), bytes: usize::MAX };
        let result = self.own_statements.get(&self.connection, &self.gate, sql).and_then(|own| {
            let result = own.run(&self.connection, &[], bounds);
            note_changes(&self.changed, &mut self.recall, own);
            result
        });
        self.gate.enter(before);
        result
    }

    /// Sets the moment after which queries are interrupted.
    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        self.gate.set_deadline(deadline);
    }

    /// Whether no transaction is open.
    pub(super) fn is_autocommit(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// Whether deferred foreign keys are unresolved in the open transaction
    /// (<https://www.sqlite.org/c3ref/c_dbstatus_options.html>).
    pub(super) fn has_deferred_violations(&self) -> bool {
        let (mut now, mut highest) = (0, 0);
        // SAFETY: the connection is open and both places are ours.
        unsafe {
            let handle = self.connection.handle();
            ffi::sqlite3_db_status(handle, ffi::SQLITE_DBSTATUS_DEFERRED_FKS, &mut now, &mut highest, 0);
        }
        now != 0
    }

    /// Makes `last_insert_rowid()` tell 0 until the next insert.
    pub(super) fn forget_last_rowid(&self) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.connection.handle(), 0) };
    }

    /// Adds the name of the unique index over the constraint's columns, which SQLite's message leaves out.
    fn name_index(&mut self, mut constraint: Constraint) -> Constraint {
        if let (ConstraintKind::Unique, None, Some(table)) = (constraint.kind, &constraint.name, &constraint.table) {
            let before = self.gate.enter(Mode::Own);
            constraint.name = unique_index(&self.connection, table, &constraint.columns).ok().flatten();
            self.gate.enter(before);
        }
        constraint
    }
}

/// Notes that a statement which has run may have changed what is recalled, or more rows than were told.
fn note_changes(changed: &Option<ChangedRows>, recall: &mut Recall, statement: &Statement) {
    if statement.writes_recalled() {
        recall.doubt();
    }
    if let Some(changed) = changed.as_ref().filter(|_| statement.hides_changes()) {
        changed.miss();
    }
}

/// The name that the author gave to the unique index over exactly these columns.
fn unique_index(connection: &Connection, table: &str, columns: &[String]) -> rusqlite::Result<Option<String>> {
    let sql = "select l.name, (select group_concat(i.name, char(0) order by i.seqno) from pragma_index_info(l.name) i) \
               from pragma_index_list(?1) l where l.\"unique\" and l.origin = 'c'";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<String>>(1)?.is_some_and(|names| names == columns.join("\0")) {
            return row.get(0).map(Some);
        }
    }
    Ok(None)
}

/// Readers are hardly ever locked out, and then for a moment; the thread that waits serves nobody else meanwhile.
/// Between two tries to open a database that is busy.
const TRY_AGAIN: Duration = Duration::from_millis(20);

fn busy_time(plan: &Plan, role: Role) -> Duration {
    match role {
        Role::Reader => plan.limits.busy_time.min(Duration::from_millis(100)),
        _ => plan.limits.busy_time,
    }
}

/// Turns off the counting of all allocations, which takes a lock that all threads share. Only before SQLite's first
/// use; later SQLite refuses it, and nothing is lost.
pub(super) fn quiet_statistics() {
    static ONCE: Once = Once::new();
    // SAFETY: the option takes one int; a call after the initialisation is refused by SQLite.
    ONCE.call_once(|| unsafe {
        ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0);
    });
}

fn flags(role: Role) -> OpenFlags {
    let access = match role {
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        _ => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE | OpenFlags::SQLITE_OPEN_EXRESCODE
}

/// Sets what each connection has to be told anew. The busy timeout is set before, because the first of these may
/// already wait for a lock.
fn set_pragmas(connection: &Connection, role: Role, durable: bool) -> rusqlite::Result<()> {
    if role != Role::Reader {
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(rusqlite::Error::ModuleError(format!("the file system takes no write-ahead log ({mode})")));
        }
    }
    let migrator = role == Role::Migrator;
    let synchronous = if durable { "full" } else { "off" };
    connection.execute_batch(&format!(
        "pragma synchronous = {synchronous}; pragma fullfsync = {durable}; pragma checkpoint_fullfsync = {durable};
         pragma foreign_keys = {foreign_keys}; pragma recursive_triggers = off; pragma case_sensitive_like = on;
         pragma wal_autocheckpoint = 0; pragma cache_size = -8192;
         pragma query_only = {query_only}; pragma cell_size_check = on;",
        foreign_keys = !migrator,
        query_only = role == Role::Reader,
    ))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A double-quoted name that is no column must be an error, not silently a text.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // Else SQLite prepares a statement again whenever a bound value changes that its plan might look at.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn set_limits(connection: &Connection, role: Role, limits: &Limits) -> rusqlite::Result<()> {
    connection.set_limit(SqliteLimit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(SqliteLimit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.set_limit(SqliteLimit::SQLITE_LIMIT_TRIGGER_DEPTH, 100)?;
    connection.set_limit(SqliteLimit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)?;
    if role != Role::Migrator {
        let value_bytes = i32::try_from(limits.value_bytes).unwrap_or(i32::MAX);
        connection.set_limit(SqliteLimit::SQLITE_LIMIT_LENGTH, value_bytes)?;
        connection.set_limit(SqliteLimit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20)?;
        connection.set_limit(SqliteLimit::SQLITE_LIMIT_VDBE_OP, 250_000)?;
        connection.set_limit(SqliteLimit::SQLITE_LIMIT_EXPR_DEPTH, 200)?;
    }
    Ok(())
}

/// The size is counted in pages and is not kept in the file: each writing connection has to be told.
fn set_largest_size(connection: &Connection, role: Role, bytes: Option<u64>) -> rusqlite::Result<()> {
    let Some(bytes) = bytes.filter(|_| role != Role::Reader) else { return Ok(()) };
    let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = (bytes / u64::try_from(page_bytes).unwrap_or(4096).max(1)).clamp(1, u64::from(u32::MAX - 1));
    connection.execute_batch(&format!("pragma max_page_count = {pages}"))
}

/// Prepared statements by their text. When there are more than fit, the one that wasn't used for longest goes.
struct Statements {
    /// Places in `kept`.
    by_text: TextMap<Arc<str>, usize>,
    /// The same by where a text lies in memory: those of a site stay there, and are long.
    by_address: [usize; 64],
    kept: Vec<Kept>,
    capacity: usize,
    /// Whether it is to be known of each whether it hides changes.
    watches: bool,
    /// Counts uses, to tell which was last.
    turn: u64,
}

struct Kept {
    text: Arc<str>,
    statement: Statement,
    used: u64,
}

impl Statements {
    fn with_capacity(capacity: usize, watches: bool) -> Statements {
        Statements {
            by_text: TextMap::default(),
            by_address: [0; 64],
            kept: Vec::new(),
            capacity: capacity.max(16),
            watches,
            turn: 0,
        }
    }

    fn get(&mut self, connection: &Connection, gate: &Gate, sql: &str) -> Result<&mut Statement, Failure> {
        let likely = sql.as_ptr().addr() / 16 % self.by_address.len();
        let place = match self.by_address[likely] {
            place if self.kept.get(place).is_some_and(|kept| *kept.text == *sql) => place,
            _ => match self.by_text.get(sql) {
                Some(place) => *place,
                None => self.keep(sql, prepare_only(connection, sql)?),
            },
        };
        self.by_address[likely] = place;
        self.turn += 1;
        let kept = &mut self.kept[place];
        kept.used = self.turn;
        if self.watches {
            kept.statement.look_for_changes(connection, gate, sql);
        }
        Ok(&mut kept.statement)
    }

    /// Keeps a statement, and gives its place.
    fn keep(&mut self, sql: &str, statement: Statement) -> usize {
        let text: Arc<str> = sql.into();
        let kept = Kept { text: text.clone(), statement, used: 0 };
        let oldest = self.kept.iter().enumerate().min_by_key(|(_, kept)| kept.used).map(|(place, _)| place);
        let place = match oldest.filter(|_| self.kept.len() >= self.capacity) {
            Some(place) => {
                self.by_text.retain(|_, kept_at| *kept_at != place);
                self.kept[place] = kept;
                place
            }
            None => {
                self.kept.push(kept);
                self.kept.len() - 1
            }
        };
        self.by_text.insert(text, place);
        place
    }
}

/// Prepares a text that must hold exactly one statement.
pub(super) fn prepare_only(connection: &Connection, sql: &str) -> Result<Statement, Failure> {
    let (statement, taken) = Statement::prepare(connection, sql)?;
    let statement = statement.ok_or_else(|| Failure::broken("there is no statement"))?;
    if has_statement(connection, &sql[taken..]) {
        let message = "there is more than one statement".to_string();
        return Err(Failure::Broken { message, offset: Some(taken) });
    }
    Ok(statement)
}

/// Whether anything but space, comments and semicolons stands in the text.
fn has_statement(connection: &Connection, mut sql: &str) -> bool {
    while !sql.is_empty() {
        match Statement::prepare(connection, sql) {
            Ok((None, 0)) => return false,
            Ok((None, taken)) => sql = &sql[taken..],
            Ok((Some(_), _)) | Err(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_unused_for_longest_goes_first() {
        let mut connection = Connection::open_in_memory().unwrap();
        let gate = Gate::install(&mut connection).unwrap();
        let mut statements = Statements::with_capacity(16, false);
        let mut ask = |number: usize| {
            let sql = format!("select {number}");
            let bounds = Bounds { rows: Limit::AtMost(1), bytes: 100 };
            let rows = statements.get(&connection, &gate, &sql).unwrap().run(&connection, &[], bounds).unwrap();
            assert_eq!(rows.cells, [Value::Int(number as i64)]);
            statements.by_text.len()
        };
        for number in 0..16 {
            ask(number);
        }
        ask(0);
        assert_eq!((ask(99), ask(98), ask(0)), (16, 16, 16));
        let kept: Vec<bool> = [0, 1, 2, 3, 98, 99]
            .iter()
            .map(|number| statements.by_text.contains_key(format!("select {number}").as_str()))
            .collect();
        assert_eq!(kept, [true, false, false, true, true, true]);
        assert!(statements.get(&connection, &gate, "select nothing").is_err());
    }
}
