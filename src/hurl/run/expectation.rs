//! What a file expects of an answer. Status and version first: when they are wrong nothing else is asked. Then the
//! captures, because asserts may use them; then headers, body and `[Asserts]`, all of which are told.

use std::path::Path;

use super::filter;
use super::predicate::judge;
use super::query::{Evidence, version_text};
use super::request::content;
use super::scope::Scope;
use crate::hurl::syntax::{Assert, Body, Capture, Content, Pair, Response, Wrong};
use crate::hurl::value::{Value, Variables, shortened};

/// Checks an answer and takes its captures into the variables. Gives how many asserts were judged, and what failed.
pub(super) fn check(
    response: &Response,
    evidence: &Evidence<'_>,
    variables: &mut Variables,
    folder: &Path,
) -> (usize, Vec<Wrong>) {
    let status_line = usize::from(response.status.is_some()) + usize::from(response.version.is_some());
    if let Err(wrong) = check_status_line(response, evidence) {
        return (status_line, vec![wrong]);
    }
    for capture in &response.captures {
        match captured(capture, evidence, Scope { variables, folder }) {
            Ok((name, value)) => variables.set(name, value),
            Err(wrong) => return (status_line, vec![wrong]),
        }
    }
    let scope = Scope { variables, folder };
    let headers = response.headers.iter().map(|pair| check_header(pair, evidence, scope));
    let body = response.body.iter().map(|body| check_body(body, evidence, scope));
    let asserts = response.asserts.iter().map(|assert| check_assert(assert, evidence, scope));
    let outcomes: Vec<Result<(), Wrong>> = headers.chain(body).chain(asserts).collect();
    (status_line + outcomes.len(), outcomes.into_iter().filter_map(Result::err).collect())
}

fn check_status_line(response: &Response, evidence: &Evidence<'_>) -> Result<(), Wrong> {
    let actual = version_text(evidence.last.version);
    if let Some(version) = response.version
        && version != actual
    {
        let message = format!("expected version {version} of HTTP, found {actual}");
        return Err(Wrong::new(response.status_span, message));
    }
    match response.status {
        Some(status) if status != evidence.last.status => {
            let message = format!("expected status {status}, found {}", evidence.last.status);
            let wrong = Wrong::new(response.status_span, message);
            let beginning = evidence.last.beginning();
            Err(if beginning.is_empty() { wrong } else { wrong.help(format!("the answer begins: {beginning}")) })
        }
        _ => Ok(()),
    }
}

fn captured(capture: &Capture, evidence: &Evidence<'_>, scope: Scope<'_>) -> Result<(String, Value), Wrong> {
    let name = scope.text(&capture.name)?;
    let found = evidence.find(&capture.query, scope)?;
    let value = filter::apply(&capture.filters, found, scope)?;
    let nothing = || Wrong::new(capture.query.span, format!("there is nothing to capture as `{name}`"));
    value.ok_or_else(nothing).map(|value| (name.clone(), value))
}

fn check_assert(assert: &Assert, evidence: &Evidence<'_>, scope: Scope<'_>) -> Result<(), Wrong> {
    let found = evidence.find(&assert.query, scope)?;
    let value = filter::apply(&assert.filters, found, scope)?;
    judge(assert, value.as_ref(), scope)
}

/// Of several headers of that name one must have the value.
fn check_header(pair: &Pair, evidence: &Evidence<'_>, scope: Scope<'_>) -> Result<(), Wrong> {
    let (name, expected) = (scope.text(&pair.name)?, scope.text(&pair.value)?);
    let values = evidence.last.header(&name);
    if values.is_empty() {
        return Err(Wrong::new(pair.name.span, format!("the answer has no header `{name}`")));
    }
    if values.contains(&expected) {
        return Ok(());
    }
    let message = format!("expected `{}`, found `{}`", shortened(&expected), shortened(&values.join("` and `")));
    Err(Wrong::new(pair.value.span, message))
}

fn check_body(body: &Body, evidence: &Evidence<'_>, scope: Scope<'_>) -> Result<(), Wrong> {
    let (expected, _) = content(body, scope)?;
    let at = |error: String| Wrong::new(body.span, error);
    if let Content::Json(_) | Content::Text(..) = &body.content {
        let (expected, actual) = (String::from_utf8_lossy(&expected), evidence.last.text().map_err(at)?);
        return if expected == actual { Ok(()) } else { Err(at(difference(&expected, &actual))) };
    }
    let actual = evidence.last.bytes().map_err(at)?;
    if actual == expected {
        return Ok(());
    }
    let differ = actual.iter().zip(expected.iter()).position(|(one, two)| one != two);
    let place = differ.unwrap_or(actual.len().min(expected.len()));
    let message =
        format!("the body differs from byte {place} on: expected {} bytes, found {}", expected.len(), actual.len());
    Err(at(message))
}

/// The first line in which two different texts differ, in words.
fn difference(expected: &str, actual: &str) -> String {
    let mut actual_lines = actual.split('\n');
    for (at, line) in expected.split('\n').enumerate() {
        match actual_lines.next() {
            Some(found) if found == line => {}
            Some(found) => {
                return format!(
                    "the body differs in its line {}: expected `{}`, found `{}`",
                    at + 1,
                    shortened(line),
                    shortened(found)
                );
            }
            None => return format!("the body ends before its line {}, `{}`", at + 1, shortened(line)),
        }
    }
    let more: Vec<&str> = actual_lines.collect();
    format!("the body goes on where it should end: `{}`", shortened(&more.join("\n")))
}
