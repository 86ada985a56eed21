//! Bodies of requests, and bodies that are expected of answers.

use super::cursor::{Cursor, Parsed};
use super::{json, literal, text};
use crate::hurl::syntax::{Body, Content, Piece, Span, Template, Wrong};

/// A body with the end of its line; `None` with nothing taken when none stands here.
pub(super) fn body(cursor: &mut Cursor) -> Parsed<Option<Body>> {
    let from = cursor.at;
    let Some(content) = content(cursor)? else { return Ok(None) };
    let span = cursor.span_from(from);
    cursor.end_of_line()?;
    Ok(Some(Body { content, span }))
}

fn content(cursor: &mut Cursor) -> Parsed<Option<Content>> {
    if cursor.rest().starts_with("```") {
        let (template, media_type) = multiline(cursor)?;
        return Ok(Some(Content::Text(template, media_type)));
    }
    if cursor.peek() == Some('`') {
        return Ok(Some(Content::Text(text::backticked(cursor)?, None)));
    }
    if cursor.peek() == Some('<') {
        return Err(Wrong::unsupported(cursor.span_from(cursor.at), "a bare XML body")
            .help("write it between lines of three backticks, the first ending in `xml`"));
    }
    if let Some(bytes) = literal::bytes(cursor)? {
        return Ok(Some(Content::Bytes(bytes)));
    }
    if let Some(name) = literal::file(cursor)? {
        return Ok(Some(Content::File(name)));
    }
    Ok(json::value(cursor)?.map(Content::Json))
}

/// Lines between three backticks. The first line may name the language; `raw` has no holes.
pub(super) fn multiline(cursor: &mut Cursor) -> Parsed<(Template, Option<&'static str>)> {
    let opened = cursor.at;
    cursor.expect("```")?;
    let from = cursor.at;
    let hint = cursor.take_while(|c| c != '\n' && c != '\r' && c != '`').trim_end_matches([' ', '\t']);
    let hint_span = Span { from, to: from + hint.len() };
    let media_type = match hint {
        "" | "raw" => None,
        "json" => Some("application/json"),
        "xml" => Some("application/xml"),
        "graphql" => return Err(Wrong::unsupported(hint_span, "a GraphQL body")),
        other => {
            return Err(Wrong::new(hint_span, format!("`{other}` is not a kind of text that Hurl knows"))
                .help("there are `json`, `xml` and `raw`"));
        }
    };
    if !cursor.newline() {
        return Err(cursor.expected("the end of the line after three backticks"));
    }
    let Some(length) = cursor.rest().find("```") else {
        return Err(Wrong::new(Span { from: opened, to: opened + 3 }, "these three backticks are never closed"));
    };
    let span = Span { from: cursor.at, to: cursor.at + length };
    let template = if hint == "raw" {
        Template { pieces: vec![Piece::Text(cursor.source[span.from..span.to].to_string())], span }
    } else {
        text::plain(cursor.source, span)?
    };
    cursor.at = span.to + 3;
    Ok((template, media_type))
}
