//! Answers with an action: what was sent becomes values, the statements run as one write transaction, and the visitor
//! is redirected, or sees the form again with what did not pass.

mod proving;
mod received;
mod work;

use std::mem::ManuallyDrop;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, ORIGIN, REFERER, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use serde_json::Value as Json;

use super::form::{ONCE, Refused};
use super::page::{Wanted, show, with_status};
use super::parameters::{self, Pairs, from_path};
use super::reading::{self, Ended};
use super::session::{Fresh, cookie_removed};
use super::upload::Files;
use super::{Keep, Tools, constraint, flash, no_such_method, once};
use crate::accounts::sessions::cookie_age;
use crate::database::{Commit, Transaction, Written};
use crate::flow::visitor::Visitor;
use crate::flow::{Answer, Visit};
use crate::problem::{FieldErrors, Kind, Problem};
use crate::render::Slot;
use crate::site::folder::Method;
use crate::site::{Action, Endpoint, Match, Site};
use crate::sqlfile::{Arguments, Redirect, Script};

pub use received::Received;
use work::{Change, Done, Inputs, Ran, Work};

/// Answers a POST, PUT, PATCH or DELETE.
///
/// # Errors
/// No such action; what doesn't pass and has no page to be shown on; faults of the site.
pub async fn answer(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    mut received: Received,
) -> Result<Answer, Problem> {
    let method = Method::of(visit.method.as_str()).ok_or_else(|| no_such_method(&found.endpoint))?;
    let action = found.endpoint.action(method).cloned().ok_or_else(|| no_such_method(&found.endpoint))?;
    let outcome = attempt(tools, visit, visitor, found, &action, &mut received).await;
    match outcome {
        Ok(Attempt { done, commit, work }) => {
            if let (Done::Now(ran), true, false) = (&done, action.shows_results(), visit.wants_json) {
                commit.await.map_err(Problem::from)?;
                visit.session_cookie = cookie(tools, visit, ran.change, work.fresh());
                let visitor = Arc::new(visitor.become_identity(ran.identity.clone()));
                return Box::pin(shown(tools, visit, &visitor, found, &action, ran)).await;
            }
            Ok(succeeded(tools, visit, done, work.fresh()).after(commit))
        }
        // What is seldom doesn't take room in every visit's state, which is moved about.
        Err(problem) => Box::pin(refused(tools, visit, visitor, found, &action, method, &received, problem)).await,
    }
}

/// Answers with an action that has no page to show again, and is not asked for by its method.
pub(super) async fn without_page(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    action: &Arc<Action>,
    mut received: Received,
) -> Result<Answer, Problem> {
    let Attempt { done, commit, work } = attempt(tools, visit, visitor, found, action, &mut received).await?;
    Ok(succeeded(tools, visit, done, work.fresh()).after(commit))
}

/// An action that has run, and holds once it is committed.
struct Attempt {
    done: Done,
    commit: Commit,
    work: Arc<Work>,
}

/// Converts what was sent, proves what is to be proven, and runs the action.
async fn attempt(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    action: &Arc<Action>,
    received: &mut Received,
) -> Result<Attempt, Problem> {
    let field = received.texts.iter().find(|(name, _)| name == ONCE).map(|(_, key)| &**key);
    let key = once::key(visit, visitor, &action.script, field);
    let mut inputs = inputs(tools, action, visitor, found, received)?;
    // What is seldom doesn't take room in every visit's state, which is moved about.
    if !action.script.directives.limits.is_empty() {
        Box::pin(proving::count_limits(tools, visitor, found, action, &inputs.arguments)).await?;
    }
    if action.script.has_proofs() {
        let proven = proving::prove(tools, visit, visitor, &action.script, &mut inputs.arguments);
        inputs.proven = Box::pin(proven).await?;
    }
    inputs.uploads = received.files.iter().filter_map(|(_, file)| file.as_ref().ok().cloned()).collect();
    let target = match action.redirect {
        Some(_) => String::new(),
        None => default_target(tools.site, visit, found, action, &inputs.arguments),
    };
    let work = Arc::new(Work::new((tools.site, action), visit, visitor, inputs, key, target));
    let outcome = perform(tools, action, work.clone(), std::mem::take(&mut received.stored)).await;
    visit.trace.record("database", "", work.began());
    outcome.map(|(done, commit)| Attempt { done, commit, work }).map_err(|ended| told(ended, action))
}

