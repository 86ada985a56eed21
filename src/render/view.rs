//! Cheap views of rows and names as the template engine's objects: a column is turned into a template's value when the
//! template asks for it, never before.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::context::{Context, FormMaker, Names, Slot};
use crate::value::{self, Rows};

/// A value of ours as a template's. Null is "undefined" to the engine, so that it prints nothing in concatenations and
/// filters, too, `default()` applies to it and loops over it are empty.
pub(super) fn value_of(value: &value::Value) -> Value {
    match value {
        value::Value::Null => Value::UNDEFINED,
        value::Value::Bool(truth) => Value::from(*truth),
        value::Value::Int(number) => Value::from(*number),
        value::Value::Real(number) => Value::from(*number),
        value::Value::Text(text) => Value::from(text.clone()),
        value::Value::Blob(bytes) => Value::from_bytes(bytes.to_vec()),
        value::Value::List(items) => Value::from_object(List::Values(items.clone())),
    }
}

/// A template's value as one of ours, for calls that leave the template (`form`, `url`).
pub(super) fn value_from(value: &Value) -> value::Value {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => value::Value::Null,
        ValueKind::Bool => value::Value::Bool(value.is_true()),
        ValueKind::Number => match value.as_i64().filter(|_| value.is_integer()) {
            Some(number) => value::Value::Int(number),
            None => f64::try_from(value.clone()).map_or(value::Value::Null, value::Value::Real),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            value::Value::List(value.try_iter().into_iter().flatten().map(|item| scalar_from(&item)).collect())
        }
        _ => scalar_from(value),
    }
}

fn scalar_from(value: &Value) -> value::Value {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Undefined | ValueKind::None | ValueKind::Bool | ValueKind::Number => value_from(value),
        _ => value::Value::text(super::escape::plain_text(value)),
    }
}

/// What stands behind a slot.
pub(super) fn slot_value(slot: &Slot) -> Value {
    match slot {
        Slot::Value(value) => value_of(value),
        Slot::Row(rows) if rows.is_empty() => Value::UNDEFINED,
        Slot::Row(rows) => row_value(rows, 0, ""),
        Slot::Rows(rows) => Value::from_dyn_object(rows.clone()),
        Slot::List(rows) => Value::from_object(List::Column(rows.clone())),
        Slot::Form(form) => Value::from_dyn_object(form.clone()),
        Slot::Names(names) => Value::from_object(NamesView(names.clone())),
    }
}

/// One row, or a part of it.
pub(super) fn row_value(rows: &Arc<Rows>, row: usize, prefix: &str) -> Value {
    Value::from_object(Row { rows: rows.clone(), row, prefix: prefix.into() })
}

/// What stands in a row by a name.
pub(super) enum BelowRow<'r> {
    /// One cell.
    Cell(&'r value::Value),
    /// The columns whose names begin with this.
    Part(Box<str>),
}

/// Each column with its place and its name below a prefix.
fn columns<'r>(rows: &'r Rows, prefix: &str) -> impl Iterator<Item = (usize, &'r str)> {
    let columns = rows.columns.iter().enumerate();
    columns.filter_map(move |(index, name)| Some((index, name.strip_prefix(prefix)?)))
}

/// What stands in a row, below a prefix of its columns, by a name.
pub(super) fn below_row<'r>(rows: &'r Rows, row: usize, prefix: &str, key: &str) -> Option<BelowRow<'r>> {
    if let Some((index, _)) = columns(rows, prefix).find(|(_, name)| *name == key) {
        return rows.row(row).get(index).map(BelowRow::Cell);
    }
    let below = |name: &str| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let part = columns(rows, prefix).any(|(_, name)| below(name));
    part.then(|| BelowRow::Part(format!("{prefix}{key}.").into()))
}

/// One row, or the part of one whose column names begin with `prefix` (`row.author` of a column `author.name`).
#[derive(Debug)]
struct Row {
    rows: Arc<Rows>,
    row: usize,
    prefix: Box<str>,
}

impl Object for Row {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(match below_row(&self.rows, self.row, &self.prefix, key)? {
            BelowRow::Cell(value) => value_of(value),
            BelowRow::Part(prefix) => row_value(&self.rows, self.row, &prefix),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let mut seen = BTreeSet::new();
        let names =
            columns(&self.rows, &self.prefix).map(|(_, name)| name.split_once('.').map_or(name, |(first, _)| first));
        Enumerator::Values(names.filter(|name| seen.insert(*name)).map(Value::from).collect())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

impl Object for Rows {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_usize() {
            Some(row) => (row < self.len()).then(|| row_value(self, row, "")),
            None => self.get_value_by_str(key.as_str()?),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "more" => Some(Value::from(self.more)),
            "first" => Some(if self.is_empty() { Value::UNDEFINED } else { row_value(self, 0, "") }),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.len())
    }
}

/// Scalars in a row: the first column of all rows, or the values of one parameter. Prints its items with `, `.
#[derive(Debug)]
enum List {
    Column(Arc<Rows>),
    Values(Arc<[value::Value]>),
}

impl List {
    fn len(&self) -> usize {
        match self {
            List::Column(rows) => rows.len(),
            List::Values(values) => values.len(),
        }
    }

    fn item(&self, index: usize) -> Option<&value::Value> {
        match self {
            List::Column(rows) => rows.row(index).first(),
            List::Values(values) => values.get(index),
        }
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        key.as_usize().filter(|index| *index < self.len()).and_then(|index| self.item(index)).map(value_of)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.len())
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for index in 0..self.len() {
            if index > 0 {
                out.write_str(", ")?;
            }
            if let Some(item) = self.item(index) {
                write!(out, "{item}")?;
            }
        }
        Ok(())
    }
}

/// Names that are looked up when they are asked for.
#[derive(Debug)]
struct NamesView(Arc<dyn Names>);

impl Object for NamesView {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).as_ref().map(slot_value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.list().into_iter().map(Value::from).collect())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// The context of one rendering. Each slot is turned into a value at its first look-up and kept.
#[derive(Debug)]
pub(super) struct ContextView {
    context: Context,
    values: Box<[OnceLock<Value>]>,
}

impl ContextView {
    pub(super) fn new(context: Context) -> ContextView {
        let values = context.names.iter().map(|_| OnceLock::new()).collect();
        ContextView { context, values }
    }
}

impl Object for ContextView {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let Some(index) = self.context.names.iter().position(|(name, _)| &**name == key) else {
            let maker = self.context.form.as_ref().filter(|_| key == "form")?;
            return Some(Value::from_object(FormFunction(maker.clone())));
        };
        Some(self.values[index].get_or_init(|| slot_value(&self.context.names[index].1)).clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.context.names.iter().map(|(name, _)| Value::from(name.clone())).collect())
    }
}

/// What `form("/route", slug=…)` calls.
struct FormFunction(FormMaker);

impl fmt::Debug for FormFunction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("form()")
    }
}

impl Object for FormFunction {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (route, named): (&str, Kwargs) = from_args(args)?;
        let form = self.0(route, named_values(&named)?).map_err(failure)?;
        Ok(Value::from_object(form))
    }
}

/// The named arguments of a call, in their order.
pub(super) fn named_values(named: &Kwargs) -> Result<Vec<(String, value::Value)>, Error> {
    named.args().map(|name| Ok((name.to_string(), value_from(&named.peek::<Value>(name)?)))).collect()
}

/// A fault of what a template calls, in words for its author.
pub(super) fn failure(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}
