//! Rows as JSON and CSV, by the rules of data endpoints.
//!
//! A column `author.name` nests, `tags_json` holds a JSON document, `liked_bool` is true or false; both lose the suffix.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Number, Value as Json};

use crate::value::{Rows, Value};

/// One value as JSON. Bytes are told as text where they are text; a number that JSON can't tell is null.
pub(super) fn json_value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => Json::from(*number),
        Value::Real(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::String(text.to_string()),
        Value::Blob(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::List(items) => Json::Array(items.iter().map(json_value).collect()),
    }
}

/// One row as an object.
pub(super) fn json_row(rows: &Rows, row: usize) -> Json {
    let mut object = Map::with_capacity(rows.columns.len());
    for (column, value) in rows.columns.iter().zip(rows.row(row)) {
        let (name, value) = cell(column, value);
        insert(&mut object, name, value);
    }
    Json::Object(object)
}

/// A cell with its name: the suffixes `_json` and `_bool` tell how it is read.
fn cell<'c>(column: &'c str, value: &Value) -> (&'c str, Json) {
    let (name, how) = How::of(column);
    (name, read(value, how))
}

fn read(value: &Value, how: How) -> Json {
    match how {
        How::Plain => json_value(value),
        How::Document => {
            let document = value.as_str().and_then(|text| serde_json::from_str(text).ok());
            document.unwrap_or_else(|| json_value(value))
        }
        How::Truth if value.is_null() => Json::Null,
        How::Truth => Json::Bool(value.holds()),
    }
}

/// Puts a value at a dotted name, making the objects on the way.
fn insert(object: &mut Map<String, Json>, name: &str, value: Json) {
    match name.split_once('.') {
        None => {
            object.insert(name.to_string(), value);
        }
        Some((outer, inner)) => {
            let entry = object.entry(outer).or_insert_with(|| Json::Object(Map::new()));
            match entry {
                Json::Object(nested) => insert(nested, inner, value),
                // A plain column of the same name came first; the dotted one stands beside it.
                _ => {
                    object.insert(name.to_string(), value);
                }
            }
        }
    }
}

/// Rows as they are written: an object for each, without one being built.
pub(super) struct Written<'r> {
    rows: &'r Rows,
    /// What an object holds, in its order.
    members: Vec<Member<'r>>,
}

/// A member of the objects that rows are written as.
enum Member<'r> {
    Cell { name: &'r str, column: usize, how: How },
    Object { name: &'r str, members: Vec<Member<'r>> },
}

/// How a cell is read, by its column's suffix.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Plain,
    Document,
    Truth,
}

impl How {
    fn of(column: &str) -> (&str, How) {
        match (column.strip_suffix("_json"), column.strip_suffix("_bool")) {
            (Some(name), _) => (name, How::Document),
            (None, Some(name)) => (name, How::Truth),
            (None, None) => (column, How::Plain),
        }
    }
}

impl<'r> Written<'r> {
    /// `None` where the shape of an object depends on what the rows hold: what a dotted name stands below may itself be a
    /// document.
    pub(super) fn of(rows: &'r Rows) -> Option<Written<'r>> {
        let columns = || rows.columns.iter().map(|column| How::of(column));
        let dotted = columns().any(|(name, _)| name.contains('.'));
        if dotted && columns().any(|(_, how)| how == How::Document) {
            return None;
        }
        let mut members = Vec::with_capacity(rows.columns.len());
        for (column, (name, how)) in columns().enumerate() {
            add(&mut members, name, column, how);
        }
        Some(Written { rows, members })
    }

    /// One of the rows.
    pub(super) fn row(&self, row: usize) -> impl Serialize {
        Object { members: &self.members, cells: self.rows.row(row) }
    }
}

/// As [`insert`], for all rows at once.
fn add<'r>(members: &mut Vec<Member<'r>>, name: &'r str, column: usize, how: How) {
    let at = |members: &[Member<'r>], name: &str| members.iter().position(|member| member.name() == name);
    let cell = Member::Cell { name, column, how };
    if let Some((outer, inner)) = name.split_once('.') {
        match at(members, outer) {
            None => {
                let mut nested = Vec::new();
                add(&mut nested, inner, column, how);
                return members.push(Member::Object { name: outer, members: nested });
            }
            Some(place) => {
                if let Member::Object { members: nested, .. } = &mut members[place] {
                    return add(nested, inner, column, how);
                }
            }
        }
    }
    match at(members, name) {
        Some(place) => members[place] = cell,
        None => members.push(cell),
    }
}

impl Member<'_> {
    fn name(&self) -> &str {
        match self {
            Member::Cell { name, .. } | Member::Object { name, .. } => name,
        }
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq((0..self.rows.len()).map(|row| self.row(row)))
    }
}

