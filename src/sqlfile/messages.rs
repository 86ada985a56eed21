//! What a visitor is told about a value that does not pass: full sentences that name the limit.

use jiff::Timestamp;

use super::parameter::{Parameter, Preset, Type};
use super::read::decimal_text;
use super::server::Surroundings;
use crate::value::Value;

/// The most choices that a message lists.
const LISTED_CHOICES: usize = 8;

impl Parameter {
    /// The message when nothing was given.
    pub(super) fn missing_message(&self) -> String {
        match self.kind {
            Type::Bool => "Please check this box.",
            Type::File if self.multiple => "Please choose at least one file.",
            Type::File => "Please choose a file.",
            _ if self.multiple || !self.choices.is_empty() => "Please choose at least one.",
            _ => "Please fill this in.",
        }
        .into()
    }

    /// The message for a file of a type that `accept=` does not name.
    pub fn wrong_file_message(&self) -> String {
        format!("Please choose a file of this kind: {}.", self.accept.join(", "))
    }

    /// The message for a file larger than `max=`.
    pub fn large_file_message(&self) -> String {
        match self.max_bytes {
            Some(bytes) => format!("Please choose a file of at most {}.", size_text(bytes)),
            None => "Please choose a smaller file.".into(),
        }
    }

    /// The message when a value has the wrong type or lies outside its limits: what is expected, with the limits.
    pub(super) fn expected_message(&self, around: &dyn Surroundings) -> String {
        let thing = match self.kind {
            Type::Text | Type::Password => return "Please enter a text without invisible characters.".into(),
            Type::Bool => return "Please answer with yes or no.".into(),
            Type::Email => return "Please enter an email address, such as name@example.org.".into(),
            Type::Url => return "Please enter a web address that begins with https:// or http://.".into(),
            Type::Uuid => return "Please enter an identifier of 32 hexadecimal digits.".into(),
            Type::Json => return "Please enter valid JSON.".into(),
            Type::File => return "Please choose a file.".into(),
            Type::Int => "a whole number".to_string(),
            Type::Number => "a number".to_string(),
            Type::Decimal if self.places == 0 => "a whole number".to_string(),
            Type::Decimal if self.places == 1 => "a number with at most 1 digit after the point".to_string(),
            Type::Decimal => format!("a number with at most {} digits after the point", self.places),
            Type::Date => "a date".to_string(),
            Type::Datetime => "a date and a time".to_string(),
        };
        format!("Please enter {thing}{}{}.", self.range_words(around), self.step_words())
    }

    /// ` from 1 to 99`, ` of at least 1`, ` of at most 99`; for dates ` not before …`.
    fn range_words(&self, around: &dyn Surroundings) -> String {
        let shown = |limit: &Option<Preset>| limit.as_ref().map(|limit| self.shown(&limit.value(around), around));
        let of_time = matches!(self.kind, Type::Date | Type::Datetime);
        match (shown(&self.min), shown(&self.max)) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) if of_time => format!(" not before {min}"),
            (None, Some(max)) if of_time => format!(" not after {max}"),
            (Some(min), None) => format!(" of at least {min}"),
            (None, Some(max)) => format!(" of at most {max}"),
            (None, None) => String::new(),
        }
    }

    fn step_words(&self) -> String {
        match &self.step {
            Some(Value::Int(units)) => format!(" in steps of {}", decimal_text(*units, self.places)),
            Some(step) => format!(" in steps of {step}"),
            None => String::new(),
        }
    }

    /// A value as a visitor reads it.
    fn shown(&self, value: &Value, around: &dyn Surroundings) -> String {
        match (self.kind, value) {
            (Type::Decimal, Value::Int(units)) => decimal_text(*units, self.places),
            (Type::Datetime, Value::Text(text)) => {
                local_datetime(text, around).map_or_else(|| text.to_string(), |local| local.replace('T', " "))
            }
            _ => value.to_string(),
        }
    }

    /// The message when the text is too short or too long.
    pub(super) fn length_message(&self) -> String {
        let characters = |count: u32| if count == 1 { "1 character".into() } else { format!("{count} characters") };
        match (self.minlength, self.maxlength) {
            (Some(least), Some(most)) if least == most => format!("Please enter exactly {}.", characters(least)),
            (Some(least), Some(most)) => format!("Please enter {least} to {}.", characters(most)),
            (Some(least), None) => format!("Please enter at least {}.", characters(least)),
            (None, most) => format!("Please enter at most {}.", characters(most.unwrap_or(u32::MAX))),
        }
    }

    /// The message when the value is not one of `in=`.
    pub(super) fn choice_message(&self, around: &dyn Surroundings) -> String {
        match self.choices.len() {
            0..=LISTED_CHOICES => {
                let choices: Vec<String> = self.choices.iter().map(|choice| self.shown(choice, around)).collect();
                format!("Please choose one of these: {}.", choices.join(", "))
            }
            _ => "Please choose one of the values that are offered.".into(),
        }
    }
}

/// A size in the largest unit that shows it whole.
fn size_text(bytes: u64) -> String {
    let units =
        [(1_000_000_000, "GB"), (1 << 30, "GiB"), (1_000_000, "MB"), (1 << 20, "MiB"), (1_000, "kB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// `YYYY-MM-DDTHH:MM` in the site's zone, of datetime text.
pub(super) fn local_datetime(text: &str, around: &dyn Surroundings) -> Option<String> {
    let time: Timestamp = text.parse().ok()?;
    let local = time.to_zoned(around.zone());
    let form = if local.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" };
    Some(local.strftime(form).to_string())
}