/// Runs a visit action before its page; leaves the cookie of a session that it began with the visit. Gives the visitor
/// as the page sees them: with that session.
pub(super) async fn on_visit(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    pairs: &Pairs,
    action: &Arc<Action>,
) -> Result<Arc<Visitor>, Problem> {
    let arguments = parameters::of_get(&action.script, found, pairs, visitor)?;
    let inputs = Inputs { arguments, ..Inputs::default() };
    let work = Arc::new(Work::new((tools.site, action), visit, visitor, inputs, None, String::new()));
    let outcome = hand_on(tools, action, work.clone())?.await;
    visit.trace.record("database", "visit", work.began());
    let outcome = outcome.map_err(|ended| match ended {
        value @ Ended::Value(_) => reading::told(value),
        other => told(other, action),
    });
    match outcome? {
        Done::Now(ran) if ran.change != Change::None => {
            visit.session_cookie = cookie(tools, visit, ran.change, work.fresh());
            Ok(Arc::new(visitor.become_identity(ran.identity.clone())))
        }
        _ => Ok(visitor.clone()),
    }
}

/// The `Set-Cookie` that a change of the session needs.
fn cookie(tools: &Tools<'_>, visit: &Visit, change: Change, fresh: &Fresh) -> Option<HeaderValue> {
    match change {
        Change::None => None,
        Change::Opened { is_login, remember } => {
            Some(fresh.cookie(visit.secure, cookie_age(&tools.site.settings, is_login, remember)))
        }
        Change::Ended => Some(cookie_removed(visit.secure)),
    }
}

/// What the action runs with. All that doesn't pass is told at once: of the action, of its events, and of its files.
fn inputs(
    tools: &Tools<'_>,
    action: &Action,
    visitor: &Visitor,
    found: &Match,
    received: &Received,
) -> Result<Inputs, Problem> {
    let object = received.json.as_ref().map(|body| match &action.script.directives.body {
        Some(name) => body.get(&*name.text).unwrap_or(&Json::Null),
        None => body,
    });
    let mut errors = received.file_errors(&action.script);
    let mut converted = |script: &Script| -> Result<Arguments, Problem> {
        let arguments = script.arguments(visitor, &mut |parameter| received.sent(parameter, found, object));
        match arguments {
            Err(Problem { kind: Kind::Invalid(found), .. }) => {
                add_new(&mut errors, found);
                Ok(Arguments::default())
            }
            decided => decided,
        }
    };
    let arguments = converted(&action.script)?;
    let events = action.events.iter().map(|(_, script)| converted(script)).collect::<Result<Vec<_>, _>>()?;
    if errors.is_empty() {
        add_new(&mut errors, proving::weak_passwords(&tools.site.settings, visitor, &action.script, &arguments));
    }
    match errors.is_empty() {
        true => Ok(Inputs { arguments, events, ..Inputs::default() }),
        false => Err(Problem::invalid_fields(errors)),
    }
}

/// Adds the errors of fields that have none yet.
fn add_new(errors: &mut FieldErrors, more: FieldErrors) {
    let new = more.0.into_iter().filter(|(field, _)| errors.get(field).is_none()).collect::<Vec<_>>();
    errors.0.extend(new);
}

/// A target that stays on this site: `//host` and `/\host` would leave it.
fn inside(target: &str) -> Result<&str, Problem> {
    match target.as_bytes() {
        [b'/'] | [b'/', b'?' | b'#', ..] => Ok(target),
        [b'/', second, ..] if *second != b'/' && *second != b'\\' => Ok(target),
        _ => Err(Problem::broken(format!("`redirect:` gave `{target}`, which is no path of this site"))),
    }
}

