//! One block of a page as a template of its own, so that HTMX gets the block and only the block's queries run.
//!
//! The fragment of a page that extends a layout is the page itself, extending the layout's fragment. The fragment of a
//! template that extends nothing keeps what stands at its top level and prints nothing (`set`, `import`, `macro`) and
//! the one block. Lines stay where they are, so that a fault's place is right in the author's file.

use minijinja::machinery::Span;
use minijinja::machinery::ast::Stmt;

use super::library::SEPARATOR;
use super::{Source, syntax};

/// The text of the fragment for `block` of a template. `None` when the text doesn't parse.
pub(super) fn text(source: &Source, layout: Option<&str>, block: &str) -> Option<String> {
    let tree = syntax::tree(source).ok()?;
    match layout {
        Some(layout) => under_layout(source, &tree, layout, block),
        None => Some(alone(source, &tree, block)),
    }
}

/// The same text, with the layout's fragment in place of the layout.
fn under_layout(source: &Source, tree: &Stmt<'_>, layout: &str, block: &str) -> Option<String> {
    let Stmt::Template(template) = tree else { return None };
    let name = template.children.iter().find_map(|statement| match statement {
        Stmt::Extends(node) => Some(node.name.span()),
        _ => None,
    })?;
    let (before, after) =
        (source.text.get(..name.start_offset as usize)?, source.text.get(name.end_offset as usize..)?);
    let quoted = layout.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("{before}\"{quoted}{SEPARATOR}{block}\"{after}"))
}

/// What prints nothing, and the block; where the template doesn't define it, an empty one for pages to fill.
fn alone(source: &Source, tree: &Stmt<'_>, block: &str) -> String {
    let mut pieces = Vec::new();
    for statement in kept(tree) {
        pieces.extend(statement_span(statement).map(|span| tag_range(&source.text, span)));
    }
    let mut own = None;
    syntax::each_statement(tree, &mut |statement| match statement {
        Stmt::Block(node) if node.name == block => own = Some(tag_range(&source.text, node.span())),
        _ => {}
    });
    pieces.extend(own);
    pieces.sort();
    let mut out = String::new();
    let mut line = 0;
    for (from, to) in pieces {
        let Some(piece) = source.text.get(from..to) else { continue };
        let start = source.text[..from].matches('\n').count();
        if start > line {
            // A comment prints nothing and carries the lines that are left out.
            out.push_str("{#");
            out.push_str(&"\n".repeat(start - line));
            out.push_str("#}");
        }
        out.push_str(piece);
        line = start + piece.matches('\n').count();
    }
    if own.is_none() {
        out.push_str(&format!("{{% block {block} %}}{{% endblock %}}"));
    }
    out
}

/// The statements at the top level that a fragment keeps.
pub(super) fn kept<'t, 's>(tree: &'t Stmt<'s>) -> Vec<&'t Stmt<'s>> {
    let Stmt::Template(template) = tree else { return Vec::new() };
    template.children.iter().filter(|statement| statement_span(statement).is_some()).collect()
}

fn statement_span(statement: &Stmt<'_>) -> Option<Span> {
    match statement {
        Stmt::Set(node) => Some(node.span()),
        Stmt::SetBlock(node) => Some(node.span()),
        Stmt::Import(node) => Some(node.span()),
        Stmt::FromImport(node) => Some(node.span()),
        Stmt::Macro(node) => Some(node.span()),
        Stmt::Do(node) => Some(node.span()),
        _ => None,
    }
}

/// From the `{%` before a statement's first word to the `%}` after its last.
fn tag_range(text: &str, span: Span) -> (usize, usize) {
    let (from, to) = (span.start_offset as usize, span.end_offset as usize);
    let start = text.get(..from).and_then(|before| before.rfind("{%")).unwrap_or(from);
    let end = text.get(to..).and_then(|after| after.find("%}")).map_or(to, |at| to + at + 2);
    (start, end)
}
