//! The route step: what a path leads to. It decides and does no I/O.
//!
//! Order: static file, exact page, `[param]`, `[...rest]`, nothing. One address for each thing: others are redirected.

use http::Method;

use crate::flow::{Route, Visit};
use crate::site::statics::Found;
use crate::site::{Match, Site, folder};

/// Where uploads are served.
pub const UPLOADS: &str = "/-/uploads/";

/// Decides what the visit's path leads to.
pub fn route(site: &Site, visit: &Visit) -> Route {
    let path = visit.path();
    // A form may be sent to the address of a static page.
    if !visit.only_asks()
        && let Some(found) = site.find(path).filter(|found| !found.endpoint.actions.is_empty())
    {
        return Route::Endpoint(found);
    }
    match site.statics.find(path, visit.query()) {
        Found::Nothing => {}
        found => return Route::Static(found),
    }
    if let Some(found) = site.find(path) {
        return match visit.method == Method::GET && is_return(&found) {
            true => Route::Return(found),
            false => Route::Endpoint(found),
        };
    }
    if let Some(id) = path.strip_prefix(UPLOADS).filter(|_| !site.plain) {
        return Route::Upload(id.to_string());
    }
    match canonical(site, visit) {
        Some((found, to)) => Route::Moved(found, to),
        None => Route::Nothing,
    }
}

/// Whether a provider of logins sends people back to this address: they come by GET, and it is an action all the same,
/// because what they bring counts once.
fn is_return(found: &Match) -> bool {
    found.endpoint.action(folder::Method::Post).is_some_and(|action| action.script.is_return())
}

/// The one address of a page for a GET that wrote it with a slash or `.html` at its end, or as a folder's index.
fn canonical(site: &Site, visit: &Visit) -> Option<(Match, String)> {
    if !visit.only_asks() {
        return None;
    }
    // The raw path keeps its escapes, so what is redirected to is what was meant.
    let raw = visit.uri().path();
    let stem = raw.trim_end_matches('/').trim_end_matches(".html");
    let stem = stem.strip_suffix("/index").unwrap_or(stem);
    let stem = if stem.is_empty() { "/" } else { stem };
    if stem == raw {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(stem).decode_utf8().ok()?;
    let found = site.find(&decoded)?;
    let to = match visit.query() {
        "" => stem.to_string(),
        query => format!("{stem}?{query}"),
    };
    Some((found, to))
}
