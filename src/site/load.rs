//! Reads a site's folder into a [`Site`]: settings, files, query files, templates, routes. Gathers every fault.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::folder::{Format, Method, Role, piece};
use super::keeping::Keeping;
use super::pattern::{Pattern, Tree};
use super::sources::{Item, Sources};
use super::statics::{self, DefaultHeaders, Statics};
use super::{Action, Data, DirectiveTemplate, Endpoint, Event, Loaded, Page, Site, Uses, mails, migrations};
use crate::builtin;
use crate::database::migrations::Migrations;
use crate::parallel;
use crate::problem::{Fault, Place, Problem};
use crate::render::{self, Source, Templates};
use crate::settings::Settings;
use crate::sqlfile::{self, Dialect, Parameter, QueryFile, Redirect, Script};

/// What a site is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For its author: files are looked at anew at each visit.
    Develop,
    /// For visitors.
    Serve,
}

/// Counts the snapshots of this process.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Reads the site in `folder`. `flags` are `NAME=VALUE` settings that win over all others; `before` is the snapshot
/// that this one will replace.
///
/// # Errors
/// The folder can't be read, or a variable or flag is wrong. Faults in the site's files are in [`Loaded::faults`].
pub fn load(folder: &Path, flags: &[String], mode: Mode, before: Option<&Site>) -> Result<Loaded, Problem> {
    let metadata = fs::metadata(folder).map_err(|error| unreadable(folder, &error))?;
    if !metadata.is_dir() {
        return Err(Problem::broken(format!("`{}` is not a folder", folder.display())));
    }
    fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut faults = Vec::new();
    let settings = Arc::new(read_settings(folder, flags, &mut faults)?);
    let plain = !["site.toml", "pages", "public"].iter().any(|name| folder.join(name).exists());
    let headers = Arc::new(DefaultHeaders::of(&settings, plain));
    let options = statics::Options {
        mode: if plain { statics::Mode::Plain } else { statics::Mode::Site },
        listing: settings.listing,
        always_look: mode == Mode::Develop,
        headers: headers.clone(),
        ..statics::Options::default()
    };
    let statics = Arc::new(open_statics(folder, options, before, &mut faults)?);
    let access_lock = if plain { None } else { read_if_there(&folder.join(super::ACCESS_LOCK))? };
    let dialect = Dialect::of_url(&settings.database_url);
    let mut sources = Sources::of(folder, dialect);
    if !plain {
        sources.read();
        sources.lay_under(&settings);
    }
    let list = match plain {
        true => Vec::new(),
        false => migrations::read(folder, dialect, &mut sources.overrides, &mut sources.faults),
    };
    sources.faults.extend(migrations::taken(&list, dialect, settings.has_users()));
    let migrations = Migrations { list, accounts: settings.has_users() };
    let mails = Arc::new(mails::read(folder, plain, &settings, &statics, &mut sources.faults));
    let mut overrides = std::mem::take(&mut sources.overrides);
    overrides.sort_by(|a, b| a.file.cmp(&b.file));
    faults.append(&mut sources.faults);
    let mut built = build(&sources, dialect, &settings, &statics);
    faults.append(&mut built.faults);
    claimed_by_statics(&statics, &built.endpoints, &mut faults);
    let site = Site {
        folder: folder.to_path_buf(),
        generation: GENERATION.fetch_add(1, Relaxed),
        plain,
        settings,
        statics,
        headers,
        templates: built.templates,
        mails,
        endpoints: built.endpoints,
        error_pages: built.error_pages,
        dialect,
        overrides,
        migrations,
        register_asks: built.register_asks,
        access_lock,
        query_files: built.query_files,
        tree: built.tree,
    };
    Ok(Loaded { site, faults })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::broken(format!("can't read `{}`: {error}", path.display()))
}

/// The text of a file; `None` when there is none.
fn read_if_there(file: &Path) -> Result<Option<String>, Problem> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// Defaults, `site.toml`, environment, flags; later ones win.
fn read_settings(folder: &Path, flags: &[String], faults: &mut Vec<Fault>) -> Result<Settings, Problem> {
    let mut settings = Settings::default();
    if let Some(source) = read_if_there(&folder.join("site.toml"))? {
        faults.extend(settings.read_toml("site.toml", &source));
    }
    settings.read_env().map_err(Problem::broken)?;
    for flag in flags {
        settings.read_flag(flag).map_err(Problem::broken)?;
    }
    if settings.has_users() {
        settings.access.extend(builtin::rules());
    }
    Ok(settings)
}

