//! What goes wrong, told to three readers: the visitor, the site's author and the operator.
//!
//! A [`Problem`] ends one request; a [`Fault`] is found in a site's files before it is served. Neither knows an HTTP
//! status: `respond/` alone maps kinds to statuses.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What kind of problem ends a request. Not an HTTP status.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The request can't be understood (malformed path, bad UTF-8).
    Malformed,
    /// Parameters of a GET that don't convert; each is named.
    BadParameters(FieldErrors),
    /// There is nothing at this address, or nothing that this visitor may know of.
    NotFound,
    /// Only users may do this, and nobody is logged in.
    LoginNeeded,
    /// The visitor may not do this.
    NotAllowed,
    /// It was tried too often; the seconds until it may be tried again.
    TooMany(u64),
    /// Something must be paid first (`:require 402`).
    PaymentNeeded,
    /// The address exists, but not with this method; the methods that it has.
    NoSuchMethod(Vec<&'static str>),
    /// A method that the server doesn't know at all.
    UnknownMethod,
    /// The state of the data forbids it (`:require 409`).
    Conflict,
    /// Fields that did not pass; shown on the form.
    Invalid(FieldErrors),
    /// The body is larger than allowed.
    TooLarge,
    /// The address is longer than allowed.
    AddressTooLong,
    /// The headers are larger than allowed.
    HeadersTooLarge,
    /// The body's type is not one that this action reads.
    UnsupportedType,
    /// The client was too slow.
    TooSlow,
    /// A queue is full, or the server is stopping.
    Busy,
    /// It may have been done, or not: nobody knows.
    Unknown,
    /// A fault of the site or the server.
    Broken,
}

/// Messages for fields of a form, in the order in which they were found. The empty name stands for the whole form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldErrors(pub Vec<(Arc<str>, String)>);

impl FieldErrors {
    /// One message for one field; the empty name means the whole form.
    pub fn one(field: impl Into<Arc<str>>, message: impl Into<String>) -> FieldErrors {
        FieldErrors(vec![(field.into(), message.into())])
    }

    /// Adds a message.
    pub fn add(&mut self, field: impl Into<Arc<str>>, message: impl Into<String>) {
        self.0.push((field.into(), message.into()));
    }

    /// The first message of a field.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| &**name == field).map(|(_, message)| message.as_str())
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a request can't be answered as wished.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind it is; decides the status.
    pub kind: Kind,
    /// A short text for the visitor; says nothing of the inside.
    pub public: Cow<'static, str>,
    /// Where in the site's files, for its author. Boxed, because most problems have none.
    pub place: Option<Box<Place>>,
    /// What happened inside, for the operator's log and the author's error page.
    pub cause: Option<String>,
}

impl Problem {
    /// A problem of a kind with a text for the visitor.
    pub fn new(kind: Kind, public: impl Into<Cow<'static, str>>) -> Problem {
        Problem { kind, public: public.into(), place: None, cause: None }
    }

    /// Nothing here.
    pub fn not_found() -> Problem {
        Problem::new(Kind::NotFound, "There is nothing at this address.")
    }

    /// A request that can't be understood, and why (the visitor sees the reason).
    pub fn malformed(public: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(Kind::Malformed, public)
    }

    /// A fault of the site or the server; the visitor sees nothing of the cause.
    pub fn broken(cause: impl Into<String>) -> Problem {
        Problem::new(Kind::Broken, "Something went wrong on our side.").caused_by(cause)
    }

    /// The server can't take this now.
    pub fn busy(cause: impl Into<String>) -> Problem {
        Problem::new(Kind::Busy, "The server is busy. Please try again in a moment.").caused_by(cause)
    }

    /// One field that did not pass.
    pub fn invalid(field: impl Into<Arc<str>>, message: impl Into<String>) -> Problem {
        Problem::new(Kind::Invalid(FieldErrors::one(field, message)), "Please check what you entered.")
    }

    /// Fields that did not pass.
    pub fn invalid_fields(errors: FieldErrors) -> Problem {
        Problem::new(Kind::Invalid(errors), "Please check what you entered.")
    }

    /// Adds the cause.
    pub fn caused_by(mut self, cause: impl Into<String>) -> Problem {
        self.cause = Some(cause.into());
        self
    }

    /// Adds the place, unless a nearer one is known already.
    pub fn at(mut self, place: Place) -> Problem {
        self.place.get_or_insert_with(|| Box::new(place));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, &self.place) {
            (Some(cause), Some(place)) => write!(out, "{cause} ({}:{}:{})", place.file, place.line, place.column),
            (Some(cause), None) => out.write_str(cause),
            (None, _) => out.write_str(&self.public),
        }
    }
}

impl std::error::Error for Problem {}

/// A place in a file of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the site's folder.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are meant; at least 1.
    pub width: u32,
    /// The line itself, without its end.
    pub text: String,
}

impl Place {
    /// The place of the bytes `from..to` of `source`. A range over several lines is cut at the end of its first.
    pub fn of(file: impl Into<Arc<str>>, source: &str, from: usize, to: usize) -> Place {
        let from = floor_boundary(source, from);
        let line_start = source[..from].rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[from..].find('\n').map_or(source.len(), |at| from + at);
        let to = floor_boundary(source, to.clamp(from, line_end));
        Place {
            file: file.into(),
            line: count(source.as_bytes()[..from].iter().filter(|byte| **byte == b'\n').count() + 1),
            column: count(source[line_start..from].chars().count() + 1),
            width: count(source[from..to].chars().count().max(1)),
            text: source[line_start..line_end].trim_end_matches('\r').to_string(),
        }
    }

    /// The whole line `line` (from 1) of `source`.
    pub fn of_line(file: impl Into<Arc<str>>, source: &str, line: usize) -> Place {
        let text = source.lines().nth(line.saturating_sub(1)).unwrap_or("");
        let indent = text.chars().take_while(|c| c.is_whitespace()).count();
        Place {
            file: file.into(),
            line: count(line.max(1)),
            column: count(indent + 1),
            width: count(text.trim().chars().count().max(1)),
            text: text.to_string(),
        }
    }
}

/// Places are counted in 32 bits; a file with more lines than that is not one that a person wrote.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The greatest character boundary not after `at`.
fn floor_boundary(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The site can be served, but the author should know.
    Warning,
    /// The site is not served with it.
    Error,
}

/// A fault in a site's files, as `check` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Warning or error.
    pub level: Level,
    /// What is wrong, in one line without a full stop at its end.
    pub message: String,
    /// Where; `None` only for faults of the folder as a whole.
    pub place: Option<Place>,
    /// A few words under the `^^^`; empty when the message says it all.
    pub label: String,
    /// What to do about it; empty when there is nothing useful to say.
    pub help: String,
}

impl Fault {
    /// An error at a place.
    pub fn error(message: impl Into<String>, place: Place) -> Fault {
        Fault {
            level: Level::Error,
            message: message.into(),
            place: Some(place),
            label: String::new(),
            help: String::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(message: impl Into<String>, place: Place) -> Fault {
        Fault { level: Level::Warning, ..Fault::error(message, place) }
    }

    /// An error of the folder as a whole.
    pub fn everywhere(message: impl Into<String>) -> Fault {
        Fault { level: Level::Error, message: message.into(), place: None, label: String::new(), help: String::new() }
    }

    /// Adds the words under the `^^^`.
    pub fn label(mut self, label: impl Into<String>) -> Fault {
        self.label = label.into();
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = help.into();
        self
    }
}

/// `did you mean …?`, for the nearest of `known` to a misspelt `name`; empty when none is near.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + name.len().max(candidate.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
        .unwrap_or_default()
}
