//! JSON bodies. Their grammar is checked, but the text is kept as written: Hurl sends it so, and compares an answer
//! with it character by character.

use super::cursor::{Cursor, Parsed};
use super::text;
use crate::hurl::syntax::{JsonPiece, Span, Wrong};

/// How deep arrays and objects may nest, as in the stock hurl.
const MAX_DEPTH: usize = 128;

/// A JSON value; `None` with nothing taken when none begins here.
pub(super) fn value(cursor: &mut Cursor) -> Parsed<Option<Vec<JsonPiece>>> {
    let rest = cursor.rest();
    let begins = rest.starts_with(|c: char| c.is_ascii_digit() || "{[\"-".contains(c))
        || ["null", "true", "false"].iter().any(|word| rest.starts_with(word));
    if !begins {
        return Ok(None);
    }
    let mut writer = Writer { pieces: Vec::new(), copied: cursor.at };
    one(cursor, &mut writer, 0)?;
    writer.copy(cursor.source, cursor.at);
    Ok(Some(writer.pieces))
}

/// Collects the source around the holes.
struct Writer {
    pieces: Vec<JsonPiece>,
    /// Up to where the source has been taken over.
    copied: usize,
}

impl Writer {
    fn copy(&mut self, source: &str, to: usize) {
        if self.copied < to {
            self.pieces.push(JsonPiece::Source(source[self.copied..to].to_string()));
        }
    }

    /// Puts a hole in place of the source from `from` to `to`.
    fn put(&mut self, source: &str, from: usize, to: usize, hole: JsonPiece) {
        self.copy(source, from);
        self.pieces.push(hole);
        self.copied = to;
    }
}

fn one(cursor: &mut Cursor, writer: &mut Writer, depth: usize) -> Parsed<()> {
    let from = cursor.at;
    if let Some(hole) = text::hole(cursor)? {
        writer.put(cursor.source, from, cursor.at, JsonPiece::InPlace(hole));
        return Ok(());
    }
    match cursor.peek() {
        Some('"') => string(cursor, writer),
        Some('[' | '{') if depth == MAX_DEPTH => {
            Err(cursor.wrong(format!("this JSON nests deeper than {MAX_DEPTH} levels")))
        }
        Some('[') => list(cursor, writer, depth),
        Some('{') => object(cursor, writer, depth),
        Some(c) if c == '-' || c.is_ascii_digit() => number(cursor),
        _ if cursor.eat("null") || cursor.eat("true") || cursor.eat("false") => Ok(()),
        _ => Err(cursor.expected("a JSON value")),
    }
}

fn list(cursor: &mut Cursor, writer: &mut Writer, depth: usize) -> Parsed<()> {
    cursor.expect("[")?;
    white(cursor);
    if cursor.eat("]") {
        return Ok(());
    }
    loop {
        one(cursor, writer, depth + 1)?;
        white(cursor);
        if cursor.eat("]") {
            return Ok(());
        }
        comma(cursor, ']')?;
    }
}

fn object(cursor: &mut Cursor, writer: &mut Writer, depth: usize) -> Parsed<()> {
    cursor.expect("{")?;
    white(cursor);
    if cursor.eat("}") {
        return Ok(());
    }
    loop {
        string(cursor, writer)?;
        white(cursor);
        cursor.expect(":")?;
        white(cursor);
        one(cursor, writer, depth + 1)?;
        white(cursor);
        if cursor.eat("}") {
            return Ok(());
        }
        comma(cursor, '}')?;
    }
}

fn comma(cursor: &mut Cursor, end: char) -> Parsed<()> {
    if cursor.peek() != Some(',') {
        return Err(cursor.expected(&format!("`,` or `{end}`")));
    }
    let from = cursor.at;
    cursor.next();
    let span = cursor.span_from(from);
    white(cursor);
    if cursor.peek() == Some(end) {
        return Err(Wrong::new(span, "JSON has no comma after the last element"));
    }
    Ok(())
}

fn string(cursor: &mut Cursor, writer: &mut Writer) -> Parsed<()> {
    let from = cursor.at;
    if !cursor.eat("\"") {
        return Err(cursor.expected("a JSON string"));
    }
    loop {
        match cursor.peek() {
            Some('"') => {
                cursor.next();
                return Ok(());
            }
            Some('\\') => escape(cursor)?,
            Some('{') if cursor.rest().starts_with("{{") => hole_in_string(cursor, writer)?,
            None | Some('\x08' | '\n' | '\x0c' | '\r' | '\t') => {
                return Err(Wrong::new(cursor.span_from(from), "this JSON string has no `\"` at its end"));
            }
            Some(_) => {
                cursor.next();
            }
        }
    }
}

fn hole_in_string(cursor: &mut Cursor, writer: &mut Writer) -> Parsed<()> {
    let from = cursor.at;
    if let Some(hole) = text::hole(cursor)? {
        writer.put(cursor.source, from, cursor.at, JsonPiece::InString(hole));
    }
    Ok(())
}

fn escape(cursor: &mut Cursor) -> Parsed<()> {
    let from = cursor.at;
    cursor.next();
    match cursor.next() {
        Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => Ok(()),
        Some('u') => code_unit(cursor, from),
        _ => Err(Wrong::new(cursor.span_from(from), "this escape is not one of JSON's")),
    }
}

/// Four hexadecimal digits, and the second half of a surrogate pair where the first demands one.
fn code_unit(cursor: &mut Cursor, from: usize) -> Parsed<()> {
    let unit = four_digits(cursor);
    let whole = match unit {
        Some(0xd800..0xdc00) => cursor.eat("\\u") && matches!(four_digits(cursor), Some(0xdc00..0xe000)),
        Some(0xdc00..0xe000) | None => false,
        Some(_) => true,
    };
    if whole { Ok(()) } else { Err(Wrong::new(cursor.span_from(from), "this is not a whole code point")) }
}

fn four_digits(cursor: &mut Cursor) -> Option<u32> {
    let digits = cursor.rest().get(..4).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))?;
    cursor.at += 4;
    u32::from_str_radix(digits, 16).ok()
}

fn number(cursor: &mut Cursor) -> Parsed<()> {
    let from = cursor.at;
    cursor.eat("-");
    let whole = cursor.take_while(|c| c.is_ascii_digit());
    let mut good = !whole.is_empty() && (whole == "0" || !whole.starts_with('0'));
    if cursor.eat(".") {
        good &= !cursor.take_while(|c| c.is_ascii_digit()).is_empty();
    }
    if cursor.eat("e") || cursor.eat("E") {
        let _sign = cursor.eat("-") || cursor.eat("+");
        good &= !cursor.take_while(|c| c.is_ascii_digit()).is_empty();
    }
    let span = Span { from, to: cursor.at };
    if good { Ok(()) } else { Err(Wrong::new(span, "this is not a JSON number")) }
}

fn white(cursor: &mut Cursor) {
    cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
}