fn open_statics(
    folder: &Path,
    options: statics::Options,
    before: Option<&Site>,
    faults: &mut Vec<Fault>,
) -> Result<Statics, Problem> {
    let plain = options.mode == statics::Mode::Plain;
    let root = if plain { folder.to_path_buf() } else { folder.join("public") };
    // A site of pages alone needs no public/.
    if !plain && !root.exists() {
        return Ok(Statics::none());
    }
    let (statics, found) = Statics::open(&root, options, before.map(|site| &*site.statics))?;
    faults.extend(found);
    Ok(statics)
}

/// A file of `public/` and a page at one address.
fn claimed_by_statics(statics: &Statics, endpoints: &[Arc<Endpoint>], faults: &mut Vec<Fault>) {
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.page.is_some() || !endpoint.data.is_empty()) {
        let address = endpoint.pattern.to_string();
        let Some(path) = statics.at(&address) else { continue };
        let file = endpoint.page.as_ref().map_or_else(String::new, |page| format!(" and `pages/{}`", page.template));
        let mut fault = Fault::everywhere(format!("two files claim {address}: `public/{}`{file}", path.display()));
        fault.help = "rename or remove one of them".into();
        faults.push(fault);
    }
}

/// Makes templates, scripts and endpoints of what was read.
fn build(sources: &Sources, dialect: Dialect, settings: &Settings, statics: &Arc<Statics>) -> Built {
    let options = render_options(settings, statics.clone());
    let mut faults = Vec::new();
    let files = parse_all(&sources.items, dialect, &mut faults);
    let templates = sources.items.values().filter(|item| !item.path.ends_with(".sql")).map(|item| Source {
        name: item.path.as_str().into(),
        file: item.file.as_str().into(),
        text: item.text.clone(),
    });
    let templates = templates.chain(files.values().flat_map(|file| directive_templates(file))).collect();
    let (templates, found) = Templates::build(templates, options);
    faults.extend(found);
    let mut builder = Builder {
        items: &sources.items,
        templates: &templates,
        uses: uses(&sources.items, &templates),
        files,
        events: Vec::new(),
        layouts: HashMap::new(),
        drafts: Vec::new(),
        places: Tree::default(),
        faults,
    };
    builder.read_events(&sources.events, dialect);
    builder.templates_without_queries();
    builder.draft_all();
    let error_pages = builder.error_pages();
    let query_files = builder.query_files();
    let register_asks = builder.register_asks();
    let (endpoints, tree) = builder.finish(settings);
    let faults = std::mem::take(&mut builder.faults);
    Built { templates, endpoints, tree, error_pages, query_files, register_asks, faults }
}

/// What the templates of all pages, error pages included, look up of the server's own names.
fn uses(items: &BTreeMap<String, Item>, templates: &Templates) -> HashMap<Arc<str>, Uses> {
    let names: Vec<Arc<str>> =
        items.values().map(|item| &*item.path).filter(|path| !path.ends_with(".sql")).map(Arc::from).collect();
    let found = parallel::stretches(&names, |stretch| {
        let reader = templates.reader();
        stretch.iter().map(|name| (name.clone(), Uses::of(&reader.names(name)))).collect()
    });
    found.into_iter().collect()
}

/// What all templates of a site share.
pub(super) fn render_options(settings: &Settings, statics: Arc<Statics>) -> render::Options {
    render::Options {
        fuel: u64::from(settings.max_fuel),
        max_output: usize::try_from(settings.max_page.0).unwrap_or(usize::MAX),
        zone: settings.timezone.clone(),
        asset: Arc::new(move |path: &str| {
            statics.asset_url(path).ok_or_else(|| format!("there is no file `{path}` in public/"))
        }),
        ..render::Options::default()
    }
}

