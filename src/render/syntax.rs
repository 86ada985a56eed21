//! Helpers over the engine's syntax tree: what stands directly below a node, and where a word stands in the source.

use minijinja::machinery::ast::{CallArg, Expr, Stmt};
use minijinja::machinery::{Span, parse};

use crate::problem::Place;

use super::Source;

/// Parses a template.
pub(super) fn tree(source: &Source) -> Result<Stmt<'_>, minijinja::Error> {
    parse(&source.text, &source.name, Default::default())
}

/// The place of a word of the tree: names in the tree are slices of the source.
pub(super) fn place_of_word(source: &Source, word: &str) -> Place {
    let from = offset_of(&source.text, word);
    Place::of(source.file.clone(), &source.text, from, from + word.len())
}

/// Where a slice of `text` begins in it; 0 when it isn't one.
pub(super) fn offset_of(text: &str, word: &str) -> usize {
    let offset = (word.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    if offset.checked_add(word.len()).is_some_and(|end| end <= text.len()) { offset } else { 0 }
}

/// The place of a span of the tree.
pub(super) fn place_of_span(source: &Source, span: Span) -> Place {
    Place::of(source.file.clone(), &source.text, span.start_offset as usize, span.end_offset as usize)
}

/// The text inside a written string.
pub(super) fn written<'e>(expression: &'e Expr<'_>) -> Option<&'e str> {
    match expression {
        Expr::Const(constant) => constant.value.as_str(),
        _ => None,
    }
}

/// The statements directly inside a statement, body by body, in the order of the source.
pub(super) fn bodies<'t, 's>(statement: &'t Stmt<'s>) -> Vec<&'t [Stmt<'s>]> {
    match statement {
        Stmt::Template(node) => vec![&node.children],
        Stmt::ForLoop(node) => vec![&node.body, &node.else_body],
        Stmt::IfCond(node) => vec![&node.true_body, &node.false_body],
        Stmt::WithBlock(node) => vec![&node.body],
        Stmt::SetBlock(node) => vec![&node.body],
        Stmt::AutoEscape(node) => vec![&node.body],
        Stmt::FilterBlock(node) => vec![&node.body],
        Stmt::Block(node) => vec![&node.body],
        Stmt::Macro(node) => vec![&node.body],
        Stmt::CallBlock(node) => vec![&node.macro_decl.body],
        _ => Vec::new(),
    }
}

/// Every statement below and including `statement`, outer ones first.
pub(super) fn each_statement<'t, 's>(statement: &'t Stmt<'s>, visit: &mut dyn FnMut(&'t Stmt<'s>)) {
    visit(statement);
    for body in bodies(statement) {
        body.iter().for_each(|inner| each_statement(inner, visit));
    }
}

/// The expressions that a statement holds itself (not those of statements inside it); what is assigned to is left out.
pub(super) fn expressions<'t, 's>(statement: &'t Stmt<'s>) -> Vec<&'t Expr<'s>> {
    match statement {
        Stmt::EmitExpr(node) => vec![&node.expr],
        Stmt::ForLoop(node) => std::iter::once(&node.iter).chain(&node.filter_expr).collect(),
        Stmt::IfCond(node) => vec![&node.expr],
        Stmt::WithBlock(node) => node.assignments.iter().map(|(_, value)| value).collect(),
        Stmt::Set(node) => vec![&node.expr],
        Stmt::SetBlock(node) => node.filter.iter().collect(),
        Stmt::AutoEscape(node) => vec![&node.enabled],
        Stmt::FilterBlock(node) => vec![&node.filter],
        Stmt::Import(node) => vec![&node.expr],
        Stmt::FromImport(node) => vec![&node.expr],
        Stmt::Extends(node) => vec![&node.name],
        Stmt::Include(node) => vec![&node.name],
        Stmt::Macro(node) => node.defaults.iter().collect(),
        Stmt::CallBlock(node) => {
            let defaults = node.macro_decl.defaults.iter();
            std::iter::once(&node.call.expr).chain(node.call.args.iter().map(argument)).chain(defaults).collect()
        }
        Stmt::Do(node) => std::iter::once(&node.call.expr).chain(node.call.args.iter().map(argument)).collect(),
        _ => Vec::new(),
    }
}

/// The expression of a call's argument.
pub(super) fn argument<'t, 's>(argument: &'t CallArg<'s>) -> &'t Expr<'s> {
    match argument {
        CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => value,
    }
}

/// The expressions directly inside an expression.
pub(super) fn operands<'t, 's>(expression: &'t Expr<'s>) -> Vec<&'t Expr<'s>> {
    match expression {
        Expr::Var(_) | Expr::Const(_) => Vec::new(),
        Expr::Slice(node) => {
            std::iter::once(&node.expr).chain(&node.start).chain(&node.stop).chain(&node.step).collect()
        }
        Expr::UnaryOp(node) => vec![&node.expr],
        Expr::BinOp(node) => vec![&node.left, &node.right],
        Expr::Compare(node) => std::iter::once(&node.expr).chain(node.ops.iter().map(|op| &op.expr)).collect(),
        Expr::IfExpr(node) => [&node.test_expr, &node.true_expr].into_iter().chain(&node.false_expr).collect(),
        Expr::Filter(node) => node.expr.iter().chain(node.args.iter().map(argument)).collect(),
        Expr::Test(node) => std::iter::once(&node.expr).chain(node.args.iter().map(argument)).collect(),
        Expr::GetAttr(node) => vec![&node.expr],
        Expr::GetItem(node) => vec![&node.expr, &node.subscript_expr],
        Expr::Call(node) => std::iter::once(&node.expr).chain(node.args.iter().map(argument)).collect(),
        Expr::List(node) => node.items.iter().collect(),
        Expr::Tuple(node) => node.items.iter().collect(),
        Expr::Map(node) => node.keys.iter().chain(&node.values).collect(),
    }
}

/// Every expression below and including `expression`, outer ones first.
pub(super) fn each_expression<'t, 's>(expression: &'t Expr<'s>, visit: &mut dyn FnMut(&'t Expr<'s>)) {
    visit(expression);
    operands(expression).into_iter().for_each(|inner| each_expression(inner, visit));
}

/// The names that an assignment's target gives.
pub(super) fn targets<'s>(target: &Expr<'s>) -> Vec<&'s str> {
    match target {
        Expr::Var(name) => vec![name.id],
        Expr::List(list) => list.items.iter().flat_map(targets).collect(),
        Expr::Tuple(list) => list.items.iter().flat_map(targets).collect(),
        _ => Vec::new(),
    }
}

/// How a chain of names and written keys reads: `product.name`, `products[0].name`. `None` for anything else.
pub(super) fn path(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Var(name) => Some(name.id.to_string()),
        Expr::GetAttr(node) => Some(format!("{}.{}", path(&node.expr)?, node.name)),
        Expr::GetItem(node) => match &node.subscript_expr {
            Expr::Const(key) => match key.value.as_str() {
                Some(name) => Some(format!("{}.{name}", path(&node.expr)?)),
                None => Some(format!("{}[{}]", path(&node.expr)?, key.value)),
            },
            _ => None,
        },
        _ => None,
    }
}
