//! Queries, as captures and asserts begin with them.

use super::cursor::{Cursor, Parsed};
use super::{literal, text};
use crate::hurl::syntax::{CookieAttribute, Query, QueryKind, Span, Template, Wrong};
use crate::problem::suggestion;

/// Every query that this runner knows.
const KNOWN: [&str; 16] = [
    "body",
    "bytes",
    "cookie",
    "duration",
    "header",
    "ip",
    "jsonpath",
    "rawbytes",
    "redirects",
    "regex",
    "sha256",
    "status",
    "url",
    "variable",
    "version",
    "xpath",
];

/// What the stock hurl knows beside them.
const UNSUPPORTED: [&str; 2] = ["certificate", "md5"];

/// A query; what else stands here is a fault.
pub(super) fn query(cursor: &mut Cursor) -> Parsed<Query> {
    let from = cursor.at;
    let word = cursor.word();
    let span = cursor.span_from(from);
    let kind = match word {
        "status" => QueryKind::Status,
        "version" => QueryKind::Version,
        "url" => QueryKind::Url,
        "ip" => QueryKind::Ip,
        "duration" => QueryKind::Duration,
        "redirects" => QueryKind::Redirects,
        "body" => QueryKind::Body,
        "bytes" => QueryKind::Bytes,
        "rawbytes" => QueryKind::RawBytes,
        "sha256" => QueryKind::Sha256,
        "header" => QueryKind::Header(argument(cursor)?),
        "cookie" => cookie(cursor)?,
        "xpath" => QueryKind::Xpath(argument(cursor)?),
        "jsonpath" => QueryKind::Jsonpath(argument(cursor)?),
        "variable" => QueryKind::Variable(argument(cursor)?),
        "regex" => {
            cursor.blanks_before("a regular expression")?;
            QueryKind::Regex(literal::pattern(cursor)?)
        }
        unknown => return Err(unknown_query(cursor, unknown, span)),
    };
    Ok(Query { kind, span: cursor.span_from(from) })
}

fn unknown_query(cursor: &Cursor, word: &str, span: Span) -> Wrong {
    if UNSUPPORTED.contains(&word) {
        Wrong::unsupported(span, &format!("the query `{word}`"))
    } else if word.is_empty() {
        cursor.expected("a query such as `status` or `xpath`")
    } else {
        Wrong::new(span, format!("there is no query `{word}`")).help(suggestion(word, KNOWN))
    }
}

/// A blank and a quoted text.
pub(super) fn argument(cursor: &mut Cursor) -> Parsed<Template> {
    cursor.blanks_before("a text in double quotes")?;
    text::quoted(cursor)
}

/// `cookie "name[Attribute]"`.
fn cookie(cursor: &mut Cursor) -> Parsed<QueryKind> {
    cursor.blanks_before("the name of a cookie in double quotes")?;
    cursor.expect("\"")?;
    let from = cursor.at;
    let path = cursor.take_while(|c| c != '"' && c != '\n');
    cursor.expect("\"")?;
    let (name, attribute) = match path.split_once('[') {
        None => (path, CookieAttribute::Value),
        Some((name, rest)) => {
            let at = from + name.len() + 1;
            (name, cookie_attribute(rest, Span { from: at, to: at + rest.len() })?)
        }
    };
    let name = text::plain(cursor.source, Span { from, to: from + name.trim_end_matches(' ').len() })?;
    Ok(QueryKind::Cookie(name, attribute))
}

fn cookie_attribute(rest: &str, span: Span) -> Parsed<CookieAttribute> {
    let name = rest.strip_suffix(']').map(str::trim).unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "value" => Ok(CookieAttribute::Value),
        "expires" => Ok(CookieAttribute::Expires),
        "max-age" => Ok(CookieAttribute::MaxAge),
        "domain" => Ok(CookieAttribute::Domain),
        "path" => Ok(CookieAttribute::Path),
        "secure" => Ok(CookieAttribute::Secure),
        "httponly" => Ok(CookieAttribute::HttpOnly),
        "samesite" => Ok(CookieAttribute::SameSite),
        _ => Err(Wrong::new(span, "this is no attribute of a cookie")
            .help("there are Value, Expires, Max-Age, Domain, Path, Secure, HttpOnly and SameSite, then `]`")),
    }
}
