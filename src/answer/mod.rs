//! The answer step: one file for each kind of answer.
//!
//! Each begins with the function that answers; it is handed what it needs and knows nothing of sockets.

pub mod action;
mod ahead;
mod constraint;
pub mod data;
mod document;
pub mod error;
pub mod flash;
mod form;
mod keep;
pub mod mail;
mod once;
pub mod page;
mod parameters;
pub mod provider;
mod reading;
pub mod session;
mod shelf;
pub mod static_file;
mod times;
pub mod upload;

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, StatusCode, header};

use crate::accounts::oidc::Providers;
use crate::accounts::password::Hashing;
use crate::cache::Entry;
use crate::cache::rows::Shelf;
use crate::clock::Clock;
use crate::database::versions::Stamp;
use crate::database::{Database, Failure, Snapshot};
use crate::flow::visitor::Visitor;
use crate::flow::{Answer, Content, Visit};
use crate::parcel::Parcel;
use crate::problem::Problem;
use crate::site::folder::Format;
use crate::site::keeping::Keeping;
use crate::site::{Data, Endpoint, Match, Page, Site};
use crate::sqlfile::{Results, Script};
use crate::uploads::Uploads;

pub use keep::require;

/// The tools that answers are made with.
#[derive(Clone, Copy, Debug)]
pub struct Tools<'a> {
    /// The snapshot of the site that this request sees.
    pub site: &'a Arc<Site>,
    /// The database; none for a plain folder.
    pub database: Option<&'a Database>,
    /// The upload store; none for a plain folder.
    pub uploads: Option<&'a Uploads>,
    /// Rows of single statements that are kept.
    pub shelf: &'a Arc<Shelf>,
    /// Who hashes passwords.
    pub hashing: &'a Hashing,
    /// Who asks providers of logins.
    pub providers: &'a Providers,
    /// The time.
    pub clock: &'a Clock,
}

impl<'a> Tools<'a> {
    /// The database. A site with pages always has one.
    ///
    /// # Errors
    /// A plain folder has none.
    pub(crate) fn database(&self) -> Result<&'a Database, Problem> {
        self.database.ok_or_else(|| Problem::broken("a plain folder has no database"))
    }
}

/// Looks up who the visitor is, unless that is known.
///
/// # Errors
/// The database can't be read; a token that is none.
pub async fn identify(tools: &Tools<'_>, visitor: &Arc<Visitor>) -> Result<(), Problem> {
    if visitor.is_known() {
        return Ok(());
    }
    let database = tools.database()?;
    let limit = tools.site.settings.query_time;
    let look_up = async |snapshot: &mut Snapshot<'_>| session::look_up(snapshot, visitor).await;
    let outcome = database.here::<(), Failure>(limit, look_up).await.map_err(Problem::from);
    keep::shows_who(database.versions());
    outcome
}

/// What a GET asks for, beside its path.
#[derive(Debug, Default)]
pub struct Asked {
    /// The pairs of the query text, decoded.
    pub pairs: Vec<(String, String)>,
    /// The one of [`offers`] that the visitor prefers; not asked where there is a page alone.
    pub wanted: Option<&'static str>,
    /// Whether this is a visit of a person, which runs a visit action.
    pub counts: bool,
    /// The block that is wanted alone (`HX-Target`).
    pub block: Option<String>,
    /// Whether the answer may be kept, and what is known of it from before.
    pub keep: Keep,
}

/// Whether an answer may be kept.
#[derive(Debug, Default)]
pub enum Keep {
    /// It may not.
    #[default]
    No,
    /// It may.
    Yes {
        /// What was kept before, of which the rows may be the same still.
        before: Option<Arc<Entry<Parcel>>>,
        /// The counts of its tables, taken before any of its rows are read.
        stamp: Stamp,
        /// A moment before that.
        taken: Instant,
        /// Whether rows of single statements may be taken from what is kept.
        by_rows: bool,
    },
}

impl Keep {
    /// What the queries gave the last time.
    fn results(&self) -> Option<Arc<Vec<Results>>> {
        match self {
            Keep::Yes { before: Some(before), .. } => before.results.clone(),
            _ => None,
        }
    }
}

