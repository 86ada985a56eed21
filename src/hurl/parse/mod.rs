//! Reads a Hurl file: text in, [`HurlFile`] or the first fault out. Follows the grammar of <https://hurl.dev/docs/grammar.html>;
//! where the stock hurl is lenient about nonsense this parser refuses it, so that what passes here passes there.

mod body;
mod cursor;
mod filter;
mod json;
pub(super) mod literal;
mod option;
mod predicate;
mod query;
mod text;

use std::sync::Arc;

use self::cursor::{Cursor, Parsed, is_blank};
use super::syntax::*;
use crate::problem::{Fault, suggestion};

const REQUEST_SECTIONS: [&str; 9] = [
    "BasicAuth",
    "Cookies",
    "Form",
    "FormParams",
    "Multipart",
    "MultipartFormData",
    "Options",
    "Query",
    "QueryStringParams",
];
const RESPONSE_SECTIONS: [&str; 2] = ["Asserts", "Captures"];

/// Reads a file. `name` is the file's name in messages; `source` its text. The error is the first thing in it that
/// is wrong or lies outside the supported subset.
pub fn parse(name: impl Into<Arc<str>>, source: impl Into<Arc<str>>) -> Result<HurlFile, Box<Fault>> {
    let (name, source) = (name.into(), source.into());
    match entries(&source) {
        Ok(entries) => Ok(HurlFile { name, source, entries }),
        Err(wrong) => Err(Box::new(wrong.fault(&name, &source))),
    }
}

fn entries(source: &str) -> Parsed<Vec<Entry>> {
    let mut cursor = Cursor::new(source);
    let mut entries = Vec::new();
    loop {
        cursor.skip_blank_lines();
        if cursor.is_end() {
            return Ok(entries);
        }
        let request = request(&mut cursor)?;
        cursor.skip_blank_lines();
        let response = if cursor.rest().starts_with("HTTP") { Some(response(&mut cursor)?) } else { None };
        entries.push(Entry { request, response });
    }
}

fn request(cursor: &mut Cursor) -> Parsed<Request> {
    let method = method(cursor)?;
    cursor.blanks_before("an address")?;
    let url = text::unquoted(cursor)?;
    if url.pieces.is_empty() {
        return Err(cursor.expected("an address such as `{{host}}/cart`"));
    }
    cursor.end_of_line()?;
    let mut request = Request {
        method,
        url,
        headers: pairs(cursor)?,
        options: Vec::new(),
        query: Vec::new(),
        form: Vec::new(),
        multipart: Vec::new(),
        cookies: Vec::new(),
        basic_auth: None,
        body: None,
    };
    let mut seen = Vec::new();
    while let Some((name, span)) = section(cursor, &mut seen)? {
        request_section(cursor, &mut request, name, span)?;
    }
    cursor.skip_blank_lines();
    request.body = body::body(cursor)?;
    check_content(&request)?;
    Ok(request)
}

fn method(cursor: &mut Cursor) -> Parsed<String> {
    let from = cursor.at;
    let method = cursor.take_while(|c| c.is_ascii_alphabetic());
    let upper = !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase());
    if upper && cursor.peek().is_none_or(|c| is_blank(c) || c == '\n' || c == '\r') {
        return Ok(method.to_string());
    }
    cursor.at = from;
    let wrong = cursor.expected("a request such as `GET {{host}}/`");
    Err(if wrong.message.contains("found `[") {
        wrong.help("sections stand before the body; [Captures] and [Asserts] come after an `HTTP` line")
    } else {
        wrong
    })
}

