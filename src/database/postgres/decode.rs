//! Columns as the server sends them: the commonest types in binary form, all others as the text that `psql` would show.
//!
//! Dates and datetimes get the form that they have on SQLite; `numeric` is a whole number where it has no digits behind
//! the point, else its own exact text.

use std::sync::Arc;

use super::types::{self, BOOL, BYTEA, DATE, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC, OID, TIMESTAMP, TIMESTAMPTZ};
use crate::value::Value;

/// How a column is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// True or false.
    Bool,
    /// A whole number of 2, 4 or 8 bytes, or its digits.
    Int,
    /// A float of 4 or 8 bytes, or its digits.
    Real,
    /// An exact number.
    Numeric,
    /// Bytes.
    Bytes,
    /// A moment, with a zone or in UTC without one.
    Datetime,
    /// Anything else.
    Text,
    /// Several of a type, between braces.
    Array(Box<Shape>, char),
}

/// The shape of a type; `None` for one that must be looked up in `pg_type`.
pub(super) fn shape(type_: u32) -> Option<Shape> {
    if let Some(element) = types::element(type_) {
        return shape(element).map(|element| Shape::Array(Box::new(element), ','));
    }
    Some(match type_ {
        BOOL => Shape::Bool,
        INT2 | INT4 | INT8 => Shape::Int,
        FLOAT4 | FLOAT8 => Shape::Real,
        // The binary form of an `oid` has no sign; its digits have none, either.
        NUMERIC | OID => Shape::Numeric,
        BYTEA => Shape::Bytes,
        TIMESTAMP | TIMESTAMPTZ => Shape::Datetime,
        // "char", name, text, json, xml, money, bpchar, varchar, date, time, interval, timetz, uuid, jsonb, void
        18 | 19 | 25 | 114 | 142 | 790 | 1042 | 1043 | DATE | 1083 | 1186 | 1266 | 2950 | 3802 | 2278 => Shape::Text,
        _ => return None,
    })
}

impl Shape {
    /// The format in which the server is asked for it: 1 is binary, 0 is text.
    pub(super) fn format(&self) -> i16 {
        i16::from(matches!(self, Shape::Bool | Shape::Int | Shape::Real | Shape::Bytes))
    }

    /// Reads a column in the form of [`Shape::format`].
    ///
    /// # Errors
    /// What the server sent is not in that form.
    pub(super) fn read(&self, sent: &[u8]) -> Result<Value, String> {
        let wrong = || "the database sent a value in an unknown form".to_string();
        Ok(match self {
            Shape::Bool => Value::Bool(sent == [1]),
            Shape::Int => Value::Int(match sent.len() {
                2 => i16::from_be_bytes(sent.try_into().map_err(|_| wrong())?).into(),
                4 => i32::from_be_bytes(sent.try_into().map_err(|_| wrong())?).into(),
                _ => i64::from_be_bytes(sent.try_into().map_err(|_| wrong())?),
            }),
            Shape::Real => Value::Real(match sent.len() {
                // By way of its digits, so that 0.1 stays 0.1 and doesn't become 0.10000000149011612.
                4 => f32::from_be_bytes(sent.try_into().map_err(|_| wrong())?)
                    .to_string()
                    .parse()
                    .map_err(|_| wrong())?,
                _ => f64::from_be_bytes(sent.try_into().map_err(|_| wrong())?),
            }),
            Shape::Bytes => Value::Blob(Arc::from(sent)),
            _ => self.read_text(std::str::from_utf8(sent).map_err(|_| wrong())?)?,
        })
    }

    /// Reads the text form, which elements of arrays have in any case.
    fn read_text(&self, text: &str) -> Result<Value, String> {
        Ok(match self {
            Shape::Bool => Value::Bool(text == "t"),
            Shape::Int | Shape::Numeric => text.parse().map_or_else(|_| Value::text(text), Value::Int),
            Shape::Real => text.parse().map_or_else(|_| Value::text(text), Value::Real),
            Shape::Bytes => Value::Blob(hex(text).ok_or("the database sent bytes in an unknown form")?.into()),
            Shape::Datetime => Value::Text(datetime(text).map_or_else(|| Arc::from(text), Arc::from)),
            Shape::Text => Value::text(text),
            Shape::Array(element, delimiter) => {
                let mut reader = Array { rest: text, element, delimiter: *delimiter };
                // `[2:3]={1,2}` tells bounds where they don't begin at 1.
                if text.starts_with('[') {
                    reader.rest = text.split_once('=').map_or("", |(_, rest)| rest);
                }
                reader.list().ok_or("the database sent an array in an unknown form")?
            }
        })
    }
}

