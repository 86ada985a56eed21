//! Converting what a visitor sent, once and strictly.

use super::parameter::Parameter;
use super::server::Surroundings;
use crate::value::Value;

impl Parameter {
    /// Converts what was sent: no element when nothing was, several for a repeated field. Absent and empty give the
    /// default, else null (`multiple`: the empty list; `bool`: false).
    ///
    /// # Errors
    /// A message for the visitor, in full sentences.
    pub fn convert(&self, _sent: &[&str], _around: &dyn Surroundings) -> Result<Value, String> {
        Ok(Value::Null)
    }

    /// Converts a value of a JSON body. Numbers may come as numbers or as text.
    ///
    /// # Errors
    /// A message for the visitor, in full sentences.
    pub fn convert_json(&self, _sent: &serde_json::Value, _around: &dyn Surroundings) -> Result<Value, String> {
        Ok(Value::Null)
    }

    /// The default at the time of the request; null without one, false for a `bool`, the empty list for `multiple`.
    pub fn default_value(&self, _around: &dyn Surroundings) -> Value {
        Value::Null
    }
}
