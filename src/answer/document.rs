//! Rows as JSON and CSV, by the rules of data endpoints.
//!
//! A column `author.name` nests, `tags_json` holds a JSON document, `liked_bool` is true or false; both lose the suffix.

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
    if let Some(name) = column.strip_suffix("_json") {
        let document = value.as_str().and_then(|text| serde_json::from_str(text).ok());
        return (name, document.unwrap_or_else(|| json_value(value)));
    }
    if let Some(name) = column.strip_suffix("_bool") {
        return (name, if value.is_null() { Json::Null } else { Json::Bool(value.holds()) });
    }
    (column, json_value(value))
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
