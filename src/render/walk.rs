//! Walks a page as it would be rendered - layouts, blocks, includes, imports, scopes - and follows what each
//! expression stands for.
//!
//! One walk serves two ends: the names that a page looks up in its context, and the faults of `check`. In doubt an
//! expression is [`Type::Any`] and nothing is a fault.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, Expr, Stmt};

use super::library::{Library, string_place};
use super::scope::Type;
use super::shape::Shapes;
use super::trees::{Forest, Parsed, Trees, top_level};
use super::{check, facts, fragment, functions, syntax};
use crate::problem::{Fault, Place};

/// The most templates and blocks that one walk enters: those that include each other twice could go on without end.
const MAX_ENTERED: usize = 2_000;

/// The names that a page, or one block of it, looks up in its context.
pub(super) fn names(forest: &Forest<'_>, name: &str, block: Option<&str>) -> BTreeSet<Arc<str>> {
    let trees = forest.trees(name);
    let Some(mut walk) = Walk::new(forest.library, &trees, name, None) else { return BTreeSet::new() };
    walk.template(name, block);
    walk.used.iter().map(|word| Arc::from(*word)).collect()
}

/// All faults of a page.
pub(super) fn faults(forest: &Forest<'_>, name: &str, shapes: &Shapes) -> Vec<Fault> {
    let trees = forest.trees(name);
    let Some(mut walk) = Walk::new(forest.library, &trees, name, Some(shapes)) else { return Vec::new() };
    walk.template(name, None);
    for parsed in trees.sorted().into_iter().filter(|parsed| facts::is_markup(&parsed.entry.source.name)) {
        walk.faults.extend_from_slice(parsed.hazards());
    }
    walk.faults
}

/// The definitions of each block, the page's own first.
pub(super) type Blocks<'t> = HashMap<&'t str, Vec<(&'t Parsed<'t>, &'t ast::Block<'t>)>>;

struct Walk<'t> {
    library: &'t Library,
    trees: &'t Trees<'t>,
    /// What the context gives; without it no name is a fault.
    given: Option<&'t Shapes<'t>>,
    /// The template whose text is walked now.
    at: &'t Parsed<'t>,
    /// Names that the templates assign, innermost scope last.
    scopes: Vec<HashMap<&'t str, Type>>,
    /// How many macros enclose the text that is walked now.
    macros: usize,
    /// The definitions of each block, the page's own first.
    blocks: Blocks<'t>,
    /// The blocks that something places.
    placed: HashSet<&'t str>,
    /// The blocks that are walked now, outermost first, each with which of its definitions.
    inside_blocks: Vec<(&'t str, usize)>,
    /// The templates that are walked now, outermost first.
    active: Vec<&'t str>,
    entered: usize,
    used: HashSet<&'t str>,
    faults: Vec<Fault>,
}

