//! The site: what is read from its folder before the first visit.
//!
//! A [`Site`] is an immutable snapshot. A reload builds a new one beside it and replaces it whole, so that no request
//! sees half a change.

pub mod caching;
pub mod folder;
pub mod keeping;
mod load;
mod mails;
mod migrations;
pub mod names;
pub mod pattern;
pub mod policy;
pub mod rules;
mod sources;
pub mod statics;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::database::Tables;
use crate::database::migrations::Migrations;
use crate::database::versions::{TableSet, Versions};
use crate::outbox::Mails;
use crate::problem::Fault;
use crate::render::Templates;
use crate::settings::{AccessRule, Caching, Settings};
use crate::sqlfile::{Dialect, Directives, Parameter, QueryFile, Redirect, Script, Type, without_dialect};
use folder::{Format, Method};
use keeping::Keeping;
use pattern::{Pattern, Tree};
use rules::{Verdict, Who};
use statics::{DefaultHeaders, Statics};

pub use load::{Mode, load};

/// The route of uploads.
pub const UPLOADS: &str = "/-/uploads/[id]";

/// The file that says who may, as it was last committed on purpose.
pub const ACCESS_LOCK: &str = "access.lock";

/// Everything that a site's folder says.
#[derive(Debug)]
pub struct Site {
    /// The folder.
    pub folder: PathBuf,
    /// Tells this snapshot from all others of this process.
    pub generation: u64,
    /// Whether it is a plain folder of static files: no pages, no database.
    pub plain: bool,
    /// Which settings hold: defaults, `site.toml`, environment, flags.
    pub settings: Arc<Settings>,
    /// The static files.
    pub statics: Arc<Statics>,
    /// The headers that answers carry unless they say otherwise.
    pub headers: Arc<DefaultHeaders>,
    /// The templates of `pages/`.
    pub templates: Templates,
    /// The mails of `mail/`, with those that the server brings.
    pub mails: Arc<Mails>,
    /// The addresses of `pages/`, in the order of their patterns.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The error pages (`_404.html`) by their template's name.
    pub error_pages: HashMap<Arc<str>, Arc<Page>>,
    /// Whose SQL its query files and migrations are read in: that of the database that `database.url` names.
    pub dialect: Dialect,
    /// The files that are for one database only, of both, by path.
    pub overrides: Vec<Override>,
    /// The migrations in order.
    pub migrations: Migrations,
    /// Whether an account can be made by its form alone, because `events/register.sql` asks for something.
    pub register_asks: bool,
    /// The text of `access.lock`, where there is one.
    pub access_lock: Option<String>,
    /// Query files as they were read, by path in the site's folder, for `check`.
    pub query_files: Vec<Arc<QueryFile>>,
    /// Finds the endpoint of a path; the values are places in `endpoints`.
    pub(crate) tree: Tree<usize>,
}

/// A file that is for one database only: `pages/x.postgres.sql` or `migrations/0001_x.sqlite.sql`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Its path in the site's folder.
    pub file: Arc<str>,
    /// The file in whose place it stands, `pages/x.sql`, whether that exists or not.
    pub replaces: Arc<str>,
    /// The database that it is for.
    pub dialect: Dialect,
}

impl Override {
    /// What a file's path says; `None` for a file that is for both databases.
    fn of(file: &str) -> Option<Override> {
        let (replaces, dialect) = without_dialect(file);
        dialect.map(|dialect| Override { file: file.into(), replaces: replaces.into(), dialect })
    }
}

/// One address pattern and all that answers at it.
#[derive(Debug)]
pub struct Endpoint {
    /// The pattern.
    pub pattern: Pattern,
    /// The names of its path parameters, in order.
    pub parameters: Arc<[Arc<str>]>,
    /// The page, for GET.
    pub page: Option<Arc<Page>>,
    /// The action that runs before the page on a visitor's GET.
    pub visit: Option<Arc<Action>>,
    /// Data without a template, for GET.
    pub data: Vec<(Format, Arc<Data>)>,
    /// The actions by their methods.
    pub actions: Vec<(Method, Arc<Action>)>,
    /// Whether all that answers is the server's own.
    pub builtin: bool,
    /// The access rules whose paths match, in the order of `site.toml`.
    pub rules: Vec<AccessRule>,
    /// How answers to a GET are kept.
    pub caching: Caching,
}

