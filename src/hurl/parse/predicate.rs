//! Predicates: what an assert claims of its value.

use super::cursor::{Cursor, Parsed};
use super::{body, literal, text};
use crate::hurl::syntax::{Expected, Predicate, PredicateKind, Property, Span, Wrong};
use crate::problem::suggestion;

/// The predicates that are words.
const WORDS: [&str; 20] = [
    "contains",
    "endsWith",
    "exists",
    "includes",
    "isBoolean",
    "isCollection",
    "isDate",
    "isEmpty",
    "isFloat",
    "isInteger",
    "isIpv4",
    "isIpv6",
    "isIsoDate",
    "isList",
    "isNumber",
    "isObject",
    "isString",
    "isUuid",
    "matches",
    "startsWith",
];

/// A predicate, with `not` before it or without.
pub(super) fn predicate(cursor: &mut Cursor) -> Parsed<Predicate> {
    let before = *cursor;
    let not = cursor.eat("not") && cursor.blanks();
    if !not {
        *cursor = before;
    }
    let kind = match comparison(cursor)? {
        Some(kind) => kind,
        None => word(cursor)?,
    };
    Ok(Predicate { not, kind })
}

/// Makes a predicate of the value behind it.
type Make = fn(Expected) -> PredicateKind;

/// A predicate that is a sign.
fn comparison(cursor: &mut Cursor) -> Parsed<Option<PredicateKind>> {
    // The longer signs come first, because `>` begins `>=`.
    let signs: [(&str, Make); 6] = [
        ("==", PredicateKind::Equal),
        ("!=", PredicateKind::NotEqual),
        (">=", PredicateKind::GreaterOrEqual),
        (">", PredicateKind::Greater),
        ("<=", PredicateKind::LessOrEqual),
        ("<", PredicateKind::Less),
    ];
    for (sign, kind) in signs {
        if !cursor.eat(sign) {
            continue;
        }
        cursor.blanks();
        let from = cursor.at;
        let value = expected(cursor)?;
        let ordered = matches!(value, Expected::Number(_) | Expected::Text(_) | Expected::Hole(_));
        if !ordered && (sign.starts_with('>') || sign.starts_with('<')) {
            return Err(Wrong::new(cursor.span_from(from), format!("`{sign}` compares numbers and texts only")));
        }
        return Ok(Some(kind(value)));
    }
    Ok(None)
}

fn word(cursor: &mut Cursor) -> Parsed<PredicateKind> {
    let from = cursor.at;
    let word = cursor.word();
    let span = cursor.span_from(from);
    match word {
        "startsWith" => Ok(PredicateKind::StartsWith(text_or_bytes(cursor, word)?)),
        "endsWith" => Ok(PredicateKind::EndsWith(text_or_bytes(cursor, word)?)),
        "contains" => Ok(PredicateKind::Contains(argument(cursor)?.0)),
        "includes" => Ok(PredicateKind::Includes(argument(cursor)?.0)),
        "matches" => match argument(cursor)? {
            (value @ (Expected::Text(_) | Expected::Pattern(_)), _) => Ok(PredicateKind::Matches(value)),
            (_, span) => Err(Wrong::new(span, "`matches` takes a regular expression between `/` or `\"`")),
        },
        _ => property(word).map(PredicateKind::Is).ok_or_else(|| unknown(cursor, word, span)),
    }
}

fn property(word: &str) -> Option<Property> {
    Some(match word {
        "exists" => Property::Existing,
        "isBoolean" => Property::Boolean,
        "isCollection" => Property::Collection,
        "isDate" => Property::Date,
        "isEmpty" => Property::Empty,
        "isFloat" => Property::Float,
        "isInteger" => Property::Integer,
        "isIpv4" => Property::Ipv4,
        "isIpv6" => Property::Ipv6,
        "isIsoDate" => Property::IsoDate,
        "isList" => Property::List,
        "isNumber" => Property::Number,
        "isObject" => Property::Object,
        "isString" => Property::Text,
        "isUuid" => Property::Uuid,
        _ => return None,
    })
}

fn unknown(cursor: &Cursor, word: &str, span: Span) -> Wrong {
    if word.is_empty() {
        cursor.expected("a predicate such as `==` or `contains`")
    } else {
        Wrong::new(span, format!("there is no filter or predicate `{word}`")).help(suggestion(word, WORDS))
    }
}

fn text_or_bytes(cursor: &mut Cursor, word: &str) -> Parsed<Expected> {
    match argument(cursor)? {
        (value @ (Expected::Text(_) | Expected::Bytes(_)), _) => Ok(value),
        (_, span) => Err(Wrong::new(span, format!("`{word}` takes a text in double quotes, or bytes"))),
    }
}

fn argument(cursor: &mut Cursor) -> Parsed<(Expected, Span)> {
    cursor.blanks_before("a value")?;
    let from = cursor.at;
    let value = expected(cursor)?;
    Ok((value, cursor.span_from(from)))
}

/// The value behind a predicate.
fn expected(cursor: &mut Cursor) -> Parsed<Expected> {
    if cursor.eat("null") {
        return Ok(Expected::Null);
    }
    if let Some(boolean) = literal::boolean(cursor) {
        return Ok(Expected::Boolean(boolean));
    }
    if let Some(number) = literal::number(cursor)? {
        return Ok(Expected::Number(number));
    }
    if let Some(name) = literal::file(cursor)? {
        return Ok(Expected::File(name));
    }
    if let Some(bytes) = literal::bytes(cursor)? {
        return Ok(Expected::Bytes(bytes));
    }
    if let Some(hole) = text::hole(cursor)? {
        return Ok(Expected::Hole(hole));
    }
    if cursor.rest().starts_with("```") {
        return Ok(Expected::Text(body::multiline(cursor)?.0));
    }
    match cursor.peek() {
        Some('"') => Ok(Expected::Text(text::quoted(cursor)?)),
        Some('`') => Ok(Expected::Text(text::backticked(cursor)?)),
        Some('/') => literal::slashed(cursor)?.map(Expected::Pattern).ok_or_else(|| cursor.expected("a value")),
        _ => Err(cursor.expected("a value: a text in double quotes, a number, true, false or null")),
    }
}
