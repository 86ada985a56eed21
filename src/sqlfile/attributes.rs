//! Declared constraints as attributes of HTML form controls, so that browser and server enforce the same rule.

use super::messages::local_datetime;
use super::parameter::{Parameter, Preset, Type};
use super::read::decimal_text;
use super::server::Surroundings;
use crate::value::Value;

impl Parameter {
    /// `type required min max step minlength maxlength pattern accept multiple autocomplete`, as far as they are declared. An empty
    /// value stands for a boolean attribute.
    pub fn html_attributes(&self, around: &dyn Surroundings) -> Vec<(&'static str, String)> {
        let mut attributes = vec![("type", self.input_type().to_string())];
        let mut add = |name, value: Option<String>| attributes.extend(value.map(|value| (name, value)));
        add("required", self.required.then(String::new));
        add("min", self.limit_text(&self.min, around));
        add("max", self.limit_text(&self.max, around));
        add("step", self.step_text());
        add("minlength", self.minlength.map(|least| least.to_string()));
        add("maxlength", self.maxlength.map(|most| most.to_string()));
        add("pattern", self.pattern_text());
        add("accept", (!self.accept.is_empty()).then(|| self.accept.join(",")));
        add("multiple", self.multiple.then(String::new));
        add("autocomplete", self.autocomplete.as_deref().map(str::to_string));
        attributes
    }

    /// A value as a form control shows it: a decimal with its point, a datetime in the site's zone without an offset.
    pub fn html_value(&self, value: &Value, around: &dyn Surroundings) -> Value {
        match (self.kind, value) {
            (_, Value::List(items)) => Value::List(items.iter().map(|item| self.html_value(item, around)).collect()),
            (Type::Decimal, Value::Int(units)) => Value::from(decimal_text(*units, self.places)),
            (Type::Datetime, Value::Text(text)) => local_datetime(text, around).map_or(value.clone(), Value::from),
            _ => value.clone(),
        }
    }

    fn input_type(&self) -> &'static str {
        match self.kind {
            Type::Text | Type::Uuid | Type::Json => "text",
            Type::Int | Type::Number | Type::Decimal => "number",
            Type::Bool => "checkbox",
            Type::Date => "date",
            Type::Datetime => "datetime-local",
            Type::Email => "email",
            Type::Url => "url",
            Type::File => "file",
            Type::Password => "password",
        }
    }

    fn limit_text(&self, limit: &Option<Preset>, around: &dyn Surroundings) -> Option<String> {
        let value = self.html_value(&limit.as_ref()?.value(around), around);
        (!value.is_null()).then(|| value.to_string())
    }

    /// Without a step browsers accept whole numbers only.
    fn step_text(&self) -> Option<String> {
        match (self.kind, &self.step) {
            (Type::Decimal, Some(Value::Int(units))) => Some(decimal_text(*units, self.places)),
            (_, Some(step)) => Some(step.to_string()),
            (Type::Number, None) => Some("any".into()),
            (Type::Decimal, None) if self.places > 0 => Some(decimal_text(1, self.places)),
            _ => None,
        }
    }

    /// Browsers accept addresses of any scheme, we don't.
    fn pattern_text(&self) -> Option<String> {
        match (&self.pattern, self.kind) {
            (Some(pattern), _) => Some(pattern.source.to_string()),
            (None, Type::Url) => Some("[Hh][Tt][Tt][Pp][Ss]?://.+".into()),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlfile::declare::tests::declared;
    use crate::sqlfile::server::tests::Fixed;

    fn shown(line: &str) -> String {
        let attributes = declared(line).html_attributes(&Fixed { zone: "Europe/Berlin", ..Fixed::default() });
        let texts: Vec<String> = attributes.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        texts.join(" ")
    }

    #[test]
    fn constraints_become_attributes() {
        assert_eq!(shown(":qty int required min=1 max=99 default=1"), "type=number required= min=1 max=99");
        assert_eq!(shown(":p decimal places=2 min=0.5"), "type=number min=0.50 step=0.01");
        assert_eq!(shown(":x number"), "type=number step=any");
        assert_eq!(
            shown(":q text minlength=2 maxlength=9 pattern=[a-z]+"),
            "type=text minlength=2 maxlength=9 pattern=[a-z]+"
        );
        assert_eq!(shown(":d date min=today"), "type=date min=2024-05-06");
        assert_eq!(shown(":t datetime max=2024-07-01T10:00Z"), "type=datetime-local max=2024-07-01T12:00");
        assert_eq!(shown(":f file accept=image/*,.pdf multiple max=5MB"), "type=file accept=image/*,.pdf multiple=");
        assert_eq!(shown(":ok bool required"), "type=checkbox required=");
        assert!(shown(":u url").contains("pattern="));
    }

    #[test]
    fn values_are_shown_as_controls_want_them() {
        let around = Fixed { zone: "Europe/Berlin", ..Fixed::default() };
        let value = |line, value| declared(line).html_value(&value, &around).to_string();
        assert_eq!(value(":p decimal places=2", Value::Int(350)), "3.50");
        assert_eq!(value(":t datetime", Value::from("2024-07-01T10:00:00.000Z")), "2024-07-01T12:00");
        assert_eq!(value(":n int", Value::Int(3)), "3");
    }
}