/// A template and the queries that fill it.
#[derive(Debug)]
pub struct Page {
    /// The template's name: its path below `pages/`.
    pub template: Arc<str>,
    /// Its file as messages name it: `pages/cart.html`, `builtin/pages/login.html`.
    pub file: Arc<str>,
    /// `Content-Type` by the template's extension.
    pub content_type: &'static str,
    /// Its own queries, then those of its layouts, nearest first.
    pub scripts: Vec<Arc<Script>>,
    /// Which of the server's own names its template looks up.
    pub uses: Uses,
    /// What the cache must know.
    pub keeping: Keeping,
    /// The names that each block looks up, found at the first request for one.
    pub(crate) blocks: OnceLock<HashMap<Arc<str>, BTreeSet<Arc<str>>>>,
}

/// Which of the server's own names a template looks up; what it doesn't is not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `params`
    pub params: bool,
    /// `request`
    pub request: bool,
    /// `site`
    pub site: bool,
    /// `user`
    pub user: bool,
    /// `flash`
    pub flash: bool,
    /// `fields`
    pub fields: bool,
    /// `form()`
    pub form: bool,
    /// `asset()`
    pub asset: bool,
}

impl Uses {
    /// Those among the names that a template looks up.
    pub(crate) fn of(names: &BTreeSet<Arc<str>>) -> Uses {
        Uses {
            params: names.contains("params"),
            request: names.contains("request"),
            site: names.contains("site"),
            user: names.contains("user"),
            flash: names.contains("flash"),
            fields: names.contains("fields"),
            form: names.contains("form"),
            asset: names.contains("asset"),
        }
    }
}

impl Page {
    /// The blocks of its template with the names that each looks up.
    pub(crate) fn blocks(&self, templates: &Templates) -> &HashMap<Arc<str>, BTreeSet<Arc<str>>> {
        self.blocks.get_or_init(|| {
            let names = templates.blocks(&self.template);
            names.into_iter().map(|name| (name.clone(), templates.names_of_block(&self.template, &name))).collect()
        })
    }

    /// The names that one block looks up; `None` when there is no such block.
    pub(crate) fn block(&self, templates: &Templates, name: &str) -> Option<&BTreeSet<Arc<str>>> {
        self.blocks(templates).get(name)
    }
}

/// An action: statements that are one write transaction.
#[derive(Debug)]
pub struct Action {
    /// Its statements, parameters and directives.
    pub script: Arc<Script>,
    /// The endpoint whose page is shown again when something did not pass, by its place in [`Site::endpoints`].
    pub page: Option<usize>,
    /// What runs with it: scripts of `events/`, whose parameters are fields of its form, too.
    pub events: Vec<(Event, Arc<Script>)>,
    /// Its `redirect:`; `None` for `back` and for the default.
    pub redirect: Option<DirectiveTemplate>,
    /// Its `flash:`.
    pub flash: Option<DirectiveTemplate>,
    /// The tables that it may write, once the check has found them.
    pub(crate) writes: OnceLock<Tables>,
    /// The same as they are counted.
    pub(crate) tables: OnceLock<TableSet>,
}

/// A directive that is a template.
#[derive(Debug)]
pub struct DirectiveTemplate {
    /// The name of the template.
    pub name: Arc<str>,
    /// What it prints, if that is always the same.
    constant: OnceLock<Option<Arc<str>>>,
}

impl DirectiveTemplate {
    fn new(name: Arc<str>) -> DirectiveTemplate {
        DirectiveTemplate { name, constant: OnceLock::new() }
    }

    /// What it prints, if that is always the same.
    pub fn constant(&self, templates: &Templates) -> Option<&Arc<str>> {
        self.constant.get_or_init(|| templates.constant(&self.name).map(Arc::from)).as_ref()
    }
}

