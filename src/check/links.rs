//! Links, form actions and assets of templates that lead nowhere.

use crate::builtin;
use crate::problem::{Fault, suggestion};
use crate::render::{Call, Link, Part};
use crate::site::pattern::{Pattern, Segment};
use crate::site::{Endpoint, Site};

/// Stands for a template expression inside an address.
const HOLE: char = '\u{0}';

/// The faults of all templates.
pub(super) fn check(site: &Site, faults: &mut Vec<Fault>) {
    let statics: Vec<String> = site.statics.addresses().into_iter().map(|(address, _)| address).collect();
    for template in site.templates.list() {
        let facts = site.templates.facts(&template);
        // The server's own pages lead to the site's first one, and to pages that some settings take away.
        for link in facts.links.iter().filter(|link| !link.place.file.starts_with(builtin::ROOT)) {
            faults.extend(led_nowhere(site, &statics, link));
        }
        for call in &facts.forms {
            faults.extend(no_action(site, call));
        }
        for call in &facts.urls {
            faults.extend(no_route(site, &statics, call));
        }
        for call in &facts.assets {
            if site.statics.asset_url(&call.target).is_none() {
                let known: Vec<&str> = statics.iter().map(|address| address.trim_start_matches('/')).collect();
                faults.push(
                    Fault::error(format!("there is no file `{}` in public/", call.target), call.place.clone())
                        .help(suggestion(call.target.trim_start_matches('/'), known)),
                );
            }
        }
    }
}

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

fn led_nowhere(site: &Site, statics: &[String], link: &Link) -> Option<Fault> {
    let path = path_of(&link.parts)?;
    let shown = path.replace(HOLE, "…");
    // What the server itself gives (uploads and, later, built-in pages) is no route of the site's folder.
    if path.starts_with("/-/") {
        return None;
    }
    let method = link.method.unwrap_or("GET");
    let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
    if method == "GET" && statics.iter().any(|address| fits_text(&decoded, address)) {
        return None;
    }
    let mut matching = site.endpoints.iter().filter(|endpoint| fits(&decoded, &endpoint.pattern)).peekable();
    if matching.peek().is_none() {
        let known: Vec<String> = site.endpoints.iter().map(|endpoint| endpoint.pattern.to_string()).collect();
        let help = suggestion(&decoded, known.iter().map(String::as_str).chain(statics.iter().map(String::as_str)));
        return Some(Fault::error(format!("{shown} leads nowhere"), link.place.clone()).help(help));
    }
    if matching.any(|endpoint| answers(endpoint, method)) || link.method.is_none() {
        return None;
    }
    Some(
        Fault::error(format!("{shown} has no {method}"), link.place.clone())
            .help("name the action's file after its method: `.post.sql`, `.put.sql` …"),
    )
}

fn answers(endpoint: &Endpoint, method: &str) -> bool {
    // A form with a computed method and one that a hidden `_method` changes both go out as POST.
    endpoint.methods().contains(&method) || method == "POST" && !endpoint.actions.is_empty()
}

/// Whether an address with holes could be one that the pattern matches. A data endpoint also answers with its ending.
fn fits(path: &str, pattern: &Pattern) -> bool {
    let trimmed = [".json", ".csv"].iter().find_map(|end| path.strip_suffix(end));
    segments_fit(path, &pattern.0) || trimmed.is_some_and(|path| segments_fit(path, &pattern.0))
}

fn segments_fit(path: &str, segments: &[Segment]) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // A hole may hold several segments, or none at all: then only what stands before it can be held against the route.
    if let Some(at) = parts.iter().position(|part| part.contains(HOLE)) {
        let exact = parts[..at].iter().zip(segments).all(|(part, segment)| segment_fits(part, segment));
        let whole = parts.len() == segments.len()
            && parts.iter().zip(segments).all(|(part, segment)| segment_fits(part, segment));
        let ends_in_hole = at + 1 == parts.len() && parts[at].starts_with(HOLE) && segments.len() == at;
        let rest = segments.iter().position(|segment| matches!(segment, Segment::Rest(_)));
        return whole || exact && (ends_in_hole || rest.is_some_and(|rest| rest <= at));
    }
    match segments.iter().position(|segment| matches!(segment, Segment::Rest(_))) {
        Some(rest) => parts.len() > rest && parts.iter().zip(&segments[..rest]).all(|(p, s)| segment_fits(p, s)),
        None => {
            parts.len() == segments.len()
                && parts.iter().zip(segments).all(|(part, segment)| segment_fits(part, segment))
        }
    }
}

fn segment_fits(part: &str, segment: &Segment) -> bool {
    match segment {
        Segment::Exact(text) => fits_text(part, text),
        Segment::Parameter { end, .. } => end.is_empty() || part.contains(HOLE) || part.ends_with(&**end),
        Segment::Rest(_) => true,
    }
}

/// Whether a text with holes could be this one.
fn fits_text(holed: &str, text: &str) -> bool {
    if !holed.contains(HOLE) {
        return holed == text;
    }
    let (start, rest) = holed.split_once(HOLE).unwrap_or((holed, ""));
    let end = rest.rsplit(HOLE).next().unwrap_or("");
    text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
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

fn no_route(site: &Site, statics: &[String], call: &Call) -> Option<Fault> {
    let target = call.target.split(['?', '#']).next().unwrap_or("");
    let known = !target.starts_with('/')
        || statics.iter().any(|address| address == target)
        || site.endpoint(target).is_some()
        || site.find(target).is_some();
    (!known).then(|| Fault::error(format!("{target} leads nowhere"), call.place.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_fit_what_could_be_meant() {
        let fits = |path: &str, pattern: &str| super::fits(&path.replace('…', "\0"), &Pattern::parse(pattern).unwrap());
        assert!(fits("/products/…", "/products/[slug]"));
        assert!(fits("/products/cat-…", "/products/[slug]"));
        assert!(fits("/docs/…", "/docs/[...path]"));
        assert!(fits("/search…", "/search"));
        assert!(fits("/products.json", "/products"));
        assert!(!fits("/product/…", "/products/[slug]"));
        assert!(!fits("/products/…/edit", "/products/[slug]"));
        assert!(!fits("/about", "/"));
    }
}
