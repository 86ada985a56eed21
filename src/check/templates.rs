//! Holds every template against what its queries give.

use std::sync::Arc;

use super::queries::Known;
use crate::builtin;
use crate::parallel;
use crate::problem::{Fault, Place};
use crate::render::{Reader, Shape, Shapes};
use crate::site::names::{PROBLEM, REQUEST, SITE, USER};
use crate::site::{Action, Endpoint, Page, Site};
use crate::sqlfile::{QueryKind, Redirect, Script};

/// A list of names as the render room takes it.
type NameList = Arc<[Arc<str>]>;

/// The faults of all pages, error pages and directive templates.
pub(super) fn check(site: &Site, known: &Known, faults: &mut Vec<Fault>) {
    faults.extend(parallel::stretches(&site.endpoints, |stretch| of_endpoints(site, known, stretch)));
    let form = |route: &str| form_fields(site, route);
    let templates = site.templates.reader();
    for page in site.error_pages.values() {
        let mut names = page_names(site, known, page, None);
        names.push(("problem".into(), map(PROBLEM.iter().copied())));
        faults.extend(templates.check(&page.template, &Shapes { names, form: &form }));
    }
    mails(site, faults);
    unused(site, faults);
}

/// The faults of pages and of what stands in the directives of their actions.
fn of_endpoints(site: &Site, known: &Known, endpoints: &[Arc<Endpoint>]) -> Vec<Fault> {
    let form = |route: &str| form_fields(site, route);
    let templates = site.templates.reader();
    let mut faults = Vec::new();
    for endpoint in endpoints {
        if let Some(page) = &endpoint.page {
            let names = page_names(site, known, page, Some(endpoint));
            faults.extend(templates.check(&page.template, &Shapes { names, form: &form }));
        }
        for action in endpoint.actions.iter().map(|(_, action)| action).chain(&endpoint.visit) {
            directives(site, &templates, known, action, &form, &mut faults);
        }
    }
    faults
}

/// The mails. What a row's `data` will hold nobody knows before it is written; but a mail has no visitor.
fn mails(site: &Site, faults: &mut Vec<Fault>) {
    const OF_VISITORS: [&str; 4] = ["request", "flash", "params", "fields"];
    let templates = site.mails.templates();
    let reader = templates.reader();
    let site_names = server_names(site).into_iter().filter(|(name, _)| &**name == "site");
    let known: Vec<(Arc<str>, Shape)> = site_names.chain([("subject".into(), Shape::Scalar)]).collect();
    for template in templates.list() {
        let data = reader.names(&template).into_iter();
        let data = data.filter(|name| !OF_VISITORS.contains(&&**name)).map(|name| (name, Shape::Any));
        let names = known.iter().cloned().chain(data.filter(|(name, _)| !["site", "subject"].contains(&&**name)));
        faults.extend(reader.check(&template, &Shapes { names: names.collect(), form: &|_| None }));
    }
}

/// Every name that a page's template may use.
fn page_names(site: &Site, known: &Known, page: &Page, endpoint: Option<&Endpoint>) -> Vec<(Arc<str>, Shape)> {
    let mut names = Vec::new();
    for script in &page.scripts {
        names.extend(result_names(script, known));
    }
    names.extend(server_names(site));
    let declared =
        page.scripts.iter().flat_map(|script| script.parameters.iter().map(|parameter| parameter.name.clone()));
    let path = endpoint.into_iter().flat_map(|endpoint| endpoint.parameters.iter().cloned());
    names.push(("params".into(), scalars(declared.chain(path))));
    // What an action shows at once may be anything, and is not there when the page is asked for.
    names.push(("done".into(), Shape::Any));
    if let Some(fields) = endpoint.and_then(|endpoint| endpoint.actions.first()).map(|(_, action)| fields(action)) {
        names.push(("fields".into(), Shape::Form(fields)));
    }
    names
}

/// The results of a script with their shapes.
fn result_names(script: &Arc<Script>, known: &Known) -> Vec<(Arc<str>, Shape)> {
    let mut names = Vec::new();
    for (slot, name) in script.names.iter().enumerate() {
        let kind = script.queries.iter().find(|query| query.slot == slot).map(|query| &query.kind);
        let columns = || known.columns(script, slot).map(|list| list.iter().map(|name| name.as_str().into()).collect());
        let shape = match kind {
            Some(QueryKind::One | QueryKind::Maybe) => columns().map_or(Shape::Any, Shape::Row),
            Some(QueryKind::Many) => columns().map_or(Shape::Any, Shape::Rows),
            Some(QueryKind::List) => Shape::List,
            Some(QueryKind::Value | QueryKind::Exec) => Shape::Scalar,
            _ => continue,
        };
        names.push((name.clone(), shape));
    }
    names
}

