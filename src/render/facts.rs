//! What a template's text points at: other templates, links, actions, assets.

use std::sync::Arc;

use minijinja::machinery::ast::{CallArg, Expr, Stmt};

use super::library::{Entry, Library, string_place};
use super::{links, syntax};
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

/// The facts of one template; none when there is no such template.
pub(super) fn of(library: &Library, name: &str) -> Facts {
    let Some(entry) = library.get(name) else { return Facts::default() };
    let Ok(tree) = syntax::tree(&entry.source) else { return Facts::default() };
    let mut facts = Facts { blocks: entry.blocks.iter().cloned().collect(), ..Facts::default() };
    for named in super::library::named(&entry.source, &tree) {
        let reference = Reference { name: library.resolve(name, named.written).into(), place: named.place };
        match named.extends {
            true => facts.extends = Some(reference),
            false => facts.includes.push(reference),
        }
    }
    if is_markup(name) {
        facts.links = links::links(&entry.source, &tree);
    }
    calls(entry, &tree, &mut facts);
    facts
}

/// Whether a template's text has tags. In Markdown they are shown as text.
pub(super) fn is_markup(name: &str) -> bool {
    !matches!(name.rsplit_once('.'), Some((_, "txt" | "csv" | "json" | "md")))
}

fn calls(entry: &Entry, tree: &Stmt<'_>, facts: &mut Facts) {
    syntax::each_statement(tree, &mut |statement| {
        for expression in syntax::expressions(statement) {
            syntax::each_expression(expression, &mut |inner| call(entry, inner, facts));
        }
    });
}

fn call(entry: &Entry, expression: &Expr<'_>, facts: &mut Facts) {
    let Expr::Call(node) = expression else { return };
    let (Expr::Var(function), Some(CallArg::Pos(first))) = (&node.expr, node.args.first()) else { return };
    let list = match function.id {
        "form" => &mut facts.forms,
        "url" => &mut facts.urls,
        "asset" => &mut facts.assets,
        _ => return,
    };
    let Some(target) = syntax::written(first) else { return };
    let named = node.args.iter().filter_map(|argument| match argument {
        CallArg::Kwarg(name, _) => Some(Arc::from(*name)),
        _ => None,
    });
    list.push(Call {
        target: target.to_string(),
        arguments: named.collect(),
        place: string_place(&entry.source, first),
    });
}
