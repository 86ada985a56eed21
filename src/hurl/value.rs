//! The values that queries find, captures keep and predicates judge, with the comparisons that Hurl defines on them.
//! Not the values of SQL: those are [`crate::value`].

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use regex::Regex;

use super::syntax::Number;

/// How many characters of a value a failure shows.
const SHOWN: usize = 240;

/// A value of a Hurl file.
#[derive(Clone, Debug)]
pub enum Value {
    /// JSON's null.
    Null,
    /// True or false.
    Boolean(bool),
    /// An integer of 64 bits.
    Integer(i64),
    /// An integer beyond 64 bits, in digits.
    BigInteger(String),
    /// A number with a fraction; every number that XPath gives.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes: a whole body, a hash.
    Bytes(Vec<u8>),
    /// A list, from JSON or from a header that was sent several times.
    List(Vec<Value>),
    /// A JSON object.
    Object(Vec<(String, Value)>),
    /// How many nodes an XPath expression selected.
    Nodes(usize),
    /// A moment: when a cookie expires.
    Date(Timestamp),
    /// One redirect that was followed: the status, and the address that it led to.
    Redirect(u16, String),
    /// A regular expression, only as the value of a predicate.
    Pattern(Regex),
    /// A cookie's attribute that is present and has no value.
    Present,
}

/// The variables of one run: what the caller gives, `variable` options and captures, by name.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, Value>);

impl Variables {
    /// No variables.
    pub fn new() -> Variables {
        Variables::default()
    }

    /// These variables and a text: `with("host", "http://127.0.0.1:3000")`.
    pub fn with(mut self, name: impl Into<String>, text: impl Into<String>) -> Variables {
        self.set(name, Value::Text(text.into()));
        self
    }

    /// Sets a variable, whatever it was before.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The names of all variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Value {
    /// The value of a JSON document.
    pub(super) fn of_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(boolean) => Value::Boolean(*boolean),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => Value::List(items.iter().map(Value::of_json).collect()),
            serde_json::Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), Value::of_json(value))).collect())
            }
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Value::Integer(integer),
                (None, Some(float)) if number.is_f64() => Value::Float(float),
                _ => Value::BigInteger(number.to_string()),
            },
        }
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "boolean",
            Value::Integer(_) | Value::BigInteger(_) => "integer",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Object(_) => "object",
            Value::Nodes(_) => "nodes",
            Value::Date(_) => "date",
            Value::Redirect(..) => "redirect",
            Value::Pattern(_) => "regular expression",
            Value::Present => "attribute",
        }
    }

    /// The text that stands for the value where a template names it; `None` for what has no such text.
    pub(super) fn rendered(&self) -> Option<String> {
        match self {
            Value::Null => Some("null".to_string()),
            Value::Boolean(boolean) => Some(boolean.to_string()),
            Value::Integer(integer) => Some(integer.to_string()),
            Value::BigInteger(digits) => Some(digits.clone()),
            Value::Float(float) => Some(float_text(*float)),
            Value::Text(text) => Some(text.clone()),
            Value::Date(date) => Some(date.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()),
            _ => None,
        }
    }

    /// Kind and value in one line of bounded length.
    pub(super) fn shown(&self) -> String {
        let text = match self {
            Value::Null => return "null".to_string(),
            Value::Present => return "an attribute without value".to_string(),
            Value::Nodes(count) => return format!("{count} nodes"),
            Value::Bytes(bytes) => {
                let digits: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
                format!("{digits}> of length <{}", bytes.len())
            }
            other => other.to_string(),
        };
        format!("{} <{}>", self.kind(), shortened(&text))
    }

    /// The order of two values; `None` when their kinds have none.
    pub(super) fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(one), Value::Text(two)) => Some(one.cmp(two)),
            (Value::Date(one), Value::Date(two)) => Some(one.cmp(two)),
            (Value::Integer(one), Value::Integer(two)) => Some(one.cmp(two)),
            (Value::BigInteger(one), Value::BigInteger(two)) => Some(compare_digits(one, two)),
            _ => Some(self.as_float()?.partial_cmp(&other.as_float()?).unwrap_or(Ordering::Equal)),
        }
    }

    fn as_float(&self) -> Option<f64> {
        match self {
            Value::Integer(integer) => Some(*integer as f64),
            Value::Float(float) => Some(*float),
            Value::BigInteger(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether the value begins with another; `None` when that can't be asked of them.
    pub(super) fn starts_with(&self, other: &Value) -> Option<bool> {
        match (self, other) {
            (Value::Text(text), Value::Text(start)) => Some(text.starts_with(start.as_str())),
            (Value::Bytes(bytes), Value::Bytes(start)) => Some(bytes.starts_with(start)),
            _ => None,
        }
    }

    /// Whether the value ends with another; `None` when that can't be asked of them.
    pub(super) fn ends_with(&self, other: &Value) -> Option<bool> {
        match (self, other) {
            (Value::Text(text), Value::Text(end)) => Some(text.ends_with(end.as_str())),
            (Value::Bytes(bytes), Value::Bytes(end)) => Some(bytes.ends_with(end)),
            _ => None,
        }
    }

    /// Whether another value occurs in this one; `None` when that can't be asked of them.
    pub(super) fn contains(&self, other: &Value) -> Option<bool> {
        match (self, other) {
            (Value::Text(text), Value::Text(part)) => Some(text.contains(part.as_str())),
            (Value::Bytes(_), Value::Bytes(part)) if part.is_empty() => Some(true),
            (Value::Bytes(bytes), Value::Bytes(part)) => Some(bytes.windows(part.len()).any(|window| window == part)),
            (Value::List(items), _) => Some(items.contains(other)),
            _ => None,
        }
    }

    /// How many elements, characters in UTF-8 bytes, or nodes there are; `None` for single values.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Value::Text(text) => Some(text.len()),
            Value::Bytes(bytes) => Some(bytes.len()),
            Value::List(items) => Some(items.len()),
            Value::Object(members) => Some(members.len()),
            Value::Nodes(count) => Some(*count),
            _ => None,
        }
    }
}

