//! The access step: may this visitor do this here? Decided from the resolved route, never from the address's text.

use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Method};

use crate::flow::{Answer, Content, Visit, visible};
use crate::problem::{Kind, Problem};
use crate::settings::AccessRule;
use crate::site::rules;
pub use crate::site::rules::{Verdict, Who};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// What the rules of a route say to a visitor; see [`rules::decide`].
pub fn decide(rules: &[AccessRule], method: &Method, who: Who<'_>) -> Verdict {
    rules::decide(rules, method.as_str(), who)
}

/// Acts on [`decide`].
///
/// # Errors
/// A refusal.
pub fn check(rules: &[AccessRule], method: &Method, who: Who<'_>) -> Result<(), Problem> {
    match decide(rules, method, who) {
        Verdict::Allowed => Ok(()),
        Verdict::LoginNeeded => Err(Problem::new(Kind::LoginNeeded, "Please log in to see this.")),
        Verdict::ConfirmNeeded => {
            Err(Problem::new(Kind::NotAllowed, "Please confirm your e-mail address first. We have sent you a link."))
        }
        Verdict::Refused => Err(Problem::new(Kind::NotAllowed, "You may not see this page.")),
        Verdict::Hidden => Err(Problem::not_found()),
    }
}

/// Keeps what not everyone may see from being stored for others: a cache on the way knows no rules.
pub fn unshared(rules: &[AccessRule], method: &Method, mut answer: Answer) -> Answer {
    let stored =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| !text.contains("private") && !text.contains("no-store"));
    let open = decide(rules, method, Who::Anonymous) == Verdict::Allowed;
    // What is kept had this done when it was made.
    if matches!(answer.content, Content::Kept(_)) {
        return answer;
    }
    if !open && answer.headers.get(&CACHE_CONTROL).is_none_or(stored) {
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    answer
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
    let origin = visible(origin).unwrap_or("");
    let host = visit.header("host").or_else(|| visit.uri().authority().map(|host| host.as_str()));
    let scheme = host.and_then(|host| origin.strip_suffix(host)?.strip_suffix("://"));
    let names_host = scheme.is_some_and(|scheme| !scheme.contains(':'));
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

    #[test]
    fn a_refusal_says_no_more_than_it_must() {
        let rule = |allow: &str, hide| AccessRule {
            path: "/**".into(),
            methods: Vec::new(),
            allow: vec![allow.into()],
            hide,
            place: Place::of("site.toml", "", 0, 0),
        };
        let user = Who::User { confirmed: false, roles: &[] };
        let told = |rule, who| check(&[rule], &Method::GET, who).unwrap_err();
        assert_eq!(told(rule("users", false), Who::Anonymous).kind, Kind::LoginNeeded);
        assert_eq!(told(rule("editor", false), user).kind, Kind::NotAllowed);
        assert!(told(rule("confirmed", false), user).public.contains("confirm your e-mail address"));
        let (hidden, missing) = (told(rule("editor", true), user), Problem::not_found());
        assert_eq!((hidden.kind, hidden.public), (missing.kind, missing.public));
        assert!(check(&[rule("users", true)], &Method::GET, user).is_ok());
    }

    #[test]
    fn what_only_some_may_see_is_kept_from_shared_caches() {
        let rule = AccessRule {
            path: "/**".into(),
            methods: Vec::new(),
            allow: vec!["users".into()],
            hide: false,
            place: Place::of("site.toml", "", 0, 0),
        };
        let kept = |rules: &[AccessRule], value: &'static str| {
            let answer = Answer::text("x").header(CACHE_CONTROL, HeaderValue::from_static(value));
            unshared(rules, &Method::GET, answer).headers.get(&CACHE_CONTROL).unwrap().clone()
        };
        assert_eq!(kept(&[], "public, max-age=9"), "public, max-age=9");
        assert_eq!(kept(std::slice::from_ref(&rule), "public, max-age=9"), "private, no-cache");
        assert_eq!(kept(&[rule], "private, no-store"), "private, no-store");
    }
}
