//! Templates: from source text to checked, rendered pages.
//!
//! A tool: it knows no HTTP, no SQL and no file system. It is handed every template's text at once and answers three
//! kinds of questions: what does this page look like with these values ([`Templates::render`]), what does a template
//! point at ([`Templates::facts`]), and does it name anything that nobody gives ([`Templates::check`]). The only place
//! that names minijinja.

mod check;
mod context;
mod date;
mod engine;
mod escape;
mod facts;
mod form;
mod fragment;
mod functions;
mod json;
mod library;
mod links;
mod markdown;
mod money;
mod order;
mod qr;
mod scope;
mod shape;
mod straight;
mod straighten;
mod syntax;
mod trees;
mod url;
mod view;
mod walk;

#[cfg(test)]
mod straight_tests;
#[cfg(test)]
mod tests;

pub use context::{Context, FormMaker, Names, Slot};
pub use facts::{Call, Facts, Link, Part, Reference};
pub use form::{FieldView, FormView};
pub use shape::{FormNames, Shape, Shapes};

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;

use engine::Engine;
use library::Library;
use trees::Forest;

use crate::problem::{Fault, Problem};

/// One template as it stands in the site's folder.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path below `pages/` (or below the folder that this set of templates is about): `products/[slug].html`.
    pub name: Arc<str>,
    /// The path in the site's folder, for messages: `pages/products/[slug].html`.
    pub file: Arc<str>,
    /// The template itself.
    pub text: Arc<str>,
}

/// Gives the URL of a static file for `asset("app.css")`; an error message when there is no such file.
pub type AssetUrl = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// What all renderings of a site share.
#[derive(Clone)]
pub struct Options {
    /// The most template instructions that one rendering may take.
    pub fuel: u64,
    /// The most bytes that one rendering may give.
    pub max_output: usize,
    /// The zone in which `date` shows datetimes.
    pub zone: TimeZone,
    /// What `asset()` calls.
    pub asset: AssetUrl,
    /// What stands before an upload's id in the URL that `upload(id)` gives.
    pub upload_prefix: Arc<str>,
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("fuel", &self.fuel)
            .field("max_output", &self.max_output)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    /// One million instructions, 16 MiB, UTC, assets at the root, uploads below `/-/uploads/`.
    fn default() -> Options {
        Options {
            fuel: 1_000_000,
            max_output: 16 << 20,
            zone: TimeZone::UTC,
            asset: Arc::new(|path| Ok(format!("/{}", path.trim_start_matches('/')))),
            upload_prefix: "/-/uploads/".into(),
        }
    }
}

/// All templates of a site, compiled. Immutable; a reload builds a new one.
#[derive(Debug)]
pub struct Templates {
    library: Arc<Library>,
    engine: Engine,
}

impl Templates {
    /// Reads all templates. A template with a fault of syntax is left out, and rendering it is a problem; the faults
    /// tell all of them, also templates that extend, include or import one that isn't there.
    pub fn build(sources: Vec<Source>, options: Options) -> (Templates, Vec<Fault>) {
        let (library, faults) = Library::new(sources);
        let library = Arc::new(library);
        let engine = Engine::new(library.clone(), &options);
        (Templates { library, engine }, faults)
    }

    /// The names of all templates, sorted.
    pub fn list(&self) -> Vec<Arc<str>> {
        self.library.names()
    }

    /// Whether there is a template with this name (and with sound syntax).
    pub fn contains(&self, name: &str) -> bool {
        self.library.get(name).is_some()
    }

    /// The whole page. A problem is always of the kind `Broken`, with the place in the template's file.
    pub fn render(&self, name: &str, context: Context) -> Result<String, Problem> {
        self.engine.render(name, context)
    }

    /// The whole page, where that is always the same text.
    pub fn constant(&self, name: &str) -> Option<&str> {
        self.engine.constant(name)
    }

    /// One block of the page alone. `None` when neither the page nor a layout of it has such a block.
    ///
    /// What stands at the top level of the templates (`set`, `import`, `macro`) is there; what an enclosing loop, `with`
    /// or block would set is not.
    pub fn render_block(&self, name: &str, block: &str, context: Context) -> Option<Result<String, Problem>> {
        let known = self.library.chain(name).iter().any(|entry| entry.blocks.contains(block));
        known.then(|| self.engine.render(&format!("{name}{}{block}", library::SEPARATOR), context))
    }

    /// Whether a name means something of its own in templates (`loop`, `form`, `url` …), so that no query should have it.
    pub fn is_reserved(name: &str) -> bool {
        const WORDS: [&str; 8] = ["loop", "self", "super", "caller", "true", "false", "none", "form"];
        WORDS.contains(&name) || functions::FUNCTIONS.contains(&name) || functions::SITE_FUNCTIONS.contains(&name)
    }

    /// Every filter, test and function that templates may call, sorted; for the handbook.
    pub fn vocabulary() -> BTreeSet<&'static str> {
        use functions::{FILTERS, FUNCTIONS, SITE_FILTERS, SITE_FUNCTIONS, TESTS};
        [FILTERS, SITE_FILTERS, TESTS, FUNCTIONS, SITE_FUNCTIONS].into_iter().flatten().copied().collect()
    }

    /// The names of all blocks of a page, those of its layouts included.
    pub fn blocks(&self, name: &str) -> BTreeSet<Arc<str>> {
        self.library.chain(name).iter().flat_map(|entry| entry.blocks.iter().cloned()).collect()
    }

    /// The context's names that rendering a page may look up, in itself and all that it extends, includes and imports.
    /// Reads the syntax trees: ask once, when the site is built.
    pub fn names(&self, name: &str) -> BTreeSet<Arc<str>> {
        self.reader().names(name)
    }

    /// The context's names that rendering one block of a page may look up. Templates that are included by a computed
    /// name are not followed. Reads the syntax trees: ask once, when the site is built.
    pub fn names_of_block(&self, name: &str, block: &str) -> BTreeSet<Arc<str>> {
        walk::names(&Forest::new(&self.library), name, Some(block))
    }

    /// The layouts above a page, nearest first (`_layout.html` of `{% extends %}`).
    pub fn layouts(&self, name: &str) -> Vec<Arc<str>> {
        self.library.chain(name).iter().skip(1).map(|entry| entry.source.name.clone()).collect()
    }

    /// What one template's own text points at; its layouts and partials are asked for on their own.
    pub fn facts(&self, name: &str) -> Facts {
        facts::of(&self.library, name)
    }

    /// Names and columns that a page (with all that it extends, includes and imports) uses and that nobody gives, and
    /// filters, tests and functions that don't exist. A fault in a shared layout is found for each of its pages with
    /// the same message and place (only the help, which lists the names of that page, may differ), so that the caller
    /// can tell it once.
    pub fn check(&self, name: &str, shapes: &Shapes) -> Vec<Fault> {
        self.reader().check(name, shapes)
    }

    /// Asks the same of many pages: what they have in common is read once.
    pub fn reader(&self) -> Reader<'_> {
        Reader(Forest::new(&self.library))
    }
}

/// Reads the templates of a site one after the other.
pub struct Reader<'t>(Forest<'t>);

impl Reader<'_> {
    /// See [`Templates::names`].
    pub fn names(&self, name: &str) -> BTreeSet<Arc<str>> {
        walk::names(&self.0, name, None)
    }

    /// See [`Templates::check`].
    pub fn check(&self, name: &str, shapes: &Shapes) -> Vec<Fault> {
        walk::faults(&self.0, name, shapes)
    }
}
