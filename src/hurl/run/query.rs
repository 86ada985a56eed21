//! What a query finds in the answers of one entry.

use std::cell::OnceCell;

use http::Version;
use sha2::{Digest, Sha256};

use super::client::Reply;
use super::cookie::SetCookie;
use super::document::{Document, jsonpath};
use super::scope::Scope;
use crate::hurl::syntax::{CookieAttribute, Query, QueryKind, Wrong};
use crate::hurl::value::Value;

/// The answers of one entry - several when redirects were followed - and what has been parsed of the last.
pub(super) struct Evidence<'a> {
    replies: &'a [Reply],
    pub(super) last: &'a Reply,
    document: OnceCell<Result<Document, String>>,
    json: OnceCell<Result<serde_json::Value, String>>,
}

impl<'a> Evidence<'a> {
    /// `None` without any answer.
    pub(super) fn new(replies: &'a [Reply]) -> Option<Evidence<'a>> {
        let last = replies.last()?;
        Some(Evidence { replies, last, document: OnceCell::new(), json: OnceCell::new() })
    }

    /// The value that a query finds; `None` when there is none.
    pub(super) fn find(&self, query: &Query, scope: Scope<'_>) -> Result<Option<Value>, Wrong> {
        let at = |error: String| Wrong::new(query.span, error);
        match &query.kind {
            QueryKind::Status => Ok(Some(Value::Integer(i64::from(self.last.status)))),
            QueryKind::Version => Ok(Some(Value::Text(version_text(self.last.version).to_string()))),
            QueryKind::Url => Ok(Some(Value::Text(self.last.address.to_string()))),
            QueryKind::Ip => Ok(Some(Value::Text(self.last.peer.to_string()))),
            QueryKind::Duration => {
                Ok(Some(Value::Integer(i64::try_from(self.last.took.as_millis()).unwrap_or(i64::MAX))))
            }
            QueryKind::Redirects => Ok(Some(self.redirects())),
            QueryKind::Header(name) => Ok(header(self.last, &scope.text(name)?)),
            QueryKind::Cookie(name, attribute) => cookie(self.last, &scope.text(name)?, *attribute).map_err(at),
            QueryKind::Body => self.last.text().map(|text| Some(Value::Text(text))).map_err(at),
            QueryKind::Bytes => self.last.bytes().map(|bytes| Some(Value::Bytes(bytes))).map_err(at),
            QueryKind::RawBytes => Ok(Some(Value::Bytes(self.last.body.to_vec()))),
            QueryKind::Sha256 => {
                self.last.bytes().map(|bytes| Some(Value::Bytes(Sha256::digest(bytes).to_vec()))).map_err(at)
            }
            QueryKind::Xpath(expression) => {
                let document = self.document().as_ref().map_err(|error| at(error.clone()))?;
                let expression_text = scope.text(expression)?;
                document.evaluate(&expression_text).map(Some).map_err(|error| Wrong::new(expression.span, error))
            }
            QueryKind::Jsonpath(expression) => {
                let json = self.json().as_ref().map_err(|error| at(error.clone()))?;
                jsonpath(json, &scope.text(expression)?).map_err(|error| Wrong::new(expression.span, error))
            }
            QueryKind::Regex(pattern) => {
                let text = self.last.text().map_err(at)?;
                Ok(first_group(&scope.pattern(pattern)?, &text))
            }
            QueryKind::Variable(name) => Ok(scope.variables.get(&scope.text(name)?).cloned()),
        }
    }

    fn document(&self) -> &Result<Document, String> {
        self.document.get_or_init(|| {
            let text = self.last.text()?;
            if self.last.is_html() { Document::html(&text) } else { Document::xml(&text) }
        })
    }

    fn json(&self) -> &Result<serde_json::Value, String> {
        self.json.get_or_init(|| {
            let text = self.last.text()?;
            serde_json::from_str(&text).map_err(|error| format!("the body is not JSON: {error}"))
        })
    }

    fn redirects(&self) -> Value {
        let steps = self.replies.windows(2).map(|pair| Value::Redirect(pair[0].status, pair[1].address.to_string()));
        Value::List(steps.collect())
    }
}

/// `1.1`, as after `HTTP/`.
pub(super) fn version_text(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// What the first group of an expression matches.
pub(super) fn first_group(regex: &regex::Regex, text: &str) -> Option<Value> {
    regex.captures(text)?.get(1).map(|group| Value::Text(group.as_str().to_string()))
}

fn header(reply: &Reply, name: &str) -> Option<Value> {
    let mut values = reply.header(name);
    match values.len() {
        0 => None,
        1 => values.pop().map(Value::Text),
        _ => Some(Value::List(values.into_iter().map(Value::Text).collect())),
    }
}

fn cookie(reply: &Reply, name: &str, attribute: CookieAttribute) -> Result<Option<Value>, String> {
    let cookies = reply.cookies();
    let Some(cookie) = cookies.iter().find(|cookie| cookie.name == name) else { return Ok(None) };
    let text = |name: &str| cookie.attribute(name).map(|value| Value::Text(value.to_string()));
    let flag = |cookie: &SetCookie, name: &str| cookie.has(name).then_some(Value::Present);
    Ok(match attribute {
        CookieAttribute::Value => Some(Value::Text(cookie.value.clone())),
        CookieAttribute::Expires => cookie.expires()?.map(Value::Date),
        CookieAttribute::MaxAge => cookie.attribute("Max-Age").and_then(|age| age.parse().ok()).map(Value::Integer),
        CookieAttribute::Domain => text("Domain"),
        CookieAttribute::Path => text("Path"),
        CookieAttribute::SameSite => text("SameSite"),
        CookieAttribute::Secure => flag(cookie, "Secure"),
        CookieAttribute::HttpOnly => flag(cookie, "HttpOnly"),
    })
}