impl<'t> Walk<'t> {
    fn new(library: &'t Library, trees: &'t Trees<'t>, name: &str, given: Option<&'t Shapes<'t>>) -> Option<Walk<'t>> {
        Some(Walk {
            library,
            trees,
            given,
            at: trees.get(name)?,
            scopes: vec![HashMap::new()],
            macros: 0,
            blocks: HashMap::new(),
            placed: HashSet::new(),
            inside_blocks: Vec::new(),
            active: Vec::new(),
            entered: 0,
            used: HashSet::new(),
            faults: Vec::new(),
        })
    }

    fn fault(&mut self, fault: Fault) {
        let told = |known: &Fault| known.message == fault.message && known.place == fault.place;
        if self.given.is_some() && !self.faults.iter().any(told) {
            self.faults.push(fault);
        }
    }

    /// Walks a page with its layouts, or one block of it.
    fn template(&mut self, name: &str, block: Option<&str>) {
        self.entered += 1;
        if self.active.contains(&name) || self.entered > MAX_ENTERED {
            return;
        }
        let chain: Vec<&'t Parsed<'t>> =
            self.library.chain(name).iter().filter_map(|entry| self.trees.get(&entry.source.name)).collect();
        let Some((root, pages)) = chain.split_last() else { return };
        let outer = (
            self.at,
            std::mem::take(&mut self.inside_blocks),
            std::mem::take(&mut self.blocks),
            std::mem::take(&mut self.placed),
        );
        self.blocks = blocks(&chain);
        self.active.push(&chain[0].entry.source.name);
        for page in pages {
            self.at = page;
            // What a page says outside of its blocks runs before its layout; what it prints there is dropped.
            for statement in top_level(page).iter().filter(|statement| !matches!(statement, Stmt::Block(_))) {
                self.statement(statement);
            }
        }
        self.at = root;
        match block {
            None => {
                self.statements(top_level(root));
                self.unplaced_blocks(&chain);
            }
            Some(block) => {
                fragment::kept(&root.tree).into_iter().for_each(|statement| self.statement(statement));
                self.block(block, 0);
            }
        }
        self.active.pop();
        (self.at, self.inside_blocks, self.blocks, self.placed) = outer;
    }

    /// Blocks that no layout shows. They are walked for their faults.
    fn unplaced_blocks(&mut self, chain: &[&'t Parsed<'t>]) {
        if self.given.is_none() {
            return;
        }
        for page in chain {
            for statement in top_level(page) {
                let Stmt::Block(node) = statement else { continue };
                if self.placed.contains(node.name) {
                    continue;
                }
                let place = syntax::place_of_word(&page.entry.source, node.name);
                let known: Vec<&str> = self.placed.iter().copied().collect();
                self.fault(check::unplaced_block(node.name, &known, place));
                self.block(node.name, 0);
            }
        }
    }

    /// The definition of a block that is rendered, or with a higher `depth` the one that `super()` means.
    fn block(&mut self, name: &str, depth: usize) {
        let Some((name, definitions)) = self.blocks.get_key_value(name) else { return };
        let (name, Some(&(parsed, node))) = (*name, definitions.get(depth)) else { return };
        self.placed.insert(name);
        self.entered += 1;
        // Blocks can call each other through `self` without end.
        if self.inside_blocks.contains(&(name, depth)) || self.entered > MAX_ENTERED {
            return;
        }
        let outer = std::mem::replace(&mut self.at, parsed);
        self.inside_blocks.push((name, depth));
        self.scoped(|walk| walk.statements(&node.body));
        self.inside_blocks.pop();
        self.at = outer;
    }

    fn scoped(&mut self, work: impl FnOnce(&mut Self)) {
        self.scopes.push(HashMap::new());
        work(self);
        self.scopes.pop();
    }

    fn statements(&mut self, body: &'t [Stmt<'t>]) {
        body.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &'t Stmt<'t>) {
        match statement {
            Stmt::ForLoop(node) => self.for_loop(node),
            Stmt::WithBlock(node) => self.scoped(|walk| {
                for (target, value) in &node.assignments {
                    let found = walk.expression(value);
                    walk.assign(target, found);
                }
                walk.statements(&node.body);
            }),
            Stmt::EmitExpr(node) => {
                let found = self.expression(&node.expr);
                if matches!(found, Type::Row(_) | Type::Rows(_) | Type::Form(_)) {
                    let place = syntax::place_of_span(&self.at.entry.source, node.expr.span());
                    self.fault(check::printed_whole(syntax::path(&node.expr), &found, place));
                }
            }
            Stmt::Set(node) => {
                let found = self.expression(&node.expr);
                self.assign(&node.target, found);
            }
            Stmt::SetBlock(node) => {
                self.inside(statement);
                self.assign(&node.target, Type::Any);
            }
            Stmt::Block(node) => self.block(node.name, 0),
            Stmt::Include(node) => {
                self.inside(statement);
                self.named_templates(&node.name);
            }
            Stmt::Import(node) => self.import(node),
            Stmt::FromImport(node) => self.import_names(node),
            Stmt::Macro(node) => {
                self.define(node.name, Type::Any);
                self.macro_body(node);
            }
            Stmt::CallBlock(node) => {
                self.called(&node.call);
                self.macro_body(&node.macro_decl);
            }
            Stmt::Do(node) => drop(self.called(&node.call)),
            _ => self.inside(statement),
        }
    }

    /// A statement without names of its own: its expressions, then its bodies in the same scope.
    fn inside(&mut self, statement: &'t Stmt<'t>) {
        for expression in syntax::expressions(statement) {
            self.expression(expression);
        }
        for body in syntax::bodies(statement) {
            self.statements(body);
        }
    }

