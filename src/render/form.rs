//! An action's form as templates see it: attributes ready to print, values, messages.

use std::sync::Arc;

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
    /// `get` or `post`, as HTML knows no other.
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
/// In a template: `.attrs` (`name`, `type`, the constraints, the current value, `checked`, and `aria-invalid` with
/// `aria-describedby="NAME-error"` beside a message), `.name`, `.value`, `.error`, `.options` (each with `.value`,
/// `.label`, `.selected`), `.checked`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldView {
    /// The field's name.
    pub name: Arc<str>,
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