/// What building gives.
struct Built {
    templates: Templates,
    endpoints: Vec<Arc<Endpoint>>,
    tree: Tree<usize>,
    error_pages: HashMap<Arc<str>, Arc<Page>>,
    query_files: Vec<Arc<QueryFile>>,
    register_asks: bool,
    faults: Vec<Fault>,
}

/// An endpoint in the making.
struct Draft {
    pattern: Pattern,
    page: Option<Arc<Page>>,
    visit: Option<Arc<Script>>,
    data: Vec<(Format, Arc<Script>)>,
    actions: Vec<(Method, Arc<Script>)>,
    /// The files that make it, for messages.
    files: Vec<(Role, String)>,
}

/// Makes scripts, pages and endpoints of the files that were read.
struct Builder<'r> {
    items: &'r BTreeMap<String, Item>,
    templates: &'r Templates,
    /// What each page's template looks up of the server's own names.
    uses: HashMap<Arc<str>, Uses>,
    /// Parsed query files by their path below `pages/`, without the dialect.
    files: HashMap<String, Arc<QueryFile>>,
    /// What the site's own `events/` run.
    events: Vec<(Event, Arc<QueryFile>, Arc<Script>)>,
    /// Scripts of layouts, shared by all their pages.
    layouts: HashMap<Arc<str>, Option<Arc<Script>>>,
    drafts: Vec<Draft>,
    /// The places of drafts by their patterns.
    places: Tree<usize>,
    faults: Vec<Fault>,
}

