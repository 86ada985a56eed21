//! Converting what a visitor sent, once and strictly: its type, then its constraints.

use std::sync::Arc;

use serde_json::Value as Json;

use super::parameter::{Parameter, Preset, Type};
use super::read::{json_text, read};
use super::server::Surroundings;
use crate::value::Value;

impl Parameter {
    /// Converts what was sent: no element when nothing was, several for a repeated field. Absent and empty give the
    /// default, else null (`multiple`: the empty list; `bool`: false). Of a `bool` the last text counts, so that a
    /// hidden field `false` may stand before its checkbox.
    ///
    /// # Errors
    /// A message for the visitor, in full sentences.
    pub fn convert(&self, sent: &[&str], around: &dyn Surroundings) -> Result<Value, String> {
        match sent {
            _ if self.multiple => self.convert_list(sent, around),
            [] => self.absent(around),
            [text] => self.convert_text(text, around),
            [.., last] if self.kind == Type::Bool => self.convert_text(last, around),
            _ => Err("Please give one value only.".into()),
        }
    }

    /// Converts a value of a JSON body. Numbers may come as numbers or as text, a list as an array.
    ///
    /// # Errors
    /// A message for the visitor, in full sentences.
    pub fn convert_json(&self, sent: &Json, around: &dyn Surroundings) -> Result<Value, String> {
        match sent {
            Json::Null if self.required => Err(self.missing_message()),
            Json::Null => self.empty(around),
            Json::Array(items) if self.multiple => {
                if items.is_empty() {
                    return self.convert_list(&[], around);
                }
                let values = items.iter().map(|item| match item {
                    Json::String(text) if self.kind != Type::Json => self.scalar(self.trimmed(text), around),
                    item => self.json_scalar(item, around),
                });
                Ok(Value::List(values.collect::<Result<Vec<Value>, String>>()?.into()))
            }
            _ if self.multiple => Err("Please send a list.".into()),
            scalar => self.json_scalar(scalar, around),
        }
    }

    /// The default at the time of the request; null without one, false for a `bool`, the empty list for `multiple`.
    pub fn default_value(&self, around: &dyn Surroundings) -> Value {
        match &self.default {
            Some(preset) => preset.value(around),
            None if self.multiple => Value::List(Arc::from([])),
            None if self.kind == Type::Bool => Value::Bool(false),
            None => Value::Null,
        }
    }

    /// The value of a text alone, without the constraints: for `in=`, `when=:sort=top` and the like.
    pub(super) fn plain(&self, text: &str, around: &dyn Surroundings) -> Option<Value> {
        read(self, text, around)
    }

    fn absent(&self, around: &dyn Surroundings) -> Result<Value, String> {
        match self.required && self.default.is_none() {
            true => Err(self.missing_message()),
            false => self.empty(around),
        }
    }

    /// What stands for nothing. A moving default may have moved out of the limits, which is no fault of the visitor.
    fn empty(&self, around: &dyn Surroundings) -> Result<Value, String> {
        match self.default_value(around) {
            Value::Bool(false) if self.required => Err(self.missing_message()),
            value => Ok(value),
        }
    }

    fn convert_text(&self, text: &str, around: &dyn Surroundings) -> Result<Value, String> {
        let text = self.trimmed(text);
        match text.trim().is_empty() {
            true if self.required => Err(self.missing_message()),
            true if text.is_empty() => self.empty(around),
            _ => self.scalar(text, around),
        }
    }