/// Hands the action to the writer. With files it goes on in a task of its own: when the client hangs up, the files must
/// still be kept if the action commits, and removed if it doesn't.
async fn perform(tools: &Tools<'_>, action: &Action, work: Arc<Work>, files: Files) -> Result<(Done, Commit), Ended> {
    let written = hand_on(tools, action, work)?;
    if files.is_empty() {
        return written.ahead().await;
    }
    let task = tokio::task::spawn_local(async move {
        // A server that stops drops this task while the action may still commit: then the files must stay. Those
        // whose action didn't commit are swept one day. So it is, too, when nobody knows whether it did.
        let held = ManuallyDrop::new(files);
        let outcome = written.await;
        let mut files = ManuallyDrop::into_inner(held);
        match outcome {
            Ok(Done::Now(_)) => files.keep(),
            Err(Ended::Unknown(_)) => files.leave(),
            Ok(Done::Again(_)) | Err(_) => {}
        }
        outcome
    });
    let outcome = task.await.map_err(|error| Problem::broken(format!("an action's task ended: {error}")))?;
    outcome.map(|done| (done, Commit::default()))
}

/// Queues the action.
fn hand_on(tools: &Tools<'_>, action: &Action, work: Arc<Work>) -> Result<Written<Done, Ended>, Problem> {
    let database = tools.database()?;
    let run = async move |transaction: &mut Transaction<'_>| work.run(transaction).await;
    Ok(database.write_to(action.tables(database.versions()), run))
}

/// A failure as the visitor should read it: broken rules of the schema become field errors.
fn told(ended: Ended, action: &Action) -> Problem {
    match ended {
        Ended::Constraint(broken) => constraint::told(&broken, action.scripts()),
        other => Problem::from(other),
    }
}

/// Where a success leads without a `redirect:` template: back, or to the page of the action.
fn default_target(site: &Site, visit: &Visit, found: &Match, action: &Action, arguments: &Arguments) -> String {
    if let Some(Redirect::Back(_)) = action.script.directives.redirect
        && let Some(path) = referer(visit)
    {
        return path;
    }
    let own = || visit.uri().path().to_string();
    let Some(endpoint) = action.page.and_then(|index| site.endpoints.get(index)) else { return own() };
    let named = |name: &str| value_named(name, found, action, arguments);
    if endpoint.page.is_none() {
        own()
    } else {
        endpoint.pattern.path(named).filter(|path| inside(path).is_ok()).unwrap_or_else(own)
    }
}

/// The value of a path parameter of the action's page: from the action's own path, else from its arguments.
fn value_named(name: &str, found: &Match, action: &Action, arguments: &Arguments) -> Option<String> {
    from_path(found, name).map(str::to_string).or_else(|| {
        let index = action.script.parameters.iter().position(|parameter| *parameter.name == *name)?;
        arguments.values().get(index).map(ToString::to_string)
    })
}

/// The path of the page that the visitor came from, if it is of this site.
fn referer(visit: &Visit) -> Option<String> {
    let uri: http::Uri = visit.header(REFERER)?.parse().ok()?;
    let host = visit.header("host").or_else(|| visit.uri().authority().map(|host| host.as_str()));
    if uri.authority().map(|authority| authority.as_str()) != host {
        return None;
    }
    inside(uri.path_and_query()?.as_str()).ok().map(str::to_string)
}

/// The answer to a success: a redirect for a person, the results for a program.
fn succeeded(tools: &Tools<'_>, visit: &Visit, done: Done, fresh: &Fresh) -> Answer {
    let (kept, change) = match done {
        Done::Now(ran) => (ran.kept, ran.change),
        Done::Again(kept) => (kept, Change::None),
    };
    let status = kept.status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut answer = match visit.wants_json {
        // These two have no body (RFC 9110, 15.3.5 and 15.3.6).
        true if matches!(kept.status, Some(204 | 205)) => Answer::empty(status.unwrap_or(StatusCode::NO_CONTENT)),
        true => Answer::json(kept.json.to_string()).status(status.unwrap_or(StatusCode::OK)),
        false => Answer::redirect(StatusCode::SEE_OTHER, &kept.target),
    };
    answer.headers.insert(CACHE_CONTROL, NO_STORE);
    if let Some(cookie) = cookie(tools, visit, change, fresh) {
        answer.headers.append(SET_COOKIE, cookie);
    }
    keep_fresh(tools, visit, &mut answer);
    if let (Some(message), false) = (&kept.flash, visit.wants_json) {
        answer.headers.append(SET_COOKIE, flash::carry(message, visit.secure));
    }
    answer
}

