//! Whether a value is what an assert claims.

use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

use super::scope::Scope;
use crate::hurl::parse::literal::regex_message;
use crate::hurl::syntax::{Assert, Expected, PredicateKind, Property, Wrong};
use crate::hurl::value::Value;

/// How a claim turned out.
enum Verdict {
    Holds,
    Fails,
    /// The claim can't be made of values of these kinds; `not` doesn't help then.
    Unsuited,
}

/// Judges the value of an assert; `None` is a query that found nothing.
pub(super) fn judge(assert: &Assert, actual: Option<&Value>, scope: Scope<'_>) -> Result<(), Wrong> {
    let (claim, verdict) = verdict(assert, actual, scope)?;
    let not = if assert.predicate.not { "not " } else { "" };
    let found = actual.map_or("nothing".to_string(), Value::shown);
    match (verdict, assert.predicate.not) {
        (Verdict::Holds, false) | (Verdict::Fails, true) => Ok(()),
        (Verdict::Holds, true) | (Verdict::Fails, false) => {
            Err(Wrong::new(assert.span, format!("expected {not}{claim}, found {found}")))
        }
        (Verdict::Unsuited, _) => {
            let message = format!("expected {not}{claim}, but that can't be asked of {found}");
            Err(Wrong::new(assert.span, message))
        }
    }
}

/// The claim in words, and how it turned out.
fn verdict(assert: &Assert, actual: Option<&Value>, scope: Scope<'_>) -> Result<(String, Verdict), Wrong> {
    let (words, expected): (&str, &Expected) = match &assert.predicate.kind {
        PredicateKind::Is(property) => {
            return Ok((
                property_words(*property).to_string(),
                actual.map_or(Verdict::Fails, |value| has(value, *property)),
            ));
        }
        PredicateKind::Equal(expected) => ("", expected),
        PredicateKind::NotEqual(expected) => ("anything but ", expected),
        PredicateKind::Greater(expected) => ("more than ", expected),
        PredicateKind::GreaterOrEqual(expected) => ("at least ", expected),
        PredicateKind::Less(expected) => ("less than ", expected),
        PredicateKind::LessOrEqual(expected) => ("at most ", expected),
        PredicateKind::StartsWith(expected) => ("a start of ", expected),
        PredicateKind::EndsWith(expected) => ("an end of ", expected),
        PredicateKind::Contains(expected) | PredicateKind::Includes(expected) => ("a part that is ", expected),
        PredicateKind::Matches(expected) => ("a match of ", expected),
    };
    let expected = value(expected, scope)?;
    let verdict = match actual {
        Some(actual) => {
            compare(&assert.predicate.kind, actual, &expected).map_err(|error| Wrong::new(assert.span, error))?
        }
        None => Verdict::Fails,
    };
    Ok((format!("{words}{}", expected.shown()), verdict))
}

fn value(expected: &Expected, scope: Scope<'_>) -> Result<Value, Wrong> {
    Ok(match expected {
        Expected::Null => Value::Null,
        Expected::Boolean(boolean) => Value::Boolean(*boolean),
        Expected::Number(number) => Value::from(number),
        Expected::Text(template) => Value::Text(scope.text(template)?),
        Expected::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Expected::File(name) => Value::Bytes(scope.file(name)?),
        Expected::Hole(hole) => scope.value(hole)?,
        Expected::Pattern(regex) => Value::Pattern(regex.clone()),
    })
}

