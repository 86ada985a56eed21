//! Values as the server reads them: bytes as they are, all else in the text form of its type.
//!
//! In the text form the server itself decides what is no date or out of range, and says so for every type alike.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

use super::types::{self, BYTEA};
use crate::database::Failure;
use crate::value::Value;

/// The format in which a value goes to a placeholder of this type: 1 is binary, 0 is text.
pub(super) fn format(value: &Value, type_: u32) -> i16 {
    i16::from(type_ == BYTEA && matches!(value, Value::Blob(_)))
}

/// Writes one value that is not null.
///
/// # Errors
/// A text for the site's author or visitor: NUL characters, bytes where text stands.
pub(super) fn write(value: &Value, type_: u32, out: &mut BytesMut) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Blob(bytes) if type_ == BYTEA => out.put_slice(bytes),
        Value::List(items) if is_array(type_) => out.put_slice(array(items)?.as_bytes()),
        Value::List(items) => out.put_slice(json(items).as_bytes()),
        value => out.put_slice(text(value)?.as_bytes()),
    }
    Ok(())
}

/// [`Failure::BadValue`] of one placeholder, from 0.
pub(super) fn bad_value(message: String, bind: usize) -> Failure {
    Failure::BadValue { message, bind: Some(bind) }
}

/// Lists of a type that is not known here (an enum's) are arrays, too; JSON is the only other thing that takes a list.
fn is_array(type_: u32) -> bool {
    !matches!(type_, types::TEXT | types::JSON | types::JSONB | 1043)
}

fn text(value: &Value) -> Result<std::borrow::Cow<'_, str>, String> {
    Ok(match value {
        Value::Text(text) if text.contains('\0') => return Err("a text holds a NUL character".to_string()),
        Value::Text(text) => (&**text).into(),
        Value::Bool(truth) => if *truth { "1" } else { "0" }.into(),
        Value::Int(number) => number.to_string().into(),
        Value::Real(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}").into(),
        Value::Real(number) => format!("{number:?}").into(),
        Value::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => text.into(),
            _ => return Err("bytes stand where a text is taken".to_string()),
        },
        Value::Null | Value::List(_) => return Err("a list stands within a list".to_string()),
    })
}

/// `{"a","b",NULL}` (documentation, chapter "Arrays", "Array Input and Output Syntax").
fn array(items: &[Value]) -> Result<String, String> {
    let mut array = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            array.push(',');
        }
        match item {
            Value::Null => array.push_str("NULL"),
            Value::Blob(bytes) => {
                array.push_str("\"\\\\x");
                for byte in bytes.iter() {
                    let _ = write!(array, "{byte:02x}");
                }
                array.push('"');
            }
            item => quote(&text(item)?, &mut array),
        }
    }
    array.push('}');
    Ok(array)
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

/// A list where no array is taken, as on SQLite.
fn json(items: &[Value]) -> String {
    let item = |item: &Value| match item {
        Value::Null => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        other => other.to_string().into(),
    };
    serde_json::Value::Array(items.iter().map(item).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &Value, type_: u32) -> Result<String, String> {
        let mut out = BytesMut::new();
        write(value, type_, &mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn values_have_the_form_of_their_type() {
        assert_eq!(sent(&Value::Real(5.0), types::INT4).unwrap(), "5");
        assert_eq!(sent(&Value::Real(2.5), types::FLOAT8).unwrap(), "2.5");
        assert_eq!(sent(&Value::Real(1e300), types::FLOAT8).unwrap(), "1e300");
        assert_eq!(sent(&Value::Bool(true), types::BOOL).unwrap(), "1");
        assert!(sent(&Value::text("a\0"), types::TEXT).unwrap_err().contains("NUL"));
    }

    #[test]
    fn lists_are_arrays_or_json() {
        let list = Value::List([Value::text("a\"\\,{"), Value::Null, Value::Int(1)].into());
        assert_eq!(sent(&list, 1009).unwrap(), r#"{"a\"\\,{",NULL,"1"}"#);
        assert_eq!(sent(&list, types::JSONB).unwrap(), r#"["a\"\\,{",null,1]"#);
    }
}
