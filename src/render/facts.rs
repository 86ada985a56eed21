//! What a template's text points at: other templates, links, actions, assets.

use std::sync::Arc;

use crate::problem::Place;

/// What one template's own text points at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The layout, resolved; `None` also when its name is computed.
    pub extends: Option<Reference>,
    /// Templates that are included or imported by a written name, resolved.
    pub includes: Vec<Reference>,
    /// Blocks that this text defines.
    pub blocks: Vec<Arc<str>>,
    /// Links and form actions in its HTML.
    pub links: Vec<Link>,
    /// `form("/route", …)`.
    pub forms: Vec<Call>,
    /// `url("/route", …)`.
    pub urls: Vec<Call>,
    /// `asset("app.css")`.
    pub assets: Vec<Call>,
    /// The names that it looks up in the context, each with its first place.
    pub names: Vec<(Arc<str>, Place)>,
}

/// Another template.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Its name in the set of templates, whether or not it exists.
    pub name: Arc<str>,
    /// Where it is named.
    pub place: Place,
}

/// A link, a form's action or another address in the HTML of a template.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The method with which it is followed: `GET` for `href` and `src`; a form's own; `hx-delete` gives `DELETE`.
    /// `None` when the form's method is computed.
    pub method: Option<&'static str>,
    /// The element, in lower case (`a`, `form`, `img`).
    pub element: String,
    /// The attribute, in lower case (`href`, `action`, `hx-get`).
    pub attribute: String,
    /// The address, with holes where expressions stand. Character references of HTML are resolved.
    pub parts: Vec<Part>,
    /// The address in the source, its expressions included.
    pub place: Place,
}

/// A piece of an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// As written.
    Text(String),
    /// Whatever a template expression or statement gives.
    Hole,
}

/// A call of `form`, `url` or `asset` with a written first argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The first argument.
    pub target: String,
    /// The names of the named arguments.
    pub arguments: Vec<Arc<str>>,
    /// Where the first argument stands.
    pub place: Place,
}
