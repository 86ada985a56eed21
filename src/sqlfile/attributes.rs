//! Declared constraints as attributes of HTML form controls.

use super::parameter::Parameter;
use super::server::Surroundings;
use crate::value::Value;

impl Parameter {
    /// `type required min max step minlength maxlength pattern accept multiple`, as far as they are declared. An empty
    /// value stands for a boolean attribute.
    pub fn html_attributes(&self, _around: &dyn Surroundings) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// A value as a form control shows it: a decimal with its point, a datetime in the site's zone without an offset.
    pub fn html_value(&self, value: &Value, _around: &dyn Surroundings) -> Value {
        value.clone()
    }
}
