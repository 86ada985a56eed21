//! What a Hurl file says, as data: the tree that `parse/` builds and `run/` walks. Every part that can fail at run
//! time keeps its span, so that a failure points into the file.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use crate::problem::{Fault, Place};

/// The most that `repeat`, `retry` and `max-redirs` take: beyond it a typing error is likelier than a wish.
pub(super) const MAX_COUNT: i64 = 10_000;

/// Byte offsets into the source, from the first byte to the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// What is wrong at a span. It becomes a [`Fault`] where file and source are known.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
}

impl Wrong {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Wrong {
        Wrong { span, message: message.into(), help: String::new() }
    }

    /// Something that Hurl knows and this runner does not.
    pub(super) fn unsupported(span: Span, what: &str) -> Wrong {
        Wrong::new(span, format!("{what} is not supported by `tableside test`"))
            .help("the stock hurl runs it: hurl --test --variable host=http://127.0.0.1:3000 tests/")
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Wrong {
        self.help = help.into();
        self
    }

    pub(super) fn fault(self, name: &Arc<str>, source: &str) -> Fault {
        let place = Place::of(name.clone(), source, self.span.from, self.span.to);
        Fault::error(self.message, place).help(self.help)
    }
}

/// A Hurl file that has been read and understood; [`super::run`] runs it.
#[derive(Clone, Debug)]
pub struct HurlFile {
    pub(super) name: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) entries: Vec<Entry>,
}

impl HurlFile {
    /// The name under which it was parsed.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How many requests it describes (skipped and repeated ones count once).
    pub fn entries(&self) -> usize {
        self.entries.len()
    }
}

/// One request, and what is expected of its answer.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) request: Request,
    pub(super) response: Option<Response>,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: Template,
    pub(super) headers: Vec<Pair>,
    pub(super) options: Vec<Setting>,
    pub(super) query: Vec<Pair>,
    pub(super) form: Vec<Pair>,
    pub(super) multipart: Vec<Part>,
    pub(super) cookies: Vec<Pair>,
    pub(super) basic_auth: Option<Pair>,
    pub(super) body: Option<Body>,
}

#[derive(Clone, Debug)]
pub(super) struct Response {
    /// `1.0`, `1.1`, `2` or `3`; `None` for a plain `HTTP`.
    pub(super) version: Option<&'static str>,
    /// `None` for `*`.
    pub(super) status: Option<u16>,
    pub(super) status_span: Span,
    pub(super) headers: Vec<Pair>,
    pub(super) captures: Vec<Capture>,
    pub(super) asserts: Vec<Assert>,
    pub(super) body: Option<Body>,
}

/// Text with holes for variables.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) pieces: Vec<Piece>,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Text(String),
    Hole(Hole),
}

/// `{{name}}`.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    pub(super) term: Term,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Variable(String),
    /// `newUuid`: a random version 4 UUID.
    NewUuid,
    /// `newDate`: now, in UTC.
    NewDate,
}

/// `name: value`.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) name: Template,
    pub(super) value: Template,
}

/// One part of a multipart form.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Value(Pair),
    File { name: Template, file: Template, media_type: Option<Template> },
}

#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) content: Content,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Json(Vec<JsonPiece>),
    /// Text and the media type that its language hint implies.
    Text(Template, Option<&'static str>),
    Bytes(Vec<u8>),
    File(Template),
}

/// A piece of a JSON body. The source is kept as written, because Hurl compares JSON bodies as text.
#[derive(Clone, Debug)]
pub(super) enum JsonPiece {
    Source(String),
    /// A hole inside a string: its value is escaped.
    InString(Hole),
    /// A hole in place of a value: a number, a boolean or null.
    InPlace(Hole),
}

/// A line of `[Options]`.
#[derive(Clone, Debug)]
pub(super) enum Setting {
    Location(Given<bool>),
    /// -1 stands for as many as there are counts for.
    MaxRedirects(Given<i64>),
    Variable(String, VariableValue),
    Skip(Given<bool>),
    Repeat(Given<i64>),
    Retry(Given<i64>),
    RetryInterval(Given<Duration>),
    Delay(Given<Duration>),
    MaxTime(Given<Duration>),
    User(Template),
    Compressed(Given<bool>),
    PathAsIs(Given<bool>),
    /// An option that changes only what the stock hurl prints.
    Quiet,
}

/// A value that is written out or taken from a variable.
#[derive(Clone, Debug)]
pub(super) enum Given<T> {
    Value(T),
    Hole(Hole),
}

#[derive(Clone, Debug)]
pub(super) enum VariableValue {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Template),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Float(f64),
    /// An integer beyond 64 bits, as written.
    Big(String),
}

#[derive(Clone, Debug)]
pub(super) struct Capture {
    pub(super) name: Template,
    pub(super) query: Query,
    pub(super) filters: Vec<Filter>,
}

#[derive(Clone, Debug)]
pub(super) struct Assert {
    pub(super) query: Query,
    pub(super) filters: Vec<Filter>,
    pub(super) predicate: Predicate,
    pub(super) span: Span,
}

/// What is asked of an answer.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) kind: QueryKind,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum QueryKind {
    Status,
    Version,
    Url,
    Ip,
    Duration,
    Redirects,
    Header(Template),
    Cookie(Template, CookieAttribute),
    Body,
    Bytes,
    RawBytes,
    Sha256,
    Xpath(Template),
    Jsonpath(Template),
    Regex(Pattern),
    Variable(Template),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieAttribute {
    Value,
    Expires,
    MaxAge,
    Domain,
    Path,
    Secure,
    HttpOnly,
    SameSite,
}

/// A regular expression: between slashes it is known at once, between quotes it may have holes.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Ready(Regex),
    Template(Template),
}

#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) kind: FilterKind,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum FilterKind {
    Base64Decode,
    Base64Encode,
    Base64UrlSafeDecode,
    Base64UrlSafeEncode,
    Count,
    DaysAfterNow,
    DaysBeforeNow,
    First,
    HtmlEscape,
    HtmlUnescape,
    Jsonpath(Template),
    Last,
    Location,
    Nth(Given<i64>),
    Regex(Pattern),
    Replace(Template, Template),
    ReplaceRegex(Pattern, Template),
    Split(Template),
    ToFloat,
    ToHex,
    ToInt,
    ToText,
    UrlDecode,
    UrlEncode,
    UrlQueryParam(Template),
    Utf8Decode,
    Utf8Encode,
    Xpath(Template),
}

#[derive(Clone, Debug)]
pub(super) struct Predicate {
    pub(super) not: bool,
    pub(super) kind: PredicateKind,
}

#[derive(Clone, Debug)]
pub(super) enum PredicateKind {
    Equal(Expected),
    NotEqual(Expected),
    Greater(Expected),
    GreaterOrEqual(Expected),
    Less(Expected),
    LessOrEqual(Expected),
    StartsWith(Expected),
    EndsWith(Expected),
    Contains(Expected),
    Includes(Expected),
    Matches(Expected),
    Is(Property),
}

/// A predicate without a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Boolean,
    Collection,
    Date,
    Empty,
    Existing,
    Float,
    Integer,
    Ipv4,
    Ipv6,
    IsoDate,
    List,
    Number,
    Object,
    Text,
    Uuid,
}

/// The value behind a predicate.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Template),
    Bytes(Vec<u8>),
    File(Template),
    Hole(Hole),
    Pattern(Regex),
}