fn request_section(cursor: &mut Cursor, request: &mut Request, name: &str, span: Span) -> Parsed<()> {
    match name {
        "Query" | "QueryStringParams" => request.query = pairs(cursor)?,
        "Form" | "FormParams" => request.form = pairs(cursor)?,
        "Multipart" | "MultipartFormData" => request.multipart = items(cursor, part)?,
        "Cookies" => request.cookies = pairs(cursor)?,
        "Options" => request.options = items(cursor, option::option)?,
        "BasicAuth" => {
            let mut pairs = pairs(cursor)?;
            if pairs.len() > 1 {
                return Err(Wrong::new(pairs[1].name.span, "[BasicAuth] has one line, `name: password`"));
            }
            request.basic_auth = pairs.pop();
        }
        _ if RESPONSE_SECTIONS.contains(&name) => {
            let message = format!("[{name}] belongs to an answer: an `HTTP` line must stand before it");
            return Err(Wrong::new(span, message));
        }
        _ => return Err(unknown_section(name, span, &REQUEST_SECTIONS)),
    }
    Ok(())
}

/// A request sends one content and has its cookies in one place; Hurl leaves open which wins when there are several.
fn check_content(request: &Request) -> Parsed<()> {
    let body = request.body.as_ref().map(|body| body.span);
    let form = request.form.first().map(|pair| pair.name.span);
    let multipart = request.multipart.first().map(|part| match part {
        Part::Value(pair) => pair.name.span,
        Part::File { name, .. } => name.span,
    });
    let cookie = request.headers.iter().find(|pair| is_cookie(&pair.name));
    if let (Some(cookie), false) = (cookie, request.cookies.is_empty()) {
        let message = "a request has a header `Cookie` or [Cookies], not both";
        return Err(Wrong::new(cookie.name.span, message));
    }
    let mut contents = [body, form, multipart].into_iter().flatten();
    match (contents.next(), contents.next()) {
        (Some(_), Some(second)) => Err(Wrong::new(second, "a request has a body, [Form] or [Multipart], not several")),
        _ => Ok(()),
    }
}

fn is_cookie(name: &Template) -> bool {
    matches!(&name.pieces[..], [Piece::Text(text)] if text.eq_ignore_ascii_case("cookie"))
}

fn response(cursor: &mut Cursor) -> Parsed<Response> {
    let version = version(cursor)?;
    cursor.blanks_before("a status or `*`")?;
    let from = cursor.at;
    let status = status(cursor)?;
    let status_span = cursor.span_from(from);
    cursor.end_of_line()?;
    let headers = pairs(cursor)?;
    let mut response =
        Response { version, status, status_span, headers, captures: Vec::new(), asserts: Vec::new(), body: None };
    let mut seen = Vec::new();
    while let Some((name, span)) = section(cursor, &mut seen)? {
        match name {
            "Captures" => response.captures = items(cursor, capture)?,
            "Asserts" => response.asserts = items(cursor, assert)?,
            _ if REQUEST_SECTIONS.contains(&name) => {
                return Err(Wrong::new(span, format!("[{name}] belongs to a request, before its `HTTP` line")));
            }
            _ => return Err(unknown_section(name, span, &RESPONSE_SECTIONS)),
        }
    }
    cursor.skip_blank_lines();
    response.body = body::body(cursor)?;
    Ok(response)
}

fn version(cursor: &mut Cursor) -> Parsed<Option<&'static str>> {
    cursor.expect("HTTP")?;
    if !cursor.eat("/") {
        return Ok(None);
    }
    let found = ["1.0", "1.1", "2", "3"].into_iter().find(|version| cursor.eat(version));
    found.map(Some).ok_or_else(|| cursor.expected("1.0, 1.1, 2 or 3"))
}

fn status(cursor: &mut Cursor) -> Parsed<Option<u16>> {
    if cursor.eat("*") {
        return Ok(None);
    }
    let from = cursor.at;
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    if digits.is_empty() {
        return Err(cursor.expected("a status such as 200, or `*`"));
    }
    let status = digits.parse().ok().filter(|status| (100..1000).contains(status));
    status.map(Some).ok_or_else(|| Wrong::new(cursor.span_from(from), "a status has three digits"))
}

