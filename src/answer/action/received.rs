//! A body that was received, and what it holds for the parameters of an action.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::answer::form::METHOD;
use crate::answer::parameters::{from_pairs, from_path};
use crate::answer::upload::{Files, refusal};
use crate::problem::FieldErrors;
use crate::site::Match;
use crate::site::folder::Method;
use crate::sqlfile::{Parameter, Script, Sent, Type};
use crate::uploads::Upload;
use crate::value::Value;

/// A body that was received and taken apart.
#[derive(Debug, Default)]
pub struct Received {
    /// Texts of a form in the order sent.
    pub texts: Vec<(String, String)>,
    /// Files of a form: what they became in the store, or why they were refused.
    pub files: Vec<(String, Result<Upload, String>)>,
    /// A JSON body.
    pub json: Option<Json>,
    /// The files that this request put into the store; they go again unless the action commits.
    pub stored: Files,
    /// Whether the visitor may see the page that shows the form again.
    pub page_is_open: bool,
}

impl Received {
    /// The method that a form's hidden `_method` asks for.
    pub fn method(&self) -> Option<Method> {
        let (_, name) = self.texts.iter().find(|(name, _)| name == METHOD)?;
        Method::of(&name.to_uppercase())
    }

    /// What was sent for a parameter. A file parameter takes files only: an id as text is nobody's word.
    pub(super) fn sent<'r>(&'r self, parameter: &Parameter, found: &'r Match, object: Option<&'r Json>) -> Sent<'r> {
        if parameter.from_path {
            return from_path(found, &parameter.name).map_or(Sent::Absent, Sent::Text);
        }
        if parameter.kind == Type::File {
            let mut ids = self
                .files
                .iter()
                .filter(|(name, _)| **name == *parameter.name)
                .filter_map(|(_, file)| file.as_ref().ok().map(|upload| &*upload.id));
            return match (ids.next(), parameter.multiple) {
                (None, _) => Sent::Absent,
                (Some(id), false) => Sent::Text(id),
                (Some(id), true) => Sent::Texts(std::iter::once(id).chain(ids).collect()),
            };
        }
        match object {
            Some(object) => object.get(&*parameter.name).map_or(Sent::Absent, Sent::Json),
            None => from_pairs(&self.texts, parameter),
        }
    }

    /// Errors of files that the store refused, or that this very action doesn't take: the store takes what any action
    /// of the address takes, because a form's `_method` may come after its files.
    pub(super) fn file_errors(&self, script: &Script) -> FieldErrors {
        let refused = self.files.iter().filter_map(|(name, file)| {
            let message = match file {
                Ok(upload) => refusal(script.parameter(name), upload)?,
                Err(message) => message.clone(),
            };
            Some((name.as_str().into(), message))
        });
        FieldErrors(refused.collect())
    }

    /// What the form shows again.
    pub(super) fn shown_again(&self) -> HashMap<String, Value> {
        let mut sent: HashMap<String, Value> = HashMap::new();
        for (name, text) in &self.texts {
            let value = Value::from(text.as_str());
            match sent.get_mut(name) {
                None => {
                    sent.insert(name.clone(), value);
                }
                Some(Value::List(items)) => *items = items.iter().cloned().chain([value]).collect(),
                Some(single) => *single = Value::List([single.clone(), value].into()),
            }
        }
        sent
    }
}
