//! Runs the template engine: environments, one rendering, and what went wrong as a problem with its place.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use super::context::Context;
use super::library::{Library, page_of};
use super::straight::Program;
use super::view::ContextView;
use super::{Options, escape, functions};
use crate::problem::{Place, Problem};

/// How deep templates may nest; an include counts as ten, a macro as a few. Each level takes stack; this many fit into a
/// thread's two megabytes also without optimization.
const MAX_DEPTH: usize = 400;

/// The compiled templates of a site.
///
/// The engine guards its templates with a lock and counts references to them, so each core has an environment of its
/// own; templates are compiled where they are first used.
#[derive(Debug)]
pub(super) struct Engine {
    library: Arc<Library>,
    environments: Box<[Environment<'static>]>,
    options: Options,
}

thread_local! {
    /// Which environment this thread uses, modulo their number.
    static TURN: Cell<usize> = const { Cell::new(usize::MAX) };
}

static NEXT_TURN: AtomicUsize = AtomicUsize::new(0);

impl Engine {
    pub(super) fn new(library: Arc<Library>, options: &Options) -> Engine {
        let environment = environment(&library, options);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let environments = (0..cores).map(|_| environment.clone()).collect();
        Engine { library, environments, options: options.clone() }
    }

    fn environment(&self) -> &Environment<'static> {
        let turn = TURN.with(|turn| {
            if turn.get() == usize::MAX {
                turn.set(NEXT_TURN.fetch_add(1, Ordering::Relaxed));
            }
            turn.get()
        });
        &self.environments[turn % self.environments.len()]
    }

    /// Renders a template or a fragment.
    pub(super) fn render(&self, name: &str, context: Context) -> Result<String, Problem> {
        match self.straight(name, &context) {
            Some(page) => Ok(page),
            None => self.evaluate(name, context),
        }
    }

    /// The straight program of a template; none, too, where making it fails.
    fn program(&self, name: &str) -> Option<&Program> {
        catch_unwind(AssertUnwindSafe(|| self.library.program(name, &self.options))).ok()?
    }

    /// What a page is whose straight program prints no values.
    pub(super) fn constant(&self, name: &str) -> Option<&str> {
        let text = self.program(name)?.constant()?;
        (text.len() <= self.options.max_output).then_some(text)
    }

    /// Renders a page by its straight program, if it has one that can.
    pub(super) fn straight(&self, name: &str, context: &Context) -> Option<String> {
        let entry = self.library.get(name)?;
        let program = self.program(name)?;
        let likely = entry.likely_size().min(self.options.max_output);
        let run = || program.run(context, likely, self.options.max_output, self.options.fuel);
        let page = catch_unwind(AssertUnwindSafe(run)).ok()??;
        entry.was_size(page.len());
        Some(page)
    }

    /// Renders by the template engine.
    pub(super) fn evaluate(&self, name: &str, context: Context) -> Result<String, Problem> {
        let root = Value::from_object(ContextView::new(context));
        let entry = self.library.get(page_of(name));
        let likely = entry.map_or(0, |entry| entry.likely_size()).min(self.options.max_output);
        let mut page = Page { bytes: Vec::with_capacity(likely), limit: self.options.max_output, full: false };
        // The engine doesn't panic by intent; a bug in it must end one request, not a thread with all its others.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let template = self.environment().get_template(name)?;
            template.render_captured_to(root, &mut page).map(drop)
        }));
        match outcome {
            Ok(Ok(())) => {
                if let Some(entry) = entry {
                    entry.was_size(page.bytes.len());
                }
                String::from_utf8(page.bytes).map_err(|_| Problem::broken("a template printed invalid UTF-8"))
            }
            Ok(Err(error)) => Err(self.problem(name, &error, page.full)),
            Err(_) => Err(Problem::broken(format!("the template engine panicked while rendering `{}`", page_of(name)))),
        }
    }

    /// What went wrong, told by the innermost error, whose place is the nearest.
    fn problem(&self, name: &str, error: &minijinja::Error, full: bool) -> Problem {
        let mut inner = error;
        while let Some(next) = std::error::Error::source(inner).and_then(|next| next.downcast_ref()) {
            inner = next;
        }
        let cause = match inner.kind() {
            _ if full => format!("the page is larger than {} bytes (`max_output`)", self.options.max_output),
            ErrorKind::OutOfFuel => format!("the template took more than {} steps (`fuel`)", self.options.fuel),
            kind => inner.detail().map_or_else(|| kind.to_string(), str::to_string),
        };
        let problem = Problem::broken(cause);
        match self.place(inner).or_else(|| self.place(error)) {
            Some(place) => problem.at(place),
            None => problem.at(self.start_of(name)),
        }
    }

    fn place(&self, error: &minijinja::Error) -> Option<Place> {
        let name = error.name()?;
        let text = self.library.text(name)?;
        let file = self.library.get(page_of(name))?.source.file.clone();
        match (error.range(), error.line()) {
            (Some(range), _) => Some(Place::of(file, &text, range.start, range.end)),
            (None, Some(line)) => Some(Place::of_line(file, &text, line)),
            (None, None) => None,
        }
    }

    fn start_of(&self, name: &str) -> Place {
        match self.library.get(page_of(name)) {
            Some(entry) => Place::of_line(entry.source.file.clone(), &entry.source.text, 1),
            None => Place::of_line(page_of(name), "", 1),
        }
    }
}

fn environment(library: &Arc<Library>, options: &Options) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_auto_reload(false);
    environment.set_auto_escape_callback(|name| escape::rule(page_of(name)));
    environment.set_formatter(escape::print);
    // `check` finds every name that doesn't exist before the site is served. What is undefined after that is a null
    // of the database or something below one, and a page must not fail because an article has no author.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(options.fuel));
    environment.set_recursion_limit(MAX_DEPTH);
    environment.set_debug(false);
    let texts = library.clone();
    environment.set_loader(move |name| Ok(texts.text(name).map(|text| text.into_owned())));
    let names = library.clone();
    environment.set_path_join_callback(move |written, parent| names.resolve(parent, written));
    functions::register(&mut environment, options);
    environment
}

/// The bytes of a page, up to a limit.
struct Page {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl io::Write for &mut Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