impl Builder<'_> {
    /// A renamed template must never publish a table: queries without their template are a fault.
    fn templates_without_queries(&mut self) {
        let pages = self.items.values().filter(|item| item.piece.role == Role::Page);
        let templates: HashSet<&str> = pages.map(|item| template_stem(&item.path)).collect();
        for item in self.items.values().filter(|item| item.piece.role == Role::Queries) {
            let stem = item.piece.name.trim_end_matches(".sql");
            if !templates.contains(stem) {
                let place = Place::of_line(item.file.clone(), &item.text, 1);
                self.faults.push(Fault::error("these queries have no template", place).help(format!(
                    "write `pages/{stem}.html`, name it `{stem}.json.sql` to answer with data, or `_{stem}.sql` to share it"
                )));
            }
        }
    }

    fn read_events(&mut self, events: &[(Event, Item)], dialect: Dialect) {
        for (event, item) in events {
            let (file, found) = sqlfile::parse(&item.file, &item.text, dialect);
            self.faults.extend(found);
            let file = Arc::new(file);
            let files = &self.files;
            let (script, found) =
                Script::build(&file, &[], &mut |path| files.get(path.trim_start_matches('/')).cloned());
            self.faults.extend(found);
            self.events.push((*event, file, Arc::new(script)));
        }
    }

    /// Whether `events/register.sql` needs what only a form can ask for.
    fn register_asks(&self) -> bool {
        self.events.iter().any(|(event, _, script)| *event == Event::Register && asks(script))
    }

    /// The site's own query files, for `check`.
    fn query_files(&self) -> Vec<Arc<QueryFile>> {
        let events = self.events.iter().map(|(_, file, _)| file);
        let mut files: Vec<Arc<QueryFile>> = self.files.values().chain(events).cloned().collect();
        files.retain(|file| !file.path.starts_with(builtin::ROOT));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    fn script(&mut self, name: &str, parameters: &[Arc<str>]) -> Option<Arc<Script>> {
        let file = self.files.get(name)?.clone();
        let files = &self.files;
        let (script, faults) =
            Script::build(&file, parameters, &mut |path| files.get(path.trim_start_matches('/')).cloned());
        self.faults.extend(faults);
        Some(Arc::new(script))
    }

    fn page(&mut self, template: &str, parameters: &[Arc<str>]) -> Arc<Page> {
        let own = self.script(&format!("{}.sql", template_stem(template)), parameters);
        let mut scripts: Vec<Arc<Script>> = own.into_iter().collect();
        for layout in self.templates.layouts(template) {
            if !self.layouts.contains_key(&layout) {
                let script = self.script(&format!("{}.sql", template_stem(&layout)), &[]);
                self.layouts.insert(layout.clone(), script);
            }
            scripts.extend(self.layouts.get(&layout).cloned().flatten());
        }
        Arc::new(Page {
            template: template.into(),
            file: self.items.get(template).map_or(template, |item| &item.file).into(),
            content_type: content_type(template),
            scripts,
            uses: self.uses.get(template).copied().unwrap_or_default(),
            keeping: Keeping::default(),
            blocks: OnceLock::new(),
        })
    }

    fn draft_all(&mut self) {
        let items = self.items;
        for (name, item) in items {
            if matches!(item.piece.role, Role::Queries | Role::Private) {
                continue;
            }
            let pattern = match Pattern::parse(&item.piece.route) {
                Ok(pattern) => pattern,
                Err(message) => {
                    self.faults.push(Fault::everywhere(format!("`{}`: {message}", item.file)));
                    continue;
                }
            };
            self.draft(name, item, pattern);
        }
    }

    fn draft(&mut self, name: &str, item: &Item, pattern: Pattern) {
        let parameters = pattern.parameters();
        let page = (item.piece.role == Role::Page).then(|| self.page(&item.path, &parameters));
        let script = if page.is_some() { None } else { self.script(name, &parameters) };
        let at = match self.places.at(&pattern) {
            Some(at) => *at,
            None => {
                // There is none, so this one finds its place.
                let _ = self.places.insert(&pattern, self.drafts.len());
                self.drafts.push(Draft {
                    pattern: pattern.clone(),
                    page: None,
                    visit: None,
                    data: vec![],
                    actions: vec![],
                    files: vec![],
                });
                self.drafts.len() - 1
            }
        };
        let draft = &mut self.drafts[at];
        if let Some((_, other)) = draft.files.iter().find(|(role, _)| *role == item.piece.role) {
            let message = format!("two files claim {pattern}: `{other}` and `{}`", item.file);
            self.faults.push(Fault::everywhere(message).help("rename or remove one of them"));
            return;
        }
        if draft.pattern != pattern {
            let message = format!("{} and {pattern} are one route with two names for its parameter", draft.pattern);
            self.faults.push(Fault::everywhere(message).help(format!("rename `{}`", item.file)));
            return;
        }
        draft.files.push((item.piece.role.clone(), item.file.clone()));
        match (&item.piece.role, page, script) {
            (Role::Page, Some(page), _) => draft.page = Some(page),
            (Role::Visit, _, Some(script)) => draft.visit = Some(script),
            (Role::Action(method), _, Some(script)) => draft.actions.push((*method, script)),
            (Role::Data(format), _, Some(script)) => draft.data.push((*format, script)),
            _ => {}
        }
    }

    fn error_pages(&mut self) -> HashMap<Arc<str>, Arc<Page>> {
        let items = self.items;
        let names = items.values().filter(|item| {
            let name = item.path.rsplit('/').next().unwrap_or("");
            let stem = name.strip_prefix('_').and_then(|name| name.rsplit_once('.')).map_or("", |(stem, _)| stem);
            !name.ends_with(".sql") && (stem == "error" || stem.len() == 3 && stem.bytes().all(|b| b.is_ascii_digit()))
        });
        names.map(|item| (Arc::from(item.path.as_str()), self.page(&item.path, &[]))).collect()
    }

    fn finish(&mut self, settings: &Settings) -> (Vec<Arc<Endpoint>>, Tree<usize>) {
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.sort_by_key(|draft| draft.pattern.to_string());
        let mut tree = Tree::default();
        for (index, draft) in drafts.iter().enumerate() {
            if tree.insert(&draft.pattern, index).is_err() {
                self.faults.push(Fault::everywhere(format!("two files claim {}", draft.pattern)));
            }
        }
        let own: HashSet<String> =
            builtin::pages(settings).filter_map(|(path, _)| piece(path)).map(|piece| piece.route).collect();
        let mut endpoints = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            let mut actions = draft.actions;
            actions.sort_by_key(|(method, _)| *method);
            // Who doesn't say what they want gets JSON before CSV.
            let mut data = draft.data;
            data.sort_by_key(|(format, _)| *format);
            let builtin = draft.files.iter().all(|(_, file)| file.starts_with(builtin::ROOT));
            let mut action = |script| self.action(script, index, &tree);
            let mut endpoint = Endpoint {
                builtin,
                parameters: draft.pattern.parameters().into(),
                rules: Vec::new(),
                caching: super::caching::decide(&settings.cache, &draft.pattern, builtin),
                page: draft.page,
                visit: draft.visit.map(&mut action),
                actions: actions.into_iter().map(|(method, script)| (method, action(script))).collect(),
                data: data
                    .into_iter()
                    .map(|(format, script)| (format, Arc::new(Data { script, keeping: Keeping::default() })))
                    .collect(),
                pattern: draft.pattern,
            };
            let is_own = own.contains(&endpoint.pattern.to_string());
            // A rule for the whole site isn't meant for the pages by which one gets in.
            let rules = settings.access.iter().filter(|rule| !is_own || !rule.path.starts_with("/*"));
            endpoint.rules = super::rules::bound(rules, &endpoint.pattern, &endpoint.methods());
            endpoints.push(Arc::new(endpoint));
        }
        (endpoints, tree)
    }

    /// An action with the page that shows its faults: `page:`, else the one of its own route.
    fn action(&mut self, script: Arc<Script>, own: usize, tree: &Tree<usize>) -> Arc<Action> {
        let mut page = Some(own);
        if let Some(route) = &script.directives.page {
            page = Pattern::parse(&route.text).ok().and_then(|wanted| tree.at(&wanted).copied());
            if page.is_none() {
                self.faults.push(
                    Fault::error(format!("`page:` names {}, where there is no page", route.text), route.place.clone())
                        .help("write the route as its file stands: /article/[slug]"),
                );
            }
        }
        let template = |end: &str| DirectiveTemplate::new(format!("{}{end}", script.path).into());
        // Who comes back from a provider fills in no form: an account that needs one is not made there.
        let is_left_out = |event: Event, asked: &Script| event == Event::Register && script.is_return() && asks(asked);
        let events = self.events.iter().filter(|(event, ..)| event.follows(&script.directives));
        let events = events.filter(|(event, _, asked)| !is_left_out(*event, asked));
        let events = events.map(|(event, _, script)| (*event, script.clone())).collect();
        let redirect = matches!(script.directives.redirect, Some(Redirect::To(_))).then(|| template(REDIRECT));
        let flash = script.directives.flash.is_some().then(|| template(FLASH));
        Arc::new(Action { script, page, events, redirect, flash, writes: OnceLock::new(), tables: OnceLock::new() })
    }
}

