//! Writes template values as JSON, safe also inside a `<script>` element.

use std::fmt::{Result, Write};

use minijinja::Value;
use minijinja::value::ValueKind;

use super::escape;

/// Values nested deeper than this are written as null: templates can build a value that holds itself.
const MAX_DEPTH: usize = 64;

/// Where the JSON will stand.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Inside {
    /// In a JSON document of its own.
    Document,
    /// In HTML: `< > & '` and the line separators U+2028 and U+2029 are written as `\uXXXX`, so that the text neither
    /// ends a `<script>` element nor starts a comment (HTML standard, "Restrictions for contents of script elements"),
    /// nor ends an attribute in single quotes.
    Html,
}

/// Writes one value. Bytes become text (invalid UTF-8 replaced), numbers that JSON lacks become null.
pub(super) fn write(out: &mut impl Write, value: &Value, inside: Inside) -> Result {
    write_at(out, value, inside, 0)
}

fn write_at(out: &mut impl Write, value: &Value, inside: Inside, depth: usize) -> Result {
    if depth > MAX_DEPTH {
        return out.write_str("null");
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.write_str("null"),
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => number(out, value),
        ValueKind::Seq | ValueKind::Iterable => list(out, value, inside, depth),
        ValueKind::Map => map(out, value, inside, depth),
        _ => string(out, &escape::plain_text(value), inside),
    }
}

fn number(out: &mut impl Write, value: &Value) -> Result {
    let finite = value.is_integer() || f64::try_from(value.clone()).is_ok_and(f64::is_finite);
    if finite { escape::number(out, value) } else { out.write_str("null") }
}

fn list(out: &mut impl Write, value: &Value, inside: Inside, depth: usize) -> Result {
    out.write_char('[')?;
    for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        write_at(out, &item, inside, depth + 1)?;
    }
    out.write_char(']')
}

fn map(out: &mut impl Write, value: &Value, inside: Inside, depth: usize) -> Result {
    out.write_char('{')?;
    for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        string(out, &escape::plain_text(&key), inside)?;
        out.write_char(':')?;
        write_at(out, &value.get_item(&key).unwrap_or_default(), inside, depth + 1)?;
    }
    out.write_char('}')
}

/// A JSON string (RFC 8259 section 7).
fn string(out: &mut impl Write, text: &str, inside: Inside) -> Result {
    out.write_char('"')?;
    let mut done = 0;
    for (at, character) in text.char_indices() {
        let plain = match character {
            '"' | '\\' | '\0'..='\u{1f}' => false,
            '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => inside == Inside::Document,
            _ => true,
        };
        if plain {
            continue;
        }
        out.write_str(&text[done..at])?;
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            other => write!(out, "\\u{:04x}", u32::from(other))?,
        }
        done = at + character.len_utf8();
    }
    out.write_str(&text[done..])?;
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: Value, inside: Inside) -> String {
        let mut out = String::new();
        write(&mut out, &value, inside).unwrap();
        out
    }

    #[test]
    fn values_become_json() {
        let cases = [
            (Value::UNDEFINED, "null"),
            (Value::from(true), "true"),
            (Value::from(-3), "-3"),
            (Value::from(2.5), "2.5"),
            (Value::from(f64::NAN), "null"),
            (Value::from("a\"\\\n\u{1}"), "\"a\\\"\\\\\\n\\u0001\""),
            (Value::from(vec![1, 2]), "[1,2]"),
            (Value::from_pairs([("a", 1)]), "{\"a\":1}"),
        ];
        for (value, expected) in cases {
            assert_eq!(written(value, Inside::Document), expected);
        }
    }

    #[test]
    fn a_script_element_can_not_be_ended() {
        let text = Value::from("</script><!-- & \u{2028}");
        assert_eq!(written(text, Inside::Html), "\"\\u003c/script\\u003e\\u003c!-- \\u0026 \\u2028\"");
    }

    proptest::proptest! {
        #[test]
        fn serde_reads_back_what_was_written(text in "\\PC*|[\\x00-\\x7f<>&\u{2028}]{0,40}") {
            for inside in [Inside::Document, Inside::Html] {
                let read: String = serde_json::from_str(&written(Value::from(text.as_str()), inside)).unwrap();
                proptest::prop_assert_eq!(&read, &text);
            }
        }
    }
}
