//! The syntax trees that a walk needs, and what can be seen in one tree alone.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use minijinja::machinery::ast::{Expr, Stmt};

use super::library::{Entry, Library};
use super::{check, links, syntax};
use crate::problem::Fault;

/// Parses templates one after the other. Layouts and parts, which many pages have in common, are parsed once.
pub(super) struct Forest<'t> {
    pub(super) library: &'t Library,
    shared: RefCell<HashMap<&'t str, Option<Rc<Parsed<'t>>>>>,
}

/// The syntax trees of all templates that a page reaches.
pub(super) struct Trees<'t>(HashMap<&'t str, Rc<Parsed<'t>>>);

/// One template with its syntax tree.
pub(super) struct Parsed<'t> {
    /// The template.
    pub(super) entry: &'t Entry,
    /// Its tree; slices of the template's text.
    pub(super) tree: Stmt<'t>,
    /// Names and paths that the text itself takes to be missing at times: `x is defined`, `x|default(…)`.
    pub(super) tolerated: HashSet<String>,
    /// Every name that the text assigns anywhere.
    pub(super) assigned: HashSet<&'t str>,
    hazards: OnceCell<Vec<Fault>>,
}

impl<'t> Forest<'t> {
    /// Nothing is parsed yet.
    pub(super) fn new(library: &'t Library) -> Forest<'t> {
        Forest { library, shared: RefCell::default() }
    }

    /// The trees of a page and of everything that it extends, includes and imports by a written name.
    pub(super) fn trees(&self, name: &str) -> Trees<'t> {
        let mut trees: HashMap<&'t str, Rc<Parsed<'t>>> = HashMap::new();
        let page = self.library.get(name);
        // A page is looked at once or twice; to keep all of them would take more memory than time.
        let parsed = page.and_then(|entry| Parsed::of(entry).map(Rc::new));
        let mut waiting: Vec<&'t str> = Vec::new();
        if let Some(parsed) = parsed {
            waiting.extend(parsed.entry.named());
            trees.insert(&parsed.entry.source.name, parsed);
        }
        while let Some(name) = waiting.pop() {
            if trees.contains_key(name) {
                continue;
            }
            let Some(parsed) = self.shared(name) else { continue };
            waiting.extend(parsed.entry.named());
            trees.insert(&parsed.entry.source.name, parsed);
        }
        Trees(trees)
    }

    fn shared(&self, name: &'t str) -> Option<Rc<Parsed<'t>>> {
        let parse = || self.library.get(name).and_then(Parsed::of).map(Rc::new);
        self.shared.borrow_mut().entry(name).or_insert_with(parse).clone()
    }
}

impl<'t> Trees<'t> {
    /// The tree of a template that the page reaches.
    pub(super) fn get(&self, name: &str) -> Option<&Parsed<'t>> {
        self.0.get(name).map(|parsed| &**parsed)
    }

    /// All of them, by name.
    pub(super) fn sorted(&self) -> Vec<&Parsed<'t>> {
        let mut all: Vec<&Parsed<'t>> = self.0.values().map(|parsed| &**parsed).collect();
        all.sort_by_key(|parsed| &parsed.entry.source.name);
        all
    }
}

impl<'t> Parsed<'t> {
    fn of(entry: &'t Entry) -> Option<Parsed<'t>> {
        let tree = syntax::tree(&entry.source).ok()?;
        let (tolerated, assigned) = (tolerated(&tree), assigned(&tree));
        Some(Parsed { entry, tree, tolerated, assigned, hazards: OnceCell::new() })
    }

    /// The faults of expressions for which escaping is not enough.
    pub(super) fn hazards(&self) -> &[Fault] {
        self.hazards
            .get_or_init(|| links::hazards(&self.entry.source, &self.tree).into_iter().map(check::hazard).collect())
    }
}

fn tolerated(tree: &Stmt<'_>) -> HashSet<String> {
    let mut found = HashSet::new();
    syntax::each_statement(tree, &mut |statement| {
        for expression in syntax::expressions(statement) {
            syntax::each_expression(expression, &mut |inner| match inner {
                Expr::Test(test) if matches!(test.name, "defined" | "undefined") => {
                    found.extend(syntax::path(&test.expr))
                }
                Expr::Filter(filter) if matches!(filter.name, "default" | "d") => {
                    found.extend(filter.expr.as_ref().and_then(syntax::path));
                }
                _ => {}
            });
        }
    });
    found
}

fn assigned<'s>(tree: &Stmt<'s>) -> HashSet<&'s str> {
    let mut found = HashSet::new();
    syntax::each_statement(tree, &mut |statement| match statement {
        Stmt::Set(node) => found.extend(syntax::targets(&node.target)),
        Stmt::SetBlock(node) => found.extend(syntax::targets(&node.target)),
        Stmt::Macro(node) => drop(found.insert(node.name)),
        Stmt::Import(node) => found.extend(syntax::targets(&node.name)),
        Stmt::FromImport(node) => {
            found.extend(node.names.iter().flat_map(|(name, alias)| syntax::targets(alias.as_ref().unwrap_or(name))));
        }
        _ => {}
    });
    found
}

/// The statements that stand in no other.
pub(super) fn top_level<'t>(parsed: &'t Parsed<'t>) -> &'t [Stmt<'t>] {
    match &parsed.tree {
        Stmt::Template(template) => &template.children,
        _ => &[],
    }
}
