//! Translates a page into a straight program, from the engine's own syntax trees.
//!
//! Layouts, blocks, `super()` and includes are laid out in the order in which the engine would come to them, so that the
//! program is one tree and every scope is known here. Whatever stands outside of the common subset makes the whole page
//! stay with the engine: each function gives `None` for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, Stmt, UnaryOpKind};
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Value as Shown};

use super::library::Library;
use super::order::Order;
use super::straight::{Expression, For, Known, Program, Step, TurnPart};
use super::trees::{Forest, Parsed, Trees, top_level};
use super::view::value_from;
use super::walk::{Blocks, blocks};
use super::{Options, escape, functions, syntax};
use crate::value::Value;

/// How deep loops, blocks and includes may stand in each other, far below what the engine allows.
const MAX_DEPTH: usize = 30;

/// The most statements and expressions of a program: those that include each other twice could go on without end.
const MAX_SIZE: usize = 20_000;

/// The largest expression that a name may stand for; those that stand on each other could grow deep.
const MAX_SET: usize = 100;

/// At least as many instructions as the engine takes for one node of an expression.
const FUEL_OF_NODE: u64 = 3;

/// The pieces of the templates' texts by where they stand in memory, so that pages share those of their layouts.
pub(super) type Texts = HashMap<(usize, usize), Arc<str>>;

/// The program of a page; `None` when it stays with the engine.
pub(super) fn program(library: &Library, name: &str, options: &Options, texts: &mut Texts) -> Option<Program> {
    let forest = Forest::new(library);
    let trees = forest.trees(name);
    let chain = library.chain(name);
    let chain: Vec<&Parsed<'_>> = chain.iter().filter_map(|entry| trees.get(&entry.source.name)).collect();
    let mut work = Straighten {
        library,
        trees: &trees,
        options,
        texts,
        rule: escape::rule(name),
        at: chain.first()?,
        blocks: blocks(&chain),
        supers: HashMap::new(),
        block: None,
        frames: vec![Frame::default()],
        loops: Vec::new(),
        depth: 0,
        size: 0,
        fuel: 1,
        steps: Vec::new(),
    };
    work.page(&chain)?;
    Some(Program { rule: work.rule, steps: work.steps.into(), fuel: work.fuel, misses: AtomicU32::new(0) })
}

struct Straighten<'t> {
    library: &'t Library,
    trees: &'t Trees<'t>,
    options: &'t Options,
    texts: &'t mut Texts,
    rule: AutoEscape,
    /// The template whose text is translated now.
    at: &'t Parsed<'t>,
    blocks: Blocks<'t>,
    /// How many `super()` lead to the definition of a block that counts now.
    supers: HashMap<&'t str, usize>,
    /// The block that is translated now.
    block: Option<&'t str>,
    /// The scopes that the engine would have now, innermost last.
    frames: Vec<Frame<'t>>,
    /// The loops that enclose what is translated now, each with the columns of its items that were named in it.
    loops: Vec<Vec<Box<str>>>,
    depth: usize,
    size: usize,
    fuel: u64,
    steps: Vec<Step>,
}

/// One scope.
#[derive(Default)]
struct Frame<'t> {
    /// What a name stands for, and the size of that.
    names: HashMap<&'t str, (Expression, usize)>,
    /// How many conditions of this scope enclose what is translated now.
    conditions: usize,
}

impl<'t> Straighten<'t> {
    /// A page, then its layouts. What a page says outside of its blocks runs before its layout; what it prints after
    /// `extends` is dropped.
    fn page(&mut self, chain: &[&'t Parsed<'t>]) -> Option<()> {
        let (root, pages) = chain.split_last()?;
        for page in pages {
            self.at = page;
            let mut extends = false;
            for statement in top_level(page) {
                match statement {
                    Stmt::Extends(node) if !extends => {
                        syntax::written(&node.name)?;
                        self.fuel += 2;
                        extends = true;
                    }
                    Stmt::EmitRaw(_) | Stmt::Block(_) if extends => self.fuel += 1,
                    Stmt::EmitRaw(_) | Stmt::Set(_) => self.statement(statement)?,
                    _ => return None,
                }
            }
        }
        self.at = root;
        self.statements(top_level(root))
    }

