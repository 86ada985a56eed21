//! Answers with a page: runs its queries in one snapshot and fills its template.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use http::{HeaderValue, Method, StatusCode};

use super::form::{Forms, Refused};
use super::keep::{Keeper, shows_at_once};
use super::parameters::Pairs;
use super::reading::{Start, read, unread};
use super::shelf::Lent;
use super::{Asked, Keep, Tools, action, cache_control, flash, parameters};
use crate::accounts::User;
use crate::database::versions::TableSet;
use crate::flow::visitor::{Aspect, Visitor};
use crate::flow::{Answer, Content, Visit};
use crate::problem::Problem;
use crate::render::{Context, Names, Slot};
use crate::settings::Settings;
use crate::site::{Match, Page, names};
use crate::sqlfile::{Outcome, Results};
use crate::value::{Rows, Value};

/// Answers a GET with a page.
///
/// # Errors
/// A parameter that doesn't convert, what the queries or the visit action say, a template that fails.
pub async fn answer(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    asked: &Asked,
    page: &Page,
) -> Result<Answer, Problem> {
    let counted = found.endpoint.visit.as_ref().filter(|_| asked.counts);
    let visitor = match counted {
        Some(action) => &Box::pin(action::on_visit(tools, visit, visitor, found, &asked.pairs, action)).await?,
        None => visitor,
    };
    let wanted = Wanted {
        found,
        pairs: &asked.pairs,
        refused: None,
        block: asked.block.as_deref(),
        extra: Vec::new(),
        reads: true,
        keep: &asked.keep,
    };
    let mut answer = show(tools, visit, visitor, page, wanted).await?;
    if counted.is_some() {
        action::keep_fresh(tools, visit, &mut answer);
    }
    Ok(answer)
}

/// What a page is shown for.
pub(super) struct Wanted<'w> {
    /// The address.
    pub(super) found: &'w Match,
    /// The query text.
    pub(super) pairs: &'w Pairs,
    /// A form that did not pass.
    pub(super) refused: Option<&'w Arc<Refused>>,
    /// The one block that is wanted (`HX-Target`).
    pub(super) block: Option<&'w str>,
    /// Further names for the template.
    pub(super) extra: Vec<(Arc<str>, Slot)>,
    /// Whether the page's queries run; without, their names stand for nothing found.
    pub(super) reads: bool,
    /// Whether the answer may be kept.
    pub(super) keep: &'w Keep,
}

/// Runs a page's queries and renders it.
pub(super) async fn show(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    page: &Page,
    wanted: Wanted<'_>,
) -> Result<Answer, Problem> {
    let block = wanted.block.and_then(|name| page.block(&tools.site.templates, name));
    let starts = starts(tools, visitor, page, &wanted, block)?;
    if page.uses.user && wanted.reads && !starts.iter().any(|start| start.script.asks_who()) {
        super::identify(tools, visitor).await?;
    }
    // The message that waits to be shown is shown once.
    let mut keeper = match page.uses.flash && visitor.flash().is_some() {
        true => None,
        false => Keeper::begin(tools, &page.keeping, wanted.keep),
    };
    let results = Arc::new(match wanted.reads {
        true => read(tools, visit, visitor, &starts).await?,
        false => unread(visitor, &starts)?,
    });
    match &mut keeper {
        Some(keeper) => keeper.settle(&results).await,
        None => shows_at_once(tools, &TableSet::all()),
    }
    if let Some(answer) = keeper.as_ref().and_then(|keeper| keeper.again(visitor, &results)) {
        return Ok(answer);
    }
    let has_just_read = wanted.reads && !starts.is_empty() && keeper.is_none();
    let began = if has_just_read { visit.trace.last_end() } else { Instant::now() };
    let context = context(tools, visitor, page, &wanted, &starts, &results);
    let templates = &tools.site.templates;
    let text = match (block, wanted.block) {
        (Some(_), Some(name)) => {
            templates.render_block(&page.template, name, context).unwrap_or_else(|| Ok(String::new()))
        }
        _ => templates.render(&page.template, context),
    }?;
    visit.nonce = visitor.printed_nonce();
    visit.trace.record("render", page.template.clone(), began);
    let shows_flash = page.uses.flash && block.is_none_or(|names| names.contains("flash"));
    let mut answer = finished(visit, visitor, page, text, shows_flash);
    if !page.blocks(templates).is_empty() {
        // Only pages with blocks answer differently to HTMX.
        answer.headers.append(VARY, HeaderValue::from_static("HX-Target"));
    }
    if let Some(keeper) = keeper {
        keeper.hand_on(&mut answer, visitor, results, page.uses.asset);
    }
    Ok(answer)
}

