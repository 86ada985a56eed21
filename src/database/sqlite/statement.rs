//! A prepared statement: the thin layer over SQLite's C functions on the way of every query.
//!
//! Why not rusqlite's own: column names are kept with the statement and shared by all its results, values are bound
//! without copying them, and a cached statement is found without being taken out and put back. It knows nothing of
//! transactions and limits of time; [`super::link`] does.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rusqlite::{Connection, ffi};

use super::failure;
use super::gate::Gate;
use super::program::hides_changes;
use crate::database::{Failure, Limit};
use crate::value::{Columns, Rows, Value};

/// One statement of one connection. It must go before its connection does.
pub(super) struct Statement {
    raw: NonNull<ffi::sqlite3_stmt>,
    /// Names of the columns, as of the last (re-)preparation.
    columns: Columns,
    /// SQLite's count of re-preparations when `columns` were read: a changed schema may change the names.
    prepared: c_int,
    placeholders: usize,
    /// Which value each placeholder takes, where that is not their order: SQLite takes `$2` for a name.
    numbers: Option<Box<[usize]>>,
    read_only: bool,
    /// Whether it may change rows of which the update hook isn't told; `None` while nobody has looked.
    hides_changes: Option<bool>,
    /// Whether it may write [`super::recall::TABLE`]; told with `hides_changes`.
    writes_recalled: bool,
}

/// What a statement may give back.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Rows.
    pub(super) rows: Limit,
    /// Bytes of all texts and blobs.
    pub(super) bytes: usize,
}

// SAFETY: a statement belongs to its connection and moves between threads only with it. SQLite is built threadsafe, and
// connections are opened so that one thread at a time may use them (SQLITE_OPEN_NO_MUTEX), which `&mut` ensures: it
// doesn't matter which thread (<https://www.sqlite.org/threadsafe.html>).
unsafe impl Send for Statement {}

impl Statement {
    /// Prepares the first statement of `sql` and tells how many bytes it takes. `None` is a text without a statement.
    pub(super) fn prepare(connection: &Connection, sql: &str) -> Result<(Option<Statement>, usize), Failure> {
        let length = c_int::try_from(sql.len()).map_err(|_| Failure::TooLarge)?;
        let mut raw: *mut ffi::sqlite3_stmt = ptr::null_mut();
        let mut tail: *const c_char = ptr::null();
        let start = sql.as_ptr().cast::<c_char>();
        let flags = ffi::SQLITE_PREPARE_PERSISTENT as c_uint;
        // SAFETY: the connection is open; `start` points at `length` readable bytes; `raw` and `tail` are ours.
        let code = unsafe { ffi::sqlite3_prepare_v3(connection.handle(), start, length, flags, &mut raw, &mut tail) };
        if code != ffi::SQLITE_OK {
            return Err(failure::of(connection, code));
        }
        let taken = if tail.is_null() { sql.len() } else { tail.addr() - start.addr() };
        Ok((NonNull::new(raw).map(Statement::new), taken))
    }

    fn new(raw: NonNull<ffi::sqlite3_stmt>) -> Statement {
        // SAFETY: `raw` is a statement that was just prepared.
        let (placeholders, read_only) =
            unsafe { (ffi::sqlite3_bind_parameter_count(raw.as_ptr()), ffi::sqlite3_stmt_readonly(raw.as_ptr()) != 0) };
        let placeholders = usize::try_from(placeholders).unwrap_or(0);
        let mut statement = Statement {
            raw,
            columns: Columns::default(),
            prepared: 0,
            placeholders,
            numbers: None,
            read_only,
            hides_changes: None,
            writes_recalled: false,
        };
        let numbers: Vec<usize> = (0..placeholders).map(|index| statement.number(index)).collect();
        statement.numbers = numbers.iter().enumerate().any(|(index, number)| index != *number).then(|| numbers.into());
        statement.columns = statement.read_columns();
        statement
    }

