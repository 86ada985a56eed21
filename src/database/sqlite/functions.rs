//! PostgreSQL's functions on SQLite, where SQLite lacks them or means something else by the name.
//!
//! All are pure, so triggers, views and indexes may use them. `concat` and `string_agg` SQLite has itself; `like` minds
//! case by a pragma (see [`super::link`]), which keeps its use of indexes. What can be told of time stands in
//! [`super::time`], the patterns of `to_char` in [`super::to_char`].

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::c_uint;

use rusqlite::functions::{Aggregate, Context, FunctionFlags, SqlFnArg};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use super::{time, to_char};

/// The subtype that SQLite's JSON functions give their results: `J`.
const JSON: c_uint = 74;

/// A text result, or null.
type Text = Result<Option<String>>;

/// Gives a connection all functions of this file.
pub(super) fn register(connection: &Connection) -> Result<()> {
    register_texts(connection)?;
    register_numbers(connection)?;
    register_times(connection)?;
    register_json(connection)
}

fn flags() -> FunctionFlags {
    FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS
}

fn register_texts(connection: &Connection) -> Result<()> {
    let text = |name: &str, arguments: i32, function: fn(&Context<'_>) -> Text| {
        connection.create_scalar_function(name, arguments, flags(), function)
    };
    text("lower", 1, |context| Ok(argument(context, 0)?.map(|text| text.to_lowercase())))?;
    text("upper", 1, |context| Ok(argument(context, 0)?.map(|text| text.to_uppercase())))?;
    text("left", 2, |context| cut(context, |text, count| &text[..from_start(text, count)]))?;
    text("right", 2, |context| cut(context, |text, count| &text[from_end(text, count)..]))?;
    text("split_part", 3, split_part)?;
    text("chr", 1, chr)?;
    connection.create_scalar_function("strpos", 2, flags(), |context| {
        Ok(both(context)?.map(|(text, part)| match text.find(&*part) {
            Some(at) => text[..at].chars().count() as i64 + 1,
            None => 0,
        }))
    })?;
    connection.create_scalar_function("starts_with", 2, flags(), |context| {
        Ok(both(context)?.map(|(text, start)| text.starts_with(&*start)))
    })
}

fn register_numbers(connection: &Connection) -> Result<()> {
    connection.create_scalar_function("greatest", -1, flags(), |context| extreme(context, Ordering::Greater))?;
    connection.create_scalar_function("least", -1, flags(), |context| extreme(context, Ordering::Less))?;
    connection.create_scalar_function("power", 2, flags(), |context| {
        let (base, exponent): (Option<f64>, Option<f64>) = (context.get(0)?, context.get(1)?);
        Ok(base.zip(exponent).map(|(base, exponent)| base.powf(exponent)))
    })?;
    let real = |name: &str, function: fn(f64) -> f64| {
        connection
            .create_scalar_function(name, 1, flags(), move |context| Ok(context.get::<Option<f64>>(0)?.map(function)))
    };
    real("floor", f64::floor)?;
    real("ceil", f64::ceil)?;
    real("ceiling", f64::ceil)?;
    real("sqrt", f64::sqrt)
}

fn register_times(connection: &Connection) -> Result<()> {
    connection.create_scalar_function("date_trunc", 2, flags(), |context| {
        both(context)?.map(|(unit, moment)| time::truncate(&unit, &moment)).transpose().map_err(problem)
    })?;
    connection.create_scalar_function("seconds_between", 2, flags(), |context| {
        both(context)?.map(|(from, to)| time::seconds_between(&from, &to)).transpose().map_err(problem)
    })?;
    connection.create_scalar_function("shift", 3, flags(), |context| {
        let (moment, count, unit) = (argument(context, 0)?, context.get::<Option<i64>>(1)?, argument(context, 2)?);
        match (moment, count, unit) {
            (Some(moment), Some(count), Some(unit)) => time::shift(&moment, count, &unit).map(Some).map_err(problem),
            _ => Ok(None),
        }
    })?;
    connection.create_scalar_function("to_char", 2, flags(), |context| {
        let Some(pattern) = argument(context, 1)? else { return Ok(None) };
        match context.get_raw(0) {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => to_char::number(number as f64, &pattern).map(Some).map_err(problem),
            ValueRef::Real(number) => to_char::number(number, &pattern).map(Some).map_err(problem),
            value => to_char::moment(&text_of(value)?, &pattern).map(Some).map_err(problem),
        }
    })
}

