//! What a visitor sent for the parameters of a script, converted.

use super::parameter::Parameter;
use super::script::Script;
use super::server::Surroundings;
use crate::problem::{FieldErrors, Problem};
use crate::value::Value;

/// What a visitor sent for one parameter.
#[derive(Clone, Debug)]
pub enum Sent<'a> {
    /// Nothing.
    Absent,
    /// One text.
    Text(&'a str),
    /// The same name several times.
    Texts(Vec<&'a str>),
    /// A value of a JSON body.
    Json(&'a serde_json::Value),
}

/// One value for each parameter of a script, and which of them were given.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    values: Vec<Value>,
    /// A bit for each parameter; [`Script::build`] refuses more than there are bits.
    given: u128,
    /// What was worked out before the transaction, by the place of its computed value.
    proofs: Vec<(usize, Value)>,
}

impl Arguments {
    /// Adds the value of the next parameter. `given` tells whether it was sent at all, even if empty.
    pub fn push(&mut self, value: Value, given: bool) {
        self.given |= u128::from(given).checked_shl(self.values.len() as u32).unwrap_or(0);
        self.values.push(value);
    }

    /// Keeps what was worked out for the computed value at a place of [`Script::computed`].
    pub fn prove(&mut self, computed: usize, value: Value) {
        self.proofs.push((computed, value));
    }

    /// What was worked out for a computed value; null where nothing was.
    pub fn proof(&self, computed: usize) -> Value {
        self.proofs.iter().find(|(index, _)| *index == computed).map_or(Value::Null, |(_, value)| value.clone())
    }

    /// The values in the order of [`Script::parameters`].
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Whether the parameter at this place was sent, even if empty.
    pub fn given(&self, index: usize) -> bool {
        u32::try_from(index).ok().and_then(|index| self.given.checked_shr(index)).is_some_and(|bits| bits & 1 == 1)
    }
}

impl From<Vec<Value>> for Arguments {
    /// Everything that is not null counts as given.
    fn from(values: Vec<Value>) -> Arguments {
        let mut arguments = Arguments::default();
        for value in values {
            let given = !value.is_null();
            arguments.push(value, given);
        }
        arguments
    }
}

impl Script {
    /// Converts all parameters. `sent` gives what the visitor sent for each.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::problem::Kind::NotFound) when a path parameter doesn't convert, else
    /// [`Kind::Invalid`](crate::problem::Kind::Invalid) with a message for each field that doesn't.
    pub fn arguments<'a>(
        &self,
        around: &dyn Surroundings,
        sent: &mut dyn FnMut(&Parameter) -> Sent<'a>,
    ) -> Result<Arguments, Problem> {
        let mut arguments = Arguments { values: Vec::with_capacity(self.parameters.len()), ..Arguments::default() };
        let mut errors = FieldErrors::default();
        for parameter in &self.parameters {
            let sent = sent(parameter);
            let given = !matches!(sent, Sent::Absent);
            let converted = match sent {
                Sent::Absent => parameter.convert(&[], around),
                Sent::Text(text) => parameter.convert(&[text], around),
                Sent::Texts(texts) => parameter.convert(&texts, around),
                Sent::Json(json) => parameter.convert_json(json, around),
            };
            match converted {
                Ok(value) => arguments.push(value, given),
                Err(_) if parameter.from_path => return Err(Problem::not_found()),
                Err(message) => {
                    errors.add(parameter.name.clone(), message);
                    arguments.push(Value::Null, given);
                }
            }
        }
        match errors.is_empty() {
            true => Ok(arguments),
            false => Err(Problem::invalid_fields(errors)),
        }
    }
}