/// Has a browser pass by what may be older than what it has written: caches, for a moment, where other nodes may not know
/// of it yet, and what may grow old. Programs say themselves when they must see the newest (`Cache-Control: no-cache`); a
/// script in a page is no program, and the browser tells so.
pub(super) fn keep_fresh(tools: &Tools<'_>, visit: &Visit, answer: &mut Answer) {
    let is_browser = !visit.wants_json || visit.header("sec-fetch-site").is_some() || visit.header(ORIGIN).is_some();
    if is_browser {
        let elsewhere = tools.database.is_some_and(|database| !database.is_embedded());
        let fresh = elsewhere.then(|| super::session::fresh_cookie(visit.secure));
        let wrote = super::session::wrote_cookie(visit.secure, &tools.site.settings.cache);
        fresh.into_iter().chain(wrote).for_each(|cookie| answer.headers.append(SET_COOKIE, cookie));
    }
}

/// The answer of `redirect: none`: the action's page with its results, which are shown this once.
async fn shown(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    action: &Action,
    ran: &Ran,
) -> Result<Answer, Problem> {
    let Some((endpoint, page)) = page_of(tools.site, action) else {
        return Err(Problem::broken("`redirect: none` needs a page"));
    };
    let value = |name: &Arc<str>| from_path(found, name).map(str::to_string);
    let values = endpoint.parameters.iter().map(value).collect::<Option<Vec<_>>>();
    let shown = Match { endpoint: endpoint.clone(), values: values.unwrap_or_default(), format: None };
    let done = Slot::Names(Arc::new(ran.results.clone()));
    let wanted = Wanted {
        found: &shown,
        pairs: &[],
        refused: None,
        block: None,
        extra: vec![("done".into(), done)],
        reads: true,
        keep: &Keep::No,
    };
    let mut answer = show(tools, visit, visitor, &page, wanted).await?.header(CACHE_CONTROL, NO_STORE);
    keep_fresh(tools, visit, &mut answer);
    Ok(answer)
}

/// What one visitor was told, and nobody else may be.
const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

/// The endpoint and page on which an action's form stands.
fn page_of<'s>(site: &'s Site, action: &Action) -> Option<(&'s Arc<Endpoint>, Arc<crate::site::Page>)> {
    let endpoint = site.endpoints.get(action.page?)?;
    Some((endpoint, endpoint.page.clone()?))
}

/// The answer to what did not pass: the action's page with messages and what was sent. Programs, and problems that are
/// not about the form, get the problem itself.
#[expect(clippy::too_many_arguments, reason = "the whole request is shown again")]
async fn refused(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    action: &Action,
    method: Method,
    received: &Received,
    problem: Problem,
) -> Result<Answer, Problem> {
    let errors = match &problem.kind {
        Kind::Invalid(errors) if !visit.wants_json && received.page_is_open => errors.clone(),
        Kind::TooMany(_) if !visit.wants_json && received.page_is_open => FieldErrors::one("", &*problem.public),
        _ => return Err(problem),
    };
    let Some((endpoint, page)) = page_of(tools.site, action) else { return Err(problem) };
    let sent = received.shown_again();
    let value = |name: &Arc<str>| {
        from_path(found, name).map(str::to_string).or_else(|| sent.get(&**name).map(ToString::to_string))
    };
    // Without its path parameters there is no page to show the form on.
    let Some(values) = endpoint.parameters.iter().map(value).collect() else { return Err(problem) };
    let shown = Match { endpoint: endpoint.clone(), values, format: None };
    let refused = Arc::new(Refused { path: visit.path().to_string(), method, sent, errors });
    let block = visit.header("hx-target").map(str::to_string);
    let wanted = Wanted {
        found: &shown,
        pairs: &[],
        refused: Some(&refused),
        block: block.as_deref(),
        extra: Vec::new(),
        reads: true,
        keep: &Keep::No,
    };
    let answer = match show(tools, visit, visitor, &page, wanted).await {
        // The page needs more than the action was sent.
        Err(Problem { kind: Kind::NotFound | Kind::BadParameters(_), .. }) => return Err(problem),
        shown => shown?,
    };
    let answer = answer.header(CACHE_CONTROL, NO_STORE);
    Ok(match problem.kind {
        Kind::TooMany(seconds) => {
            with_status(answer.header(RETRY_AFTER, HeaderValue::from(seconds)), StatusCode::TOO_MANY_REQUESTS)
        }
        _ => with_status(answer, StatusCode::UNPROCESSABLE_ENTITY),
    })
}
