//! Values that are written out: numbers, booleans, durations, bytes, regular expressions.

use std::time::Duration;

use regex::Regex;

use super::cursor::{Cursor, Parsed};
use super::text;
use crate::hurl::base64;
use crate::hurl::syntax::{Given, Number, Pattern, Span, Template, Wrong};

/// `true` or `false`; `None` with nothing taken otherwise.
pub(super) fn boolean(cursor: &mut Cursor) -> Option<bool> {
    if cursor.eat("true") {
        Some(true)
    } else if cursor.eat("false") {
        Some(false)
    } else {
        None
    }
}

/// A number as Hurl writes it, without exponent; `None` with nothing taken when none stands here.
pub(super) fn number(cursor: &mut Cursor) -> Parsed<Option<Number>> {
    let start = *cursor;
    let negative = cursor.eat("-");
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    if digits.is_empty() {
        *cursor = start;
        return Ok(None);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Wrong::new(cursor.span_from(start.at), "a number has no zeros before its first digit"));
    }
    let is_float = cursor.eat(".");
    if is_float && cursor.take_while(|c| c.is_ascii_digit()).is_empty() {
        return Err(cursor.expected("digits after the point"));
    }
    let written = &cursor.source[start.at..cursor.at];
    Ok(Some(match (is_float, written.parse::<i64>()) {
        (true, _) => Number::Float(written.parse().unwrap_or(f64::NAN)),
        (false, Ok(integer)) => Number::Integer(integer),
        (false, Err(_)) => Number::Big(format!("{}{digits}", if negative { "-" } else { "" })),
    }))
}

/// A boolean or a hole.
pub(super) fn given_boolean(cursor: &mut Cursor) -> Parsed<Given<bool>> {
    if let Some(hole) = text::hole(cursor)? {
        return Ok(Given::Hole(hole));
    }
    boolean(cursor).map(Given::Value).ok_or_else(|| cursor.expected("true or false"))
}

/// An integer or a hole.
pub(super) fn given_integer(cursor: &mut Cursor) -> Parsed<Given<i64>> {
    if let Some(hole) = text::hole(cursor)? {
        return Ok(Given::Hole(hole));
    }
    let from = cursor.at;
    match number(cursor)? {
        Some(Number::Integer(integer)) => Ok(Given::Value(integer)),
        Some(_) => Err(Wrong::new(cursor.span_from(from), "expected a whole number")),
        None => Err(cursor.expected("a whole number")),
    }
}

/// A duration (`500`, `500ms`, `2s`, `1m`, `1h`; milliseconds without a unit) or a hole.
pub(super) fn given_duration(cursor: &mut Cursor) -> Parsed<Given<Duration>> {
    if let Some(hole) = text::hole(cursor)? {
        return Ok(Given::Hole(hole));
    }
    let from = cursor.at;
    let amount = match number(cursor)? {
        Some(Number::Integer(amount)) => u64::try_from(amount).ok(),
        _ => None,
    };
    let Some(amount) = amount else {
        return Err(Wrong::new(cursor.span_from(from), "expected a duration such as `500ms` or `2s`"));
    };
    let millis = match cursor.take_while(|c| c.is_ascii_alphabetic()) {
        "" | "ms" => Some(amount),
        "s" => amount.checked_mul(1000),
        "m" => amount.checked_mul(60 * 1000),
        "h" => amount.checked_mul(3600 * 1000),
        unit => {
            let message = format!("`{unit}` is no unit of time; there are `ms`, `s`, `m` and `h`");
            return Err(Wrong::new(cursor.span_from(from), message));
        }
    };
    let millis = millis.ok_or_else(|| Wrong::new(cursor.span_from(from), "this duration is too long"))?;
    Ok(Given::Value(Duration::from_millis(millis)))
}

/// `hex,6869;` or `base64,aGk=;`; `None` with nothing taken otherwise.
pub(super) fn bytes(cursor: &mut Cursor) -> Parsed<Option<Vec<u8>>> {
    if cursor.eat("hex,") {
        return hex(cursor).map(Some);
    }
    if cursor.eat("base64,") {
        return base64_bytes(cursor).map(Some);
    }
    Ok(None)
}

fn hex(cursor: &mut Cursor) -> Parsed<Vec<u8>> {
    cursor.blanks();
    let from = cursor.at;
    let digits = cursor.take_while(|c| c.is_ascii_hexdigit());
    let span = cursor.span_from(from);
    cursor.blanks();
    cursor.expect(";")?;
    if !digits.len().is_multiple_of(2) {
        return Err(Wrong::new(span, "a byte has two hexadecimal digits; one is missing"));
    }
    let values: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    Ok(values.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn base64_bytes(cursor: &mut Cursor) -> Parsed<Vec<u8>> {
    let from = cursor.at;
    let written = cursor.take_while(|c| c.is_ascii_alphanumeric() || "+/= \t\n".contains(c));
    let span = cursor.span_from(from);
    cursor.expect(";")?;
    let digits: String = written.chars().filter(|c| !c.is_whitespace()).collect();
    base64::decode_lenient(&digits).ok_or_else(|| Wrong::new(span, "this is not valid Base64"))
}

/// `file,name;`; `None` with nothing taken otherwise.
pub(super) fn file(cursor: &mut Cursor) -> Parsed<Option<Template>> {
    if !cursor.eat("file,") {
        return Ok(None);
    }
    cursor.blanks();
    let name = text::file_name(cursor)?;
    cursor.blanks();
    cursor.expect(";")?;
    Ok(Some(name))
}

/// A regular expression between slashes or double quotes.
pub(super) fn pattern(cursor: &mut Cursor) -> Parsed<Pattern> {
    match slashed(cursor)? {
        Some(regex) => Ok(Pattern::Ready(regex)),
        None if cursor.peek() == Some('"') => Ok(Pattern::Template(text::quoted(cursor)?)),
        None => Err(cursor.expected("a regular expression between `/` or `\"`")),
    }
}

/// `/…/`, with `\/` for a slash; `None` with nothing taken otherwise.
pub(super) fn slashed(cursor: &mut Cursor) -> Parsed<Option<Regex>> {
    let from = cursor.at;
    if !cursor.eat("/") {
        return Ok(None);
    }
    let mut expression = String::new();
    loop {
        match cursor.next() {
            Some('/') => break,
            Some('\\') if cursor.eat("/") => expression.push('/'),
            Some('\n') | None => return Err(Wrong::new(Span { from, to: cursor.at }, "this has no `/` at its end")),
            Some(c) => expression.push(c),
        }
    }
    match Regex::new(&expression) {
        Ok(regex) => Ok(Some(regex)),
        Err(error) => Err(Wrong::new(cursor.span_from(from), regex_message(&error))),
    }
}

/// What the regex crate says, in one line.
pub(in crate::hurl) fn regex_message(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("this regular expression is not valid: {}", last.trim_start_matches("error: "))
}
