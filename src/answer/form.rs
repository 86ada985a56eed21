//! Makes the form objects of templates: `form("/cart/[product]", product=line.id)` and `fields`.

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::session::random_text;
use crate::flow::visitor::{Aspect, Visitor};
use crate::problem::FieldErrors;
use crate::render::{FieldView, FormMaker, FormView};
use crate::site::folder::Method;
use crate::site::pattern::Pattern;
use crate::site::{Action, Endpoint, Match, Site};
use crate::sqlfile::{Outcome, Parameter, Results, Type};
use crate::value::{Rows, Value};

/// The hidden field that carries the key of `once:`.
pub(super) const ONCE: &str = "_once";
/// The hidden field by which a form reaches PUT, PATCH and DELETE.
pub(super) const METHOD: &str = "_method";

/// A form that did not pass: shown again with what was sent.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// The path that it was sent to, decoded.
    pub(super) path: String,
    /// The method of its action.
    pub(super) method: Method,
    /// What was sent, by field; a list for a repeated one.
    pub(super) sent: HashMap<String, Value>,
    /// Why it did not pass.
    pub(super) errors: FieldErrors,
}

/// What forms are made from.
#[derive(Clone)]
pub(super) struct Forms {
    site: Arc<Site>,
    visitor: Arc<Visitor>,
    refused: Option<Arc<Refused>>,
    /// Rows of the page by their query's name, for `fill:`.
    results: Arc<Vec<Results>>,
}

impl Forms {
    pub(super) fn new(
        site: &Arc<Site>,
        visitor: &Arc<Visitor>,
        refused: Option<&Arc<Refused>>,
        results: &Arc<Vec<Results>>,
    ) -> Forms {
        Forms { site: site.clone(), visitor: visitor.clone(), refused: refused.cloned(), results: results.clone() }
    }

    /// What `form()` calls.
    pub(super) fn maker(self) -> FormMaker {
        Arc::new(move |route, arguments| self.by_route(route, &arguments))
    }

    /// The form of the action at a route as a template writes it.
    fn by_route(&self, route: &str, arguments: &[(String, Value)]) -> Result<FormView, String> {
        let given = |name: &str| arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let (endpoint, method) = self.site.action(route).ok_or_else(|| format!("no action at {route}"))?;
        let action = endpoint.action(method).ok_or_else(|| format!("no action at {route}"))?;
        let route = route.rsplit(' ').next().unwrap_or(route);
        let path = match route.contains('[') {
            true => path_for(&endpoint.pattern, |name| given(name).map(ToString::to_string))?,
            false => route.to_string(),
        };
        Ok(self.view(action, method, path, &|name| given(name).cloned()))
    }

    /// The form of a page's own action; `None` when it has none.
    pub(super) fn own(&self, endpoint: &Endpoint, found: &Match) -> Option<FormView> {
        let (method, action) = endpoint.actions.first()?;
        let path = path_for(&endpoint.pattern, |name| super::parameters::from_path(found, name).map(str::to_string));
        Some(self.view(action, *method, path.ok()?, &|_| None))
    }

    fn view(&self, action: &Action, method: Method, path: String, given: &dyn Fn(&str) -> Option<Value>) -> FormView {
        let script = &action.script;
        let mut parameters = action.parameters();
        parameters.retain(|parameter| !parameter.from_path);
        let refused =
            self.refused.as_deref().filter(|refused| self.is_this(refused, method, &path, &parameters, given));
        let fill = script.directives.fill.as_ref().and_then(|fill| self.row(&fill.text));
        let mut hidden = Vec::new();
        if method != Method::Post {
            hidden.push((METHOD.to_string(), method.name().to_string()));
        }
        if script.directives.once.is_some() {
            // The key is for this visitor and this page alone.
            self.visitor.reads(Aspect::Identity);
            self.visitor.reads(Aspect::Moment);
            hidden.push((ONCE.to_string(), random_text()));
        }
        let fields = parameters.iter().map(|parameter| self.field(parameter, refused, fill, given)).collect();
        let error = refused.and_then(|refused| refused.errors.get("")).map(str::to_string);
        let multipart = parameters.iter().any(|parameter| parameter.kind == Type::File);
        FormView { action: path, method: "post", multipart, hidden, fields, error }
    }

    /// Whether the refused form is this one: same address and method, and the same values where the template gave some.
    fn is_this(
        &self,
        refused: &Refused,
        method: Method,
        path: &str,
        parameters: &[&Parameter],
        given: &dyn Fn(&str) -> Option<Value>,
    ) -> bool {
        refused.method == method
            && percent_decode_str(path).decode_utf8().is_ok_and(|path| path == refused.path)
            && parameters.iter().all(|parameter| match (given(&parameter.name), refused.sent.get(&*parameter.name)) {
                (Some(value), Some(sent)) => {
                    // A form sends a value as its field shows it: `12.50`, where the row has 1250.
                    let (sent, shown) = (sent.to_string(), parameter.html_value(&value, &*self.visitor));
                    sent == shown.to_string() || sent == value.to_string()
                }
                _ => true,
            })
    }

    fn field(
        &self,
        parameter: &Parameter,
        refused: Option<&Refused>,
        fill: Option<&Rows>,
        given: &dyn Fn(&str) -> Option<Value>,
    ) -> FieldView {
        let shown = |value: &Value| parameter.html_value(value, &*self.visitor);
        let filled = || fill?.cell(0, &parameter.name).map(shown);
        let value = match refused {
            Some(_) if matches!(parameter.kind, Type::File | Type::Password) => Value::Null,
            Some(refused) => refused.sent.get(&*parameter.name).cloned().unwrap_or_default(),
            None => given(&parameter.name)
                .map(|value| shown(&value))
                .or_else(filled)
                .unwrap_or_else(|| shown(&parameter.default_value(&*self.visitor))),
        };
        let attributes = parameter.html_attributes(&*self.visitor);
        FieldView {
            name: parameter.name.clone(),
            label: label(parameter),
            attributes: attributes.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
            value,
            error: refused.and_then(|refused| refused.errors.get(&parameter.name)).map(str::to_string),
            options: parameter
                .choices
                .iter()
                .map(|choice| (shown(choice).to_string(), shown(choice).to_string()))
                .collect(),
            multiple: parameter.multiple,
        }
    }

    /// The row of a query of the page.
    fn row(&self, query: &str) -> Option<&Rows> {
        self.results.iter().find_map(|results| match results.get(query) {
            Some(Outcome::Row(rows)) if !rows.is_empty() => Some(&**rows),
            _ => None,
        })
    }
}

/// What a field is called: its `label=`, else its name in words.
fn label(parameter: &Parameter) -> String {
    if let Some(label) = &parameter.label {
        return label.to_string();
    }
    let words = parameter.name.replace('_', " ");
    let mut letters = words.trim().chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn path_for(pattern: &Pattern, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let missing = pattern.parameters().into_iter().find(|name| value(name).is_none_or(|text| text.is_empty()));
    match missing {
        Some(name) => Err(format!("{pattern} needs a value: form(\"{pattern}\", {name}=…)")),
        None => pattern.path(value).ok_or_else(|| format!("{pattern} has no path")),
    }
}