impl From<&Number> for Value {
    fn from(number: &Number) -> Value {
        match number {
            Number::Integer(integer) => Value::Integer(*integer),
            Number::Float(float) => Value::Float(*float),
            Number::Big(digits) => Value::BigInteger(digits.clone()),
        }
    }
}

/// The equality of `==`: numbers by value, everything else only with its own kind.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) | (Value::Present, Value::Present) => true,
            (Value::Boolean(one), Value::Boolean(two)) => one == two,
            (Value::Text(one), Value::Text(two)) => one == two,
            (Value::Bytes(one), Value::Bytes(two)) => one == two,
            (Value::List(one), Value::List(two)) => one == two,
            (Value::Object(one), Value::Object(two)) => one == two,
            (Value::Nodes(one), Value::Nodes(two)) => one == two,
            (Value::Date(one), Value::Date(two)) => one == two,
            (Value::Integer(one), Value::Integer(two)) => one == two,
            (Value::BigInteger(one), Value::BigInteger(two)) => compare_digits(one, two) == Ordering::Equal,
            _ => self.as_float().is_some_and(|one| other.as_float() == Some(one)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(Value::to_string).collect();
                write!(out, "[{}]", items.join(", "))
            }
            Value::Object(members) => {
                let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
                write!(out, "{{{}}}", names.join(", "))
            }
            Value::Redirect(status, location) => write!(out, "{status} to {location}"),
            Value::Pattern(regex) => write!(out, "/{regex}/"),
            Value::Bytes(_) | Value::Nodes(_) | Value::Present => out.write_str(self.kind()),
            other => out.write_str(&other.rendered().unwrap_or_default()),
        }
    }
}

/// A whole float is written with its `.0`, as Hurl does.
fn float_text(float: f64) -> String {
    if float.fract() == 0.0 { format!("{float}.0") } else { float.to_string() }
}

/// The order of two integers in digits.
fn compare_digits(one: &str, two: &str) -> Ordering {
    let parts = |text: &str| (text.starts_with('-'), text.trim_start_matches('-').trim_start_matches('0').to_string());
    let ((one_negative, one), (two_negative, two)) = (parts(one), parts(two));
    let size = one.len().cmp(&two.len()).then_with(|| one.cmp(&two));
    match (one_negative, two_negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// At most [`SHOWN`] characters of a text, line ends made visible.
pub(super) fn shortened(text: &str) -> String {
    let shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    if text.chars().nth(SHOWN).is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value() {
        assert_eq!(Value::Integer(3), Value::Float(3.0));
        assert_ne!(Value::Integer(3), Value::Text("3".into()));
        assert_eq!(Value::BigInteger("18446744073709551616".into()), Value::BigInteger("18446744073709551616".into()));
        assert_ne!(Value::BigInteger("18446744073709551616".into()), Value::BigInteger("18446744073709551617".into()));
        assert_eq!(
            Value::Integer(-1).compare(&Value::BigInteger("-99999999999999999999".into())),
            Some(Ordering::Greater)
        );
        assert_eq!(compare_digits("-100", "-99"), Ordering::Less);
    }

    #[test]
    fn a_list_contains_what_equals_one_of_its_items() {
        let list = Value::List(vec![Value::Integer(1), Value::Text("a".into())]);
        assert_eq!(list.contains(&Value::Float(1.0)), Some(true));
        assert_eq!(list.contains(&Value::Text("b".into())), Some(false));
        assert_eq!(Value::Null.contains(&Value::Null), None);
        assert_eq!(Value::Bytes(vec![1, 2]).contains(&Value::Bytes(vec![])), Some(true));
    }

    #[test]
    fn long_values_are_shown_in_one_bounded_line() {
        let shown = Value::Text("x\n".repeat(1000)).shown();
        assert!(!shown.contains('\n') && shown.chars().count() < 600, "{shown}");
    }
}
