//! How values are printed: escaped for the format of the file that prints them.
//!
//! HTML and XML escape `& < > " '` and replace control characters, which neither format allows. CSV quotes cells
//! (RFC 4180) and guards formulas. JSON prints each value as JSON. Plain text prints values as they are. In all of
//! them null prints nothing (in JSON `null`) and booleans print `true` and `false`.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, Output, State, Value};

use super::json;

/// The name under which minijinja carries our rule for `.csv`.
const CSV: &str = "csv";
/// The name under which minijinja carries our rule for `.json`.
const JSON: &str = "json";

/// The rule for a template by its name's ending: HTML for everything that is not `.txt`, `.csv` or `.json`.
pub(super) fn rule(name: &str) -> AutoEscape {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("txt") => AutoEscape::None,
        Some("csv") => AutoEscape::Custom(CSV.into()),
        Some("json") => AutoEscape::Custom(JSON.into()),
        _ => AutoEscape::Html,
    }
}

/// Prints one value by the rule that holds where it stands.
pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    Ok(write(out, state.auto_escape(), value)?)
}

/// Writes one value by a rule.
pub(super) fn write(out: &mut impl Write, rule: &AutoEscape, value: &Value) -> std::fmt::Result {
    if value.is_safe() {
        return out.write_str(value.as_str().unwrap_or_default());
    }
    match rule {
        AutoEscape::Html => html(out, value),
        AutoEscape::Custom(name) if name == CSV => csv_value(out, value),
        AutoEscape::Custom(name) if name == JSON => json::write(out, value, json::Inside::Document),
        _ => plain(out, value),
    }
}

/// A value as a visitor reads it, without escaping.
pub(super) fn plain_text(value: &Value) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = plain(&mut text, value);
    text
}

fn html(out: &mut impl Write, value: &Value) -> std::fmt::Result {
    match value.as_str() {
        Some(text) => html_text(out, text),
        None => match value.kind() {
            ValueKind::Undefined | ValueKind::None | ValueKind::Bool | ValueKind::Number => plain(out, value),
            _ => html_text(out, &plain_text(value)),
        },
    }
}

fn plain(out: &mut impl Write, value: &Value) -> std::fmt::Result {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(()),
        ValueKind::String => out.write_str(value.as_str().unwrap_or_default()),
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => number(out, value),
        ValueKind::Bytes => out.write_str(&String::from_utf8_lossy(value.as_bytes().unwrap_or_default())),
        _ => write!(out, "{value}"),
    }
}

/// Whole numbers print without a point even when they are doubles: 2.0 prints `2`, as `crate::value` does.
pub(super) fn number(out: &mut impl Write, value: &Value) -> std::fmt::Result {
    if value.is_integer() {
        return match value.as_i64() {
            Some(number) => whole(out, number),
            None => write!(out, "{value}"),
        };
    }
    match f64::try_from(value.clone()) {
        Ok(number) => write!(out, "{number}"),
        Err(_) => write!(out, "{value}"),
    }
}

/// A whole number, without the machinery of formats.
pub(super) fn whole(out: &mut impl Write, number: i64) -> std::fmt::Result {
    let (mut digits, mut from, mut rest) = ([0; 20], 20, number.unsigned_abs());
    loop {
        from -= 1;
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.write_char('-')?;
    }
    out.write_str(std::str::from_utf8(&digits[from..]).unwrap_or_default())
}

/// Whether a byte must not stand in HTML or XML as it is. Written without branches so that it vectorizes.
const fn is_special(byte: u8) -> bool {
    let control = (byte < 0x20) & (byte != b'\t') & (byte != b'\n') & (byte != b'\r');
    // `&` and `'` differ in the lowest bit alone, `<` and `>` in the next.
    control | (byte | 1 == b'\'') | (byte & !2 == b'<') | (byte == b'"')
}

/// The same for each byte, for texts that are shorter than a chunk.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_special(byte as u8);
        byte += 1;
    }
    table
};

/// How many bytes are looked at at once.
const CHUNK: usize = 16;

/// One byte for each byte of a chunk: 1 where it is special. The first byte is the lowest.
fn marks(chunk: &[u8; CHUNK]) -> u128 {
    let mut marks = [0; CHUNK];
    for (mark, byte) in marks.iter_mut().zip(chunk) {
        *mark = u8::from(is_special(*byte));
    }
    u128::from_le_bytes(marks)
}

