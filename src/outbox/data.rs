//! What a message is about: the JSON object of its row, as names for its template.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::render::Slot;
use crate::value::{Rows, Value};

/// The names of a JSON object.
///
/// # Errors
/// It is no JSON, or no object.
pub(super) fn names(data: &str) -> Result<Vec<(Arc<str>, Slot)>, String> {
    match serde_json::from_str(data) {
        Ok(Json::Object(object)) => Ok(below(&object)),
        Ok(_) => Err("its `data` is JSON, but no object such as {\"link\": \"…\"}".into()),
        Err(error) => Err(format!("its `data` is no JSON: {error}")),
    }
}

fn below(object: &Map<String, Json>) -> Vec<(Arc<str>, Slot)> {
    object.iter().map(|(name, json)| (name.as_str().into(), slot(json))).collect()
}

fn slot(json: &Json) -> Slot {
    match json {
        Json::Object(object) => Slot::Names(Arc::new(below(object))),
        Json::Array(items) if !items.is_empty() && items.iter().all(Json::is_object) => {
            Slot::Rows(Arc::new(rows(items)))
        }
        other => Slot::Value(value(other)),
    }
}

/// Objects as the rows of a query: the columns are all their keys, `author.name` for one below another.
fn rows(items: &[Json]) -> Rows {
    let mut flat: Vec<Vec<(String, Value)>> = Vec::with_capacity(items.len());
    for item in items {
        let mut cells = Vec::new();
        flatten("", item, &mut cells);
        flat.push(cells);
    }
    let columns: BTreeSet<&str> = flat.iter().flatten().map(|(name, _)| name.as_str()).collect();
    let columns: Vec<&str> = columns.into_iter().collect();
    let mut cells = Vec::with_capacity(flat.len() * columns.len());
    for row in &flat {
        let cell =
            |column: &&str| row.iter().find(|(name, _)| name == column).map_or(Value::Null, |(_, cell)| cell.clone());
        cells.extend(columns.iter().map(cell));
    }
    let columns = columns.into_iter().map(Arc::from).collect();
    Rows { columns, cells, ..Rows::default() }
}

fn flatten(prefix: &str, json: &Json, cells: &mut Vec<(String, Value)>) {
    let Json::Object(object) = json else { return };
    for (name, json) in object {
        match json {
            Json::Object(_) => flatten(&format!("{prefix}{name}."), json, cells),
            other => cells.push((format!("{prefix}{name}"), value(other))),
        }
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => number.as_f64().map_or(Value::Null, Value::Real),
        },
        Json::String(text) => Value::from(text.as_str()),
        // A list holds no list of its own: what is deeper is shown as it is written.
        Json::Array(items) => Value::List(items.iter().map(scalar).collect()),
        Json::Object(_) => Value::text(json.to_string()),
    }
}

fn scalar(json: &Json) -> Value {
    match json {
        Json::Array(_) => Value::text(json.to_string()),
        other => value(other),
    }
}
