//! Rows as JSON and CSV, by the rules of data endpoints.
//!
//! A column `author.name` nests, `tags_json` holds a JSON document, `liked_bool` is true or false; both lose the suffix.

use serde::Serialize;
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
        // Looked for as a byte: as a character of a text it costs several times as much.
        let dotted = columns().any(|(name, _)| name.as_bytes().contains(&b'.'));
        if dotted && columns().any(|(_, how)| how == How::Document) {
            return None;
        }
        let mut members = Vec::with_capacity(rows.columns.len());
        for (column, (name, how)) in columns().enumerate() {
            match dotted {
                true => add(&mut members, name, column, how),
                false => set(&mut members, Member::Cell { name, column, how }),
            }
        }
        Some(Written { rows, members })
    }

    /// Writes all of the rows.
    pub(super) fn put(&self, out: &mut String) {
        put_list(out, 0..self.rows.len(), |out, row| self.put_row(out, row));
    }

    /// Writes one of the rows.
    pub(super) fn put_row(&self, out: &mut String, row: usize) {
        put_object(out, &self.members, self.rows.row(row));
    }
}

/// As [`insert`], for all rows at once.
fn add<'r>(members: &mut Vec<Member<'r>>, name: &'r str, column: usize, how: How) {
    if let Some((outer, inner)) = name.split_once('.') {
        match members.iter_mut().find(|member| member.name() == outer) {
            None => {
                let mut nested = Vec::new();
                add(&mut nested, inner, column, how);
                return members.push(Member::Object { name: outer, members: nested });
            }
            Some(Member::Object { members: nested, .. }) => return add(nested, inner, column, how),
            Some(Member::Cell { .. }) => {}
        }
    }
    set(members, Member::Cell { name, column, how });
}

/// The last of a name counts, at the place of the first.
fn set<'r>(members: &mut Vec<Member<'r>>, member: Member<'r>) {
    match members.iter_mut().find(|known| known.name() == member.name()) {
        Some(known) => *known = member,
        None => members.push(member),
    }
}

impl Member<'_> {
    fn name(&self) -> &str {
        match self {
            Member::Cell { name, .. } | Member::Object { name, .. } => name,
        }
    }
}

/// One row, or what nests in it.
fn put_object(out: &mut String, members: &[Member<'_>], cells: &[Value]) {
    out.push('{');
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        put_text(out, member.name());
        out.push(':');
        match member {
            Member::Object { members, .. } => put_object(out, members, cells),
            Member::Cell { column, how, .. } => match (cells.get(*column).unwrap_or(&Value::Null), how) {
                (value, How::Plain) => put_value(out, value),
                (value, How::Document | How::Truth) => put(out, &read(value, *how)),
            },
        }
    }
    out.push('}');
}

fn put_list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut put_item: impl FnMut(&mut String, T)) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        put_item(out, item);
    }
    out.push(']');
}

/// Writes one value, as [`json_value`] tells it.
pub(super) fn put_value(out: &mut String, value: &Value) {
    match value {
        Value::Int(number) => out.push_str(itoa::Buffer::new().format(*number)),
        Value::Text(text) => put_text(out, text),
        Value::Blob(bytes) => put_text(out, &String::from_utf8_lossy(bytes)),
        Value::List(items) => put_list(out, items.iter(), put_value),
        Value::Null | Value::Bool(_) | Value::Real(_) => put(out, &json_value(value)),
    }
}

/// A JSON string (RFC 8259 section 7).
pub(super) fn put_text(out: &mut String, text: &str) {
    // Without branches, so that it vectorizes: most texts hold nothing to escape.
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    if text.bytes().fold(false, |found, byte| found | special(byte)) {
        return put(out, text);
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn put<T: Serialize + ?Sized>(out: &mut String, value: &T) {
    // A text, a number or a built value, whose keys are texts, can't fail.
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
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
                let mut out = String::new();
                written.put(&mut out);
                prop_assert_eq!(out, built.to_string());
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
