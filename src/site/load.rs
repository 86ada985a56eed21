//! Reads a site's folder into a [`Site`]: settings, files, query files, templates, routes. Gathers every fault.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::folder::{Format, Method, Piece, Role, piece};
use super::pattern::{Pattern, Tree};
use super::statics::{self, DefaultHeaders, Statics};
use super::{Action, Data, Endpoint, Loaded, Override, Page, Site, Uses, mails, migrations};
use crate::problem::{Fault, Place, Problem};
use crate::render::{self, Source, Templates};
use crate::settings::Settings;
use crate::sqlfile::{self, Dialect, QueryFile, Redirect, Script};

/// What a site is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For its author: files are looked at anew at each visit.
    Develop,
    /// For visitors.
    Serve,
}

/// The largest file of `pages/` or `migrations/` that is read, in bytes: larger ones are there by mistake.
const LARGEST: u64 = 512 * 1024 * 1024;

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
    let dialect = Dialect::of_url(&settings.database_url);
    let mut reader = Reader::new(folder, dialect, &settings, &statics);
    if !plain {
        reader.read_pages();
    }
    let mails = Arc::new(mails::read(folder, plain, reader.settings, &statics, &mut reader.faults));
    let migrations = match plain {
        true => Vec::new(),
        false => migrations::read(folder, dialect, &mut reader.overrides, &mut reader.faults),
    };
    let mut overrides = std::mem::take(&mut reader.overrides);
    overrides.sort_by(|a, b| a.file.cmp(&b.file));
    faults.append(&mut reader.faults);
    let mut built = reader.build();
    faults.append(&mut built.faults);
    claimed_by_statics(&statics, &built.endpoints, &mut faults);
    let site = Site {
        folder: folder.to_path_buf(),
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
        query_files: built.query_files,
        tree: built.tree,
    };
    Ok(Loaded { site, faults })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::broken(format!("can't read `{}`: {error}", path.display()))
}

/// Defaults, `site.toml`, environment, flags; later ones win.
fn read_settings(folder: &Path, flags: &[String], faults: &mut Vec<Fault>) -> Result<Settings, Problem> {
    let mut settings = Settings::default();
    let file = folder.join("site.toml");
    match fs::read_to_string(&file) {
        Ok(source) => faults.extend(settings.read_toml("site.toml", &source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&file, &error)),
    }
    settings.read_env().map_err(Problem::broken)?;
    for flag in flags {
        settings.read_flag(flag).map_err(Problem::broken)?;
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
    for (address, path) in statics.addresses() {
        let Some(endpoint) = endpoints.iter().find(|endpoint| {
            (endpoint.page.is_some() || !endpoint.data.is_empty()) && endpoint.pattern.to_string() == address
        }) else {
            continue;
        };
        let file = endpoint.page.as_ref().map_or_else(String::new, |page| format!(" and `pages/{}`", page.template));
        let mut fault = Fault::everywhere(format!("two files claim {address}: `public/{}`{file}", path.display()));
        fault.help = "rename or remove one of them".into();
        faults.push(fault);
    }
}

/// A file of `pages/` that was read.
struct Item {
    piece: Piece,
    /// Below `pages/`.
    path: String,
    text: Arc<str>,
}

/// Reads `pages/`.
struct Reader<'s> {
    folder: PathBuf,
    dialect: Dialect,
    settings: &'s Settings,
    statics: &'s Arc<Statics>,
    /// By the path without the dialect, sorted.
    items: BTreeMap<String, Item>,
    overrides: Vec<Override>,
    faults: Vec<Fault>,
}