/// The head of a section, `[Name]`; `None` with nothing but blank lines taken when none stands here.
fn section<'s>(cursor: &mut Cursor<'s>, seen: &mut Vec<&'s str>) -> Parsed<Option<(&'s str, Span)>> {
    cursor.skip_blank_lines();
    let start = *cursor;
    if !cursor.eat("[") {
        return Ok(None);
    }
    let name = cursor.take_while(char::is_alphanumeric);
    if name.is_empty() || !cursor.eat("]") {
        // An array as the body.
        *cursor = start;
        return Ok(None);
    }
    let span = cursor.span_from(start.at);
    cursor.end_of_line()?;
    let canonical = match name {
        "QueryStringParams" => "Query",
        "FormParams" => "Form",
        "MultipartFormData" => "Multipart",
        other => other,
    };
    if seen.contains(&canonical) {
        return Err(Wrong::new(span, format!("there is a section [{canonical}] already")));
    }
    seen.push(canonical);
    Ok(Some((name, span)))
}

fn unknown_section(name: &str, span: Span, known: &[&str]) -> Wrong {
    Wrong::new(span, format!("there is no section [{name}] here")).help(suggestion(name, known.iter().copied()))
}

/// Every `item` that stands here, blank lines and comments between them skipped.
fn items<T>(cursor: &mut Cursor, item: impl Fn(&mut Cursor) -> Parsed<Option<T>>) -> Parsed<Vec<T>> {
    let mut items = Vec::new();
    loop {
        cursor.skip_blank_lines();
        match item(cursor)? {
            Some(item) => items.push(item),
            None => return Ok(items),
        }
    }
}

fn pairs(cursor: &mut Cursor) -> Parsed<Vec<Pair>> {
    items(cursor, pair)
}

/// `name: value`.
fn pair(cursor: &mut Cursor) -> Parsed<Option<Pair>> {
    let Some(name) = name_and_colon(cursor) else { return Ok(None) };
    let value = text::unquoted(cursor)?;
    cursor.end_of_line()?;
    Ok(Some(Pair { name, value }))
}

/// A name, its colon and the blanks behind it; `None` with nothing taken otherwise.
fn name_and_colon(cursor: &mut Cursor) -> Option<Template> {
    let start = *cursor;
    let name = text::key(cursor)?;
    cursor.blanks();
    if !cursor.eat(":") {
        *cursor = start;
        return None;
    }
    cursor.blanks();
    Some(name)
}

/// `name: value`, or `name: file,path; type`.
fn part(cursor: &mut Cursor) -> Parsed<Option<Part>> {
    let start = *cursor;
    let Some(name) = name_and_colon(cursor) else { return Ok(None) };
    let Some(file) = literal::file(cursor)? else {
        *cursor = start;
        return Ok(pair(cursor)?.map(Part::Value));
    };
    cursor.blanks();
    let media_type = Some(text::unquoted(cursor)?).filter(|media_type| !media_type.pieces.is_empty());
    cursor.end_of_line()?;
    Ok(Some(Part::File { name, file, media_type }))
}

/// `name: query filters`.
fn capture(cursor: &mut Cursor) -> Parsed<Option<Capture>> {
    let Some(name) = name_and_colon(cursor) else { return Ok(None) };
    let query = query::query(cursor)?;
    let filters = filter::filters(cursor)?;
    cursor.blanks();
    let from = cursor.at;
    if cursor.eat("redact") {
        return Err(Wrong::unsupported(cursor.span_from(from), "`redact`"));
    }
    cursor.end_of_line()?;
    Ok(Some(Capture { name, query, filters }))
}

/// `query filters predicate`.
fn assert(cursor: &mut Cursor) -> Parsed<Option<Assert>> {
    let from = cursor.at;
    let is_body = ["null", "true", "false", "hex,", "base64,", "file,"].iter().any(|b| cursor.rest().starts_with(b));
    if is_body || !cursor.peek().is_some_and(|c| c.is_ascii_lowercase()) {
        return Ok(None);
    }
    let query = query::query(cursor)?;
    let filters = filter::filters(cursor)?;
    cursor.blanks_before("a predicate such as `== 200` or `exists`")?;
    let predicate = predicate::predicate(cursor)?;
    let span = cursor.span_from(from);
    cursor.end_of_line()?;
    Ok(Some(Assert { query, filters, predicate, span }))
}

#[cfg(test)]
mod tests;
