//! Templates: from source text to checked, rendered pages.
//!
//! A tool: it knows no HTTP, no SQL and no file system. It is handed every template's text at once and answers three
//! kinds of questions: what does this page look like with these values ([`Templates::render`]), what does a template
//! point at ([`Templates::facts`]), and does it name anything that nobody gives ([`Templates::check`]). The only place
//! that names minijinja.

mod check;
mod context;
mod facts;
mod form;

pub use check::{FormNames, Shape, Shapes};
pub use context::{Context, FormMaker, Names, Slot};
pub use facts::{Call, Facts, Link, Part, Reference};
pub use form::{FieldView, FormView};

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;

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
pub struct Templates {}

impl Templates {
    /// Reads all templates. A template with a fault of syntax is left out, and rendering it is a problem; the faults
    /// tell all of them, also templates that extend, include or import one that isn't there.
    pub fn build(_sources: Vec<Source>, _options: Options) -> (Templates, Vec<Fault>) {
        (Templates {}, Vec::new())
    }

    /// Whether there is a template with this name (and with sound syntax).
    pub fn contains(&self, _name: &str) -> bool {
        false
    }

    /// The whole page. A problem is always of the kind `Broken`, with the place in the template's file.
    pub fn render(&self, name: &str, _context: Context) -> Result<String, Problem> {
        Err(Problem::broken(format!("no template {name}")))
    }

    /// One block of the page alone, as if the page were nothing else. `None` when the page has no such block.
    pub fn render_block(&self, _name: &str, _block: &str, _context: Context) -> Option<Result<String, Problem>> {
        None
    }

    /// The names of all blocks of a page, those of its layouts included.
    pub fn blocks(&self, _name: &str) -> BTreeSet<Arc<str>> {
        BTreeSet::new()
    }

    /// The context's names that rendering a page may look up, in itself and all that it extends, includes and imports.
    pub fn names(&self, _name: &str) -> BTreeSet<Arc<str>> {
        BTreeSet::new()
    }

    /// The context's names that rendering one block of a page may look up.
    pub fn names_of_block(&self, _name: &str, _block: &str) -> BTreeSet<Arc<str>> {
        BTreeSet::new()
    }

    /// The layouts above a page, nearest first (`_layout.html` of `{% extends %}`).
    pub fn layouts(&self, _name: &str) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// What one template's own text points at; its layouts and partials are asked for on their own.
    pub fn facts(&self, _name: &str) -> Facts {
        Facts::default()
    }

    /// Names and columns that a page (with all that it extends, includes and imports) uses and that nobody gives, and
    /// filters, tests and functions that don't exist. A fault in a shared layout is found for each of its pages; the
    /// faults are equal, so that the caller can tell it once.
    pub fn check(&self, _name: &str, _shapes: &Shapes) -> Vec<Fault> {
        Vec::new()
    }
}