/// Each script of the page with its arguments; for a block alone, only the queries whose names it uses.
fn starts(
    tools: &Tools<'_>,
    visitor: &Visitor,
    page: &Page,
    wanted: &Wanted<'_>,
    block: Option<&BTreeSet<Arc<str>>>,
) -> Result<Vec<Start>, Problem> {
    let rows = tools.site.settings.max_rows as usize;
    let mut starts = Vec::with_capacity(page.scripts.len());
    for script in &page.scripts {
        let arguments = match wanted.refused {
            // What was sent to the action says nothing about the page's own parameters; they take their defaults.
            Some(_) => parameters::of_get(script, wanted.found, &[], visitor)?,
            None => parameters::of_get(script, wanted.found, wanted.pairs, visitor)?,
        };
        let selection = block.map(|names| {
            let names: Vec<&str> = names.iter().map(|name| &**name).chain(filled_from(tools, wanted, names)).collect();
            script.select(&names)
        });
        let lent = Lent::to(tools, &page.keeping, wanted.keep, starts.len());
        let before = wanted.keep.results();
        starts.push(Start { script: script.clone(), arguments, selection, rows, lent, before });
    }
    Ok(starts)
}

/// The queries that give the forms of a block their first values (`fill:`).
fn filled_from<'t>(
    tools: &Tools<'t>,
    wanted: &Wanted<'t>,
    names: &BTreeSet<Arc<str>>,
) -> impl Iterator<Item = &'t str> {
    let own = names.contains("fields").then_some(&wanted.found.endpoint);
    let all = if names.contains("form") { &tools.site.endpoints[..] } else { &[] };
    let actions = own.into_iter().chain(all).flat_map(|endpoint| &endpoint.actions);
    actions.filter_map(|(_, action)| Some(&*action.script.directives.fill.as_ref()?.text))
}

/// All that the template may name, as far as it does.
fn context(
    tools: &Tools<'_>,
    visitor: &Arc<Visitor>,
    page: &Page,
    wanted: &Wanted<'_>,
    starts: &[Start],
    results: &Arc<Vec<Results>>,
) -> Context {
    let mut names: Vec<(Arc<str>, Slot)> = Vec::with_capacity(16);
    for results in results.iter() {
        names.extend(results.iter().filter_map(|(name, outcome)| Some((name.clone(), slot(outcome)?))));
    }
    names.extend(wanted.extra.iter().cloned());
    let uses = &page.uses;
    if uses.params {
        names.push((own_name("params"), Slot::Names(Arc::new(params(wanted, starts)))));
    }
    if uses.request {
        names.push((own_name("request"), Slot::Names(Arc::new(RequestNames(visitor.clone())))));
    }
    if uses.site {
        names.push((own_name("site"), Slot::Names(Arc::new(SiteNames(visitor.clone())))));
    }
    if uses.user {
        let user = visitor.user().map(|user| Slot::Names(Arc::new(UserNames(user.clone()))));
        names.push((own_name("user"), user.unwrap_or(Slot::Value(Value::Null))));
    }
    if uses.flash {
        names.push((own_name("flash"), Slot::Value(visitor.flash().map_or(Value::Null, Value::from))));
    }
    let forms = (uses.form || uses.fields).then(|| Forms::new(tools.site, visitor, wanted.refused, results));
    if let (true, Some(forms)) = (uses.fields, &forms)
        && let Some(own) = forms.own(&wanted.found.endpoint, wanted.found)
    {
        names.push((own_name("fields"), Slot::Form(Arc::new(own))));
    }
    Context { names, form: forms.filter(|_| uses.form).map(Forms::maker) }
}

/// One of the server's own names, shared by all renderings.
fn own_name(name: &'static str) -> Arc<str> {
    static NAMES: LazyLock<[Arc<str>; 6]> =
        LazyLock::new(|| ["params", "request", "site", "user", "flash", "fields"].map(Arc::from));
    NAMES.iter().find(|known| ***known == *name).cloned().unwrap_or_else(|| name.into())
}

/// A result as a template sees it.
pub(super) fn slot(outcome: &Outcome) -> Option<Slot> {
    Some(match outcome {
        Outcome::Row(rows) => Slot::Row(rows.clone()),
        Outcome::Rows(rows) => Slot::Rows(rows.clone()),
        Outcome::List(rows) => Slot::List(rows.clone()),
        Outcome::Value(value) => Slot::Value(value.clone()),
        Outcome::Changed(count) => Slot::Value(Value::Int(i64::try_from(*count).unwrap_or(i64::MAX))),
        Outcome::Passed => return None,
    })
}