    fn statements(&mut self, body: &'t [Stmt<'t>]) -> Option<()> {
        body.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &'t Stmt<'t>) -> Option<()> {
        self.grow(1)?;
        match statement {
            Stmt::EmitRaw(node) => {
                let text = self.texts.entry((node.raw.as_ptr() as usize, node.raw.len()));
                self.steps.push(Step::Text(text.or_insert_with(|| node.raw.into()).clone()));
                self.fuel += 1;
            }
            Stmt::EmitExpr(node) => match &node.expr {
                Expr::Call(call) if function(call) == Some("super") && call.args.is_empty() => self.parent_block()?,
                printed => {
                    let printed = self.expression(printed)?;
                    self.steps.push(Step::Print(printed));
                    self.fuel += 1;
                }
            },
            Stmt::IfCond(node) => {
                let test = self.expression(&node.expr)?;
                self.fuel += 2;
                let (then, otherwise) = (self.branch(&node.true_body)?, self.branch(&node.false_body)?);
                self.steps.push(Step::If { test, then, otherwise });
            }
            Stmt::ForLoop(node) => self.for_loop(node)?,
            Stmt::Block(node) => self.block(node.name)?,
            Stmt::Include(node) => self.include(node)?,
            Stmt::Set(node) => self.set(node)?,
            _ => return None,
        }
        Some(())
    }

    fn grow(&mut self, by: usize) -> Option<()> {
        self.size += by;
        (self.size <= MAX_SIZE).then_some(())
    }

    /// The steps of a body.
    fn body(&mut self, body: &'t [Stmt<'t>]) -> Option<Box<[Step]>> {
        let outer = std::mem::take(&mut self.steps);
        self.statements(body)?;
        Some(std::mem::replace(&mut self.steps, outer).into())
    }

    /// The steps of a body that may or may not run.
    fn branch(&mut self, body: &'t [Stmt<'t>]) -> Option<Box<[Step]>> {
        self.frames.last_mut()?.conditions += 1;
        let steps = self.body(body)?;
        self.frames.last_mut()?.conditions -= 1;
        Some(steps)
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let done = if self.depth > MAX_DEPTH { None } else { work(self) };
        self.depth -= 1;
        done
    }

    fn for_loop(&mut self, node: &'t ast::ForLoop<'t>) -> Option<()> {
        let target = assigned(&node.target)?;
        if node.filter_expr.is_some() || node.recursive {
            return None;
        }
        let (over, order) = self.sorted(&node.iter)?;
        let outer = std::mem::replace(&mut self.fuel, 3);
        let names = HashMap::from([(target, (Expression::Item(self.loops.len()), 1))]);
        self.frames.push(Frame { names, conditions: 0 });
        self.loops.push(Vec::new());
        let body = self.deeper(|work| work.body(&node.body))?;
        let columns = self.loops.pop()?.into();
        self.frames.pop();
        let fuel = std::mem::replace(&mut self.fuel, outer + 4);
        let otherwise = self.branch(&node.else_body)?;
        self.steps.push(Step::For(For { over, order, columns, body, otherwise, fuel }));
        Some(())
    }

    /// What a loop goes over, and in which order.
    fn sorted(&mut self, over: &Expr<'t>) -> Option<(Expression, Option<Order>)> {
        match over {
            Expr::Filter(node) if node.name == "sort" => {
                self.fuel += FUEL_OF_NODE * (2 + 2 * node.args.len() as u64);
                Some((self.expression(node.expr.as_ref()?)?, Some(Order::of(&node.args)?)))
            }
            other => Some((self.expression(other)?, None)),
        }
    }

    /// The definition of a block that counts now, where it stands.
    fn block(&mut self, name: &'t str) -> Option<()> {
        let definitions = self.blocks.get(name)?;
        let &(parsed, node) = definitions.get(self.supers.get(name).copied().unwrap_or(0))?;
        if node.required {
            return None;
        }
        let outer = (self.at, self.block);
        (self.at, self.block) = (parsed, Some(name));
        self.frames.push(Frame::default());
        self.deeper(|work| work.statements(&node.body))?;
        self.frames.pop();
        (self.at, self.block) = outer;
        self.fuel += 1;
        Some(())
    }

    /// `super()`: the next definition of the same block.
    fn parent_block(&mut self) -> Option<()> {
        let name = self.block?;
        *self.supers.entry(name).or_default() += 1;
        self.block(name)?;
        *self.supers.entry(name).or_default() -= 1;
        Some(())
    }

    /// A template that has no blocks of its own and extends nothing, in the scope where it is included.
    fn include(&mut self, node: &'t ast::Include<'t>) -> Option<()> {
        let name = self.library.resolve(&self.at.entry.source.name, syntax::written(&node.name)?);
        let included = self.trees.get(&name).filter(|_| escape::rule(&name) == self.rule)?;
        let outer = (self.at, self.block.take(), std::mem::take(&mut self.blocks));
        self.at = included;
        self.deeper(|work| work.statements(top_level(included)))?;
        (self.at, self.block, self.blocks) = outer;
        self.fuel += 2;
        Some(())
    }

    /// From here on the name stands for the expression. The context doesn't change, so it can be worked out where it is
    /// used, unless that could fail.
    fn set(&mut self, node: &'t ast::Set<'t>) -> Option<()> {
        let target = assigned(&node.target)?;
        let size = self.size;
        let value = self.expression(&node.expr)?;
        let size = self.size - size;
        self.fuel += 1;
        if size > MAX_SET || may_fail(&value) {
            return None;
        }
        let frame = self.frames.last_mut().filter(|frame| frame.conditions == 0)?;
        frame.names.insert(target, (value, size));
        Some(())
    }

    fn expression(&mut self, expression: &Expr<'t>) -> Option<Expression> {
        self.grow(1)?;
        self.fuel += FUEL_OF_NODE;
        if let Some(value) = expression.as_const() {
            return constant(&value).map(Expression::Constant);
        }
        Some(match expression {
            Expr::Var(name) => self.name(name.id)?,
            Expr::GetAttr(node) => match &node.expr {
                Expr::Var(name) if name.id == "loop" => {
                    Expression::Turn(self.loops.len().checked_sub(1)?, turn(node.name)?)
                }
                base => self.below(base, node.name)?,
            },
            Expr::GetItem(node) => self.below(&node.expr, syntax::written(&node.subscript_expr)?)?,
            Expr::UnaryOp(node) if matches!(node.op, UnaryOpKind::Not) => Expression::Not(self.boxed(&node.expr)?),
            Expr::BinOp(node) => {
                let both = Box::new([self.expression(&node.left)?, self.expression(&node.right)?]);
                match node.op {
                    BinOpKind::ScAnd => Expression::And(both),
                    BinOpKind::ScOr => Expression::Or(both),
                    BinOpKind::Concat => Expression::Concat(both),
                    other => Expression::Compare(comparison(operator(other)?)?, both),
                }
            }
            Expr::Compare(node) => match &node.ops[..] {
                [only] => {
                    let both = Box::new([self.expression(&node.expr)?, self.expression(&only.expr)?]);
                    Expression::Compare(comparison(only.op)?, both)
                }
                _ => return None,
            },
            Expr::IfExpr(node) => {
                let otherwise = match &node.false_expr {
                    Some(otherwise) => self.expression(otherwise)?,
                    None => Expression::Constant(Value::Null),
                };
                let (test, then) = (self.expression(&node.test_expr)?, self.expression(&node.true_expr)?);
                Expression::Choice(Box::new([test, then, otherwise]))
            }
            Expr::Test(node) if node.args.is_empty() => {
                let is_null = Expression::IsNull(self.boxed(&node.expr)?);
                match node.name {
                    "none" | "null" | "undefined" => is_null,
                    "defined" => Expression::Not(Box::new(is_null)),
                    _ => return None,
                }
            }
            Expr::Filter(node) => {
                let written: Vec<&str> = node.args.iter().map(written).collect::<Option<_>>()?;
                let filter = functions::filter_alone(node.name, &written, self.options)?;
                Expression::Filter(filter, self.boxed(node.expr.as_ref()?)?)
            }
            Expr::Call(node) => self.call(node)?,
            _ => return None,
        })
    }

    fn boxed(&mut self, expression: &Expr<'t>) -> Option<Box<Expression>> {
        self.expression(expression).map(Box::new)
    }

    fn below(&mut self, base: &Expr<'t>, name: &str) -> Option<Expression> {
        Some(match self.expression(base)? {
            Expression::Item(number) => {
                let columns = self.loops.get_mut(number)?;
                let known = columns.iter().position(|column| **column == *name);
                let column = known.unwrap_or(columns.len());
                if known.is_none() {
                    columns.push(name.into());
                }
                Expression::Column(number, column, name.into())
            }
            base => Expression::Below(Box::new(base), Known::new(name)),
        })
    }

    fn name(&mut self, name: &'t str) -> Option<Expression> {
        if OWN_WORDS.contains(&name) {
            return None;
        }
        match self.frames.iter().rev().find_map(|frame| frame.names.get(name).cloned()) {
            Some((expression, size)) => self.grow(size).map(|()| expression),
            None => Some(Expression::Name(name.into())),
        }
    }

    /// `asset("app.css")` and the like.
    fn call(&mut self, node: &ast::Call<'t>) -> Option<Expression> {
        let name = function(node)?;
        let [CallArg::Pos(argument)] = &node.args[..] else { return None };
        if self.frames.iter().any(|frame| frame.names.contains_key(name)) {
            return None;
        }
        let function = functions::function_alone(name, self.options)?;
        Some(Expression::Call(name.into(), function, self.boxed(argument)?))
    }
}

