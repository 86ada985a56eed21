//! Faults of access rules: rules that hold for nothing, that name nobody, and actions that were forgotten.

use crate::problem::{Fault, Place, suggestion};
use crate::settings::AccessRule;
use crate::site::policy::is_name;
use crate::site::rules::METHODS;
use crate::site::{Endpoint, Site};

pub(super) fn check(site: &Site, faults: &mut Vec<Fault>) {
    let bound = bound_places(site);
    for rule in &site.settings.access {
        if !bound.contains(&rule.place) {
            faults.push(
                Fault::error(format!("no route matches the access rule for {}", rule.path), rule.place.clone())
                    .help("`tableside access` lists what there is"),
            );
        }
        faults.extend(wrong_part(&rule.path, &rule.place, "an access rule"));
        faults.extend(wrong_method(rule));
        faults.extend(wrong_name(rule, site.settings.has_users()));
    }
    if site.settings.has_users() {
        site.endpoints.iter().for_each(|endpoint| forgotten_actions(site, endpoint, faults));
    }
}

/// The places of the rules that hold for something.
fn bound_places(site: &Site) -> Vec<Place> {
    if site.settings.access.is_empty() {
        return Vec::new();
    }
    let pages = site.endpoints.iter().flat_map(|endpoint| endpoint.rules.clone());
    let uploads = if site.takes_uploads() { site.upload_rules() } else { Vec::new() };
    let statics = site.statics.sorted().into_iter().flat_map(|address| site.static_rules(address));
    let mut places: Vec<Place> = Vec::new();
    for rule in pages.chain(uploads).chain(statics) {
        if !places.contains(&rule.place) {
            places.push(rule.place);
        }
    }
    places
}

/// `/admin*` would be taken for an address that is written so.
pub(super) fn wrong_part(path: &str, place: &Place, of: &str) -> Option<Fault> {
    let part = path.split('/').find(|part| part.contains('*') && !matches!(*part, "*" | "**"))?;
    let fault = Fault::error(format!("`{part}` is no part of {of}'s path"), place.clone());
    Some(fault.help("`*` stands for one whole segment, `**` for any number of them"))
}

fn wrong_method(rule: &AccessRule) -> Option<Fault> {
    let method = rule.methods.iter().find(|method| !METHODS.contains(&method.as_str()))?;
    let help = match method.as_str() {
        "HEAD" | "OPTIONS" | "VISIT" => "a rule for GET is about it as well".to_string(),
        _ => match suggestion(method, METHODS) {
            none if none.is_empty() => format!("the methods are {}", METHODS.join(", ")),
            near => near,
        },
    };
    Some(Fault::error(format!("`{method}` is no method of an access rule"), rule.place.clone()).help(help))
}

fn wrong_name(rule: &AccessRule, has_users: bool) -> Option<Fault> {
    if let Some(wrong) = rule.allow.iter().find(|word| !is_name(word) || *word == "anonymous") {
        let help = match wrong.as_str() {
            "anonymous" => "whoever is not logged in may do what `everyone` may",
            _ => "a role's name has letters, digits, `_` and `-`",
        };
        return Some(Fault::error(format!("`{wrong}` is no name for a role"), rule.place.clone()).help(help));
    }
    let user = rule.allow.iter().find(|word| *word != "everyone")?;
    if has_users {
        return None;
    }
    let fault = Fault::error(format!("nobody is one of `{user}`: this site has no accounts"), rule.place.clone());
    Some(fault.help("set `register` in a section [users] to \"open\", \"invited\" or \"closed\""))
}

/// Actions that no rule is about. Once a rule says `everyone`, that is on purpose.
///
/// Pages that come with the server know what they do; where endpoints tell that they are such, they are left out here.
fn forgotten_actions(site: &Site, endpoint: &Endpoint, faults: &mut Vec<Fault>) {
    for (method, action) in &endpoint.actions {
        let method = method.name();
        if endpoint.rules.iter().any(|rule| crate::site::rules::is_about(rule, method)) {
            continue;
        }
        let route = &endpoint.pattern;
        let message = format!("no access rule is about `{method} {route}`: everyone may do it");
        let help = format!(
            "say who may in site.toml, also if it is everyone: [[access]] path = \"{route}\", methods = [\"{method}\"], \
             allow = \"users\""
        );
        faults.extend(start_of(site, &action.script.path).map(|place| Fault::warning(message, place).help(help)));
    }
}

/// The first line of a query file.
pub(super) fn start_of(site: &Site, file: &str) -> Option<Place> {
    let found = site.query_files.iter().find(|known| *known.path == *file)?;
    Some(Place::of_line(found.path.clone(), &found.source, 1))
}