/// Whether something must be filled in for a script to run.
fn asks(script: &Script) -> bool {
    script.parameters.iter().any(Parameter::must_be_sent)
}

/// Every query file, parsed, by its path below `pages/` without the dialect.
fn parse_all(
    items: &BTreeMap<String, Item>,
    dialect: Dialect,
    faults: &mut Vec<Fault>,
) -> HashMap<String, Arc<QueryFile>> {
    let mut files = HashMap::new();
    for (name, item) in items.iter().filter(|(_, item)| item.path.ends_with(".sql")) {
        let (file, found) = sqlfile::parse(&item.file, &item.text, dialect);
        faults.extend(found);
        files.insert(name.clone(), Arc::new(file));
    }
    files
}

/// The templates that stand in directives: `redirect: /orders/{{ order.id }}` and `flash: …`.
fn directive_templates(file: &QueryFile) -> Vec<Source> {
    let redirect = match &file.directives.redirect {
        Some(Redirect::To(phrase)) => Some((REDIRECT, phrase)),
        _ => None,
    };
    let flash = file.directives.flash.as_ref().map(|phrase| (FLASH, phrase));
    let texts = redirect.into_iter().chain(flash);
    texts
        .map(|(end, phrase)| Source {
            name: format!("{}{end}", file.path).into(),
            file: file.path.clone(),
            text: phrase.text.clone(),
        })
        .collect()
}

/// What the names of directive templates end with; `.txt` prints values as they are.
const REDIRECT: &str = "#redirect.txt";
const FLASH: &str = "#flash.txt";

/// A template's path without its extension.
fn template_stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}

/// `Content-Type` by a template's extension.
fn content_type(template: &str) -> &'static str {
    match template.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "xml" => "application/xml; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "csv" => "text/csv; charset=utf-8",
        "svg" => "image/svg+xml",
        "ics" => "text/calendar; charset=utf-8",
        "vcf" => "text/vcard; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}