/// Words that are no names of the context.
const OWN_WORDS: [&str; 4] = ["loop", "self", "super", "caller"];

/// The one name that is assigned.
fn assigned<'t>(target: &Expr<'t>) -> Option<&'t str> {
    match target {
        Expr::Var(name) if !OWN_WORDS.contains(&name.id) => Some(name.id),
        _ => None,
    }
}

fn function<'t>(call: &ast::Call<'t>) -> Option<&'t str> {
    match &call.expr {
        Expr::Var(name) => Some(name.id),
        _ => None,
    }
}

fn written<'e>(argument: &'e CallArg<'_>) -> Option<&'e str> {
    match argument {
        CallArg::Pos(value) => syntax::written(value),
        _ => None,
    }
}

fn turn(name: &str) -> Option<TurnPart> {
    Some(match name {
        "index" => TurnPart::Index,
        "index0" => TurnPart::Index0,
        "first" => TurnPart::First,
        "last" => TurnPart::Last,
        "length" => TurnPart::Length,
        _ => return None,
    })
}

/// A written value as one of ours; `none` is another nothing than null is to the engine.
fn constant(value: &Shown) -> Option<Value> {
    match value.kind() {
        ValueKind::Bool => Some(value_from(value)),
        ValueKind::Number if !value.is_integer() || value.as_i64().is_some() => Some(value_from(value)),
        ValueKind::String if !value.is_safe() => Some(value_from(value)),
        _ => None,
    }
}