    /// Which value a placeholder takes: of `$2` the second, of all others the one at their own place.
    fn number(&self, index: usize) -> usize {
        let place = c_int::try_from(index + 1).unwrap_or(0);
        // SAFETY: the statement lives; the name is null or a text that lives as long.
        let name = unsafe {
            let name = ffi::sqlite3_bind_parameter_name(self.raw.as_ptr(), place);
            (!name.is_null()).then(|| CStr::from_ptr(name))
        };
        let number = name.and_then(|name| name.to_str().ok()?.strip_prefix('$')?.parse::<usize>().ok());
        number.and_then(|number| number.checked_sub(1)).unwrap_or(index)
    }

    /// The names of its columns.
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// How many values it takes.
    pub(super) fn placeholders(&self) -> usize {
        self.placeholders
    }

    /// Whether it changes nothing in the database.
    pub(super) fn read_only(&self) -> bool {
        self.read_only
    }

    /// Finds out whether it hides changes, and whether it may write what is recalled, unless that is known.
    pub(super) fn look_for_changes(&mut self, connection: &Connection, gate: &Gate, sql: &str) {
        if self.hides_changes.is_none() {
            gate.take_writes_recalled();
            self.hides_changes = Some(!self.read_only && hides_changes(connection, sql));
            self.writes_recalled = gate.take_writes_recalled();
        }
    }

    /// Whether it may write what is recalled; as with [`Statement::hides_changes`].
    pub(super) fn writes_recalled(&self) -> bool {
        !self.read_only && (self.writes_recalled || self.hides_changes.is_none())
    }

    /// Whether it may change rows of which the update hook isn't told: also when it was prepared again meanwhile, so that
    /// nobody knows what it does now.
    pub(super) fn hides_changes(&self) -> bool {
        !self.read_only && self.hides_changes.unwrap_or(true)
    }

    /// Whether it is an EXPLAIN.
    pub(super) fn explains(&self) -> bool {
        // SAFETY: the statement lives.
        unsafe { ffi::sqlite3_stmt_isexplain(self.raw.as_ptr()) != 0 }
    }

    /// Runs it to its end, or until `bounds` are reached, and resets it: no snapshot and no lock stays with it.
    pub(super) fn run(&mut self, connection: &Connection, binds: &[Value], bounds: Bounds) -> Result<Rows, Failure> {
        if binds.len() != self.placeholders {
            let message = format!("the statement takes {} values, {} were given", self.placeholders, binds.len());
            return Err(Failure::broken(message));
        }
        let running = Running { statement: self.raw };
        for index in 0..self.placeholders {
            let number = self.numbers.as_ref().map_or(index, |numbers| numbers[index]);
            running.bind(connection, index, binds.get(number).unwrap_or(&Value::Null))?;
        }
        let mut first = true;
        let mut rows = Rows::default();
        let mut bytes = 0;
        let mut count = 0;
        while running.step(connection)? {
            if std::mem::take(&mut first) {
                self.refresh_columns();
                rows.cells.reserve_exact(self.columns.len());
            }
            match bounds.rows {
                Limit::AtMost(limit) if count == limit => return Err(Failure::TooManyRows(limit)),
                Limit::First(limit) if count == limit => {
                    rows.more = true;
                    break;
                }
                _ => count += 1,
            }
            if count == 2 {
                // One row is what most queries give; where there are two, there are more.
                rows.cells.reserve(self.columns.len() * 15);
            }
            for column in 0..self.columns.len() {
                rows.cells.push(running.cell(column, &mut bytes)?);
            }
            if bytes > bounds.bytes {
                return Err(Failure::TooLarge);
            }
        }
        if first {
            self.refresh_columns();
        }
        rows.columns = Arc::clone(&self.columns);
        if !self.read_only {
            // SAFETY: the connection is open.
            let changed = unsafe { ffi::sqlite3_changes64(connection.handle()) };
            rows.changed = u64::try_from(changed).unwrap_or(0);
        }
        Ok(rows)
    }

