//! The closed list of filters, tests and functions that templates have. All of them are pure: the same arguments give
//! the same result, so that a rendered page depends on nothing but its context.

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, Value, filters, functions, tests};

use super::view::{failure, named_values, value_from};
use super::{Options, date, escape, json, markdown, money, qr, url};

/// Writes a list of names once, for the engine and for `check`.
macro_rules! table {
    ($(#[$doc:meta])* $names:ident, $register:ident by $method:ident: $($name:literal => $function:expr,)*) => {
        $(#[$doc])*
        pub(super) const $names: &[&str] = &[$($name),*];

        fn $register(environment: &mut Environment<'static>) {
            $(environment.$method($name, $function);)*
        }
    };
}

table! {
    /// Filters that need nothing of the site.
    FILTERS, register_filters by add_filter:
    "abs" => |value: Value| if is_null(&value) { Ok(value) } else { filters::abs(value) },
    "attr" => filters::attr,
    "batch" => filters::batch,
    "bool" => filters::bool,
    "capitalize" => filters::capitalize,
    "chain" => filters::chain,
    "count" => length,
    "d" => filters::default,
    "default" => filters::default,
    "dictsort" => filters::dictsort,
    "e" => escape_filter,
    "escape" => escape_filter,
    "first" => |value: &Value| if is_null(value) { Ok(Value::UNDEFINED) } else { filters::first(value) },
    "float" => filters::float,
    "format" => filters::format,
    "groupby" => filters::groupby,
    "indent" => filters::indent,
    "int" => filters::int,
    "items" => filters::items,
    "join" => filters::join,
    "json" => to_json,
    "last" => |value: Value| if is_null(&value) { Ok(value) } else { filters::last(value) },
    "length" => length,
    "lines" => |value: &Value| if is_null(value) { Ok(Value::UNDEFINED) } else { filters::lines(value) },
    "list" => filters::list,
    "local" => local,
    "lower" => filters::lower,
    "map" => filters::map,
    "markdown" => to_markdown,
    "max" => filters::max,
    "min" => filters::min,
    "money" => to_money,
    "pprint" => filters::pprint,
    "reject" => filters::reject,
    "rejectattr" => filters::rejectattr,
    "replace" => filters::replace,
    "reverse" => filters::reverse,
    "round" => round,
    "safe" => filters::safe,
    "select" => filters::select,
    "selectattr" => filters::selectattr,
    "slice" => filters::slice,
    "sort" => filters::sort,
    "split" => split,
    "string" => to_string,
    "sum" => filters::sum,
    "title" => filters::title,
    "tojson" => to_json,
    "trim" => filters::trim,
    "truncate" => truncate,
    "unique" => filters::unique,
    "upper" => filters::upper,
    "urlencode" => urlencode,
    "zip" => filters::zip,
}

/// Filters that read the site's options.
pub(super) const SITE_FILTERS: &[&str] = &["date"];

table! {
    /// What may stand after `is`.
    TESTS, register_tests by add_test:
    "!=" => tests::is_ne,
    "<" => tests::is_lt,
    "<=" => tests::is_le,
    "==" => tests::is_eq,
    ">" => tests::is_gt,
    ">=" => tests::is_ge,
    "boolean" => tests::is_boolean,
    "defined" => tests::is_defined,
    "divisibleby" => tests::is_divisibleby,
    "endingwith" => tests::is_endingwith,
    "eq" => tests::is_eq,
    "equalto" => tests::is_eq,
    "escaped" => tests::is_safe,
    "even" => tests::is_even,
    "false" => tests::is_false,
    "float" => tests::is_float,
    "ge" => tests::is_ge,
    "greaterthan" => tests::is_gt,
    "gt" => tests::is_gt,
    "in" => tests::is_in,
    "int" => tests::is_integer,
    "integer" => tests::is_integer,
    "iterable" => tests::is_iterable,
    "le" => tests::is_le,
    "lessthan" => tests::is_lt,
    "lower" => tests::is_lower,
    "lt" => tests::is_lt,
    "mapping" => tests::is_mapping,
    "ne" => tests::is_ne,
    "none" => is_null,
    "null" => is_null,
    "number" => tests::is_number,
    "odd" => tests::is_odd,
    "safe" => tests::is_safe,
    "sameas" => tests::is_sameas,
    "sequence" => tests::is_sequence,
    "startingwith" => tests::is_startingwith,
    "string" => tests::is_string,
    "true" => tests::is_true,
    "undefined" => tests::is_undefined,
    "upper" => tests::is_upper,
}

table! {
    /// Functions that need nothing of the site.
    FUNCTIONS, register_functions by add_function:
    "dict" => functions::dict,
    "namespace" => functions::namespace,
    "otpauth" => otpauth,
    "qr" => to_qr,
    "range" => functions::range,
    "url" => to_url,
}

/// Functions that read the site's options or the rendering's context.
pub(super) const SITE_FUNCTIONS: &[&str] = &["asset", "form", "upload"];

/// Gives an environment all that templates may call.
pub(super) fn register(environment: &mut Environment<'static>, options: &Options) {
    register_filters(environment);
    register_tests(environment);
    register_functions(environment);
    let zone = options.zone.clone();
    environment.add_filter("date", move |value: &Value, format: Option<Cow<'_, str>>| {
        date::date(&value_from(value), format.as_deref(), &zone).map_err(failure)
    });
    let asset = options.asset.clone();
    environment.add_function("asset", move |path: Cow<'_, str>| asset(&path).map_err(failure));
    let prefix: Arc<str> = options.upload_prefix.clone();
    environment.add_function("upload", move |id: &Value| upload(&prefix, id));
}

/// A filter with its written arguments, or a function, as a function of the one value that isn't written. Gives nothing
/// where the filter would fail.
pub(super) type Alone = Arc<dyn Fn(&Value) -> Option<Value> + Send + Sync>;

/// A filter with its written arguments. `None` for those that straight programs leave to the engine.
pub(super) fn filter_alone(name: &str, written: &[&str], options: &Options) -> Option<Alone> {
    Some(match (name, written) {
        ("count" | "length", []) => Arc::new(|value| length(value).ok().map(Value::from)),
        ("json" | "tojson", []) => Arc::new(|value| Some(to_json(value))),
        ("markdown", []) => Arc::new(|text| Some(to_markdown(text))),
        ("urlencode", []) => Arc::new(|value| Some(Value::from(urlencode(value)))),
        ("money", [currency]) => {
            let currency = currency.to_string();
            Arc::new(move |amount| to_money(amount, Cow::Borrowed(&currency), None).ok().map(Value::from))
        }
        ("date", [] | [_]) => {
            let (format, zone) = (written.first().map(|format| format.to_string()), options.zone.clone());
            Arc::new(move |day| date::date(&value_from(day), format.as_deref(), &zone).ok().map(Value::from))
        }
        _ => return None,
    })
}

/// A function of one argument. `None` for those that straight programs leave to the engine.
pub(super) fn function_alone(name: &str, options: &Options) -> Option<Alone> {
    match name {
        "asset" => {
            let asset = options.asset.clone();
            Some(Arc::new(move |path| asset(path.as_str()?).ok().map(Value::from)))
        }
        "upload" => {
            let prefix = options.upload_prefix.clone();
            Some(Arc::new(move |id| Some(Value::from(upload(&prefix, id)))))
        }
        _ => None,
    }
}

fn upload(prefix: &str, id: &Value) -> String {
    match value_from(id) {
        crate::value::Value::Null => String::new(),
        id => format!("{prefix}{}", url::encode(&id.to_string())),
    }
}

fn is_null(value: &Value) -> bool {
    value.is_none() || value.is_undefined()
}

/// The number of items or characters; nothing has none.
fn length(value: &Value) -> Result<usize, Error> {
    if is_null(value) { Ok(0) } else { filters::length(value) }
}

/// Rounds a number; nothing stays nothing.
fn round(value: Value, precision: Option<i32>, method: Option<&str>, named: Kwargs) -> Result<Value, Error> {
    if is_null(&value) { Ok(value) } else { filters::round(value, precision, method, named) }
}

/// Splits a text; nothing stays nothing.
fn split(value: &Value, by: Option<Arc<str>>, most: Option<i64>) -> Result<Value, Error> {
    if is_null(value) { Ok(Value::UNDEFINED) } else { filters::split(value, by, most) }
}

fn to_string(value: &Value) -> Value {
    if value.is_safe() { value.clone() } else { Value::from(escape::plain_text(value)) }
}

fn escape_filter(value: &Value) -> Value {
    if value.is_safe() {
        return value.clone();
    }
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = escape::html_text(&mut out, &escape::plain_text(value));
    Value::from_safe_string(out)
}

fn to_json(value: &Value) -> Value {
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = json::write(&mut out, value, json::Inside::Html);
    Value::from_safe_string(out)
}

/// A path of this site, or else the other one: what a visitor brings along may lead elsewhere (`//host`, `/\host`, which
/// browsers take for another site: WHATWG URL, "relative slash state").
fn local(value: &Value, otherwise: Option<Cow<'_, str>>) -> Value {
    let text = value.as_str().unwrap_or("");
    let inside = match text.as_bytes() {
        [b'/'] => true,
        [b'/', second, ..] => !matches!(second, b'/' | b'\\') && !text.chars().any(char::is_control),
        _ => false,
    };
    if inside { value.clone() } else { Value::from(otherwise.as_deref().unwrap_or("/")) }
}

/// What an authenticator app reads from a QR code.
fn otpauth(secret: &str, account: &str, issuer: &str) -> String {
    crate::accounts::totp::uri(secret, account, issuer)
}

fn to_markdown(text: &Value) -> Value {
    Value::from_safe_string(markdown::html(&escape::plain_text(text)))
}

fn to_money(amount: &Value, currency: Cow<'_, str>, locale: Option<Cow<'_, str>>) -> Result<String, Error> {
    money::money(&value_from(amount), &currency, locale.as_deref().unwrap_or("en")).map_err(failure)
}

fn to_qr(text: &Value, named: Kwargs) -> Result<Value, Error> {
    let label = named.get::<Option<String>>("label")?.unwrap_or_else(|| "QR code".to_string());
    named.assert_all_used()?;
    if is_null(text) {
        return Ok(Value::UNDEFINED);
    }
    qr::svg(&escape::plain_text(text), &label).map(Value::from_safe_string).map_err(failure)
}

fn to_url(route: Cow<'_, str>, named: Kwargs) -> Result<String, Error> {
    url::fill(&route, &named_values(&named)?).map_err(failure)
}

fn urlencode(value: &Value) -> String {
    url::encode(&escape::plain_text(value))
}

/// The text cut to at most `length` characters, at the end of a word where there is one, with `…` for what is left out.
fn truncate(text: &Value, length: Option<usize>, named: Kwargs) -> Result<String, Error> {
    let length = length.or(named.get::<Option<usize>>("length")?).unwrap_or(255);
    let end = named.get::<Option<String>>("end")?.unwrap_or_else(|| "…".to_string());
    named.assert_all_used()?;
    let text = escape::plain_text(text);
    if text.chars().count() <= length {
        return Ok(text);
    }
    let room = length.saturating_sub(end.chars().count());
    let cut: String = text.chars().take(room).collect();
    let word_ends = text.chars().nth(room).is_none_or(char::is_whitespace);
    let kept = match cut.rfind(char::is_whitespace).filter(|at| *at > 0 && !word_ends) {
        Some(at) => &cut[..at],
        None => &cut,
    };
    Ok(format!("{}{end}", kept.trim_end()))
}