/// What happens to an account, and may have the site's own statements run: a file of `events/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody logged in.
    Login,
    /// Somebody made an account.
    Register,
    /// Somebody logs out.
    Logout,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 3] = [Event::Login, Event::Register, Event::Logout];

    /// The name of its file without `.sql`.
    pub fn name(self) -> &'static str {
        match self {
            Event::Login => "login",
            Event::Register => "register",
            Event::Logout => "logout",
        }
    }

    /// Whether it happens when an action with these directives succeeds.
    fn follows(self, directives: &Directives) -> bool {
        match self {
            Event::Login => directives.login.is_some(),
            Event::Register => directives.register.is_some(),
            Event::Logout => directives.logout,
        }
    }
}

impl Action {
    /// Its script and those of its events.
    pub fn scripts(&self) -> impl Iterator<Item = &Arc<Script>> {
        std::iter::once(&self.script).chain(self.events.iter().map(|(_, script)| script))
    }

    /// The parameters that it takes, each once.
    pub fn parameters(&self) -> Vec<&Parameter> {
        let mut parameters: Vec<&Parameter> = Vec::new();
        for parameter in self.scripts().flat_map(|script| &script.parameters) {
            if !parameters.iter().any(|known| known.name == parameter.name) {
                parameters.push(parameter);
            }
        }
        parameters
    }

    /// Whether it must be known who the visitor is, and a session begin for one who has none.
    pub fn asks_who(&self) -> bool {
        let directives = &self.script.directives;
        directives.login.is_some() || directives.logout || self.scripts().any(|script| script.asks_who())
    }

    /// Whether its page is shown at once, with its results.
    pub fn shows_results(&self) -> bool {
        matches!(self.script.directives.redirect, Some(Redirect::None(_)))
    }

    /// The tables that it may write; unknown for a site that was not checked.
    pub fn writes(&self) -> &Tables {
        self.writes.get().unwrap_or(&Tables::Unknown)
    }

    /// The same for counting them up.
    pub fn tables(&self, versions: &Versions) -> &TableSet {
        self.tables.get_or_init(|| versions.tables(self.writes()))
    }
}

/// A data endpoint.
#[derive(Debug)]
pub struct Data {
    /// Its queries.
    pub script: Arc<Script>,
    /// What the cache must know.
    pub keeping: Keeping,
}

impl Endpoint {
    /// The methods that it answers, for `Allow`: `GET` brings `HEAD`, and `OPTIONS` comes always.
    pub fn methods(&self) -> Vec<&'static str> {
        let mut methods = Vec::new();
        if self.page.is_some() || !self.data.is_empty() {
            methods.extend(["GET", "HEAD"]);
        }
        methods.extend(self.actions.iter().map(|(method, _)| method.name()));
        methods.push("OPTIONS");
        methods
    }

    /// The action of a method.
    pub fn action(&self, method: Method) -> Option<&Arc<Action>> {
        self.actions.iter().find(|(known, _)| *known == method).map(|(_, action)| action)
    }

    /// The data in a format.
    pub fn data(&self, format: Format) -> Option<&Arc<Data>> {
        self.data.iter().find(|(known, _)| *known == format).map(|(_, data)| data)
    }
}

/// An endpoint that was found for a path.
#[derive(Clone, Debug)]
pub struct Match {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The values of its path parameters, in order.
    pub values: Vec<String>,
    /// The format that the path itself asks for (`/products.json`).
    pub format: Option<Format>,
}