/// The parameters of the page's scripts, then those of its path that no script declares.
fn params(wanted: &Wanted<'_>, starts: &[Start]) -> Vec<(Arc<str>, Slot)> {
    let mut names: Vec<(Arc<str>, Slot)> = Vec::new();
    for start in starts {
        let values = start.script.parameters.iter().zip(start.arguments.values());
        names.extend(values.map(|(parameter, value)| (parameter.name.clone(), Slot::Value(value.clone()))));
    }
    let path = wanted.found.endpoint.parameters.iter().zip(&wanted.found.values);
    names.extend(path.map(|(name, value)| (name.clone(), Slot::Value(Value::from(value.as_str())))));
    names
}

/// `request` in templates.
#[derive(Debug)]
pub(super) struct RequestNames(pub(super) Arc<Visitor>);

impl Names for RequestNames {
    fn get(&self, name: &str) -> Option<Slot> {
        let visitor = &self.0;
        Some(Slot::Value(match name {
            "path" => Value::from(visitor.path()),
            "query" | "url" | "method" => {
                visitor.reads(Aspect::Line);
                match name {
                    "query" => Value::from(visitor.query()),
                    "method" => Value::from(visitor.method().as_str()),
                    _ if visitor.query().is_empty() => Value::from(visitor.path()),
                    _ => Value::from(format!("{}?{}", visitor.path(), visitor.query())),
                }
            }
            "id" => {
                visitor.reads(Aspect::Moment);
                Value::from(visitor.id().to_string())
            }
            "nonce" => Value::Text(visitor.nonce()),
            _ => return None,
        }))
    }

    fn list(&self) -> Vec<Arc<str>> {
        names::REQUEST.iter().map(|name| (*name).into()).collect()
    }
}

/// `user` in templates.
#[derive(Debug)]
struct UserNames(Arc<User>);

impl Names for UserNames {
    fn get(&self, name: &str) -> Option<Slot> {
        let user = &self.0;
        Some(Slot::Value(match name {
            "id" => Value::Int(user.id),
            "email" => Value::Text(user.email.clone()),
            "name" => user.name.clone().map_or(Value::Null, Value::Text),
            "created_at" => Value::Text(user.created_at.clone()),
            "confirmed" => Value::Bool(user.confirmed),
            "roles" => Value::List(user.roles.iter().cloned().map(Value::Text).collect()),
            _ => return None,
        }))
    }

    fn list(&self) -> Vec<Arc<str>> {
        names::USER.iter().map(|name| (*name).into()).collect()
    }
}

/// `site` in templates: its settings, and values of its own from `[site]`.
#[derive(Debug)]
pub(super) struct SiteNames(pub(super) Arc<Visitor>);

impl Names for SiteNames {
    fn get(&self, name: &str) -> Option<Slot> {
        let settings = self.0.settings();
        Some(Slot::Value(match name {
            "name" => Value::from(settings.site_name.as_str()),
            "url" => Value::from(self.0.site_url()),
            "locale" => Value::from(settings.locale.as_str()),
            "providers" => return Some(Slot::Rows(Arc::new(providers(settings)))),
            "timezone" => Value::from(settings.timezone.iana_name().unwrap_or("UTC")),
            "register" => Value::from(settings.register.name()),
            _ => {
                let own = settings.site_values.iter().find(|(known, _)| **known == *name);
                Value::from(own?.1.as_str())
            }
        }))
    }

    fn list(&self) -> Vec<Arc<str>> {
        let own = self.0.settings().site_values.iter().map(|(name, _)| name.clone());
        names::SITE.iter().map(|name| Arc::from(*name)).chain(own).collect()
    }
}

/// The providers of logins as a template sees them.
fn providers(settings: &Settings) -> Rows {
    let cells = settings
        .providers
        .iter()
        .flat_map(|provider| [Value::Text(provider.name.clone()), Value::from(provider.label.as_str())]);
    let columns = names::PROVIDER.map(Arc::from).into();
    Rows { columns, cells: cells.collect(), ..Rows::default() }
}

fn finished(visit: &Visit, visitor: &Visitor, page: &Page, text: String, shows_flash: bool) -> Answer {
    let mut answer = Answer::of_type(type_of(page), Content::Bytes(text.into()));
    answer.headers.insert(CACHE_CONTROL, cache_control(visitor));
    // A HEAD shows nothing.
    if shows_flash && visit.method != Method::HEAD && visitor.flash().is_some() {
        answer.headers.append(SET_COOKIE, flash::shown(visit.secure));
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    answer
}

/// The page's type as a header. That of nearly all pages was made by the compiler.
fn type_of(page: &Page) -> HeaderValue {
    const HTML: &str = "text/html; charset=utf-8";
    const HEADER: HeaderValue = HeaderValue::from_static(HTML);
    if page.content_type == HTML { HEADER } else { HeaderValue::from_static(page.content_type) }
}

/// A page that is shown because something did not pass, with its status.
pub(super) fn with_status(mut answer: Answer, status: StatusCode) -> Answer {
    answer.status = status;
    answer
}