/// The names that the server gives to every template.
fn server_names(site: &Site) -> Vec<(Arc<str>, Shape)> {
    let own = site.settings.site_values.iter().map(|(name, _)| &**name);
    vec![
        ("request".into(), map(REQUEST.iter().copied())),
        ("site".into(), map(SITE.iter().copied().chain(own))),
        ("user".into(), user()),
        ("flash".into(), Shape::Scalar),
    ]
}

/// `user`, whose roles are a list.
fn user() -> Shape {
    let names = USER.iter().map(|name| match *name {
        "roles" => (Arc::from(*name), Shape::List),
        name => (Arc::from(name), Shape::Scalar),
    });
    Shape::Map(names.collect())
}

fn map<'n>(names: impl Iterator<Item = &'n str>) -> Shape {
    scalars(names.map(Arc::from))
}

fn scalars(names: impl Iterator<Item = Arc<str>>) -> Shape {
    Shape::Map(names.map(|name| (name, Shape::Scalar)).collect())
}

fn fields(action: &Action) -> NameList {
    let parameters = action.parameters().into_iter().filter(|parameter| !parameter.from_path);
    parameters.map(|parameter| parameter.name.clone()).collect()
}

/// The fields of the action at a route as a template writes it.
fn form_fields(site: &Site, route: &str) -> Option<NameList> {
    let (endpoint, method) = site.action(route)?;
    endpoint.action(method).map(|action| fields(action))
}

/// The templates in `redirect:` and `flash:`, and the query that `fill:` names.
fn directives(
    site: &Site,
    templates: &Reader<'_>,
    known: &Known,
    action: &Action,
    form: &dyn Fn(&str) -> Option<NameList>,
    faults: &mut Vec<Fault>,
) {
    let directives = &action.script.directives;
    let redirect = match &directives.redirect {
        Some(Redirect::To(phrase)) => Some(phrase),
        _ => None,
    };
    let texts = [(&action.redirect, redirect), (&action.flash, directives.flash.as_ref())];
    for (template, phrase) in texts {
        let (Some(template), Some(phrase)) = (template, phrase) else { continue };
        let mut names = result_names(&action.script, known);
        names.extend(server_names(site));
        let parameters = action.script.parameters.iter().map(|parameter| parameter.name.clone());
        names.push(("params".into(), scalars(parameters)));
        let found = templates.check(&template.name, &Shapes { names, form: &|route| form(route) });
        faults.extend(found.into_iter().map(|fault| moved(fault, &phrase.place)));
    }
}

/// A fault inside of a directive's text, at its place in the query file.
fn moved(mut fault: Fault, phrase: &Place) -> Fault {
    if let Some(place) = &mut fault.place {
        *place = Place {
            column: phrase.column + place.column - 1,
            line: phrase.line,
            text: phrase.text.clone(),
            file: phrase.file.clone(),
            width: place.width,
        };
    }
    fault
}

/// Declared parameters that neither SQL nor a template reads.
fn unused(site: &Site, faults: &mut Vec<Fault>) {
    for endpoint in &site.endpoints {
        if let Some(page) = &endpoint.page {
            for script in page.scripts.iter().filter(|script| !script.path.starts_with(builtin::ROOT)) {
                faults.extend(script.unused_parameters(&|_| page.uses.params));
            }
        }
        let data = endpoint.data.iter().map(|(_, data)| &data.script);
        let actions = endpoint.actions.iter().map(|(_, action)| action).chain(&endpoint.visit);
        for script in data {
            faults.extend(script.unused_parameters(&|_| false));
        }
        for action in actions {
            let own = [&action.redirect, &action.flash];
            let in_directive = own
                .iter()
                .filter_map(|template| template.as_ref())
                .any(|template| site.templates.names(&template.name).iter().any(|name| &**name == "params"));
            faults.extend(action.script.unused_parameters(&|_| in_directive));
        }
    }
}