    fn for_loop(&mut self, node: &'t ast::ForLoop<'t>) {
        let item = self.expression(&node.iter).item();
        self.scoped(|walk| {
            walk.define("loop", Type::loop_over(&item));
            walk.assign(&node.target, item);
            node.filter_expr.iter().for_each(|filter| drop(walk.expression(filter)));
            walk.statements(&node.body);
        });
        self.scoped(|walk| walk.statements(&node.else_body));
    }

    fn macro_body(&mut self, node: &'t ast::Macro<'t>) {
        node.defaults.iter().for_each(|default| drop(self.expression(default)));
        self.macros += 1;
        self.scoped(|walk| {
            walk.define("caller", Type::Any);
            node.args.iter().for_each(|argument| walk.assign(argument, Type::Any));
            walk.statements(&node.body);
        });
        self.macros -= 1;
    }

    fn define(&mut self, name: &'t str, found: Type) {
        if let Some(scope) = self.scopes.last_mut() {
            let known = scope.remove(name);
            scope.insert(name, known.map_or(found.clone(), |known| known.or(found)));
        }
    }

    fn assign(&mut self, target: &'t Expr<'t>, found: Type) {
        match target {
            Expr::Var(name) => self.define(name.id, found),
            other => syntax::targets(other).into_iter().for_each(|name| self.define(name, Type::Any)),
        }
    }

    /// Walks the templates that an `include` names in plain text.
    fn named_templates(&mut self, name: &'t Expr<'t>) {
        let choices = match name {
            Expr::List(list) => list.items.iter().collect(),
            other => vec![other],
        };
        for written in choices.into_iter().filter_map(syntax::written) {
            // What an included template sets is set for the one that includes it, too.
            let resolved = self.library.resolve(&self.at.entry.source.name, written);
            self.template(&resolved, None);
        }
    }

    /// The template that an import names, walked, and all that it assigns.
    fn module(&mut self, name: &'t Expr<'t>) -> Option<&'t HashSet<&'t str>> {
        self.expression(name);
        let written = syntax::written(name)?;
        let resolved = self.library.resolve(&self.at.entry.source.name, written);
        self.scoped(|walk| walk.template(&resolved, None));
        self.trees.get(&resolved).map(|parsed| &parsed.assigned)
    }

    fn import(&mut self, node: &'t ast::Import<'t>) {
        let module = self.module(&node.expr);
        self.assign(&node.name, module.map_or(Type::Any, |names| Type::named(names.iter().copied())));
    }

    fn import_names(&mut self, node: &'t ast::FromImport<'t>) {
        let module = self.module(&node.expr);
        for (name, alias) in &node.names {
            if let (Some(names), Expr::Var(var)) = (module, name)
                && !names.contains(var.id)
            {
                let place = syntax::place_of_word(&self.at.entry.source, var.id);
                let module = syntax::written(&node.expr).unwrap_or_default();
                self.fault(check::not_in_module(var.id, module, names, place));
            }
            self.assign(alias.as_ref().unwrap_or(name), Type::Any);
        }
    }

    fn expression(&mut self, expression: &'t Expr<'t>) -> Type {
        match expression {
            Expr::Var(var) => self.name(var.id),
            Expr::GetAttr(node) => {
                let base = self.expression(&node.expr);
                self.below(expression, &node.expr, base, node.name, None)
            }
            Expr::GetItem(node) => self.subscript(expression, node),
            Expr::Slice(node) => {
                let base = self.expression(&node.expr);
                let bounds = [&node.start, &node.stop, &node.step];
                bounds.into_iter().flatten().for_each(|bound| drop(self.expression(bound)));
                base.as_list()
            }
            Expr::Filter(node) => self.filter(node),
            Expr::Test(node) => {
                if !functions::TESTS.contains(&node.name) {
                    let place = syntax::place_of_word(&self.at.entry.source, node.name);
                    self.fault(check::unknown_test(node.name, place));
                }
                self.operands(expression);
                Type::Any
            }
            Expr::Call(node) => self.called(node),
            Expr::IfExpr(node) => {
                self.expression(&node.test_expr);
                let found = self.expression(&node.true_expr);
                match &node.false_expr {
                    Some(other) => found.or(self.expression(other)),
                    None => found,
                }
            }
            Expr::BinOp(node) => self.operator(node),
            _ => {
                self.operands(expression);
                Type::Any
            }
        }
    }

    fn operands(&mut self, expression: &'t Expr<'t>) {
        syntax::operands(expression).into_iter().for_each(|operand| drop(self.expression(operand)));
    }

