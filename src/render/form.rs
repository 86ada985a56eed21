//! An action's form as templates see it: attributes ready to print, values, messages.

use std::fmt::Write;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::escape::html_text;
use super::view::value_of;
use crate::value::Value;

/// The form of one action.
///
/// In a template: `.attrs` (action, method, enctype), `.hidden` (hidden inputs), `.error` (what belongs to no field),
/// `.fields` (all fields in order) and each field by its name. A field called `attrs`, `hidden`, `error` or `fields`
/// is reached in a loop over `.fields`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FormView {
    /// Where it is sent: a path, already encoded as a URL.
    pub action: String,
    /// `get` or `post`, as HTML knows no other; empty means `get`.
    pub method: &'static str,
    /// Whether it carries files (`enctype="multipart/form-data"`).
    pub multipart: bool,
    /// Hidden inputs: `_method`, the key of `once:`.
    pub hidden: Vec<(String, String)>,
    /// The fields in the order of their declaration.
    pub fields: Vec<FieldView>,
    /// A message that belongs to no field.
    pub error: Option<String>,
}

/// One field of a form.
///
/// In a template: `.attrs` (for an `input`: `name`, `type`, the constraints, the current value, `checked`, and
/// `aria-invalid` with `aria-describedby="NAME-error"` beside a message; without `type` and value where there are
/// options, so that it fits a `select`), `.area` (the same for a `textarea`, whose content is `.value`), `.name`,
/// `.label`, `.type` (as of an `input`), `.value`, `.error`, `.options` (each with `.value`, `.label`, `.selected`), `.checked`, `.multiple`. No `id`: a
/// field may stand on a page twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldView {
    /// The field's name.
    pub name: Arc<str>,
    /// What it is called: `label=`, else its name in words.
    pub label: String,
    /// `type required min max …` from the declaration; an empty value prints the attribute's name alone.
    pub attributes: Vec<(String, String)>,
    /// The value to show: what was sent, else what `fill:` gives, else the default.
    pub value: Value,
    /// Why the sent value did not pass.
    pub error: Option<String>,
    /// The choices of `in=…`: value and label.
    pub options: Vec<(String, String)>,
    /// Whether the field may be sent several times.
    pub multiple: bool,
}

/// What `.attrs` is printed for.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Input,
    Select,
    Textarea,
}

/// Attributes that a `select` or a `textarea` doesn't have (HTML standard, "The select element", "The textarea
/// element").
const INPUT_ONLY: [&str; 8] = ["type", "value", "min", "max", "step", "pattern", "accept", "checked"];

impl FormView {
    /// `action="…" method="…"`, ready to print inside `<form …>`.
    fn attributes(&self) -> String {
        let mut out = String::with_capacity(64);
        attribute(&mut out, "action", &self.action);
        attribute(&mut out, "method", if self.method.is_empty() { "get" } else { self.method });
        if self.multipart {
            attribute(&mut out, "enctype", "multipart/form-data");
        }
        out
    }

    fn hidden_inputs(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.hidden {
            out.push_str("<input type=\"hidden\"");
            out.push(' ');
            attribute(&mut out, "name", name);
            value_attribute(&mut out, value);
            out.push('>');
        }
        out
    }
}

impl FieldView {
    fn kind(&self) -> &str {
        self.attributes.iter().find(|(name, _)| name == "type").map_or("text", |(_, value)| value)
    }

    fn is_choice(&self) -> bool {
        matches!(self.kind(), "checkbox" | "radio")
    }

    /// Everything inside `<input …>`, `<select …>` or `<textarea …>`.
    fn attributes(&self, element: Element) -> String {
        let mut out = String::with_capacity(96);
        attribute(&mut out, "name", &self.name);
        for (name, value) in &self.attributes {
            if element == Element::Input || !INPUT_ONLY.contains(&name.as_str()) {
                attribute(&mut out, name, value);
            }
        }
        if element == Element::Input {
            self.current_value(&mut out);
        }
        if self.error.is_some() {
            attribute(&mut out, "aria-invalid", "true");
            attribute(&mut out, "aria-describedby", &format!("{}-error", self.name));
        }
        out
    }