impl Match {
    /// The value of a path parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        let index = self.endpoint.parameters.iter().position(|parameter| **parameter == *name)?;
        self.values.get(index).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl Site {
    /// Whether a query file or migration is what runs on both databases: nothing stands in for it on one of them.
    pub fn is_shared(&self, file: &str) -> bool {
        !self.overrides.iter().any(|one| &*one.file == file || &*one.replaces == file)
    }

    /// The endpoint of a decoded path. `/products.json` finds `products.json.sql` where no page has that very address.
    pub fn find(&self, path: &str) -> Option<Match> {
        if let Some((index, values)) = self.tree.find(path) {
            return Some(self.matched(*index, values, None));
        }
        let (stem, format) = match path.rsplit_once('.')? {
            (stem, "json") => (stem, Format::Json),
            (stem, "csv") => (stem, Format::Csv),
            _ => return None,
        };
        let (index, values) = self.tree.find(stem)?;
        self.endpoints[*index].data(format)?;
        Some(self.matched(*index, values, Some(format)))
    }

    fn matched(&self, index: usize, values: Vec<&str>, format: Option<Format>) -> Match {
        Match {
            endpoint: self.endpoints[index].clone(),
            values: values.into_iter().map(str::to_string).collect(),
            format,
        }
    }

    /// The endpoint of an action as a template names it, with the action: `/cart/[product]`, `DELETE /cart/[product]`,
    /// or a written path such as `/cart`. Without a method it is the first of POST, PUT, PATCH, DELETE that is there.
    pub fn action(&self, written: &str) -> Option<(Arc<Endpoint>, Method)> {
        let (asked, route) = match written.split_once(' ') {
            Some((name, route)) => (Some(Method::of(name)?), route.trim()),
            None => (None, written),
        };
        let endpoint = self.endpoint(route).cloned().or_else(|| Some(self.find(route)?.endpoint))?;
        let method = asked.or_else(|| endpoint.actions.first().map(|(method, _)| *method))?;
        endpoint.action(method)?;
        Some((endpoint, method))
    }

    /// The endpoint whose pattern is written so: `/article/[slug]`.
    pub fn endpoint(&self, pattern: &str) -> Option<&Arc<Endpoint>> {
        let pattern = Pattern::parse(pattern).ok()?;
        self.tree.at(&pattern).map(|index| &self.endpoints[*index])
    }

    /// The access rules that cover the address of a static file.
    pub fn static_rules(&self, address: &str) -> Vec<AccessRule> {
        if self.settings.access.is_empty() {
            return Vec::new();
        }
        let parts = address.split('/').filter(|part| !part.is_empty());
        let pattern = Pattern(parts.map(|part| pattern::Segment::Exact(part.into())).collect());
        rules::bound(&self.settings.access, &pattern, &["GET"])
    }

    /// Whether a visitor may see what stands in a folder.
    fn shows(&self, folder: &str, who: Who<'_>) -> bool {
        rules::decide(&self.static_rules(&format!("{folder}/_")), "GET", who) == Verdict::Allowed
    }

    /// The access rules that cover the addresses of uploads, all or none: nobody writes a rule for one of them.
    pub fn upload_rules(&self) -> Vec<AccessRule> {
        if self.settings.access.is_empty() {
            return Vec::new();
        }
        let pattern = Pattern::parse(UPLOADS).unwrap_or(Pattern([].into()));
        rules::bound(&self.settings.access, &pattern, &["GET"])
    }

    /// Whether some action takes files, so that there can be uploads.
    pub fn takes_uploads(&self) -> bool {
        let actions = self.endpoints.iter().flat_map(|endpoint| endpoint.actions.iter().map(|(_, action)| action));
        let mut parameters = actions.flat_map(|action| &action.script.parameters);
        parameters.any(|parameter| parameter.kind == Type::File)
    }

    /// The nearest error page for a status, seen from a path: `_404.html` in its folder or one above. One of a folder that
    /// the visitor may not see tells them nothing: it is passed over.
    pub fn error_page(&self, path: &str, status: u16, extension: &str, who: Who<'_>) -> Option<&Arc<Page>> {
        let mut folder = path.trim_matches('/');
        loop {
            for name in [format!("_{status}.{extension}"), format!("_error.{extension}")] {
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let page = self.error_pages.get(name.as_str());
                if let Some(page) = page.filter(|_| folder.is_empty() || self.shows(folder, who)) {
                    return Some(page);
                }
            }
            if folder.is_empty() {
                return None;
            }
            folder = folder.rsplit_once('/').map_or("", |(up, _)| up);
        }
    }
}

/// What loading gives: the site and every fault that was found on the way.
#[derive(Debug)]
pub struct Loaded {
    /// The site, as far as it can be read.
    pub site: Site,
    /// The faults, in the order of the files.
    pub faults: Vec<Fault>,
}
