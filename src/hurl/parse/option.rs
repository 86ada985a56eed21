//! The lines of `[Options]`.

use super::cursor::{Cursor, Parsed};
use super::{literal, text};
use crate::hurl::syntax::{Given, MAX_COUNT, Setting, Span, VariableValue, Wrong};
use crate::problem::suggestion;

/// Every option that this runner knows.
const KNOWN: [&str; 15] = [
    "compressed",
    "delay",
    "location",
    "max-redirs",
    "max-time",
    "path-as-is",
    "repeat",
    "retry",
    "retry-interval",
    "skip",
    "user",
    "variable",
    "verbose",
    "verbosity",
    "very-verbose",
];

/// What the stock hurl knows beside them.
const UNSUPPORTED: [&str; 33] = [
    "aws-sigv4",
    "cacert",
    "cert",
    "connect-timeout",
    "connect-to",
    "digest",
    "fail-with-body",
    "header",
    "http1.0",
    "http1.1",
    "http2",
    "http2-prior-knowledge",
    "http3",
    "insecure",
    "ipv4",
    "ipv6",
    "key",
    "limit-rate",
    "location-trusted",
    "negotiate",
    "netrc",
    "netrc-file",
    "netrc-optional",
    "no-header",
    "no-jsonpath-coercion",
    "ntlm",
    "output",
    "pinnedpubkey",
    "proxy",
    "resolve",
    "tls-max",
    "tls-min",
    "unix-socket",
];

/// One option with the end of its line; `None` with nothing taken when no `name:` stands here.
pub(super) fn option(cursor: &mut Cursor) -> Parsed<Option<Setting>> {
    let start = *cursor;
    let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let span = cursor.span_from(start.at);
    cursor.blanks();
    if !cursor.eat(":") {
        *cursor = start;
        return Ok(None);
    }
    cursor.blanks();
    let setting = setting(cursor, name, span)?;
    cursor.end_of_line()?;
    Ok(Some(setting))
}

fn setting(cursor: &mut Cursor, name: &str, span: Span) -> Parsed<Setting> {
    Ok(match name {
        "location" => Setting::Location(literal::given_boolean(cursor)?),
        "skip" => Setting::Skip(literal::given_boolean(cursor)?),
        "compressed" => Setting::Compressed(literal::given_boolean(cursor)?),
        "path-as-is" => Setting::PathAsIs(literal::given_boolean(cursor)?),
        "max-redirs" => Setting::MaxRedirects(count(cursor, -1)?),
        "repeat" => Setting::Repeat(count(cursor, 0)?),
        "retry" => Setting::Retry(count(cursor, 0)?),
        "retry-interval" => Setting::RetryInterval(literal::given_duration(cursor)?),
        "delay" => Setting::Delay(literal::given_duration(cursor)?),
        "max-time" => Setting::MaxTime(literal::given_duration(cursor)?),
        "user" => Setting::User(text::unquoted(cursor)?),
        "variable" => variable(cursor)?,
        "verbose" | "very-verbose" => {
            literal::given_boolean(cursor)?;
            Setting::Quiet
        }
        "verbosity" => verbosity(cursor)?,
        other if UNSUPPORTED.contains(&other) => {
            return Err(Wrong::unsupported(span, &format!("the option `{other}`")));
        }
        other => {
            return Err(Wrong::new(span, format!("there is no option `{other}`")).help(suggestion(other, KNOWN)));
        }
    })
}

/// A count; -1 stands for "without end" in Hurl, which only redirects may have here.
fn count(cursor: &mut Cursor, least: i64) -> Parsed<Given<i64>> {
    let from = cursor.at;
    match literal::given_integer(cursor)? {
        Given::Value(-1) if least == 0 => Err(Wrong::unsupported(cursor.span_from(from), "trying without end")),
        Given::Value(count) if !(least..=MAX_COUNT).contains(&count) => {
            Err(Wrong::new(cursor.span_from(from), format!("this option takes a count from {least} to {MAX_COUNT}")))
        }
        given => Ok(given),
    }
}

fn verbosity(cursor: &mut Cursor) -> Parsed<Setting> {
    match cursor.word() {
        "brief" | "verbose" | "debug" => Ok(Setting::Quiet),
        _ => Err(cursor.expected("`brief`, `verbose` or `debug`")),
    }
}

/// `name=value`: null, a boolean, a number, a quoted text, or text to the end of the line.
fn variable(cursor: &mut Cursor) -> Parsed<Setting> {
    let from = cursor.at;
    let name = cursor.take_while(text::is_of_name).to_string();
    if name.is_empty() {
        return Err(cursor.expected("the name of a variable"));
    }
    if ["getEnv", "newDate", "newUuid"].contains(&name.as_str()) {
        return Err(Wrong::new(cursor.span_from(from), format!("`{name}` is a function; choose another name")));
    }
    cursor.blanks();
    cursor.expect("=")?;
    cursor.blanks();
    let value = match plain_value(cursor)? {
        Some(value) => value,
        None if cursor.peek() == Some('"') => VariableValue::Text(text::quoted(cursor)?),
        None => VariableValue::Text(text::unquoted(cursor)?),
    };
    Ok(Setting::Variable(name, value))
}

/// Null, a boolean or a number. A text that begins like one of them needs its quotes, because not every version of
/// the stock hurl reads it without.
fn plain_value(cursor: &mut Cursor) -> Parsed<Option<VariableValue>> {
    let from = cursor.at;
    let value = if cursor.eat("null") {
        Some(VariableValue::Null)
    } else if let Some(boolean) = literal::boolean(cursor) {
        Some(VariableValue::Boolean(boolean))
    } else {
        literal::number(cursor)?.map(VariableValue::Number)
    };
    let whole = cursor.peek().is_none_or(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '#'));
    if value.is_some() && !whole {
        cursor.take_while(|c| !c.is_whitespace());
        return Err(Wrong::new(cursor.span_from(from), "this text begins like a number, a boolean or null")
            .help("put it between double quotes"));
    }
    Ok(value)
}
