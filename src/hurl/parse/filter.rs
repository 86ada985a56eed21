//! Filters, which stand between a query and its predicate.

use super::cursor::{Cursor, Parsed};
use super::literal;
use super::query::argument;
use crate::hurl::syntax::{Filter, FilterKind, Pattern, Span, Wrong};

/// What the stock hurl knows beside the filters here; all of them deal with formats of dates or character sets.
const UNSUPPORTED: [&str; 5] = ["charsetDecode", "dateFormat", "decode", "format", "toDate"];

/// Every filter that stands here, each with the blanks before it. What is no filter is left for the predicate.
pub(super) fn filters(cursor: &mut Cursor) -> Parsed<Vec<Filter>> {
    let mut filters = Vec::new();
    loop {
        let before = *cursor;
        if !cursor.blanks() {
            return Ok(filters);
        }
        match filter(cursor)? {
            Some(filter) => filters.push(filter),
            None => {
                *cursor = before;
                return Ok(filters);
            }
        }
    }
}

fn filter(cursor: &mut Cursor) -> Parsed<Option<Filter>> {
    let from = cursor.at;
    let word = cursor.word();
    let span = cursor.span_from(from);
    let Some(kind) = kind(cursor, word, span)? else { return Ok(None) };
    Ok(Some(Filter { kind, span: cursor.span_from(from) }))
}

fn kind(cursor: &mut Cursor, word: &str, span: Span) -> Parsed<Option<FilterKind>> {
    Ok(Some(match word {
        "base64Decode" => FilterKind::Base64Decode,
        "base64Encode" => FilterKind::Base64Encode,
        "base64UrlSafeDecode" => FilterKind::Base64UrlSafeDecode,
        "base64UrlSafeEncode" => FilterKind::Base64UrlSafeEncode,
        "count" => FilterKind::Count,
        "daysAfterNow" => FilterKind::DaysAfterNow,
        "daysBeforeNow" => FilterKind::DaysBeforeNow,
        "first" => FilterKind::First,
        "htmlEscape" => FilterKind::HtmlEscape,
        "htmlUnescape" => FilterKind::HtmlUnescape,
        "last" => FilterKind::Last,
        "location" => FilterKind::Location,
        "toFloat" => FilterKind::ToFloat,
        "toHex" => FilterKind::ToHex,
        "toInt" => FilterKind::ToInt,
        "toString" => FilterKind::ToText,
        "urlDecode" => FilterKind::UrlDecode,
        "urlEncode" => FilterKind::UrlEncode,
        "utf8Decode" => FilterKind::Utf8Decode,
        "utf8Encode" => FilterKind::Utf8Encode,
        "jsonpath" => FilterKind::Jsonpath(argument(cursor)?),
        "split" => FilterKind::Split(argument(cursor)?),
        "urlQueryParam" => FilterKind::UrlQueryParam(argument(cursor)?),
        "xpath" => FilterKind::Xpath(argument(cursor)?),
        "replace" => FilterKind::Replace(argument(cursor)?, argument(cursor)?),
        "regex" => FilterKind::Regex(pattern(cursor)?),
        "replaceRegex" => FilterKind::ReplaceRegex(pattern(cursor)?, argument(cursor)?),
        "nth" => {
            cursor.blanks_before("a whole number")?;
            FilterKind::Nth(literal::given_integer(cursor)?)
        }
        other if UNSUPPORTED.contains(&other) => {
            return Err(Wrong::unsupported(span, &format!("the filter `{other}`")));
        }
        _ => return Ok(None),
    }))
}

fn pattern(cursor: &mut Cursor) -> Parsed<Pattern> {
    cursor.blanks_before("a regular expression")?;
    literal::pattern(cursor)
}
