//! What filters make of a value.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::document::{Document, jsonpath};
use super::query::first_group;
use super::scope::Scope;
use crate::clock::Clock;
use crate::hurl::base64;
use crate::hurl::syntax::{Filter, FilterKind, Wrong};
use crate::hurl::value::Value;

/// What `urlEncode` leaves as it is: RFC 3986's unreserved characters, and the slash.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The outcome of a filter: a value, none, or why it can't be applied.
type Filtered = Result<Option<Value>, String>;

/// Applies filters one after the other.
pub(super) fn apply(filters: &[Filter], value: Option<Value>, scope: Scope<'_>) -> Result<Option<Value>, Wrong> {
    let mut value = value;
    for filter in filters {
        let input = value.ok_or_else(|| Wrong::new(filter.span, "there is nothing that this filter could work on"))?;
        value = one(filter, input, scope)?;
    }
    Ok(value)
}

fn one(filter: &Filter, value: Value, scope: Scope<'_>) -> Result<Option<Value>, Wrong> {
    let filtered = match &filter.kind {
        FilterKind::Jsonpath(expression) => jsonpath_of(&value, &scope.text(expression)?),
        FilterKind::Xpath(expression) => xpath_of(&value, &scope.text(expression)?),
        FilterKind::Nth(given) => nth(&value, scope.integer(given)?),
        FilterKind::Regex(pattern) => {
            let regex = scope.pattern(pattern)?;
            text(&value).map(|text| first_group(&regex, text))
        }
        FilterKind::Replace(old, new) => {
            let (old, new) = (scope.text(old)?, scope.text(new)?);
            text(&value).map(|text| some_text(text.replace(&old, &new)))
        }
        FilterKind::ReplaceRegex(pattern, new) => {
            let (regex, new) = (scope.pattern(pattern)?, scope.text(new)?);
            text(&value).map(|text| some_text(regex.replace_all(text, new.as_str())))
        }
        FilterKind::Split(separator) => {
            let separator = scope.text(separator)?;
            text(&value).map(|text| Some(Value::List(text.split(&separator).map(plain).collect())))
        }
        FilterKind::UrlQueryParam(name) => query_parameter(&value, &scope.text(name)?),
        other => simple(other, &value),
    };
    filtered.map_err(|error| Wrong::new(filter.span, error))
}

/// The filters without an argument.
fn simple(kind: &FilterKind, value: &Value) -> Filtered {
    match kind {
        FilterKind::Base64Decode => decoded(base64::decode(text(value)?)),
        FilterKind::Base64UrlSafeDecode => decoded(base64::decode_url_safe(text(value)?)),
        FilterKind::Base64Encode => Ok(some_text(base64::encode(bytes(value)?))),
        FilterKind::Base64UrlSafeEncode => Ok(some_text(base64::encode_url_safe(bytes(value)?))),
        FilterKind::Count => count(value),
        FilterKind::First => nth(value, 0),
        FilterKind::Last => nth(value, -1),
        FilterKind::DaysAfterNow => days_from_now(value).map(|days| Some(Value::Integer(days))),
        FilterKind::DaysBeforeNow => days_from_now(value).map(|days| Some(Value::Integer(-days))),
        FilterKind::HtmlEscape => Ok(some_text(html_escaped(text(value)?))),
        FilterKind::HtmlUnescape => Ok(some_text(html_unescaped(text(value)?))),
        FilterKind::Location => match value {
            Value::Redirect(_, location) => Ok(some_text(location)),
            other => Err(unsuited(other, "a redirect, from the query `redirects`")),
        },
        FilterKind::ToFloat => to_float(value),
        FilterKind::ToInt => to_int(value),
        FilterKind::ToHex => {
            let digits: Vec<String> = bytes(value)?.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(some_text(digits.concat()))
        }
        FilterKind::ToText => match value.rendered() {
            Some(text) => Ok(some_text(text)),
            None => Err(unsuited(value, "a single value")),
        },
        FilterKind::UrlDecode => Ok(some_text(percent_decode_str(text(value)?).decode_utf8_lossy())),
        FilterKind::UrlEncode => Ok(some_text(utf8_percent_encode(text(value)?, ENCODED).to_string())),
        FilterKind::Utf8Encode => Ok(Some(Value::Bytes(text(value)?.as_bytes().to_vec()))),
        FilterKind::Utf8Decode => match std::str::from_utf8(bytes(value)?) {
            Ok(text) => Ok(some_text(text)),
            Err(error) => Err(format!("these bytes are not UTF-8: {error}")),
        },
        _ => Err("this filter needs an argument".to_string()),
    }
}

fn plain(text: &str) -> Value {
    Value::Text(text.to_string())
}

fn some_text(text: impl Into<String>) -> Option<Value> {
    Some(Value::Text(text.into()))
}

fn unsuited(value: &Value, wanted: &str) -> String {
    format!("this filter works on {wanted}, not on {}", value.shown())
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(unsuited(other, "text")),
    }
}

