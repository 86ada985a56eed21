//! Hurl's kinds of text - values to the end of a line, quoted strings, names before a colon, file names - each with
//! its own escapes, and all with `{{holes}}`.

use super::cursor::{Cursor, Parsed, is_blank};
use crate::hurl::syntax::{Hole, Piece, Span, Template, Term, Wrong};

/// One character of a text after its escape is undone, and where it was written.
struct Letter {
    character: char,
    span: Span,
}

/// A value up to the end of the line or a `#`, without the blanks at its end. It may be empty.
pub(super) fn unquoted(cursor: &mut Cursor) -> Parsed<Template> {
    let from = cursor.at;
    let mut letters = letters(cursor, |c| c == '#')?;
    while letters.last().is_some_and(|last| last.character == ' ' && last.span.to - last.span.from == 1) {
        letters.pop();
    }
    cursor.at = letters.last().map_or(from, |last| last.span.to);
    template(cursor.source, &letters, cursor.span_from(from))
}

/// A string between double quotes.
pub(super) fn quoted(cursor: &mut Cursor) -> Parsed<Template> {
    between(cursor, "\"", '"')
}

/// A string between single backticks.
pub(super) fn backticked(cursor: &mut Cursor) -> Parsed<Template> {
    between(cursor, "`", '`')
}

fn between(cursor: &mut Cursor, delimiter: &str, end: char) -> Parsed<Template> {
    let from = cursor.at;
    if !cursor.eat(delimiter) {
        return Err(cursor.expected(&format!("a text between {delimiter} and {delimiter}")));
    }
    let letters = letters(cursor, |c| c == end)?;
    if !cursor.eat(delimiter) {
        let message = format!("this text has no {delimiter} at its end");
        return Err(Wrong::new(cursor.span_from(from), message));
    }
    template(cursor.source, &letters, cursor.span_from(from))
}

/// Characters up to one that ends the text; a control character always does.
fn letters(cursor: &mut Cursor, ends: impl Fn(char) -> bool) -> Parsed<Vec<Letter>> {
    let mut letters = Vec::new();
    loop {
        let from = cursor.at;
        let character = match cursor.peek() {
            None | Some('\x08' | '\n' | '\x0c' | '\r' | '\t') => return Ok(letters),
            Some('\\') => escape(cursor, "#\"`\\/")?,
            Some(c) if ends(c) => return Ok(letters),
            Some(c) => {
                cursor.next();
                c
            }
        };
        letters.push(Letter { character, span: cursor.span_from(from) });
    }
}

