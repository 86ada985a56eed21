//! The texts of all templates, how one names another, and which layouts a page stands under.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use minijinja::machinery::ast::{Expr, Stmt};

use super::straight::Program;
use super::{Options, Source, fragment, straighten, syntax};
use crate::hash::TextMap;
use crate::parallel;
use crate::problem::{Fault, Place, suggestion};

/// Stands between a page's name and a block's in the name of a fragment; no file name holds a NUL.
pub(super) const SEPARATOR: char = '\0';

/// All sound templates by their names.
#[derive(Debug)]
pub(super) struct Library {
    entries: TextMap<Arc<str>, Entry>,
    /// Templates that are left out for a fault of syntax.
    broken: BTreeSet<Arc<str>>,
    /// The pieces of text that programs print.
    texts: Mutex<straighten::Texts>,
}

/// Names of templates: each as written, and the name that this stands for.
type Written = Vec<(Arc<str>, Arc<str>)>;

/// One template.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) source: Source,
    /// The name of its layout, when it is written as a plain string outside of conditions.
    pub(super) extends: Option<Arc<str>>,
    /// The templates that it names in plain text.
    names: Written,
    /// The blocks that it defines.
    pub(super) blocks: BTreeSet<Arc<str>>,
    /// The size of the largest page that was rendered from it, so that the next one needs one allocation.
    size: AtomicUsize,
    /// What renders it without the engine, where its templates are of the common kind.
    program: OnceLock<Option<Program>>,
}

/// A template that another one names in plain text.
pub(super) struct Named<'t> {
    pub(super) written: &'t str,
    pub(super) place: Place,
    /// Whether it is the layout.
    pub(super) extends: bool,
    /// Whether it may be missing: `ignore missing`, or one of several choices.
    pub(super) optional: bool,
}

impl Library {
    /// Parses every source; those with faults are left out.
    pub(super) fn new(sources: Vec<Source>) -> (Library, Vec<Fault>) {
        let mut library = Library { entries: TextMap::default(), broken: BTreeSet::new(), texts: Mutex::default() };
        let mut faults = Vec::new();
        let read = parallel::stretches(&sources, |stretch| stretch.iter().map(Entry::read).collect());
        for (source, read) in sources.into_iter().zip(read) {
            match read {
                Ok(entry) => drop(library.entries.insert(source.name, entry)),
                Err(fault) => {
                    library.broken.insert(source.name);
                    faults.push(*fault);
                }
            }
        }
        library.resolve_names();
        for entry in library.sorted() {
            faults.extend(library.missing(entry));
            faults.extend(library.ring(entry));
        }
        (library, faults)
    }

    /// What renders a page without the engine, if it needs none. Translated when it is first asked for: most pages of a
    /// large site are not visited before the next reload.
    pub(super) fn program(&self, name: &str, options: &Options) -> Option<&Program> {
        let translate = || {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            straighten::program(self, name, options, &mut texts)
        };
        self.get(name)?.program.get_or_init(translate).as_ref()
    }

    /// Until here entries know other templates by their names as written; now they know their names.
    fn resolve_names(&mut self) {
        let mut resolved: HashMap<Arc<str>, Written> = HashMap::new();
        for (name, entry) in &self.entries {
            let names = entry.names.iter().map(|(written, _)| (written.clone(), self.search(name, written).into()));
            resolved.insert(name.clone(), names.collect());
        }
        for (name, entry) in &mut self.entries {
            entry.names = resolved.remove(name).unwrap_or_default();
            let layout = entry.names.iter().find(|(written, _)| Some(written) == entry.extends.as_ref());
            entry.extends = layout.map(|(_, name)| name.clone());
        }
    }

    fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by(|one, other| one.source.name.cmp(&other.source.name));
        entries
    }

    /// The template of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The names of all sound templates, sorted.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        names.sort();
        names
    }

    fn exists(&self, name: &str) -> bool {
        self.entries.contains_key(name) || self.broken.contains(name)
    }

    /// The name of the template that `parent` calls `written`.
    ///
    /// A name with a leading slash counts from the root; one with `./` or `../` from the folder of `parent`; any other
    /// is looked for beside `parent` and then in each folder above it, nearest first. A template means itself only
    /// when there is no other, so that `docs/_layout.html` can extend the `_layout.html` above it. When nothing is found
    /// the name counts from the root.
    pub(super) fn resolve<'n>(&self, parent: &str, written: &'n str) -> Cow<'n, str> {
        if written.contains(SEPARATOR) {
            return Cow::Borrowed(written);
        }
        // Every rendering asks for the layout, so names in plain text were looked for when the site was read.
        let names = self.get(page_of(parent)).map_or(&[][..], |entry| &entry.names);
        match names.iter().find(|(known, _)| **known == *written) {
            Some((_, name)) if **name == *written => Cow::Borrowed(written),
            Some((_, name)) => Cow::Owned(name.to_string()),
            None => self.search(parent, written),
        }
    }

    fn search<'n>(&self, parent: &str, written: &'n str) -> Cow<'n, str> {
        if let Some(rooted) = written.strip_prefix('/') {
            return Cow::Borrowed(rooted);
        }
        let parent = page_of(parent);
        let folder = parent.rsplit_once('/').map_or("", |(folder, _)| folder);
        if written.starts_with("./") || written.starts_with("../") {
            return Cow::Owned(relative(folder, written));
        }
        let mut folder = folder;
        let mut itself = None;
        while !folder.is_empty() {
            let candidate = format!("{folder}/{written}");
            if candidate == parent {
                itself = Some(candidate);
            } else if self.exists(&candidate) {
                return Cow::Owned(candidate);
            }
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
        match itself {
            Some(itself) if !self.exists(written) => Cow::Owned(itself),
            _ => Cow::Borrowed(written),
        }
    }

    /// A page and the layouts above it, nearest first. A ring is cut where it closes.
    pub(super) fn chain(&self, name: &str) -> Vec<&Entry> {
        let mut chain: Vec<&Entry> = Vec::new();
        let mut next = self.get(name);
        while let Some(entry) = next {
            if chain.iter().any(|known| known.source.name == entry.source.name) {
                break;
            }
            chain.push(entry);
            next = entry.extends.as_ref().and_then(|layout| self.get(layout));
        }
        chain
    }

    /// The text that the engine compiles for a name: a template's own, or a fragment's.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match name.split_once(SEPARATOR) {
            None => self.get(name).map(|entry| Cow::Borrowed(&*entry.source.text)),
            Some((page, block)) => {
                let entry = self.get(page)?;
                let layout = entry.extends.as_ref().filter(|layout| self.get(layout).is_some());
                Some(Cow::Owned(fragment::text(&entry.source, layout.map(|name| &**name), block)?))
            }
        }
    }

    fn missing(&self, entry: &Entry) -> Vec<Fault> {
        if entry.named().all(|name| self.exists(name)) {
            return Vec::new();
        }
        let Ok(tree) = syntax::tree(&entry.source) else { return Vec::new() };
        let named = named(&entry.source, &tree).into_iter().filter(|named| !named.optional);
        named
            .filter(|named| !self.exists(&self.resolve(&entry.source.name, named.written)))
            .map(|named| {
                let near = suggestion(named.written, self.entries.keys().map(|name| &**name));
                let rule = "it is looked for beside this file, then in the folders above it".to_string();
                Fault::error(format!("there is no template `{}`", named.written), named.place)
                    .help(if near.is_empty() { rule } else { near })
            })
            .collect()
    }

    fn ring(&self, entry: &Entry) -> Option<Fault> {
        let last = *self.chain(&entry.source.name).last()?;
        let closes = last.extends.as_ref()?;
        if **closes != *entry.source.name {
            return None;
        }
        let tree = syntax::tree(&entry.source).ok()?;
        let place = named(&entry.source, &tree).into_iter().find(|named| named.extends)?.place;
        Some(Fault::error(format!("`{}` extends itself", entry.source.name), place))
    }
}

impl Entry {
    /// The names of the templates that it names in plain text.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, name)| &**name)
    }

    fn read(source: &Source) -> Result<Entry, Box<Fault>> {
        let tree = syntax::tree(source).map_err(|error| Box::new(syntax_fault(source, &error)))?;
        let mut blocks = BTreeSet::new();
        syntax::each_statement(&tree, &mut |statement| {
            if let Stmt::Block(block) = statement {
                blocks.insert(Arc::from(block.name));
            }
        });
        let extends = match &tree {
            Stmt::Template(template) => template.children.iter().find_map(|statement| match statement {
                Stmt::Extends(node) => syntax::written(&node.name).map(Arc::from),
                _ => None,
            }),
            _ => None,
        };
        let names = named(source, &tree).iter().map(|named| (named.written.into(), Arc::default())).collect();
        Ok(Entry {
            source: source.clone(),
            extends,
            blocks,
            names,
            size: AtomicUsize::new(0),
            program: OnceLock::new(),
        })
    }

    /// How many bytes a page of this template is likely to have.
    pub(super) fn likely_size(&self) -> usize {
        self.size.load(Ordering::Relaxed).max(self.source.text.len())
    }

    /// Remembers how large a page was.
    pub(super) fn was_size(&self, size: usize) {
        // Written only when it grows: pages of one template are rendered on all cores at once.
        if size > self.size.load(Ordering::Relaxed) {
            self.size.store(size, Ordering::Relaxed);
        }
    }
}

/// The templates that one template names in plain text.
pub(super) fn named<'t>(source: &Source, tree: &'t Stmt<'_>) -> Vec<Named<'t>> {
    let mut found = Vec::new();
    syntax::each_statement(tree, &mut |statement| {
        let (name, extends, ignored) = match statement {
            Stmt::Extends(node) => (&node.name, true, false),
            Stmt::Include(node) => (&node.name, false, node.ignore_missing),
            Stmt::Import(node) => (&node.expr, false, false),
            Stmt::FromImport(node) => (&node.expr, false, false),
            _ => return,
        };
        let choices = match name {
            Expr::List(list) => list.items.iter().collect(),
            other => vec![other],
        };
        let optional = ignored || choices.len() > 1;
        for choice in choices {
            if let Some(written) = syntax::written(choice) {
                found.push(Named { written, place: string_place(source, choice), extends, optional });
            }
        }
    });
    found
}

/// The page of a fragment's name; any other name as it is.
pub(super) fn page_of(name: &str) -> &str {
    name.split_once(SEPARATOR).map_or(name, |(page, _)| page)
}

/// The place of a written string, without its quotes.
pub(super) fn string_place(source: &Source, expression: &Expr<'_>) -> Place {
    let span = expression.span();
    let (from, to) = (span.start_offset as usize, span.end_offset as usize);
    let quoted = source.text.get(from..to).is_some_and(|text| text.len() >= 2 && text.starts_with(['"', '\'']));
    let (from, to) = if quoted { (from + 1, to - 1) } else { (from, to) };
    Place::of(source.file.clone(), &source.text, from, to)
}

fn syntax_fault(source: &Source, error: &minijinja::Error) -> Fault {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    let place = match error.range() {
        Some(range) => Place::of(source.file.clone(), &source.text, range.start, range.end),
        None => Place::of_line(source.file.clone(), &source.text, error.line().unwrap_or(1)),
    };
    Fault::error(message, place)
}

/// `./` and `../` against a folder; above the root there is nothing.
fn relative(folder: &str, written: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}
