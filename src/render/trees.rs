//! The syntax trees that a walk needs, and what can be seen in one tree alone.

use std::collections::{HashMap, HashSet};

use minijinja::machinery::ast::{Expr, Stmt};

use super::library::{Entry, Library, named};
use super::syntax;

/// The syntax trees of all templates that a page reaches.
pub(super) struct Trees<'t>(pub(super) HashMap<&'t str, Parsed<'t>>);

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
}

impl<'t> Trees<'t> {
    /// Parses a page and everything that it extends, includes and imports by a written name.
    pub(super) fn of(library: &'t Library, name: &str) -> Trees<'t> {
        let mut trees = HashMap::new();
        let mut waiting: Vec<String> = vec![name.to_string()];
        while let Some(name) = waiting.pop() {
            let Some(entry) = library.get(&name).filter(|entry| !trees.contains_key(&*entry.source.name)) else {
                continue;
            };
            let Ok(tree) = syntax::tree(&entry.source) else { continue };
            let named = named(&entry.source, &tree);
            waiting.extend(named.iter().map(|named| library.resolve(&entry.source.name, named.written).into_owned()));
            let (tolerated, assigned) = (tolerated(&tree), assigned(&tree));
            trees.insert(&*entry.source.name, Parsed { entry, tree, tolerated, assigned });
        }
        Trees(trees)
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
