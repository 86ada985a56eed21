//! Parameters: what a query file takes from a visitor, and under which conditions.

use std::sync::Arc;

use regex::Regex;

use super::dates::Moving;
use crate::problem::Place;
use crate::value::{Kind, Value};

/// A declared value from the visitor: `-- :qty int required min=1 max=99 default=1`.
///
/// The constraint words are HTML's own, so that the browser and the server enforce the same rule.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name without its colon; also the name of the form field.
    pub name: Arc<str>,
    /// The declared type.
    pub kind: Type,
    /// Whether it must be given. A required `bool` must be checked.
    pub required: bool,
    /// Whether it takes several values; then its value is always a [`Value::List`], empty when nothing was sent.
    pub multiple: bool,
    /// Whether it is part of the path (`[slug]`).
    pub from_path: bool,
    /// What stands in when nothing was given.
    pub default: Option<Preset>,
    /// The smallest value allowed (numbers, dates).
    pub min: Option<Preset>,
    /// The greatest value allowed (numbers, dates).
    pub max: Option<Preset>,
    /// Values lie whole steps from `min`, or from 0: [`Value::Int`] for `int` and `decimal` (smallest units),
    /// [`Value::Real`] for `number`.
    pub step: Option<Value>,
    /// The fewest characters, counted as browsers do: in UTF-16 code units, a line break as one.
    pub minlength: Option<u32>,
    /// The most characters, counted in the same way.
    pub maxlength: Option<u32>,
    /// What the whole text must match.
    pub pattern: Option<Pattern>,
    /// `in=`: the only values allowed, converted; empty when everything is.
    pub choices: Vec<Value>,
    /// `accept=` of a file: MIME types (`image/*`, `image/png`) and extensions (`.pdf`), in lower case.
    pub accept: Vec<Arc<str>>,
    /// `max=5MB` of a file, in bytes.
    pub max_bytes: Option<u64>,
    /// `autocomplete=`: what browsers and password managers may fill in, such as `username` or `new-password`. A
    /// password with `new-password` must be a good one.
    pub autocomplete: Option<Arc<str>>,
    /// `label=`: what the field is called in a form that is made from the declaration.
    pub label: Option<Arc<str>>,
    /// Digits after the point of a `decimal`; 0 for other types.
    pub places: u32,
    /// Where it is declared; `None` for a path parameter without a line of its own.
    pub place: Option<Place>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text without NUL, line breaks as `\n`.
    Text,
    /// A whole number of 64 bits: [`Value::Int`].
    Int,
    /// A finite number: [`Value::Real`].
    Number,
    /// An exact number with `places` digits after the point: [`Value::Int`] of the smallest unit.
    Decimal,
    /// True or false: [`Value::Bool`]; absent is false.
    Bool,
    /// `YYYY-MM-DD`.
    Date,
    /// A point in time: text `YYYY-MM-DDTHH:MM:SS.mmmZ`; without an offset it is read in the site's time zone.
    Datetime,
    /// An email address as browsers accept it.
    Email,
    /// An absolute URL of `http` or `https`.
    Url,
    /// A UUID in lower case with dashes.
    Uuid,
    /// A JSON document as compact text.
    Json,
    /// An upload: the text of its id.
    File,
    /// A password: text as it was typed, never shown again.
    Password,
}

impl Type {
    /// All types, in the order of the handbook.
    pub const ALL: [Type; 13] = [
        Type::Text,
        Type::Int,
        Type::Number,
        Type::Decimal,
        Type::Bool,
        Type::Date,
        Type::Datetime,
        Type::Email,
        Type::Url,
        Type::Uuid,
        Type::Json,
        Type::File,
        Type::Password,
    ];

    /// The word in a declaration.
    pub fn name(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Int => "int",
            Type::Number => "number",
            Type::Decimal => "decimal",
            Type::Bool => "bool",
            Type::Date => "date",
            Type::Datetime => "datetime",
            Type::Email => "email",
            Type::Url => "url",
            Type::Uuid => "uuid",
            Type::Json => "json",
            Type::File => "file",
            Type::Password => "password",
        }
    }

    /// The kind of its values, as databases know kinds.
    pub fn of_value(self) -> Kind {
        match self {
            Type::Text | Type::Email | Type::Url | Type::File | Type::Password => Kind::Text,
            Type::Int | Type::Decimal => Kind::Int,
            Type::Number => Kind::Real,
            Type::Bool => Kind::Bool,
            Type::Date => Kind::Date,
            Type::Datetime => Kind::Datetime,
            Type::Uuid => Kind::Uuid,
            Type::Json => Kind::Json,
        }
    }

    /// The type of a word.
    pub fn named(word: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

/// A value written in a declaration (`min=`, `max=`, `default=`): fixed, or moving with the time of the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Preset {
    /// Always the same, already converted.
    Fixed(Value),
    /// `today`, `now`, `"today + 30 days"`.
    Moving(Moving),
}

/// A `pattern=` as HTML means it: the whole text must match.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As the author wrote it, for the form's attribute.
    pub source: Arc<str>,
    /// The same, anchored at both ends.
    pub regex: Regex,
}

impl Parameter {
    /// Whether nothing can stand in for what the visitor sends.
    pub fn must_be_sent(&self) -> bool {
        self.required && self.default.is_none()
    }

    /// Whether it takes a password that is to be kept from now on, which must be a good one.
    pub fn is_new_password(&self) -> bool {
        self.kind == Type::Password && self.autocomplete.as_deref() == Some("new-password")
    }

    /// A parameter of a type without any constraint.
    pub fn new(name: impl Into<Arc<str>>, kind: Type) -> Parameter {
        Parameter {
            name: name.into(),
            kind,
            required: false,
            multiple: false,
            from_path: false,
            default: None,
            min: None,
            max: None,
            step: None,
            minlength: None,
            maxlength: None,
            pattern: None,
            choices: Vec::new(),
            accept: Vec::new(),
            max_bytes: None,
            autocomplete: None,
            label: None,
            places: 0,
            place: None,
        }
    }
}
