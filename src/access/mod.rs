//! The access step: may this visitor do this here? Decided from the resolved route, never from the address's text.

use http::{HeaderName, Method};

use crate::flow::Visit;
use crate::problem::{Kind, Problem};
use crate::settings::AccessRule;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// Who may use a route with a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allowed,
    /// Refused, and said so.
    Refused,
    /// Refused as if nothing were there.
    Hidden,
}

/// What the rules that cover a route say; the strictest wins. Without accounts every visitor is anonymous, so only
/// `everyone` allows.
pub fn decide(rules: &[AccessRule], method: &Method) -> Verdict {
    let mut verdict = Verdict::Allowed;
    for rule in rules {
        let covered = rule.methods.is_empty() || rule.methods.iter().any(|name| names(name, method));
        if !covered || rule.allow.iter().any(|who| who == "everyone") {
            continue;
        }
        match rule.hide {
            true => return Verdict::Hidden,
            false => verdict = Verdict::Refused,
        }
    }
    verdict
}

/// Whether a rule's method covers the request's: HEAD is a GET.
fn names(name: &str, method: &Method) -> bool {
    name == method.as_str() || name == "GET" && method == Method::HEAD
}

/// Acts on [`decide`].
///
/// # Errors
/// A refusal.
pub fn check(rules: &[AccessRule], method: &Method) -> Result<(), Problem> {
    match decide(rules, method) {
        Verdict::Allowed => Ok(()),
        Verdict::Refused => Err(Problem::new(Kind::NotAllowed, "You may not see this page.")),
        Verdict::Hidden => Err(Problem::not_found()),
    }
}

/// Refuses a request that changes something and that another site made the browser send.
///
/// Browsers tell by `Sec-Fetch-Site` (Fetch Metadata), older ones by `Origin`; programs send neither and have no
/// cookies that another site could borrow.
///
/// # Errors
/// A refusal.
pub fn same_site(visit: &Visit, site_url: &str) -> Result<(), Problem> {
    let refused = || Err(Problem::new(Kind::NotAllowed, "This form was sent from another site."));
    match visit.header(&SEC_FETCH_SITE) {
        Some("same-origin" | "none") => return Ok(()),
        Some(_) => return refused(),
        None => {}
    }
    let Some(origin) = visit.headers.get("origin") else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("");
    let host = visit.header("host").or_else(|| visit.uri().authority().map(|host| host.as_str()));
    let names_host = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    if names_host || !site_url.is_empty() && origin == site_url.trim_end_matches('/') {
        return Ok(());
    }
    refused()
}

/// Whether a GET is a visit of a person: not a HEAD, a prefetch, or a part of another page.
pub fn is_visit(visit: &Visit) -> bool {
    let prefetch = [SEC_PURPOSE, PURPOSE, X_MOZ]
        .iter()
        .any(|name| visit.header(name).is_some_and(|value| value.contains("prefetch") || value.contains("prerender")));
    // A navigation from another site (a link, a search engine) is a visit; a frame or an image inside of it isn't.
    let embedded = visit.header(&SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
        && visit.header(&SEC_FETCH_DEST).is_some_and(|dest| dest != "document");
    visit.method == Method::GET && !prefetch && !embedded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Place;

    fn rule(methods: &[&str], allow: &[&str], hide: bool) -> AccessRule {
        AccessRule {
            path: "/**".into(),
            methods: methods.iter().map(ToString::to_string).collect(),
            allow: allow.iter().map(ToString::to_string).collect(),
            hide,
            place: Place::of("site.toml", "", 0, 0),
        }
    }

    #[test]
    fn the_strictest_rule_wins() {
        let get = Method::GET;
        assert_eq!(decide(&[], &get), Verdict::Allowed);
        assert_eq!(decide(&[rule(&[], &["everyone"], false)], &get), Verdict::Allowed);
        let rules = [rule(&[], &["everyone"], false), rule(&[], &["users"], false)];
        assert_eq!(decide(&rules, &get), Verdict::Refused);
        assert_eq!(decide(&[rule(&["POST"], &["users"], false)], &get), Verdict::Allowed);
        assert_eq!(decide(&[rule(&["GET"], &["users"], true)], &Method::HEAD), Verdict::Hidden);
    }
}
