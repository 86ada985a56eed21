//! Links, form actions and assets of templates that lead nowhere.

use std::collections::HashMap;

use super::addresses::{Addresses, HOLE};
use crate::builtin;
use crate::parallel;
use crate::problem::{Fault, suggestion};
use crate::render::{Call, Link, Part};
use crate::site::{Endpoint, Site};

/// The faults of all templates.
pub(super) fn check(site: &Site, faults: &mut Vec<Fault>) {
    let addresses = Addresses::of(site);
    let mut known = Known::new();
    let pointed = parallel::stretches(&site.templates.list(), |stretch| {
        stretch.iter().map(|template| site.templates.facts(template)).collect()
    });
    for facts in pointed {
        // The server's own pages lead to the site's first one, and to pages that some settings take away.
        for link in facts.links.iter().filter(|link| !link.place.file.starts_with(builtin::ROOT)) {
            faults.extend(led_nowhere(&addresses, link, &mut known));
        }
        for call in &facts.forms {
            faults.extend(no_action(site, call));
        }
        for call in &facts.urls {
            faults.extend(no_route(site, call));
        }
        for call in &facts.assets {
            faults.extend(no_file(&addresses, call));
        }
    }
}

/// A path with holes, and the method with which it is followed.
type Asked = (String, Option<&'static str>);

/// What was found wrong with links, as message and help: many pages have the same.
type Known = HashMap<Asked, Option<(String, String)>>;

/// The path of an address on this site, with holes; `None` for other sites, anchors, and addresses that are wholly
/// computed.
fn path_of(parts: &[Part]) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::Hole => text.push(HOLE),
        }
    }
    let path = text.split(['?', '#']).next().unwrap_or("");
    let inside = path.starts_with('/') && !path.starts_with("//");
    inside.then(|| path.to_string())
}

fn led_nowhere(addresses: &Addresses, link: &Link, known: &mut Known) -> Option<Fault> {
    let path = path_of(&link.parts)?;
    // What the server itself gives (uploads and, later, built-in pages) is no route of the site's folder.
    if path.starts_with("/-/") {
        return None;
    }
    let found = known.entry((path, link.method)).or_insert_with_key(|(path, method)| wrong(addresses, path, *method));
    let (message, help) = found.as_ref()?;
    Some(Fault::error(message.clone(), link.place.clone()).help(help.clone()))
}

/// What is wrong with a link, and what to do.
fn wrong(addresses: &Addresses, path: &str, asked: Option<&'static str>) -> Option<(String, String)> {
    let shown = path.replace(HOLE, "…");
    let method = asked.unwrap_or("GET");
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    if method == "GET" && addresses.has_file(&decoded) {
        return None;
    }
    let matching = addresses.endpoints(&decoded);
    if matching.is_empty() {
        let help = suggestion(&decoded, addresses.all().iter().map(String::as_str));
        return Some((format!("{shown} leads nowhere"), help));
    }
    if asked.is_none() || matching.into_iter().any(|endpoint| answers(endpoint, method)) {
        return None;
    }
    let help = "name the action's file after its method: `.post.sql`, `.put.sql` …";
    Some((format!("{shown} has no {method}"), help.into()))
}

fn answers(endpoint: &Endpoint, method: &str) -> bool {
    // A form with a computed method and one that a hidden `_method` changes both go out as POST.
    endpoint.methods().contains(&method) || method == "POST" && !endpoint.actions.is_empty()
}

fn no_action(site: &Site, call: &Call) -> Option<Fault> {
    let Some((endpoint, _)) = site.action(&call.target) else {
        let known: Vec<String> = site
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.actions.is_empty())
            .map(|endpoint| endpoint.pattern.to_string())
            .collect();
        let help = suggestion(&call.target, known.iter().map(String::as_str));
        return Some(Fault::error(format!("no action at {}", call.target), call.place.clone()).help(help));
    };
    let missing = endpoint.parameters.iter().find(|name| call.target.contains('[') && !call.arguments.contains(name));
    missing.map(|name| {
        Fault::error(format!("form(\"{}\") gets no value for `{name}`", call.target), call.place.clone())
            .help(format!("write form(\"{}\", {name}=…)", call.target))
    })
}

fn no_route(site: &Site, call: &Call) -> Option<Fault> {
    let target = call.target.split(['?', '#']).next().unwrap_or("");
    let known = !target.starts_with('/')
        || site.statics.at(target).is_some()
        || site.endpoint(target).is_some()
        || site.find(target).is_some();
    (!known).then(|| Fault::error(format!("{target} leads nowhere"), call.place.clone()))
}

fn no_file(addresses: &Addresses, call: &Call) -> Option<Fault> {
    if addresses.statics().asset_url(&call.target).is_some() {
        return None;
    }
    let known = addresses.statics().sorted().into_iter().map(|address| address.trim_start_matches('/'));
    let help = suggestion(call.target.trim_start_matches('/'), known);
    Some(Fault::error(format!("there is no file `{}` in public/", call.target), call.place.clone()).help(help))
}