    /// Reads the column names again if SQLite prepared the statement again by itself.
    fn refresh_columns(&mut self) {
        // SAFETY: the statement lives.
        let prepared = unsafe { ffi::sqlite3_stmt_status(self.raw.as_ptr(), ffi::SQLITE_STMTSTATUS_REPREPARE, 0) };
        if prepared != self.prepared {
            self.prepared = prepared;
            self.columns = self.read_columns();
            self.hides_changes = None;
        }
    }

    fn read_columns(&self) -> Columns {
        // SAFETY: the statement lives.
        let count = unsafe { ffi::sqlite3_column_count(self.raw.as_ptr()) };
        (0..count)
            .map(|column| {
                // SAFETY: the column exists; the name is a C string until the next call, and it is copied at once. It
                // is null only when memory ran out.
                let name = unsafe {
                    let name = ffi::sqlite3_column_name(self.raw.as_ptr(), column);
                    if name.is_null() { c"".to_string_lossy() } else { CStr::from_ptr(name).to_string_lossy() }
                };
                Arc::<str>::from(name)
            })
            .collect()
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: the statement lives until here, and its connection outlives it.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

/// A statement between its first bind and its reset. Values are bound without copying; the reset at the end, however
/// it ends, takes the pointers back while the values still live.
struct Running {
    statement: NonNull<ffi::sqlite3_stmt>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: the statement lives; both calls are allowed in any state.
        unsafe {
            ffi::sqlite3_reset(self.statement.as_ptr());
            ffi::sqlite3_clear_bindings(self.statement.as_ptr());
        }
    }
}

impl Running {
    /// Binds one value; `index` counts from 0. The value must live until `self` goes.
    fn bind(&self, connection: &Connection, index: usize, value: &Value) -> Result<(), Failure> {
        let statement = self.statement.as_ptr();
        let place = c_int::try_from(index + 1).map_err(|_| Failure::TooLarge)?;
        // SAFETY: the statement lives; pointers lead to as many bytes as are told. Those of texts and blobs stay
        // valid until the reset (SQLITE_STATIC); the text of a list is copied by SQLite (SQLITE_TRANSIENT).
        let code = unsafe {
            match value {
                Value::Null => ffi::sqlite3_bind_null(statement, place),
                Value::Bool(truth) => ffi::sqlite3_bind_int64(statement, place, i64::from(*truth)),
                Value::Int(number) => ffi::sqlite3_bind_int64(statement, place, *number),
                Value::Real(number) => ffi::sqlite3_bind_double(statement, place, *number),
                Value::Text(text) => bind_text(statement, place, text, ffi::SQLITE_STATIC()),
                Value::Blob(bytes) => ffi::sqlite3_bind_blob64(
                    statement,
                    place,
                    bytes.as_ptr().cast(),
                    bytes.len() as u64,
                    ffi::SQLITE_STATIC(),
                ),
                Value::List(items) => bind_text(statement, place, &json_array(items)?, ffi::SQLITE_TRANSIENT()),
            }
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(failure::of(connection, code)) }
    }