fn bytes(value: &Value) -> Result<&[u8], String> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        other => Err(unsuited(other, "bytes")),
    }
}

fn decoded(bytes: Option<Vec<u8>>) -> Filtered {
    bytes.map(|bytes| Some(Value::Bytes(bytes))).ok_or_else(|| "this is not valid Base64".to_string())
}

fn count(value: &Value) -> Filtered {
    match value {
        Value::List(_) | Value::Bytes(_) | Value::Nodes(_) => {
            let size = value.size().unwrap_or_default();
            Ok(Some(Value::Integer(i64::try_from(size).unwrap_or(i64::MAX))))
        }
        other => Err(unsuited(other, "a list, bytes or nodes")),
    }
}

/// The item at an index from 0; a negative index counts from the end.
fn nth(value: &Value, index: i64) -> Filtered {
    let Value::List(items) = value else { return Err(unsuited(value, "a list")) };
    let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    let at = if index < 0 { items.len().checked_sub(distance) } else { Some(distance) };
    match at.and_then(|at| items.get(at)) {
        Some(item) => Ok(Some(item.clone())),
        None => Err(format!("there is no item {index} in a list of {}", items.len())),
    }
}

fn to_int(value: &Value) -> Filtered {
    match value {
        Value::Integer(integer) => Ok(Some(Value::Integer(*integer))),
        // Cuts off the fraction, and the ends of the range where a float lies beyond them.
        Value::Float(float) => Ok(Some(Value::Integer(*float as i64))),
        Value::Text(text) => {
            let integer = text.parse().map_err(|_| format!("{} is not an integer", value.shown()))?;
            Ok(Some(Value::Integer(integer)))
        }
        other => Err(unsuited(other, "a number or a text")),
    }
}

fn to_float(value: &Value) -> Filtered {
    match value {
        Value::Integer(integer) => Ok(Some(Value::Float(*integer as f64))),
        Value::Float(float) => Ok(Some(Value::Float(*float))),
        Value::Text(text) => {
            let float = text.parse().map_err(|_| format!("{} is not a number", value.shown()))?;
            Ok(Some(Value::Float(float)))
        }
        other => Err(unsuited(other, "a number or a text")),
    }
}

/// Whole days from now until a date; negative for the past.
fn days_from_now(value: &Value) -> Result<i64, String> {
    match value {
        Value::Date(date) => Ok((date.as_millisecond() - Clock::system().millis()) / (24 * 3600 * 1000)),
        other => Err(unsuited(other, "a date")),
    }
}

fn html_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Character references as an HTML parser reads them. A text area holds nothing but text, and loses one line end at
/// its start.
fn html_unescaped(text: &str) -> String {
    let page = scraper::Html::parse_fragment(&format!("<textarea>\n{}</textarea>", text.replace('<', "&lt;")));
    let texts = page.tree.root().descendants().filter_map(|node| node.value().as_text().map(|text| text.to_string()));
    texts.collect()
}

fn jsonpath_of(value: &Value, expression: &str) -> Filtered {
    let json = serde_json::from_str(text(value)?).map_err(|error| format!("this text is not JSON: {error}"))?;
    jsonpath(&json, expression)
}

/// As in the stock hurl, the text is read as HTML.
fn xpath_of(value: &Value, expression: &str) -> Filtered {
    Document::html(text(value)?)?.evaluate(expression).map(Some)
}

fn query_parameter(value: &Value, name: &str) -> Filtered {
    let address = text(value)?;
    if !address.starts_with("http://") && !address.starts_with("https://") {
        return Err(format!("`{address}` is not an absolute address"));
    }
    let query = address.split('#').next().and_then(|address| address.split_once('?')).map_or("", |(_, query)| query);
    let found = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
    Ok(found.and_then(|(_, value)| some_text(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_comes_back_as_it_was() {
        for text in ["<a href=\"x\">it's & more</a>", "\nfirst line empty", "</textarea><p>", "&notanentity; &"] {
            assert_eq!(html_unescaped(&html_escaped(text)), text);
        }
        assert_eq!(html_unescaped("&eacute;&#233;&#xe9;&copy"), "ééé©");
    }

    #[test]
    fn items_are_counted_from_both_ends() {
        let list = Value::List(vec![Value::Integer(1), Value::Integer(2)]);
        assert_eq!(nth(&list, 0), Ok(Some(Value::Integer(1))));
        assert_eq!(nth(&list, -1), Ok(Some(Value::Integer(2))));
        for index in [2, -3, i64::MIN, i64::MAX] {
            assert!(nth(&list, index).is_err());
        }
    }

    #[test]
    fn a_parameter_of_an_address_is_found() {
        let address = Value::Text("http://localhost/?a=1&b=x%20y&b=2#c=3".into());
        assert_eq!(query_parameter(&address, "b"), Ok(Some(Value::Text("x y".into()))));
        assert_eq!(query_parameter(&address, "c"), Ok(None));
        assert!(query_parameter(&Value::Text("/?a=1".into()), "a").is_err());
    }
}
