//! Who is let in: the access step with the visitor it is asked for, and where those are sent who must log in first.

use std::sync::Arc;

use http::header::{ACCEPT, CACHE_CONTROL, REFERER};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::access::{self, Verdict};
use crate::answer::{self, Tools};
use crate::flow::visitor::Visitor;
use crate::flow::{Answer, Visit};
use crate::problem::{Kind, Problem};
use crate::settings::AccessRule;
use crate::site::Site;
use crate::site::rules::reaches;

const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// Lets a visitor in, or says why not. Who it is, is looked up only where a rule asks, or an API token speaks for
/// somebody: that is good for a part of the site at most.
///
/// # Errors
/// A refusal; a database that can't be asked.
pub(super) async fn admit(
    tools: &Tools<'_>,
    visit: &Visit,
    visitor: &Arc<Visitor>,
    rules: &[AccessRule],
) -> Result<(), Problem> {
    let token = tools.site.settings.has_users() && visit.bearer().is_some();
    if !rules.is_empty() || token {
        answer::identify(tools, visitor).await?;
    }
    if token && visitor.identity().user.is_none() {
        return Err(Problem::new(Kind::LoginNeeded, "This token is not valid, or not any more."));
    }
    access::check(rules, &visit.method, visitor.who())
}

/// What an API token doesn't reach: other paths than its own, changes when it is for reading, and the pages on which
/// somebody looks after their account.
///
/// # Errors
/// A refusal.
pub(super) fn check_token(visit: &Visit, visitor: &Visitor, builtin: bool) -> Result<(), Problem> {
    let Some(token) = &visitor.identity().token else { return Ok(()) };
    let changes = !visit.only_asks() && visit.method != Method::OPTIONS;
    // Also where the site has put its own pages in the place of the server's.
    let of_account = builtin || reaches(ACCOUNT, visit.path());
    let reached = !of_account && reaches(&token.paths, visit.path());
    match reached && (token.may_write || !changes) {
        true => Ok(()),
        false => Err(Problem::new(Kind::NotAllowed, "This token is not good for that.")),
    }
}

/// What the rules of a route make of the visitor.
pub(super) fn verdict(rules: &[AccessRule], method: &Method, visitor: &Visitor) -> Verdict {
    access::decide(rules, method, visitor.who())
}

/// Where a person is sent who must log in first, and comes back from; `None` for programs, and for sites that have no
/// such page.
pub(super) fn login(site: &Site, visit: &Visit, problem: &Problem) -> Option<Answer> {
    let is_person = visit.header(ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let asks = problem.kind == Kind::LoginNeeded && visit.bearer().is_none();
    let htmx = visit.headers.has(&HX_REQUEST);
    if !asks || !(is_person && !visit.wants_json || htmx) || site.find(LOGIN).is_none() {
        return None;
    }
    let next: String = form_urlencoded::byte_serialize(back(visit)?.as_bytes()).collect();
    let to = format!("{LOGIN}?next={next}");
    Some(
        match htmx {
            // A script would put the login page into the page that it changes.
            true => Answer::empty(StatusCode::NO_CONTENT).header(HX_REDIRECT, HeaderValue::try_from(to).ok()?),
            false => Answer::redirect(StatusCode::SEE_OTHER, &to),
        }
        .header(CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    )
}

/// The page to come back to: this one, or the one that a form stood on.
fn back(visit: &Visit) -> Option<String> {
    let uri = match visit.only_asks() && !visit.headers.has(&HX_REQUEST) {
        true => visit.uri().path_and_query()?.as_str().to_string(),
        false => {
            let from: http::Uri = visit.header(REFERER)?.parse().ok()?;
            if from.authority().map(|authority| authority.as_str()) != visit.host() {
                return Some("/".into());
            }
            from.path_and_query()?.as_str().to_string()
        }
    };
    // Browsers read `\` as `/`.
    Some(if uri.starts_with("//") || uri.starts_with("/\\") { "/".into() } else { uri })
}

const LOGIN: &str = "/login";

/// Where users look after their accounts.
const ACCOUNT: &str = "/account/**";