fn register_json(connection: &Connection) -> Result<()> {
    // Without SQLITE_RESULT_SUBTYPE on purpose: SQLite forgets the subtype of a function that declares it at the border
    // of a scalar subquery, and `(select json_agg(…) …)` inside of `json_build_object` would become a string.
    let flags = flags() | FunctionFlags::SQLITE_SUBTYPE;
    connection.create_scalar_function("json_build_object", -1, flags, |context| {
        json_build_object(context).map(|object| (object, Some(JSON)))
    })?;
    connection.create_aggregate_function("json_agg", 1, flags, JsonAgg)
}

/// A failure with its own message, as SQLite shows it.
fn problem(message: impl Into<String>) -> Error {
    Error::UserFunctionError(message.into().into())
}

/// An argument as text; `None` for null.
fn argument<'a>(context: &'a Context<'_>, index: usize) -> Result<Option<Cow<'a, str>>> {
    match context.get_raw(index) {
        ValueRef::Null => Ok(None),
        value => text_of(value).map(Some),
    }
}

fn text_of(value: ValueRef<'_>) -> Result<Cow<'_, str>> {
    match value {
        ValueRef::Null => Ok(Cow::Borrowed("")),
        ValueRef::Integer(number) => Ok(number.to_string().into()),
        ValueRef::Real(number) => Ok(number.to_string().into()),
        ValueRef::Text(text) => Ok(String::from_utf8_lossy(text)),
        ValueRef::Blob(_) => Err(problem("a blob is no text")),
    }
}

/// The first two arguments, unless one is null.
fn both<'a>(context: &'a Context<'_>) -> Result<Option<(Cow<'a, str>, Cow<'a, str>)>> {
    Ok(argument(context, 0)?.zip(argument(context, 1)?))
}

fn cut(context: &Context<'_>, part: fn(&str, i64) -> &str) -> Text {
    let (text, count) = (argument(context, 0)?, context.get::<Option<i64>>(1)?);
    Ok(text.zip(count).map(|(text, count)| part(&text, count).to_string()))
}