    /// Goes to the next row; false at the end.
    fn step(&self, connection: &Connection) -> Result<bool, Failure> {
        // SAFETY: the statement lives and belongs to this connection, which this thread alone uses.
        match unsafe { ffi::sqlite3_step(self.statement.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(failure::of(connection, code)),
        }
    }

    /// The value of a column in the current row; adds its length to `bytes`.
    fn cell(&self, column: usize, bytes: &mut usize) -> Result<Value, Failure> {
        let statement = self.statement.as_ptr();
        let column = column as c_int;
        // SAFETY: there is a current row and it has this column. Its value is not protected from other threads, and needs
        // not be: `&Connection` of an open statement is on this one alone. The pointers that SQLite gives are valid until
        // the next call for this column, and are copied before; the length is asked after the pointer, as SQLite wants.
        // ASCII is UTF-8.
        unsafe {
            let value = ffi::sqlite3_column_value(statement, column);
            Ok(match ffi::sqlite3_value_type(value) {
                ffi::SQLITE_INTEGER => Value::Int(ffi::sqlite3_value_int64(value)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_value_double(value)),
                ffi::SQLITE_TEXT => {
                    let start = ffi::sqlite3_value_text(value);
                    let text = slice(value, start)?;
                    *bytes += text.len();
                    Value::Text(match text.is_ascii() {
                        // Most is, and to see that costs a fraction of reading UTF-8.
                        true => Arc::from(std::str::from_utf8_unchecked(text)),
                        false => match std::str::from_utf8(text) {
                            Ok(text) => Arc::from(text),
                            Err(_) => Arc::from(String::from_utf8_lossy(text)),
                        },
                    })
                }
                ffi::SQLITE_BLOB => {
                    let start = ffi::sqlite3_value_blob(value).cast::<u8>();
                    let length = ffi::sqlite3_value_bytes(value);
                    let blob = if length == 0 { &[] } else { slice(value, start)? };
                    *bytes += blob.len();
                    Value::Blob(Arc::from(blob))
                }
                _ => Value::Null,
            })
        }
    }
}

/// Binds a text.
///
/// # Safety
/// The statement lives, and `text` lives as long as `destructor` says.
unsafe fn bind_text(
    statement: *mut ffi::sqlite3_stmt,
    place: c_int,
    text: &str,
    destructor: ffi::sqlite3_destructor_type,
) -> c_int {
    let start = text.as_ptr().cast::<c_char>();
    // SAFETY: as promised by the caller.
    unsafe { ffi::sqlite3_bind_text64(statement, place, start, text.len() as u64, destructor, ffi::SQLITE_UTF8 as u8) }
}

/// The bytes of a value at `start`.
///
/// # Safety
/// `start` was just given by SQLite for this value, and the bytes are used before the next call for it.
unsafe fn slice<'a>(value: *mut ffi::sqlite3_value, start: *const u8) -> Result<&'a [u8], Failure> {
    if start.is_null() {
        return Err(Failure::broken("out of memory"));
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let length = ffi::sqlite3_value_bytes(value);
        Ok(std::slice::from_raw_parts(start, usize::try_from(length).unwrap_or(0)))
    }
}

/// A list as SQLite takes it: the JSON array that `json_each` reads.
fn json_array(items: &[Value]) -> Result<String, Failure> {
    let items: Result<Vec<serde_json::Value>, Failure> = items
        .iter()
        .map(|item| match item {
            Value::Null => Ok(serde_json::Value::Null),
            Value::Bool(truth) => Ok(i64::from(*truth).into()),
            Value::Int(number) => Ok((*number).into()),
            Value::Real(number) => Ok((*number).into()),
            Value::Text(text) => Ok((&**text).into()),
            Value::Blob(_) | Value::List(_) => Err(Failure::broken("a list holds only numbers and texts")),
        })
        .collect();
    Ok(serde_json::Value::Array(items?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_placeholders_take_the_value_of_their_number() {
        let connection = Connection::open_in_memory().expect("a database");
        let bounds = Bounds { rows: Limit::AtMost(1), bytes: 1_000 };
        let row = |sql: &str| {
            let (statement, _) = Statement::prepare(&connection, sql).expect("a statement");
            let binds = [Value::Int(10), Value::Int(20)];
            statement.expect("a statement").run(&connection, &binds, bounds).expect("a row").row(0).to_vec()
        };
        for sql in ["select $2, $1, $2", "select ?2, ?1, ?2"] {
            assert_eq!(row(sql), [Value::Int(20), Value::Int(10), Value::Int(20)], "{sql}");
        }
        assert_eq!(row("select ?, ?"), [Value::Int(10), Value::Int(20)]);
    }
}