impl<'s> Reader<'s> {
    fn new(folder: &Path, dialect: Dialect, settings: &'s Settings, statics: &'s Arc<Statics>) -> Reader<'s> {
        Reader {
            folder: folder.join("pages"),
            dialect,
            settings,
            statics,
            items: BTreeMap::new(),
            overrides: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn read_pages(&mut self) {
        let mut paths = Vec::new();
        let root = self.folder.clone();
        walk(&root, "", &mut paths, &mut self.faults);
        for path in paths {
            self.read_file(path);
        }
    }

    fn read_file(&mut self, path: String) {
        let Some(piece) = piece(&path) else { return };
        self.overrides.extend(Override::of(&format!("pages/{path}")));
        // The other database's version of a query file.
        if piece.dialect.is_some_and(|dialect| dialect != self.dialect) {
            return;
        }
        let file = self.folder.join(&path);
        let text = match fs::metadata(&file).and_then(|metadata| match metadata.len() > LARGEST {
            true => Err(std::io::Error::other("it is too large for a page")),
            false => fs::read_to_string(&file),
        }) {
            Ok(text) => text,
            Err(error) => {
                self.faults.push(Fault::everywhere(format!("can't read `pages/{path}`: {error}")));
                return;
            }
        };
        let key = piece.name.clone();
        // `x.postgres.sql` replaces `x.sql`, whichever is met first.
        if piece.dialect.is_none() && self.items.get(&key).is_some_and(|item| item.piece.dialect.is_some()) {
            return;
        }
        self.items.insert(key, Item { piece, path, text: text.into() });
    }

    fn build(self) -> Built {
        let options = render_options(self.settings, self.statics.clone());
        let sources = self.items.values().filter(|item| !item.path.ends_with(".sql")).map(|item| Source {
            name: item.path.as_str().into(),
            file: format!("pages/{}", item.path).into(),
            text: item.text.clone(),
        });
        let mut faults = Vec::new();
        let files = parse_all(&self.items, self.dialect, &mut faults);
        let sources = sources.chain(files.values().flat_map(|file| directive_templates(file))).collect();
        let (templates, found) = Templates::build(sources, options);
        faults.extend(found);
        let mut builder = Builder {
            items: &self.items,
            templates: &templates,
            files,
            layouts: HashMap::new(),
            drafts: Vec::new(),
            faults,
        };
        builder.templates_without_queries();
        builder.draft_all();
        let error_pages = builder.error_pages();
        let query_files = {
            let mut files: Vec<Arc<QueryFile>> = builder.files.values().cloned().collect();
            files.sort_by(|a, b| a.path.cmp(&b.path));
            files
        };
        let (endpoints, tree) = builder.finish(self.settings);
        let faults = std::mem::take(&mut builder.faults);
        Built { templates, endpoints, tree, error_pages, query_files, faults }
    }
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

/// All files below a folder, sorted, with `/` between folders. Hidden ones are left out.
pub(super) fn walk(root: &Path, below: &str, paths: &mut Vec<String>, faults: &mut Vec<Fault>) {
    let folder = root.join(below);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if below.is_empty() && error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => return faults.push(Fault::everywhere(format!("can't read `{}`: {error}", folder.display()))),
    };
    let mut names: Vec<(String, bool)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().is_dir())))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    names.sort();
    for (name, is_folder) in names {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        match is_folder {
            true => walk(root, &path, paths, faults),
            false => paths.push(path),
        }
    }
}

/// What building gives.
struct Built {
    templates: Templates,
    endpoints: Vec<Arc<Endpoint>>,
    tree: Tree<usize>,
    error_pages: HashMap<Arc<str>, Arc<Page>>,
    query_files: Vec<Arc<QueryFile>>,
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
    /// Parsed query files by their path below `pages/`, without the dialect.
    files: HashMap<String, Arc<QueryFile>>,
    /// Scripts of layouts, shared by all their pages.
    layouts: HashMap<Arc<str>, Option<Arc<Script>>>,
    drafts: Vec<Draft>,
    faults: Vec<Fault>,
}