/// `2026-01-31 08:09:10.123456+00` as `2026-01-31T08:09:10.123456Z`: milliseconds always, microseconds where there are
/// some. `None` for `infinity` and years before Christ, which have no such form.
fn datetime(text: &str) -> Option<String> {
    let (date, time) = text.split_once(' ')?;
    let time = time.strip_suffix("+00").unwrap_or(time);
    if time.contains([' ', '+', '-']) {
        return None;
    }
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    Some(format!("{date}T{seconds}.{fraction:0<3}Z"))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?;
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

/// Reads `{1,NULL,"a\"b",{2}}`. An array of arrays becomes one list, because a list never holds a list.
struct Array<'a> {
    rest: &'a str,
    element: &'a Shape,
    delimiter: char,
}

impl Array<'_> {
    fn list(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        self.items(&mut items)?;
        Some(Value::List(items.into()))
    }

    fn items(&mut self, items: &mut Vec<Value>) -> Option<()> {
        self.rest = self.rest.strip_prefix('{')?;
        loop {
            match self.rest.chars().next()? {
                '}' => {
                    self.rest = &self.rest[1..];
                    return Some(());
                }
                '{' => self.items(items)?,
                '"' => {
                    let text = self.quoted()?;
                    items.push(self.element.read_text(&text).ok()?);
                }
                letter if letter == self.delimiter => self.rest = &self.rest[letter.len_utf8()..],
                _ => {
                    let end = self.rest.find([self.delimiter, '}'])?;
                    let (text, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    items.push(if text == "NULL" { Value::Null } else { self.element.read_text(text).ok()? });
                }
            }
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                '\\' => text.push(letters.next()?.1),
                letter => text.push(letter),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes_have_one_form() {
        let read = |text| Shape::Datetime.read_text(text).unwrap().to_string();
        assert_eq!(read("2026-01-31 08:09:10+00"), "2026-01-31T08:09:10.000Z");
        assert_eq!(read("2026-01-31 08:09:10.5"), "2026-01-31T08:09:10.500Z");
        assert_eq!(read("2026-01-31 08:09:10.123456+00"), "2026-01-31T08:09:10.123456Z");
        assert_eq!(read("infinity"), "infinity");
        assert_eq!(read("0044-03-15 12:00:00+00 BC"), "0044-03-15 12:00:00+00 BC");
    }

    #[test]
    fn numbers_lose_nothing() {
        let read = |text| Shape::Numeric.read_text(text).unwrap();
        assert_eq!(read("42"), Value::Int(42));
        assert_eq!(read("12.50"), Value::text("12.50"));
        assert_eq!(read("9223372036854775808"), Value::text("9223372036854775808"));
        assert_eq!(Shape::Real.read(&0.1f32.to_be_bytes()).unwrap(), Value::Real(0.1));
    }

    #[test]
    fn arrays_become_lists() {
        let list = |text: &str, of| {
            let Value::List(items) = Shape::Array(Box::new(of), ',').read_text(text).unwrap() else { panic!() };
            items.to_vec()
        };
        assert_eq!(list("{}", Shape::Int), []);
        assert_eq!(list("{1,NULL,3}", Shape::Int), [Value::Int(1), Value::Null, Value::Int(3)]);
        assert_eq!(list("[0:1]={{1},{2}}", Shape::Int), [Value::Int(1), Value::Int(2)]);
        assert_eq!(
            list(r#"{a b,"x,\"\\}",""}"#, Shape::Text),
            [Value::text("a b"), Value::text("x,\"\\}"), Value::text("")]
        );
        assert!(Shape::Array(Box::new(Shape::Int), ',').read_text("{1,").is_err());
    }
}
