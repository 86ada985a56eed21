//! Answers with data that needs no template: JSON, CSV, private files.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use serde_json::{Map, Value as Json};

use super::document::{Written, csv, json_row, json_value, put_text, put_value};
use super::keep::{Keeper, shows_at_once};
use super::reading::{Start, read};
use super::shelf::Lent;
use super::{Asked, Tools, cache_control, parameters, upload};
use crate::builtin;
use crate::database::versions::TableSet;
use crate::flow::visitor::Visitor;
use crate::flow::{Answer, Visit};
use crate::problem::Problem;
use crate::site::folder::Format;
use crate::site::{Data, Match};
use crate::sqlfile::{Outcome, Results};

/// The most rows of one table that a user gets of their own data. It has to be all of them, so it is more than what a page
/// may read; with still more there is an error rather than a part.
const ROWS_OF_ONES_OWN: usize = 100_000;

/// Answers a GET with the data of an endpoint.
///
/// # Errors
/// A parameter that doesn't convert, and what the queries say.
pub async fn answer(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    asked: &Asked,
    (format, data): (Format, &Data),
) -> Result<Answer, Problem> {
    let start = Start {
        arguments: parameters::of_get(&data.script, found, &asked.pairs, visitor)?,
        script: data.script.clone(),
        selection: None,
        rows: match data.script.path.starts_with(builtin::ROOT) {
            true => ROWS_OF_ONES_OWN,
            false => tools.site.settings.max_rows as usize,
        },
        lent: Lent::to(tools, &data.keeping, &asked.keep, 0),
        before: asked.keep.results(),
    };
    let mut keeper = Keeper::begin(tools, &data.keeping, &asked.keep).filter(|_| format != Format::File);
    let all = Arc::new(read(tools, visit, visitor, &[start]).await?);
    match &mut keeper {
        Some(keeper) => keeper.settle(&all).await,
        None => shows_at_once(tools, &TableSet::all()),
    }
    let Some(results) = all.first() else { return Err(Problem::broken("data without a query")) };
    // A keeper may have waited since the reading ended.
    let began = if keeper.is_none() { visit.trace.last_end() } else { Instant::now() };
    let answer = match format {
        Format::Json => Answer::json(json_text(results)),
        Format::Csv => Answer::bytes("text/csv; charset=utf-8", comma_separated(results)),
        Format::File => return file(tools, results, visitor).await,
    };
    visit.trace.record("render", "", began);
    let mut answer = answer.header(CACHE_CONTROL, cache_control(visitor));
    if let Some(attachment) = data.script.directives.download.as_ref().and_then(|name| attachment(&name.text)) {
        answer.headers.insert(CONTENT_DISPOSITION, attachment);
    }
    if let Some(keeper) = keeper {
        keeper.hand_on(&mut answer, visitor, all, false);
    }
    Ok(answer)
}

/// What makes a browser keep the answer as a file (RFC 6266). The name was held against the rules when it was read.
fn attachment(name: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).ok()
}

/// The results as one JSON value: an object with a key per query, or the query `body` as the whole.
pub(super) fn json(results: &Results) -> Json {
    if let Some(body) = results.get("body") {
        return outcome_json(body);
    }
    let shown = results.iter().filter(|(name, _)| !name.starts_with('_'));
    let mut object = Map::new();
    for (name, outcome) in shown {
        if let Outcome::Changed(_) = outcome {
            continue;
        }
        object.insert(name.to_string(), outcome_json(outcome));
        if let Outcome::Rows(rows) = outcome
            && rows.more
        {
            object.insert(format!("{name}_more"), Json::Bool(true));
        }
    }
    Json::Object(object)
}

/// The same as text. Nothing is built for rows, which are most of it.
fn json_text(results: &Results) -> String {
    written(results).unwrap_or_else(|| json(results).to_string())
}

/// `None` for what has to be built first.
fn written(results: &Results) -> Option<String> {
    let mut out = String::with_capacity(512);
    if let Some(body) = results.get("body") {
        put_outcome(&mut out, body)?;
        return Some(out);
    }
    out.push('{');
    for (name, outcome) in results.iter().filter(|(name, _)| !name.starts_with('_')) {
        match outcome {
            // Whether there is more stands beside it, under a name that may be taken.
            Outcome::Rows(rows) if rows.more => return None,
            Outcome::Changed(_) => continue,
            _ => {}
        }
        if out.len() > 1 {
            out.push(',');
        }
        put_text(&mut out, name);
        out.push(':');
        put_outcome(&mut out, outcome)?;
    }
    out.push('}');
    Some(out)
}

fn put_outcome(out: &mut String, outcome: &Outcome) -> Option<()> {
    match outcome {
        Outcome::Row(rows) if !rows.is_empty() => Written::of(rows)?.put_row(out, 0),
        Outcome::Rows(rows) => Written::of(rows)?.put(out),
        Outcome::Value(value) => put_value(out, value),
        other => out.push_str(&outcome_json(other).to_string()),
    }
    Some(())
}

fn outcome_json(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Row(rows) if rows.is_empty() => Json::Null,
        Outcome::Row(rows) => json_row(rows, 0),
        Outcome::Rows(rows) => (0..rows.len()).map(|row| json_row(rows, row)).collect(),
        Outcome::Value(value) => json_value(value),
        Outcome::List(rows) => (0..rows.len()).filter_map(|row| rows.row(row).first()).map(json_value).collect(),
        Outcome::Changed(count) => Json::from(*count),
        Outcome::Passed => Json::Null,
    }
}

/// The one query whose name doesn't begin with `_`.
fn comma_separated(results: &Results) -> Vec<u8> {
    let rows = results.iter().filter(|(name, _)| !name.starts_with('_')).find_map(|(_, outcome)| match outcome {
        Outcome::Rows(rows) | Outcome::Row(rows) | Outcome::List(rows) => Some(rows),
        _ => None,
    });
    rows.map(|rows| csv(rows)).unwrap_or_default()
}

/// The upload whose id the first query gives; who may see it was decided by that query.
async fn file(tools: &Tools<'_>, results: &Results, visitor: &Visitor) -> Result<Answer, Problem> {
    let id = results.iter().find(|(name, _)| !name.starts_with('_')).and_then(|(_, outcome)| match outcome {
        Outcome::Row(rows) | Outcome::Rows(rows) | Outcome::List(rows) => rows.cells.first().cloned(),
        Outcome::Value(value) => Some(value.clone()),
        _ => None,
    });
    let id = id.as_ref().and_then(|id| id.as_str()).ok_or_else(Problem::not_found)?;
    Ok(upload::find(tools, id).await?.header(CACHE_CONTROL, cache_control(visitor)))
}
