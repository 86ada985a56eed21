//! Answers that tell of a problem: the site's own error page for visitors, the whole story for its author.

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

use super::page::{Wanted, show, with_status};
use super::{Keep, Tools};
use crate::flow::visitor::Visitor;
use crate::flow::{Answer, Visit};
use crate::problem::{Fault, Kind, Level, Problem};
use crate::render::{Names, Slot};
use crate::settings::Caching;
use crate::site::pattern::Pattern;
use crate::site::{Endpoint, Match, names};
use crate::value::Value;

/// The site's own error page: the nearest `_404.html` (or `_error.html`) up the folders; for programs `_error.json`.
/// `None` when there is none, or when it fails itself.
pub async fn page(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    problem: &Problem,
    status: StatusCode,
    json: bool,
) -> Option<Answer> {
    let extension = if json { "json" } else { "html" };
    // A database that is busy or gone is not asked for the page that says so.
    let reads = !matches!(problem.kind, Kind::Busy | Kind::Unknown);
    if reads && !tools.site.settings.access.is_empty() {
        // Who can't be told is nobody.
        let _ = super::identify(tools, visitor).await;
    }
    let page = tools.site.error_page(visit.path(), status.as_u16(), extension, visitor.who())?.clone();
    let nowhere = Match { endpoint: Arc::new(Endpoint::nowhere()), values: Vec::new(), format: None };
    let names = ProblemNames { status: status.as_u16(), message: problem.public.to_string() };
    let extra = vec![("problem".into(), Slot::Names(Arc::new(names)))];
    let wanted = Wanted { found: &nowhere, pairs: &[], refused: None, block: None, extra, reads, keep: &Keep::No };
    let answer = show(tools, visit, visitor, &page, wanted).await.ok()?;
    Some(with_status(answer.header(CACHE_CONTROL, HeaderValue::from_static("no-store")), status))
}

/// `problem` in error pages.
#[derive(Debug)]
struct ProblemNames {
    status: u16,
    message: String,
}

impl Names for ProblemNames {
    fn get(&self, name: &str) -> Option<Slot> {
        Some(Slot::Value(match name {
            "status" => Value::Int(i64::from(self.status)),
            "message" => Value::from(self.message.as_str()),
            _ => return None,
        }))
    }

    fn list(&self) -> Vec<Arc<str>> {
        names::PROBLEM.iter().map(|name| (*name).into()).collect()
    }
}

impl Endpoint {
    /// The endpoint of a page that has no address of its own.
    fn nowhere() -> Endpoint {
        Endpoint {
            pattern: Pattern([].into()),
            parameters: [].into(),
            page: None,
            visit: None,
            data: Vec::new(),
            actions: Vec::new(),
            builtin: true,
            rules: Vec::new(),
            caching: Caching::default(),
        }
    }
}

/// The page that `dev` shows its author for a fault at run time.
pub fn for_author(problem: &Problem, status: StatusCode) -> Answer {
    let cause = problem.cause.clone().unwrap_or_else(|| problem.public.to_string());
    let mut fault = Fault::everywhere(cause);
    fault.place = problem.place.as_deref().cloned();
    faults_for_author(std::slice::from_ref(&fault), "This page failed").status(status)
}

/// The page that `dev` shows its author while the site has faults.
pub fn faults_for_author(faults: &[Fault], title: &str) -> Answer {
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style><main><h1>{}</h1>",
        escaped(title),
        escaped(title)
    );
    for fault in faults {
        html.push_str(&told(fault));
    }
    html.push_str("<p class=hint>Visitors never see this page. Save the file and it loads again by itself.</p></main>");
    Answer::html(html)
        .status(StatusCode::INTERNAL_SERVER_ERROR)
        .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn told(fault: &Fault) -> String {
    let level = match fault.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut html = format!("<section class={level}><h2><b>{level}</b> {}</h2>", escaped(&fault.message));
    if let Some(place) = &fault.place {
        let (from, to) = (byte_of(&place.text, place.column - 1), byte_of(&place.text, place.column - 1 + place.width));
        html.push_str(&format!(
            "<p class=place>{}:{}:{}</p><pre><span class=number>{}</span> {}<mark>{}</mark>{}</pre>",
            escaped(&place.file),
            place.line,
            place.column,
            place.line,
            escaped(&place.text[..from]),
            escaped(&place.text[from..to.max(from)]),
            escaped(&place.text[to.max(from)..]),
        ));
    }
    for text in [&fault.label, &fault.help] {
        if !text.is_empty() {
            html.push_str(&format!("<p>{}</p>", escaped(text)));
        }
    }
    html + "</section>"
}

/// How the pages for the site's author look.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2430;--paper:#faf9f7;--card:#fff;--line:#ddd8cf;--error:#b42318;--warning:#9a5b00}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e6e1;--paper:#15171c;--card:#1e2128;--line:#383d48;--error:#ff9b8f;--warning:#f5c26b}}\
body{margin:0;font:1rem/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper)}\
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem}h1{font-size:1.6rem}h2{font-size:1.05rem;font-weight:600;margin:0}\
section{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--error);border-radius:.5rem;padding:1rem 1.25rem;margin:1rem 0}\
section.warning{border-left-color:var(--warning)}h2 b{color:var(--error)}.warning h2 b{color:var(--warning)}\
.place{font-family:ui-monospace,monospace;font-size:.875rem;opacity:.8;margin:.5rem 0}\
pre{overflow-x:auto;padding:.75rem;background:var(--paper);border-radius:.375rem;margin:.5rem 0}.number{opacity:.5;user-select:none}\
mark{background:color-mix(in srgb,var(--error) 22%,transparent);color:inherit;border-bottom:2px solid var(--error)}.hint{opacity:.75}";

/// The byte at which a character of a line begins.
fn byte_of(text: &str, character: u32) -> usize {
    text.char_indices().nth(character as usize).map_or(text.len(), |(at, _)| at)
}

/// Text as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