    fn operator(&mut self, node: &'t ast::BinOp<'t>) -> Type {
        let (left, right) = (self.expression(&node.left), self.expression(&node.right));
        match node.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => left.or(right),
            BinOpKind::Eq | BinOpKind::Ne => {
                if let Some(none) = [&node.left, &node.right].into_iter().find(|side| is_none(side)) {
                    let place = syntax::place_of_span(&self.at.entry.source, none.span());
                    self.fault(check::compared_with_none(matches!(node.op, BinOpKind::Ne), place));
                }
                Type::Any
            }
            _ => Type::Any,
        }
    }

    /// A plain name: one that a template assigned, else one of the context.
    fn name(&mut self, word: &'t str) -> Type {
        if let Some(found) = self.scopes.iter().rev().find_map(|scope| scope.get(word)) {
            return found.clone();
        }
        if matches!(word, "self" | "super" | "caller") {
            return Type::Any;
        }
        self.used.insert(word);
        let Some(shapes) = self.given else { return Type::Any };
        if let Some((_, shape)) = shapes.names.iter().find(|(name, _)| &**name == word) {
            return shape.into();
        }
        // A macro may use what its template assigns after it.
        let later = self.macros > 0 && self.at.assigned.contains(word);
        if later || self.at.tolerated.contains(word) || is_function(word) {
            return Type::Any;
        }
        let assigned = self.scopes.iter().flat_map(|scope| scope.keys().copied()).filter(|name| *name != "caller");
        let known: Vec<&str> = shapes.names.iter().map(|(name, _)| &**name).chain(assigned).collect();
        self.fault(check::unknown_name(word, &known, syntax::place_of_word(&self.at.entry.source, word)));
        Type::Any
    }

    /// `base.name`, where `whole` is the expression that says so; `written` is the name where it is a string.
    fn below(
        &mut self,
        whole: &Expr<'_>,
        base: &Expr<'_>,
        found: Type,
        name: &str,
        written: Option<&Expr<'_>>,
    ) -> Type {
        match found.attribute(name) {
            Ok(found) => found,
            Err(_) if syntax::path(whole).is_some_and(|path| self.at.tolerated.contains(&path)) => Type::Any,
            Err(missing) => {
                let place = match written {
                    Some(written) => string_place(&self.at.entry.source, written),
                    None => self.place(name),
                };
                self.fault(check::unknown_below(syntax::path(base), name, missing, place));
                Type::Any
            }
        }
    }

    fn subscript(&mut self, expression: &'t Expr<'t>, node: &'t ast::GetItem<'t>) -> Type {
        let base = self.expression(&node.expr);
        self.expression(&node.subscript_expr);
        match (syntax::written(&node.subscript_expr), &base) {
            (Some(name), _) => self.below(expression, &node.expr, base, name, Some(&node.subscript_expr)),
            (None, Type::Rows(_) | Type::List(_)) => base.item(),
            (None, _) => Type::Any,
        }
    }

    fn called(&mut self, node: &'t ast::Call<'t>) -> Type {
        node.args.iter().for_each(|argument| drop(self.expression(syntax::argument(argument))));
        match &node.expr {
            Expr::Var(function) => self.function(function.id, node),
            Expr::GetAttr(method) => {
                if let Expr::Var(var) = &method.expr
                    && var.id == "self"
                {
                    self.block(method.name, 0);
                    return Type::Any;
                }
                let base = self.expression(&method.expr);
                match base {
                    Type::Any => Type::Any,
                    Type::Named(_) => drop_type(self.below(&node.expr, &method.expr, base, method.name, None)),
                    _ => {
                        self.fault(check::no_methods(method.name, self.place(method.name)));
                        Type::Any
                    }
                }
            }
            other => drop_type(self.expression(other)),
        }
    }

    fn place(&self, word: &str) -> Place {
        syntax::place_of_word(&self.at.entry.source, word)
    }

    fn function(&mut self, word: &'t str, node: &'t ast::Call<'t>) -> Type {
        if self.scopes.iter().any(|scope| scope.contains_key(word)) || matches!(word, "caller" | "loop") {
            return Type::Any;
        }
        if word == "super" {
            if let Some(&(name, depth)) = self.inside_blocks.last() {
                self.block(name, depth + 1);
            }
            return Type::Any;
        }
        match word {
            "form" => {
                self.used.insert(word);
                self.form(node)
            }
            _ if is_function(word) => Type::Any,
            _ => {
                self.used.insert(word);
                let later = self.macros > 0 && self.at.assigned.contains(word);
                let given = self.given.is_none_or(|shapes| shapes.names.iter().any(|(name, _)| &**name == word));
                if !later && !given && !self.at.tolerated.contains(word) {
                    let macros: Vec<&str> = self.at.assigned.iter().copied().collect();
                    self.fault(check::unknown_function(word, &macros, self.place(word)));
                }
                Type::Any
            }
        }
    }

    /// `form("/route")`: the form that the caller knows.
    fn form(&self, node: &ast::Call<'_>) -> Type {
        let route = match node.args.first() {
            Some(CallArg::Pos(first)) => syntax::written(first),
            _ => None,
        };
        let fields = self.given.zip(route).and_then(|(shapes, route)| (shapes.form)(route));
        fields.map_or(Type::Any, Type::Form)
    }

    fn filter(&mut self, node: &'t ast::Filter<'t>) -> Type {
        if !functions::FILTERS.contains(&node.name) && !functions::SITE_FILTERS.contains(&node.name) {
            self.fault(check::unknown_filter(node.name, self.place(node.name)));
        }
        let base = node.expr.as_ref().map_or(Type::Any, |value| self.expression(value));
        let arguments: Vec<Type> =
            node.args.iter().map(|argument| self.expression(syntax::argument(argument))).collect();
        if let (Type::Row(_), Some(attribute)) = (base.item(), named_attribute(node)) {
            self.column_of_filter(&base.item(), node, attribute);
        }
        match node.name {
            "first" | "last" => base.item(),
            "sort" | "reverse" | "unique" | "list" | "select" | "reject" | "selectattr" | "rejectattr" => {
                base.as_list()
            }
            "batch" | "slice" => Type::List(Box::new(base.as_list())),
            "default" | "d" => arguments.into_iter().next().map_or(base.clone(), |other| base.or(other)),
            _ => Type::Any,
        }
    }

    /// The column that a filter such as `sort(attribute="name")` names.
    fn column_of_filter(&mut self, row: &Type, node: &'t ast::Filter<'t>, attribute: &'t Expr<'t>) {
        let Some(name) = syntax::written(attribute) else { return };
        if let (Err(missing), Err(_)) = (row.attribute(name), by_segments(row, name)) {
            let base = node.expr.as_ref().and_then(syntax::path);
            let place = string_place(&self.at.entry.source, attribute);
            self.fault(check::unknown_below(base, name, missing, place));
        }
    }
}

