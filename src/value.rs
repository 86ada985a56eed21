//! Values that pass between visitors, SQL and templates, and the rows that a query gives.
//!
//! One type for all databases: a back-end converts at its edge. It knows no SQL and no HTTP.

use std::sync::Arc;

/// One value: what a parameter binds, what a column holds, what a template prints.
///
/// Dates, datetimes, UUIDs and JSON documents are [`Value::Text`] in their canonical form; the declared type of a
/// parameter guarantees the form. Cloning never copies the bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// SQL's null; prints nothing.
    #[default]
    Null,
    /// True or false; 1 or 0 on SQLite.
    Bool(bool),
    /// A 64-bit whole number.
    Int(i64),
    /// A double; never NaN when it comes from a visitor.
    Real(f64),
    /// UTF-8 text.
    Text(Arc<str>),
    /// Bytes.
    Blob(Arc<[u8]>),
    /// Several values of one parameter (`id in :ids`); never holds a list itself.
    List(Arc<[Value]>),
}

impl Value {
    /// Whether both are written alike, too: `0.0` and `-0.0` are equal, but not the same.
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Real(mine), Value::Real(theirs)) => mine.to_bits() == theirs.to_bits(),
            (Value::List(mine), Value::List(theirs)) => {
                mine.len() == theirs.len() && mine.iter().zip(theirs.iter()).all(|(mine, theirs)| mine.is_same(theirs))
            }
            (mine, theirs) => mine == theirs,
        }
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> u64 {
        /// What an allocation and its counts take.
        const SHARED: usize = 32;
        let beside = match self {
            Value::Text(text) => SHARED + text.len(),
            Value::Blob(bytes) => SHARED + bytes.len(),
            Value::List(items) => {
                return items.iter().map(Value::bytes).sum::<u64>() + (SHARED + size_of::<Value>()) as u64;
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Real(_) => 0,
        };
        (size_of::<Value>() + beside) as u64
    }

    /// A text value.
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Text(text.into())
    }

    /// The text inside, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text inside, to be shared.
    pub fn as_shared_text(&self) -> Option<&Arc<str>> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number inside, if this is one (booleans count as 1 and 0).
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Bool(truth) => Some(i64::from(*truth)),
            _ => None,
        }
    }

    /// Whether this is SQL's null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// How conditions read a value: null, false, 0, the empty text and the empty list do not hold.
    pub fn holds(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Real(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Blob(bytes) => !bytes.is_empty(),
            Value::List(items) => !items.is_empty(),
        }
    }
}

impl std::fmt::Display for Value {
    /// The value as a visitor reads it: null prints nothing, booleans `true` and `false`, a list its items with `, `.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Bool(truth) => write!(out, "{truth}"),
            Value::Int(number) => write!(out, "{number}"),
            Value::Real(number) => write!(out, "{number}"),
            Value::Text(text) => out.write_str(text),
            Value::Blob(bytes) => out.write_str(&String::from_utf8_lossy(bytes)),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.write_str(", ")?;
                    }
                    write!(out, "{item}")?;
                }
                Ok(())
            }
        }
    }
}

/// What kind of value a placeholder is declared to take. SQLite needs none of it; PostgreSQL wants a type for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Declared {
    /// The kind of one value.
    pub kind: Kind,
    /// Whether it takes a list of such values.
    pub list: bool,
}

/// The kinds of values that parameters, server values and computed values have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is known, as of `@query.column`: whatever the database takes it for.
    #[default]
    Any,
    /// Any text.
    Text,
    /// A 64-bit whole number.
    Int,
    /// A double.
    Real,
    /// True or false.
    Bool,
    /// Bytes.
    Bytes,
    /// A date as text: `2026-01-31`.
    Date,
    /// A moment as text in UTC: `2026-01-31T08:09:10.123Z`.
    Datetime,
    /// A UUID as text.
    Uuid,
    /// A JSON document as text.
    Json,
}

impl Kind {
    /// A placeholder for one value of this kind.
    pub const fn one(self) -> Declared {
        Declared { kind: self, list: false }
    }

    /// A placeholder for a list of such values.
    pub const fn list(self) -> Declared {
        Declared { kind: self, list: true }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text.into())
    }
}

/// The names of a result's columns, shared by all results of one statement.
pub type Columns = Arc<[Arc<str>]>;

/// The rows of one query: column names once, cells row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Column names in the order of the `select` list.
    pub columns: Columns,
    /// `columns.len()` cells for each row, row after row.
    pub cells: Vec<Value>,
    /// For `more=N`: whether there were more rows than were kept.
    pub more: bool,
    /// How many rows an `insert`, `update` or `delete` changed; 0 for a query.
    pub changed: u64,
}

impl Rows {
    /// Whether they are the same in all that a template can tell.
    pub fn are_same(&self, other: &Rows) -> bool {
        (Arc::ptr_eq(&self.columns, &other.columns) || self.columns == other.columns)
            && (self.more, self.changed, self.cells.len()) == (other.more, other.changed, other.cells.len())
            && self.cells.iter().zip(&other.cells).all(|(mine, theirs)| mine.is_same(theirs))
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match self.columns.len() {
            0 => 0,
            width => self.cells.len() / width,
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cells of one row; empty when there is no such row.
    pub fn row(&self, row: usize) -> &[Value] {
        let width = self.columns.len();
        self.cells.get(row * width..(row + 1) * width).unwrap_or(&[])
    }

    /// The place of a column by its name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &**column == name)
    }

    /// One cell by row and column name.
    pub fn cell(&self, row: usize, name: &str) -> Option<&Value> {
        self.row(row).get(self.column(name)?)
    }
}