/// One row, or what nests in it.
struct Object<'o, 'r> {
    members: &'o [Member<'r>],
    cells: &'o [Value],
}

impl Serialize for Object<'_, '_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut object = out.serialize_map(Some(self.members.len()))?;
        for member in self.members {
            match member {
                Member::Object { name, members } => {
                    object.serialize_entry(name, &Object { members, cells: self.cells })?;
                }
                Member::Cell { name, column, how } => {
                    let value = self.cells.get(*column).unwrap_or(&Value::Null);
                    match how {
                        How::Plain => object.serialize_entry(name, &Plain(value))?,
                        How::Document | How::Truth => object.serialize_entry(name, &read(value, *how))?,
                    }
                }
            }
        }
        object.end()
    }
}

/// One value, as [`json_value`] tells it.
pub(super) struct Plain<'v>(pub(super) &'v Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Int(number) => out.serialize_i64(*number),
            Value::Text(text) => out.serialize_str(text),
            Value::Bool(truth) => out.serialize_bool(*truth),
            Value::Null => out.serialize_unit(),
            // A number that JSON can't tell is written as null.
            Value::Real(number) => out.serialize_f64(*number),
            Value::Blob(bytes) => out.serialize_str(&String::from_utf8_lossy(bytes)),
            Value::List(items) => out.collect_seq(items.iter().map(Plain)),
        }
    }
}

/// Rows as CSV (RFC 4180) with the column names as header. A cell that a spreadsheet would run as a formula gets an
/// apostrophe before it.
pub(super) fn csv(rows: &Rows) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory can't fail, and every record has the header's width.
    let _ = writer.write_record(rows.columns.iter().map(|column| guarded(column.to_string())));
    for row in 0..rows.len() {
        let _ = writer.write_record(rows.row(row).iter().map(|value| match value {
            number @ (Value::Int(_) | Value::Real(_)) => number.to_string(),
            other => guarded(other.to_string()),
        }));
    }
    writer.into_inner().unwrap_or_default()
}

/// Guards against formula injection.
fn guarded(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        true => format!("'{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::Columns;

    fn rows(columns: &[&str], cells: Vec<Value>) -> Rows {
        let columns: Columns = columns.iter().map(|name| (*name).into()).collect();
        Rows { columns, cells, ..Rows::default() }
    }

    #[test]
    fn names_tell_the_shape() {
        let rows = rows(
            &["id", "author.name", "author.id", "tags_json", "liked_bool"],
            vec![1.into(), "Ann".into(), 7.into(), "[\"a\"]".into(), 1.into()],
        );
        let expected = serde_json::json!({"id": 1, "author": {"name": "Ann", "id": 7}, "tags": ["a"], "liked": true});
        assert_eq!(json_row(&rows, 0), expected);
    }

    const NAMES: [&str; 12] =
        ["a", "b", "a.b", "a.c", "a.b.c", "b.a", ".", "a.", "é\"", "a_bool", "b_json", "a.b_bool"];

    fn value() -> impl Strategy<Value = Value> {
        let bytes = |bytes: Vec<u8>| Value::Blob(bytes.into());
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Real),
            "\\PC{0,8}|[\u{0}-\u{7f}]{0,8}|\\{\"b\": [1, 2.50]\\}".prop_map(Value::from),
            proptest::collection::vec(any::<u8>(), 0..4).prop_map(bytes),
            proptest::collection::vec(any::<i64>().prop_map(Value::Int), 0..3)
                .prop_map(|items| Value::List(items.into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_built(
            columns in proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..6),
            cells in proptest::collection::vec(value(), 15),
        ) {
            let height = 15 / columns.len();
            let rows = rows(&columns, cells[..height * columns.len()].to_vec());
            let built: Json = (0..rows.len()).map(|row| json_row(&rows, row)).collect();
            if let Some(written) = Written::of(&rows) {
                prop_assert_eq!(serde_json::to_string(&written).unwrap(), built.to_string());
            }
        }
    }

    #[test]
    fn csv_guards_bytes_and_wide_signs() {
        let blob = Value::Blob(std::sync::Arc::from(*b"=1+1"));
        let rows = rows(&["a", "b", "c"], vec![blob, "＝1".into(), Value::Real(-1.5)]);
        assert_eq!(String::from_utf8(csv(&rows)).unwrap(), "a,b,c\r\n'=1+1,'＝1,-1.5\r\n");
    }

    #[test]
    fn csv_guards_formulas_and_quotes() {
        let rows = rows(&["name", "n"], vec!["=1+1".into(), Value::Int(-5), "a,\"b\"".into(), Value::Null]);
        assert_eq!(String::from_utf8(csv(&rows)).unwrap(), "name,n\r\n'=1+1,-5\r\n\"a,\"\"b\"\"\",\r\n");
    }
}