/// `author.name`, one name after the other.
fn by_segments(row: &Type, name: &str) -> Result<Type, super::scope::Missing> {
    name.split('.').try_fold(row.clone(), |found, segment| found.attribute(segment))
}

/// The argument in which a filter names a column of the items.
fn named_attribute<'t>(node: &'t ast::Filter<'t>) -> Option<&'t Expr<'t>> {
    let by_name = node.args.iter().find_map(|argument| match argument {
        CallArg::Kwarg("attribute", value) => Some(value),
        _ => None,
    });
    match (node.name, by_name, node.args.first()) {
        ("sort" | "map" | "sum" | "unique" | "min" | "max" | "join" | "groupby", Some(value), _) => Some(value),
        ("selectattr" | "rejectattr" | "groupby", None, Some(CallArg::Pos(value))) => Some(value),
        _ => None,
    }
}

/// What a call gives is unknown, whatever is called.
fn drop_type(_: Type) -> Type {
    Type::Any
}

fn is_none(expression: &Expr<'_>) -> bool {
    matches!(expression, Expr::Const(constant) if constant.value.is_none())
}

fn is_function(word: &str) -> bool {
    functions::FUNCTIONS.contains(&word) || functions::SITE_FUNCTIONS.contains(&word)
}

/// The definitions of all blocks of a page and its layouts.
pub(super) fn blocks<'t>(chain: &[&'t Parsed<'t>]) -> Blocks<'t> {
    let mut found: Blocks<'t> = HashMap::new();
    for &parsed in chain {
        syntax::each_statement(&parsed.tree, &mut |statement| {
            if let Stmt::Block(node) = statement {
                found.entry(node.name).or_default().push((parsed, node));
            }
        });
    }
    found
}