/// What answers a GET at an endpoint.
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'e> {
    /// Its page.
    Page(&'e Page),
    /// Its data in a format.
    Data(Format, &'e Data),
}

impl<'e> Chosen<'e> {
    /// What answers, by the format that the path asks for, else by the type that the visitor prefers. When nothing that
    /// is offered will do, the first is given all the same: a page in the wrong form helps more than a refusal.
    pub fn of(found: &'e Match, wanted: Option<&str>) -> Option<Chosen<'e>> {
        let endpoint = &found.endpoint;
        let format = found.format.or_else(|| {
            endpoint.data.iter().map(|(format, _)| *format).find(|format| Some(media_type(*format)) == wanted)
        });
        let data = format.and_then(|format| Some((format, &**endpoint.data(format)?)));
        match (data, &endpoint.page) {
            (Some((format, data)), _) => Some(Chosen::Data(format, data)),
            (None, Some(page)) => Some(Chosen::Page(page)),
            (None, None) => endpoint.data.first().map(|(format, data)| Chosen::Data(*format, data)),
        }
    }

    /// Its scripts.
    pub fn scripts(self) -> &'e [Arc<Script>] {
        match self {
            Chosen::Page(page) => &page.scripts,
            Chosen::Data(_, data) => std::slice::from_ref(&data.script),
        }
    }

    /// What the cache must know of it.
    pub fn keeping(self) -> &'e Keeping {
        match self {
            Chosen::Page(page) => &page.keeping,
            Chosen::Data(_, data) => &data.keeping,
        }
    }
}

/// The types that an endpoint can answer a GET with, in its order of preference.
pub fn offers(found: &Match) -> impl Iterator<Item = &'static str> {
    let (of_path, endpoint) = (found.format, &found.endpoint);
    let page = endpoint.page.as_ref().map(|page| page.content_type.split(';').next().unwrap_or(""));
    let data = endpoint.data.iter().map(|(format, _)| media_type(*format));
    let others = page.into_iter().chain(data).filter(move |_| of_path.is_none());
    of_path.map(media_type).into_iter().chain(others)
}

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Csv => "text/csv",
        Format::File => "*/*",
    }
}

/// Answers a GET or HEAD with the page or the data of an endpoint.
///
/// # Errors
/// Whatever the page or the data says; no page and no data at all is a method that isn't there.
pub async fn ask(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let endpoint = &found.endpoint;
    let mut answer = match Chosen::of(found, asked.wanted).ok_or_else(|| no_such_method(endpoint))? {
        Chosen::Page(page) => page::answer(tools, visit, visitor, found, asked, page).await?,
        Chosen::Data(format, data) => data::answer(tools, visit, visitor, found, asked, (format, data)).await?,
    };
    // What is kept had this added when it was made.
    let made = !matches!(answer.content, Content::Kept(_));
    if made && !endpoint.data.is_empty() && offers(found).nth(1).is_some() {
        answer.headers.append(header::VARY, HeaderValue::from_static("Accept"));
    }
    Ok(answer)
}

/// Answers OPTIONS.
pub fn options(endpoint: &Endpoint) -> Answer {
    let methods = endpoint.methods().join(", ");
    let allow = HeaderValue::from_str(&methods).unwrap_or(HeaderValue::from_static("OPTIONS"));
    Answer::empty(StatusCode::NO_CONTENT).header(header::ALLOW, allow)
}

/// The problem of a method that the endpoint doesn't have.
pub fn no_such_method(endpoint: &Endpoint) -> Problem {
    Problem::new(crate::problem::Kind::NoSuchMethod(endpoint.methods()), "This address has no such method.")
}

/// `Cache-Control` of a dynamic answer: browsers ask each time; what read the visitor is theirs alone, and what shows a
/// user nobody keeps at all, so that it is gone with the login.
fn cache_control(visitor: &Visitor) -> HeaderValue {
    use crate::flow::visitor::Aspect;
    let who = visitor.has_read(Aspect::Identity);
    const UNSTORED: HeaderValue = HeaderValue::from_static("private, no-store");
    const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
    const SHARED: HeaderValue = HeaderValue::from_static("no-cache");
    match visitor.identity().user {
        Some(_) if who => UNSTORED,
        _ if who || visitor.has_read(Aspect::Address) => PRIVATE,
        _ => SHARED,
    }
}