/// A backslash and what follows it; `literal` lists the characters that stand for themselves.
fn escape(cursor: &mut Cursor, literal: &str) -> Parsed<char> {
    let from = cursor.at;
    cursor.next();
    match cursor.next() {
        Some(c) if literal.contains(c) => Ok(c),
        Some('b') => Ok('\x08'),
        Some('n') => Ok('\n'),
        Some('f') => Ok('\x0c'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('u') => code_point(cursor),
        _ => Err(Wrong::new(cursor.span_from(from), "unknown escape after a backslash")
            .help("a backslash itself is written `\\\\`; a code point `\\u{2708}`")),
    }
}

/// `{2708}` after `\u`.
fn code_point(cursor: &mut Cursor) -> Parsed<char> {
    let from = cursor.at;
    cursor.expect("{")?;
    let digits = cursor.take_while(|c| c.is_ascii_hexdigit());
    cursor.expect("}")?;
    u32::from_str_radix(digits, 16)
        .ok()
        .and_then(char::from_u32)
        .ok_or_else(|| Wrong::new(cursor.span_from(from), "there is no such code point"))
}

/// Text whose characters stand for themselves, as between three backticks.
pub(super) fn plain(source: &str, span: Span) -> Parsed<Template> {
    let letters: Vec<Letter> = source[span.from..span.to]
        .char_indices()
        .map(|(at, character)| {
            let from = span.from + at;
            Letter { character, span: Span { from, to: from + character.len_utf8() } }
        })
        .collect();
    template(source, &letters, span)
}

/// Cuts letters into text and holes. Only braces that are written as such open a hole.
fn template(source: &str, letters: &[Letter], span: Span) -> Parsed<Template> {
    let is = |at: usize, brace: &str| letters.get(at).is_some_and(|l| &source[l.span.from..l.span.to] == brace);
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while at < letters.len() {
        if !(is(at, "{") && is(at + 1, "{")) {
            text.push(letters[at].character);
            at += 1;
            continue;
        }
        let mut close = at + 2;
        while !(is(close, "}") && is(close + 1, "}")) {
            close += 1;
            if close >= letters.len() {
                let opened = Span { from: letters[at].span.from, to: span.to };
                return Err(Wrong::new(opened, "`{{` without its `}}`")
                    .help("two braces that are no variable are written `\\u{7b}\\u{7b}`"));
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        let inner = Span { from: letters[at + 1].span.to, to: letters[close].span.from };
        pieces.push(Piece::Hole(hole_of(source, inner)?));
        at = close + 2;
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(Template { pieces, span })
}

/// A hole where one may stand: `{{name}}`, or nothing taken.
pub(super) fn hole(cursor: &mut Cursor) -> Parsed<Option<Hole>> {
    if !cursor.rest().starts_with("{{") {
        return Ok(None);
    }
    let from = cursor.at + 2;
    let line = cursor.rest().lines().next().unwrap_or("");
    let Some(length) = line[2..].find("}}") else {
        return Err(cursor.wrong("`{{` without its `}}`"));
    };
    let hole = hole_of(cursor.source, Span { from, to: from + length })?;
    cursor.at = from + length + 2;
    Ok(Some(hole))
}

/// What stands between the braces at `span`.
pub(super) fn hole_of(source: &str, span: Span) -> Parsed<Hole> {
    let name = source[span.from..span.to].trim_matches(is_blank);
    if name.is_empty() || !name.chars().all(is_of_name) {
        return Err(Wrong::new(span, format!("`{name}` is not the name of a variable"))
            .help("names have letters, digits, `_` and `-`"));
    }
    let term = match name {
        "newUuid" => Term::NewUuid,
        "newDate" => Term::NewDate,
        "getEnv" => return Err(Wrong::unsupported(span, "the function `getEnv`")),
        _ => Term::Variable(name.to_string()),
    };
    Ok(Hole { term, span })
}

/// The characters of a variable's name.
pub(super) fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// A name before a colon. `None`, with nothing taken, when none stands here.
pub(super) fn key(cursor: &mut Cursor) -> Option<Template> {
    let is_text = |c: char| c.is_alphanumeric() || "_-.[]@$".contains(c);
    if cursor.peek() == Some('[') {
        return None;
    }
    let start = *cursor;
    let found = with_holes(cursor, is_text, "#:\\/").ok().filter(|key| !key.pieces.is_empty());
    if found.is_none() {
        *cursor = start;
    }
    found
}

/// The name of a file: blanks, `#`, `;` and braces in it are escaped by a backslash.
pub(super) fn file_name(cursor: &mut Cursor) -> Parsed<Template> {
    let is_text = |c: char| !"#;{} \n\r\\".contains(c);
    let name = with_holes(cursor, is_text, "\\#; {}")?;
    if name.pieces.is_empty() { Err(cursor.expected("the name of a file")) } else { Ok(name) }
}

fn with_holes(cursor: &mut Cursor, is_text: impl Fn(char) -> bool, literal: &str) -> Parsed<Template> {
    let from = cursor.at;
    let mut pieces = Vec::new();
    let mut text = String::new();
    loop {
        let plain = cursor.take_while(&is_text);
        text.push_str(plain);
        if cursor.peek() == Some('\\') {
            text.push(escape(cursor, literal)?);
        } else if let Some(hole) = hole(cursor)? {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Hole(hole));
        } else if plain.is_empty() {
            break;
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(Template { pieces, span: cursor.span_from(from) })
}