/// The byte after the first `count` characters; of a negative count, before the last ones.
fn from_start(text: &str, count: i64) -> usize {
    if count < 0 {
        return from_end(text, count.saturating_neg());
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// The byte before the last `count` characters; of a negative count, after the first ones.
fn from_end(text: &str, count: i64) -> usize {
    if count < 0 {
        return from_start(text, count.saturating_neg());
    }
    match usize::try_from(count).unwrap_or(usize::MAX) {
        0 => text.len(),
        count => text.char_indices().rev().nth(count - 1).map_or(0, |(at, _)| at),
    }
}

/// The nth part of a text, from 1; negative ones count from the end. A part that isn't there is the empty text.
fn split_part(context: &Context<'_>) -> Text {
    let Some((text, delimiter)) = both(context)? else { return Ok(None) };
    let Some(place) = context.get::<Option<i64>>(2)? else { return Ok(None) };
    let index = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
    if index == 0 {
        return Err(problem("split_part counts from 1"));
    }
    let part = match (delimiter.is_empty(), place > 0) {
        (true, _) => Some(&*text).filter(|_| index == 1),
        (false, true) => text.split(&*delimiter).nth(index - 1),
        (false, false) => text.rsplit(&*delimiter).nth(index - 1),
    };
    Ok(Some(part.unwrap_or("").to_string()))
}

fn chr(context: &Context<'_>) -> Text {
    let Some(code) = context.get::<Option<i64>>(0)? else { return Ok(None) };
    let character = u32::try_from(code).ok().filter(|code| *code != 0).and_then(char::from_u32);
    character.map(|character| Some(character.to_string())).ok_or_else(|| problem("chr: there is no such character"))
}

/// The greatest or least argument; nulls don't count.
fn extreme(context: &Context<'_>, wanted: Ordering) -> Result<SqlFnArg> {
    if context.is_empty() {
        return Err(problem("greatest and least need a value"));
    }
    let mut best = 0;
    for index in 1..context.len() {
        let (value, champion) = (context.get_raw(index), context.get_raw(best));
        let better = value != ValueRef::Null && (champion == ValueRef::Null || compare(value, champion) == wanted);
        if better {
            best = index;
        }
    }
    Ok(context.get_arg(best))
}

/// SQLite's order of values: numbers before texts before blobs.
fn compare(left: ValueRef<'_>, right: ValueRef<'_>) -> Ordering {
    fn class(value: ValueRef<'_>) -> u8 {
        match value {
            ValueRef::Null => 0,
            ValueRef::Integer(_) | ValueRef::Real(_) => 1,
            ValueRef::Text(_) => 2,
            ValueRef::Blob(_) => 3,
        }
    }
    match (left, right) {
        (ValueRef::Integer(left), ValueRef::Integer(right)) => left.cmp(&right),
        (ValueRef::Integer(left), ValueRef::Real(right)) => (left as f64).total_cmp(&right),
        (ValueRef::Real(left), ValueRef::Integer(right)) => left.total_cmp(&(right as f64)),
        (ValueRef::Real(left), ValueRef::Real(right)) => left.total_cmp(&right),
        (ValueRef::Text(left), ValueRef::Text(right)) | (ValueRef::Blob(left), ValueRef::Blob(right)) => {
            left.cmp(right)
        }
        _ => class(left).cmp(&class(right)),
    }
}

/// Appends an argument as JSON: what a JSON function made goes in as it is, other texts as strings.
fn push_json(out: &mut String, context: &Context<'_>, index: usize) -> Result<()> {
    match context.get_raw(index) {
        ValueRef::Null => out.push_str("null"),
        ValueRef::Integer(number) => out.push_str(&number.to_string()),
        ValueRef::Real(number) => {
            let number = serde_json::Number::from_f64(number).ok_or_else(|| problem("JSON has no infinite numbers"))?;
            out.push_str(&number.to_string());
        }
        ValueRef::Text(text) if context.get_subtype(index) == JSON => out.push_str(&String::from_utf8_lossy(text)),
        ValueRef::Text(text) => out.push_str(&serde_json::Value::from(&*String::from_utf8_lossy(text)).to_string()),
        ValueRef::Blob(_) => return Err(problem("JSON cannot hold a blob")),
    }
    Ok(())
}

fn json_build_object(context: &Context<'_>) -> Result<String> {
    if context.len() % 2 == 1 {
        return Err(problem("json_build_object needs a value for each name"));
    }
    let mut object = String::from("{");
    for name in (0..context.len()).step_by(2) {
        if name > 0 {
            object.push(',');
        }
        let text = argument(context, name)?.ok_or_else(|| problem("json_build_object: a name is null"))?;
        object.push_str(&serde_json::Value::from(&*text).to_string());
        object.push(':');
        push_json(&mut object, context, name + 1)?;
    }
    object.push('}');
    Ok(object)
}

/// `json_agg`: an array of all values in their order; null when there is no row at all.
struct JsonAgg;

impl Aggregate<String, (Option<String>, Option<c_uint>)> for JsonAgg {
    fn init(&self, _: &mut Context<'_>) -> Result<String> {
        Ok(String::new())
    }

    fn step(&self, context: &mut Context<'_>, array: &mut String) -> Result<()> {
        array.push(if array.is_empty() { '[' } else { ',' });
        push_json(array, context, 0)
    }

    fn finalize(&self, _: &mut Context<'_>, array: Option<String>) -> Result<(Option<String>, Option<c_uint>)> {
        let array = array.filter(|array| !array.is_empty()).map(|array| array + "]");
        let subtype = array.as_ref().map(|_| JSON);
        Ok((array, subtype))
    }
}