impl Builder<'_> {
    /// A renamed template must never publish a table: queries without their template are a fault.
    fn templates_without_queries(&mut self) {
        for item in self.items.values() {
            if item.piece.role != Role::Queries {
                continue;
            }
            let stem = item.piece.name.trim_end_matches(".sql");
            let has_template =
                self.items.values().any(|other| other.piece.role == Role::Page && template_stem(&other.path) == stem);
            if !has_template {
                let place = Place::of_line(format!("pages/{}", item.path), &item.text, 1);
                self.faults.push(Fault::error("these queries have no template", place).help(format!(
                    "write `pages/{stem}.html`, name it `{stem}.json.sql` to answer with data, or `_{stem}.sql` to share it"
                )));
            }
        }
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
            content_type: content_type(template),
            scripts,
            uses: Uses::of(&self.templates.names(template)),
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
                    self.faults.push(Fault::everywhere(format!("`pages/{}`: {message}", item.path)));
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
        let at = match self.drafts.iter().position(|draft| draft.pattern.claims_the_same(&pattern)) {
            Some(at) => at,
            None => {
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
            let message = format!("two files claim {pattern}: `pages/{other}` and `pages/{}`", item.path);
            self.faults.push(Fault::everywhere(message).help("rename or remove one of them"));
            return;
        }
        if draft.pattern != pattern {
            let message = format!("{} and {pattern} are one route with two names for its parameter", draft.pattern);
            self.faults.push(Fault::everywhere(message).help(format!("rename `pages/{}`", item.path)));
            return;
        }
        draft.files.push((item.piece.role.clone(), item.path.clone()));
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
        let patterns: Vec<Pattern> = drafts.iter().map(|draft| draft.pattern.clone()).collect();
        let mut tree = Tree::default();
        let mut endpoints = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            if tree.insert(&draft.pattern, index).is_err() {
                self.faults.push(Fault::everywhere(format!("two files claim {}", draft.pattern)));
            }
            let mut actions = draft.actions;
            actions.sort_by_key(|(method, _)| *method);
            // Who doesn't say what they want gets JSON before CSV.
            let mut data = draft.data;
            data.sort_by_key(|(format, _)| *format);
            let mut action = |script| self.action(script, index, &patterns);
            endpoints.push(Arc::new(Endpoint {
                parameters: draft.pattern.parameters().into(),
                rules: settings
                    .access
                    .iter()
                    .filter(|rule| super::rules::covers(&rule.path, &draft.pattern))
                    .cloned()
                    .collect(),
                page: draft.page,
                visit: draft.visit.map(&mut action),
                actions: actions.into_iter().map(|(method, script)| (method, action(script))).collect(),
                data: data.into_iter().map(|(format, script)| (format, Arc::new(Data { script }))).collect(),
                pattern: draft.pattern,
            }));
        }
        (endpoints, tree)
    }

    /// An action with the page that shows its faults: `page:`, else the one of its own route.
    fn action(&mut self, script: Arc<Script>, own: usize, patterns: &[Pattern]) -> Arc<Action> {
        let mut page = Some(own);
        if let Some(route) = &script.directives.page {
            let wanted = Pattern::parse(&route.text).ok();
            page =
                patterns.iter().position(|known| wanted.as_ref().is_some_and(|wanted| known.claims_the_same(wanted)));
            if page.is_none() {
                self.faults.push(
                    Fault::error(format!("`page:` names {}, where there is no page", route.text), route.place.clone())
                        .help("write the route as its file stands: /article/[slug]"),
                );
            }
        }
        let template = |end: &str| Arc::<str>::from(format!("{}{end}", script.path));
        let redirect = matches!(script.directives.redirect, Some(Redirect::To(_))).then(|| template(REDIRECT));
        let flash = script.directives.flash.is_some().then(|| template(FLASH));
        Arc::new(Action { script, page, redirect, flash, writes: OnceLock::new() })
    }
}

/// Every query file, parsed, by its path below `pages/` without the dialect.
fn parse_all(
    items: &BTreeMap<String, Item>,
    dialect: Dialect,
    faults: &mut Vec<Fault>,
) -> HashMap<String, Arc<QueryFile>> {
    let mut files = HashMap::new();
    for (name, item) in items.iter().filter(|(_, item)| item.path.ends_with(".sql")) {
        let (file, found) = sqlfile::parse(&format!("pages/{}", item.path), &item.text, dialect);
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