fn compare(kind: &PredicateKind, actual: &Value, expected: &Value) -> Result<Verdict, String> {
    let ordered = |wanted: fn(Ordering) -> bool| of(actual.compare(expected).map(wanted));
    Ok(match kind {
        PredicateKind::Equal(_) => of(Some(actual == expected)),
        PredicateKind::NotEqual(_) => of(Some(actual != expected)),
        PredicateKind::Greater(_) => ordered(Ordering::is_gt),
        PredicateKind::GreaterOrEqual(_) => ordered(Ordering::is_ge),
        PredicateKind::Less(_) => ordered(Ordering::is_lt),
        PredicateKind::LessOrEqual(_) => ordered(Ordering::is_le),
        PredicateKind::StartsWith(_) => of(actual.starts_with(expected)),
        PredicateKind::EndsWith(_) => of(actual.ends_with(expected)),
        PredicateKind::Contains(_) => of(actual.contains(expected)),
        PredicateKind::Includes(_) => match actual {
            Value::List(items) => of(Some(items.contains(expected))),
            _ => Verdict::Unsuited,
        },
        PredicateKind::Matches(_) => matches(actual, expected)?,
        PredicateKind::Is(property) => has(actual, *property),
    })
}

fn of(outcome: Option<bool>) -> Verdict {
    match outcome {
        Some(true) => Verdict::Holds,
        Some(false) => Verdict::Fails,
        None => Verdict::Unsuited,
    }
}

fn matches(actual: &Value, expected: &Value) -> Result<Verdict, String> {
    let regex = match expected {
        Value::Pattern(regex) => regex.clone(),
        Value::Text(expression) => regex::Regex::new(expression).map_err(|error| regex_message(&error))?,
        _ => return Ok(Verdict::Unsuited),
    };
    Ok(match actual {
        Value::Text(text) => of(Some(regex.is_match(text))),
        _ => Verdict::Unsuited,
    })
}

fn has(value: &Value, property: Property) -> Verdict {
    let text = |test: fn(&str) -> bool| match value {
        Value::Text(text) => of(Some(test(text))),
        _ => Verdict::Unsuited,
    };
    let holds = match property {
        Property::Existing => !matches!(value, Value::Nodes(0)),
        Property::Empty => return of(value.size().map(|size| size == 0)),
        Property::Boolean => matches!(value, Value::Boolean(_)),
        Property::Integer => matches!(value, Value::Integer(_) | Value::BigInteger(_)),
        Property::Float => matches!(value, Value::Float(_)),
        Property::Number => matches!(value, Value::Integer(_) | Value::BigInteger(_) | Value::Float(_)),
        Property::Text => matches!(value, Value::Text(_)),
        Property::Date => matches!(value, Value::Date(_)),
        Property::List => matches!(value, Value::List(_) | Value::Bytes(_)),
        Property::Object => matches!(value, Value::Object(_) | Value::Nodes(_)),
        Property::Collection => {
            matches!(value, Value::List(_) | Value::Bytes(_) | Value::Object(_) | Value::Nodes(_))
        }
        Property::IsoDate => return text(is_iso_date),
        Property::Ipv4 => return text(|text| text.parse::<Ipv4Addr>().is_ok()),
        Property::Ipv6 => return text(|text| text.parse::<Ipv6Addr>().is_ok()),
        Property::Uuid => return text(|text| uuid::Uuid::try_parse(text).is_ok()),
    };
    of(Some(holds))
}

/// RFC 3339: date, time and offset.
fn is_iso_date(text: &str) -> bool {
    let has_time = text.as_bytes().get(10).is_some_and(|byte| matches!(byte, b'T' | b't' | b' '));
    has_time && !text.contains('[') && text.parse::<Timestamp>().is_ok()
}

fn property_words(property: Property) -> &'static str {
    match property {
        Property::Existing => "something",
        Property::Empty => "an empty value",
        Property::Boolean => "a boolean",
        Property::Integer => "an integer",
        Property::Float => "a float",
        Property::Number => "a number",
        Property::Text => "a text",
        Property::Date => "a date",
        Property::List => "a list",
        Property::Object => "an object",
        Property::Collection => "a collection",
        Property::IsoDate => "a text such as 2026-05-01T12:00:00Z",
        Property::Ipv4 => "a text that is an IPv4 address",
        Property::Ipv6 => "a text that is an IPv6 address",
        Property::Uuid => "a text that is a UUID",
    }
}