    /// The value of an input. Files and passwords are never sent back; a checkbox always carries `true`.
    fn current_value(&self, out: &mut String) {
        match self.kind() {
            "file" | "password" => {}
            "checkbox" => {
                attribute(out, "value", "true");
                if self.value.holds() {
                    attribute(out, "checked", "");
                }
            }
            _ if self.value.is_null() || self.multiple => {}
            _ => value_attribute(out, &self.value.to_string()),
        }
    }

    fn is_selected(&self, option: &str) -> bool {
        match &self.value {
            Value::List(items) => items.iter().any(|item| item.to_string() == option),
            Value::Null => false,
            value => value.to_string() == option,
        }
    }
}

/// Writes one attribute, with a space before it unless it is the first. An empty value writes the name alone.
fn attribute(out: &mut String, name: &str, value: &str) {
    if value.is_empty() && name != "action" {
        separate(out);
        out.push_str(name);
    } else {
        valued(out, name, value);
    }
}

/// Writes `value="…"`, also for the empty text.
fn value_attribute(out: &mut String, value: &str) {
    valued(out, "value", value);
}

fn valued(out: &mut String, name: &str, value: &str) {
    separate(out);
    let _ = write!(out, "{name}=\"");
    // Writing to a string can't fail.
    let _ = html_text(out, value);
    out.push('"');
}

fn separate(out: &mut String) {
    if !out.is_empty() && !out.ends_with(' ') {
        out.push(' ');
    }
}

fn optional_text(text: Option<&String>) -> minijinja::Value {
    text.map_or(minijinja::Value::UNDEFINED, |text| minijinja::Value::from(text.as_str()))
}

impl Object for FormView {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        match key {
            "attrs" => Some(minijinja::Value::from_safe_string(self.attributes())),
            "hidden" => Some(minijinja::Value::from_safe_string(self.hidden_inputs())),
            "error" => Some(optional_text(self.error.as_ref())),
            "fields" => Some((0..self.fields.len()).map(|index| field(self, index)).collect()),
            _ => Some(field(self, self.fields.iter().position(|field| &*field.name == key)?)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.iter().map(|field| minijinja::Value::from(field.name.clone())).collect())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

fn field(form: &Arc<FormView>, index: usize) -> minijinja::Value {
    minijinja::Value::from_object(Field { form: form.clone(), index })
}

/// A field of a form, as an object.
#[derive(Debug)]
struct Field {
    form: Arc<FormView>,
    index: usize,
}

impl Field {
    fn view(&self) -> &FieldView {
        &self.form.fields[self.index]
    }
}

impl Object for Field {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        let field = self.view();
        let element = if field.options.is_empty() || field.is_choice() { Element::Input } else { Element::Select };
        Some(match key {
            "attrs" => minijinja::Value::from_safe_string(field.attributes(element)),
            "area" => minijinja::Value::from_safe_string(field.attributes(Element::Textarea)),
            "name" => minijinja::Value::from(field.name.clone()),
            "label" => minijinja::Value::from(field.label.as_str()),
            "type" => minijinja::Value::from(field.kind()),
            "value" => value_of(&field.value),
            "error" => optional_text(field.error.as_ref()),
            "checked" => minijinja::Value::from(field.value.holds()),
            "multiple" => minijinja::Value::from(field.multiple),
            "options" => field.options.iter().map(|(value, label)| option(field, value, label)).collect(),
            _ => return None,
        })
    }

    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(FIELD_NAMES)
    }
}

fn option(field: &FieldView, value: &str, label: &str) -> minijinja::Value {
    minijinja::Value::from_pairs([
        ("value", minijinja::Value::from(value)),
        ("label", minijinja::Value::from(label)),
        ("selected", minijinja::Value::from(field.is_selected(value))),
    ])
}

/// What a form has beside its fields.
pub(super) const FORM_NAMES: &[&str] = &["attrs", "hidden", "error", "fields"];
/// What a field has.
pub(super) const FIELD_NAMES: &[&str] =
    &["attrs", "area", "name", "label", "type", "value", "error", "checked", "multiple", "options"];
/// What an option has.
pub(super) const OPTION_NAMES: &[&str] = &["value", "label", "selected"];
