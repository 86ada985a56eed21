//! Answers somebody who comes back from a provider of logins. What they bring runs as the action of that address, which
//! logs in like any other; what goes wrong is told on the page from which they left.

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode, header::SET_COOKIE};

use super::action::{self, Received};
use super::parameters::Pairs;
use super::{Tools, flash, no_such_method};
use crate::flow::visitor::Visitor;
use crate::flow::{Answer, Visit};
use crate::problem::{Kind, Problem};
use crate::site::folder::Method;
use crate::site::{Match, Site};

/// What a provider adds to the address.
const BROUGHT: [&str; 3] = ["state", "code", "iss"];

/// The most characters of a provider's own words that the log gets.
const LONGEST_CAUSE: usize = 300;

/// Answers who comes back.
///
/// # Errors
/// The provider refused, what they bring doesn't count, or nobody may log in so.
pub async fn answer(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    pairs: Vec<(String, String)>,
) -> Result<Answer, Problem> {
    // Where they are sent if it fails depends on who they are.
    super::identify(tools, visitor).await?;
    let action = found.endpoint.action(Method::Post).cloned().ok_or_else(|| no_such_method(&found.endpoint))?;
    refused(&pairs)?;
    let texts = pairs.into_iter().filter(|(name, _)| BROUGHT.contains(&name.as_str())).collect();
    action::without_page(tools, visit, visitor, found, &action, Received { texts, ..Received::default() }).await
}

/// What a provider says instead of a code (RFC 6749, 4.1.2.1).
fn refused(pairs: &Pairs) -> Result<(), Problem> {
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let Some(error) = value("error") else { return Ok(()) };
    let said: String = value("error_description").unwrap_or("").chars().take(LONGEST_CAUSE).collect();
    let error: String = error.chars().take(LONGEST_CAUSE).collect();
    let public = match error.as_str() {
        "access_denied" => "You have not logged in there. Please try again, or choose another way.",
        _ => "This login doesn't work at the moment. Please try again later.",
    };
    Err(Problem::new(Kind::Conflict, public).caused_by(format!("the provider of the login says `{error}`: {said}")))
}

/// Tells a person what went wrong with a provider's login on the page from which they left: the address that they are at
/// has nothing to show, and a code that was used is best out of the way. `None` for anything else.
pub fn sorry(site: &Site, visit: &Visit, visitor: Option<&Visitor>, problem: &Problem) -> Option<Answer> {
    use Kind::{Broken, LoginNeeded, NoSuchMethod, NotAllowed, NotFound};
    let is_fault = matches!(problem.kind, Broken | NotFound | NotAllowed | NoSuchMethod(_) | LoginNeeded);
    if is_fault || visit.wants_json || !is_login(site, visit) {
        return None;
    }
    let message = match &problem.kind {
        Kind::Invalid(errors) => errors.0.first().map_or(&*problem.public, |(_, message)| message),
        _ => &problem.public,
    };
    let is_user = visitor.is_some_and(|visitor| visitor.identity().user.is_some());
    let mut answer = Answer::redirect(StatusCode::SEE_OTHER, if is_user { "/account" } else { "/login" });
    answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    answer.headers.append(SET_COOKIE, flash::carry(message, visit.secure));
    Some(answer)
}

/// Whether the address is one of those that lead to a provider and back.
fn is_login(site: &Site, visit: &Visit) -> bool {
    let Some(found) = site.find(visit.path()) else { return false };
    found.endpoint.action(Method::Post).is_some_and(|action| action.script.asks_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_refusal_of_the_provider_is_told_without_its_words() {
        assert!(refused(&pairs(&[("code", "x"), ("state", "y")])).is_ok());
        let long = "x".repeat(5000);
        let problem = refused(&pairs(&[("error", "access_denied"), ("error_description", &long)])).unwrap_err();
        assert!(problem.public.starts_with("You have not logged in there."));
        let cause = problem.cause.unwrap();
        assert!(cause.contains("`access_denied`: xxx") && cause.len() < 400, "{cause}");
        let problem = refused(&pairs(&[("error", "server_error<script>")])).unwrap_err();
        assert_eq!(problem.public, "This login doesn't work at the moment. Please try again later.");
    }
}