    /// Blanks around a number or a date mean nothing; in a text they may.
    fn trimmed<'t>(&self, text: &'t str) -> &'t str {
        match self.kind {
            Type::Text | Type::Password => text,
            _ => text.trim(),
        }
    }

    /// Empty elements (an empty choice of a select) are left out.
    fn convert_list(&self, sent: &[&str], around: &dyn Surroundings) -> Result<Value, String> {
        // Browsers send `<input type=email multiple>` as one text with commas.
        let texts: Vec<&str> = match self.kind {
            Type::Email => sent.iter().flat_map(|text| text.split(',')).collect(),
            _ => sent.to_vec(),
        };
        let given = texts.into_iter().map(|text| self.trimmed(text)).filter(|text| !text.is_empty());
        let values = given.map(|text| self.scalar(text, around)).collect::<Result<Vec<Value>, String>>()?;
        match values.is_empty() {
            true if sent.is_empty() => self.absent(around),
            true if self.required => Err(self.missing_message()),
            true => self.empty(around),
            false => Ok(Value::List(values.into())),
        }
    }

    fn json_scalar(&self, sent: &Json, around: &dyn Surroundings) -> Result<Value, String> {
        let numeric = matches!(self.kind, Type::Int | Type::Number | Type::Decimal);
        match sent {
            document if self.kind == Type::Json => {
                let value = json_text(document).ok_or_else(|| self.expected_message(around))?;
                self.check(&value, around).map(|()| value)
            }
            Json::String(text) => self.convert_text(text, around),
            Json::Number(number) if numeric => self.scalar(&number.to_string(), around),
            Json::Bool(truth) if self.kind == Type::Bool => self.scalar(if *truth { "true" } else { "false" }, around),
            _ if self.kind == Type::Text => Err("Please send a text.".into()),
            _ => Err(self.expected_message(around)),
        }
    }

    fn scalar(&self, text: &str, around: &dyn Surroundings) -> Result<Value, String> {
        let value = read(self, text, around).ok_or_else(|| self.expected_message(around))?;
        self.check(&value, around)?;
        Ok(value)
    }

    /// Whether one converted value meets the constraints.
    pub(super) fn check(&self, value: &Value, around: &dyn Surroundings) -> Result<(), String> {
        if self.required && *value == Value::Bool(false) {
            return Err(self.missing_message());
        }
        if !self.in_range(value, around) || !self.on_step(value, around) {
            return Err(self.expected_message(around));
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            return Err(self.choice_message(around));
        }
        match value {
            Value::Text(text) => self.check_text(text),
            _ => Ok(()),
        }
    }

    fn in_range(&self, value: &Value, around: &dyn Surroundings) -> bool {
        let not_below = self.min.as_ref().is_none_or(|min| at_least(value, &min.value(around)));
        let not_above = self.max.as_ref().is_none_or(|max| at_least(&max.value(around), value));
        not_below && not_above
    }

    /// Whether a number lies whole steps from `min`, or from 0: HTML's "step base".
    fn on_step(&self, value: &Value, around: &dyn Surroundings) -> bool {
        let base = self.min.as_ref().map_or(Value::Null, |min| min.value(around));
        match (value, &self.step) {
            (Value::Int(number), Some(Value::Int(step))) => {
                (i128::from(*number) - i128::from(base.as_int().unwrap_or(0))) % i128::from(*step) == 0
            }
            (Value::Real(number), Some(Value::Real(step))) => {
                let base = if let Value::Real(base) = base { base } else { 0.0 };
                let steps = (number - base) / step;
                // Neither 0.3 nor 0.1 are exact doubles: as near as their rounding is on the step.
                (steps - steps.round()).abs() <= 1e-9 * steps.abs().max(1.0)
            }
            _ => true,
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        if self.minlength.is_some() || self.maxlength.is_some() {
            let length = u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX);
            if self.minlength.is_some_and(|least| length < least) || self.maxlength.is_some_and(|most| length > most) {
                return Err(self.length_message());
            }
        }
        match &self.pattern {
            Some(pattern) if !pattern.regex.is_match(text) => {
                Err("Please enter this in the form that is asked.".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether a file of this name and type may be sent here, by `accept=`.
    pub fn accepts_file(&self, file_name: &str, content_type: &str) -> bool {
        let (name, kind) = (file_name.to_lowercase(), content_type.to_lowercase());
        let kind = kind.split(';').next().unwrap_or("").trim();
        self.accept.is_empty()
            || self.accept.iter().any(|wanted| match wanted.strip_suffix("/*") {
                Some(family) => kind.split_once('/').is_some_and(|(found, _)| found == family),
                None if wanted.starts_with('.') => name.ends_with(&**wanted),
                None => kind == &**wanted,
            })
    }
}

impl Preset {
    /// The value at the time of the request; null when a moment leaves the calendar.
    pub(super) fn value(&self, around: &dyn Surroundings) -> Value {
        match self {
            Preset::Fixed(value) => value.clone(),
            Preset::Moving(moving) => moving.text(around).map_or(Value::Null, Value::from),
        }
    }
}

/// Whether one value is not smaller than another of its type. Canonical texts of dates order as the dates do.
fn at_least(value: &Value, least: &Value) -> bool {
    match (value, least) {
        (Value::Int(value), Value::Int(least)) => value >= least,
        (Value::Real(value), Value::Real(least)) => value >= least,
        (Value::Text(value), Value::Text(least)) => value >= least,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sqlfile::declare::tests::declared;
    use crate::sqlfile::server::tests::Fixed;

    fn convert(line: &str, sent: &[&str]) -> Result<Value, String> {
        declared(line).convert(sent, &Fixed::default())
    }

    fn from_json(line: &str, sent: Json) -> Result<Value, String> {
        declared(line).convert_json(&sent, &Fixed::default())
    }

    fn message(line: &str, sent: &[&str]) -> String {
        convert(line, sent).expect_err(line)
    }

    fn list(items: &[&str]) -> Value {
        Value::List(items.iter().map(|item| Value::from(*item)).collect())
    }

    #[test]
    fn nothing_gives_the_default_or_null() {
        assert_eq!(convert(":q text", &[]), Ok(Value::Null));
        assert_eq!(convert(":q text", &[""]), Ok(Value::Null));
        assert_eq!(convert(":q text", &[" "]), Ok(Value::from(" ")));
        assert_eq!(convert(":page int default=1", &[]), Ok(Value::Int(1)));
        assert_eq!(convert(":page int default=1", &[" "]), Ok(Value::Int(1)));
        assert_eq!(convert(":qty int required default=1", &[]), Ok(Value::Int(1)));
        assert_eq!(convert(":day date default=today", &[]), Ok(Value::from("2024-05-06")));
        assert_eq!(convert(":tags text multiple", &[]), Ok(list(&[])));
    }

    #[test]
    fn required_means_something_visible() {
        for sent in [&[][..], &[""], &["  \n"]] {
            assert_eq!(message(":name text required", sent), "Please fill this in.");
        }
        assert_eq!(message(":qty int required default=1", &[""]), "Please fill this in.");
        assert_eq!(message(":terms bool required", &[]), "Please check this box.");
        assert_eq!(message(":terms bool required", &["false"]), "Please check this box.");
        assert_eq!(message(":photo file required", &[""]), "Please choose a file.");
        assert_eq!(message(":tags text multiple required", &["", ""]), "Please choose at least one.");
    }

    #[test]
    fn checkboxes_are_false_when_absent() {
        assert_eq!(convert(":open bool", &[]), Ok(Value::Bool(false)));
        assert_eq!(convert(":open bool", &["on"]), Ok(Value::Bool(true)));
        assert_eq!(convert(":open bool", &["false", "true"]), Ok(Value::Bool(true)));
        assert_eq!(convert(":open bool default=true", &[]), Ok(Value::Bool(true)));
        assert_eq!(convert(":open bool default=true", &["false"]), Ok(Value::Bool(false)));
    }

    #[test]
    fn limits_are_named() {
        assert_eq!(message(":qty int min=1 max=99", &["100"]), "Please enter a whole number from 1 to 99.");
        assert_eq!(message(":qty int min=1 max=99", &["x"]), "Please enter a whole number from 1 to 99.");
        assert_eq!(
            message(":qty int min=2 step=5", &["6"]),
            "Please enter a whole number of at least 2 in steps of 5."
        );
        assert_eq!(
            message(":price decimal places=2 min=0.50", &["0.49"]),
            "Please enter a number with at most 2 digits after the point of at least 0.50."
        );
        assert_eq!(message(":day date min=today", &["2024-05-05"]), "Please enter a date not before 2024-05-06.");
        assert_eq!(
            message(":at datetime max=2024-01-01T10:00Z", &["2024-01-01T10:01"]),
            "Please enter a date and a time not after 2024-01-01 10:00."
        );
        assert_eq!(message(":q text maxlength=3", &["abcd"]), "Please enter at most 3 characters.");
        assert_eq!(message(":q text minlength=2 maxlength=3", &["a"]), "Please enter 2 to 3 characters.");
        assert_eq!(message(":sort text in=new,top", &["old"]), "Please choose one of these: new, top.");
        assert_eq!(message(":a int", &["1", "2"]), "Please give one value only.");
    }

    #[test]
    fn values_at_their_limits_pass() {
        assert_eq!(convert(":qty int min=1 max=99", &["99"]), Ok(Value::Int(99)));
        assert_eq!(convert(":qty int min=2 step=5", &["12"]), Ok(Value::Int(12)));
        assert_eq!(
            convert(":n int min=-9223372036854775808 step=5", &["9223372036854775807"]),
            Ok(Value::Int(i64::MAX))
        );
        assert_eq!(convert(":x number step=0.1", &["0.3"]), Ok(Value::Real(0.3)));
        assert_eq!(convert(":price decimal places=2 step=0.05", &["1.05"]), Ok(Value::Int(105)));
        assert!(convert(":x number step=0.1", &["0.35"]).is_err());
        assert_eq!(convert(":q text maxlength=3", &["a\r\nb"]), Ok(Value::from("a\nb")));
        assert!(convert(":q text maxlength=3", &["🙂🙂"]).is_err(), "browsers count UTF-16 units");
        assert_eq!(convert(":in int in=1,2", &["2"]), Ok(Value::Int(2)));
    }

    #[test]
    fn patterns_match_the_whole_text() {
        assert_eq!(convert(":zip text pattern=[0-9]{5}", &["12345"]), Ok(Value::from("12345")));
        for text in ["123456", "12345\n", " 12345", "1234"] {
            assert!(convert(":zip text pattern=[0-9]{5}", &[text]).is_err(), "{text:?}");
        }
        assert!(convert(":x text pattern=a|b", &["ab"]).is_err());
    }

    #[test]
    fn lists() {
        assert_eq!(convert(":tags text multiple", &["a", "", "b"]), Ok(list(&["a", "b"])));
        assert_eq!(convert(":to email multiple", &["a@b, c@d"]), Ok(list(&["a@b", "c@d"])));
        assert!(convert(":ids int multiple max=5", &["1", "6"]).is_err());
        assert_eq!(convert(":ids int multiple default=1,2", &[]), Ok(Value::List([1, 2].map(Value::Int).into())));
    }

    #[test]
    fn json_bodies() {
        assert_eq!(from_json(":n int", json!(7)), Ok(Value::Int(7)));
        assert_eq!(from_json(":n int", json!("7")), Ok(Value::Int(7)));
        assert_eq!(from_json(":p decimal places=2", json!(3.5)), Ok(Value::Int(350)));
        assert_eq!(from_json(":p decimal places=2", json!(100)), Ok(Value::Int(10_000)));
        assert_eq!(from_json(":b bool", json!(true)), Ok(Value::Bool(true)));
        assert_eq!(from_json(":t text", json!(null)), Ok(Value::Null));
        assert_eq!(from_json(":ids int multiple", json!([1, "2"])), Ok(Value::List([1, 2].map(Value::Int).into())));
        assert_eq!(from_json(":ids text multiple", json!([])), Ok(list(&[])));
        assert_eq!(from_json(":d json", json!({"a": [1]})), Ok(Value::from("{\"a\":[1]}")));
    }

    #[test]
    fn json_of_the_wrong_type_is_told() {
        assert_eq!(from_json(":n int", json!(true)), Err("Please enter a whole number.".into()));
        assert_eq!(from_json(":n int", json!(1.5)), Err("Please enter a whole number.".into()));
        assert_eq!(from_json(":t text", json!(7)), Err("Please send a text.".into()));
        assert_eq!(from_json(":t text", json!(["a"])), Err("Please send a text.".into()));
        assert_eq!(from_json(":t text multiple", json!("a")), Err("Please send a list.".into()));
        assert!(from_json(":t text multiple", json!([null])).is_err());
        assert!(from_json(":t text required", json!(null)).is_err());
        assert!(from_json(":b bool", json!(1)).is_err());
        assert!(from_json(":b bool required", json!(false)).is_err());
        assert!(from_json(":t text required", json!(" ")).is_err());
        assert!(from_json(":t text multiple required", json!([])).is_err());
        assert!(from_json(":d json", json!("\u{0}")).is_err());
    }

    #[test]
    fn files_are_asked_by_type_or_name() {
        let photo = declared(":photo file accept=image/*,.PDF,text/plain");
        for (name, kind) in [("a", "image/png"), ("b.Pdf", ""), ("c", "text/plain; charset=utf-8")] {
            assert!(photo.accepts_file(name, kind), "{name}");
        }
        for (name, kind) in [("a.png", "imagex/png"), ("pdf", "text/html"), ("", "")] {
            assert!(!photo.accepts_file(name, kind), "{name}");
        }
        assert!(declared(":any file").accepts_file("x", ""));
    }
}