fn operator(op: BinOpKind) -> Option<CompareOpKind> {
    Some(match op {
        BinOpKind::Eq => CompareOpKind::Eq,
        BinOpKind::Ne => CompareOpKind::Ne,
        BinOpKind::Lt => CompareOpKind::Lt,
        BinOpKind::Lte => CompareOpKind::Lte,
        BinOpKind::Gt => CompareOpKind::Gt,
        BinOpKind::Gte => CompareOpKind::Gte,
        _ => return None,
    })
}

/// The engine's own comparison.
fn comparison(op: CompareOpKind) -> Option<fn(&Shown, &Shown) -> bool> {
    Some(match op {
        CompareOpKind::Eq => |left, right| left == right,
        CompareOpKind::Ne => |left, right| left != right,
        CompareOpKind::Lt => |left, right| left < right,
        CompareOpKind::Lte => |left, right| left <= right,
        CompareOpKind::Gt => |left, right| left > right,
        CompareOpKind::Gte => |left, right| left >= right,
        CompareOpKind::In | CompareOpKind::NotIn => return None,
    })
}

/// Whether the engine could fail at it.
fn may_fail(expression: &Expression) -> bool {
    match expression {
        Expression::Filter(..) | Expression::Call(..) => true,
        Expression::Below(inner, _) | Expression::Not(inner) | Expression::IsNull(inner) => may_fail(inner),
        Expression::And(both) | Expression::Or(both) | Expression::Concat(both) | Expression::Compare(_, both) => {
            both.iter().any(may_fail)
        }
        Expression::Choice(parts) => parts.iter().any(may_fail),
        Expression::Constant(_)
        | Expression::Name(_)
        | Expression::Item(_)
        | Expression::Column(..)
        | Expression::Turn(..) => false,
    }
}