/// Text inside an element or a quoted attribute of HTML or XML.
pub(super) fn html_text(out: &mut impl Write, text: &str) -> std::fmt::Result {
    let bytes = text.as_bytes();
    let mut done = 0;
    let (chunks, rest) = bytes.as_chunks();
    for (index, chunk) in chunks.iter().enumerate() {
        escape_marked(out, text, &mut done, index * CHUNK, marks(chunk))?;
    }
    let at = bytes.len() - rest.len();
    match bytes.last_chunk() {
        // The last chunk begins before the rest: those bytes are behind us.
        Some(last) if !rest.is_empty() => {
            escape_marked(out, text, &mut done, at, marks(last) >> (8 * (CHUNK - rest.len())))?;
        }
        Some(_) => {}
        None => {
            for (index, _) in rest.iter().enumerate().filter(|(_, byte)| SPECIAL[**byte as usize]) {
                escape_byte(out, text, &mut done, index)?;
            }
        }
    }
    out.write_str(&text[done..])
}

/// Writes the text up to and including the marked bytes of what begins at `from`.
fn escape_marked(out: &mut impl Write, text: &str, done: &mut usize, from: usize, mut marks: u128) -> std::fmt::Result {
    while marks != 0 {
        escape_byte(out, text, done, from + marks.trailing_zeros() as usize / 8)?;
        marks &= marks - 1;
    }
    Ok(())
}

/// Writes the text from `done` up to a special byte, and what stands for that byte.
fn escape_byte(out: &mut impl Write, text: &str, done: &mut usize, at: usize) -> std::fmt::Result {
    out.write_str(&text[*done..at])?;
    *done = at + 1;
    out.write_str(match text.as_bytes()[at] {
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'&' => "&amp;",
        b'"' => "&quot;",
        b'\'' => "&#39;",
        _ => "\u{FFFD}",
    })
}

fn csv_value(out: &mut impl Write, value: &Value) -> std::fmt::Result {
    match value.kind() {
        ValueKind::Number | ValueKind::Bool | ValueKind::Undefined | ValueKind::None => plain(out, value),
        _ => csv_text(out, &plain_text(value)),
    }
}

/// One cell of CSV: quoted where RFC 4180 asks for it, and with a `'` before what a spreadsheet would take for a
/// formula (OWASP "CSV Injection"), unless it is a number.
pub(super) fn csv_text(out: &mut impl Write, text: &str) -> std::fmt::Result {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let quoted = formula || text.contains([',', ';', '"', '\n', '\r', '\t']) || text.trim() != text;
    if !quoted {
        return out.write_str(text);
    }
    out.write_char('"')?;
    if formula {
        out.write_char('\'')?;
    }
    for (index, piece) in text.split('"').enumerate() {
        if index > 0 {
            out.write_str("\"\"")?;
        }
        out.write_str(piece)?;
    }
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        html_text(&mut out, text).unwrap();
        out
    }

    #[test]
    fn html_escapes_what_html_knows() {
        let long = "a".repeat(70);
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;"),
            ("é<ü", "é&lt;ü"),
            ("nul\0 bell\u{7} tab\t", "nul\u{FFFD} bell\u{FFFD} tab\t"),
            (&format!("{long}<{long}"), &format!("{long}&lt;{long}")),
        ];
        for (text, expected) in cases {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_byte_is_known() {
        for byte in 0..=u8::MAX {
            let known = matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'')
                || byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
            assert_eq!(is_special(byte), known, "{byte:#x}");
        }
    }

    #[test]
    fn whole_numbers_print_their_digits() {
        for number in [0, 7, -1, 10, 99, -100, 1_234_567_890, i64::MAX, i64::MIN] {
            let mut out = String::new();
            whole(&mut out, number).unwrap();
            assert_eq!(out, number.to_string());
        }
    }

    #[test]
    fn csv_cells_are_quoted_and_formulas_guarded() {
        let cases = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            (" padded", "\" padded\""),
            ("=1+1", "\"'=1+1\""),
            ("-5", "-5"),
            ("+49 89", "\"'+49 89\""),
            ("@cmd", "\"'@cmd\""),
        ];
        for (text, expected) in cases {
            let mut out = String::new();
            csv_text(&mut out, text).unwrap();
            assert_eq!(out, expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn each_character_is_escaped_alone(text in "[a-c<&\"'é\n\t\u{0}>]{0,70}") {
            let mut expected = String::new();
            for character in text.chars() {
                html_text(&mut expected, &character.to_string()).unwrap();
            }
            proptest::prop_assert_eq!(escaped(&text), expected);
        }

        #[test]
        fn escaped_text_holds_nothing_special(text in "\\PC*|[\\x00-\\x7f]{0,80}") {
            let out = escaped(&text);
            proptest::prop_assert!(!out.contains(['<', '>', '"', '\'']));
            let rest = ["&lt;", "&gt;", "&amp;", "&quot;", "&#39;"].iter().fold(out, |text, known| text.replace(known, ""));
            proptest::prop_assert!(!rest.contains('&'));
        }
    }
}
