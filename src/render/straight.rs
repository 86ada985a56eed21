//! Straight programs: pages of the common kind, printed without the template engine.
//!
//! Most pages print texts, columns and conditions, and loop over rows. For those the engine's values, scopes and captures
//! cost several times what the printing does. So when a site is read, `straighten` translates each page that uses
//! nothing else into a tree of steps, which runs directly over the slots of the context.
//!
//! minijinja stays the engine of record: what a page means is what minijinja does with it. A program that meets what it
//! doesn't know (a name that is missing, a form, a filter that fails, a limit) gives up, and the engine renders the page
//! from its start, so that every result and every message is the engine's.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use minijinja::{AutoEscape, Value as Shown};

use super::context::{Context, Names, Slot};
use super::functions::Alone;
use super::order::Order;
use super::{escape, view};
use crate::value::{Rows, Value};

/// A page as steps.
pub(super) struct Program {
    pub(super) rule: AutoEscape,
    pub(super) steps: Box<[Step]>,
    /// The most instructions that the engine would take, apart from the turns of loops.
    pub(super) fuel: u64,
    /// How often in a row it gave up.
    pub(super) misses: AtomicU32,
}

/// After so many renderings in a row that gave up, a program is not tried again: it costs more than it saves.
pub(super) const MAX_MISSES: u32 = 100;

/// What happens one after the other.
pub(super) enum Step {
    /// Prints a piece of a template's text.
    Text(Arc<str>),
    Print(Expression),
    If {
        test: Expression,
        then: Box<[Step]>,
        otherwise: Box<[Step]>,
    },
    For(For),
}

/// A loop.
pub(super) struct For {
    pub(super) over: Expression,
    /// Unless its items come as they stand.
    pub(super) order: Option<Order>,
    /// The columns of its items that its body names, looked for once for all turns.
    pub(super) columns: Box<[Box<str>]>,
    pub(super) body: Box<[Step]>,
    /// When there is nothing to loop over.
    pub(super) otherwise: Box<[Step]>,
    /// The most instructions that the engine would take for one turn, apart from the turns of loops inside.
    pub(super) fuel: u64,
}

/// What gives a value.
#[derive(Clone)]
pub(super) enum Expression {
    Constant(Value),
    /// A name of the context.
    Name(Box<str>),
    /// The item of a loop around it; the outermost loop has number 0.
    Item(usize),
    /// What `loop` tells of a loop around it.
    Turn(usize, TurnPart),
    /// A column of the item of a loop around it: the loop, the column's place among those of the loop, and its name.
    Column(usize, usize, Box<str>),
    /// What stands below a value: `product.name`.
    Below(Box<Expression>, Known),
    Not(Box<Expression>),
    And(Box<[Expression; 2]>),
    Or(Box<[Expression; 2]>),
    /// Both as texts, one after the other.
    Concat(Box<[Expression; 2]>),
    Compare(fn(&Shown, &Shown) -> bool, Box<[Expression; 2]>),
    /// The second when the first holds, otherwise the third.
    Choice(Box<[Expression; 3]>),
    IsNull(Box<Expression>),
    Filter(Alone, Box<Expression>),
    /// A function; a name of the context that is called the same would hide it.
    Call(Box<str>, Alone, Box<Expression>),
}

/// A column's name, and where it was found last: the columns of a query hardly ever change.
pub(super) struct Known {
    name: Box<str>,
    last: AtomicU32,
}

impl Known {
    pub(super) fn new(name: &str) -> Known {
        Known { name: name.into(), last: AtomicU32::new(0) }
    }

    fn place(&self, columns: &[Arc<str>]) -> Option<usize> {
        let last = self.last.load(Ordering::Relaxed) as usize;
        if columns.get(last).is_some_and(|column| **column == *self.name) {
            return Some(last);
        }
        let place = columns.iter().position(|column| **column == *self.name)?;
        self.last.store(place as u32, Ordering::Relaxed);
        Some(place)
    }
}

impl Clone for Known {
    fn clone(&self) -> Known {
        Known::new(&self.name)
    }
}

/// What `loop` tells.
#[derive(Clone, Copy)]
pub(super) enum TurnPart {
    Index,
    Index0,
    First,
    Last,
    Length,
}

impl fmt::Debug for Program {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Program of {} steps", self.steps.len())
    }
}

impl Program {
    /// What it prints, if that is a text of the template and nothing else.
    pub(super) fn constant(&self) -> Option<&str> {
        match &*self.steps {
            [] => Some(""),
            [Step::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The whole page. `None` when the engine has to render it; nothing is lost but the time.
    pub(super) fn run(&self, context: &Context, likely: usize, limit: usize, fuel: u64) -> Option<String> {
        let misses = self.misses.load(Ordering::Relaxed);
        if misses >= MAX_MISSES {
            return None;
        }
        let out = String::with_capacity(likely);
        let mut run = Run { context, rule: &self.rule, turns: Vec::new(), out, limit, fuel };
        let done = run.burn(self.fuel).and_then(|()| run.steps(&self.steps));
        // Written only when it changes: pages are rendered on all cores at once.
        match done {
            Some(()) if misses > 0 => self.misses.store(0, Ordering::Relaxed),
            Some(()) => {}
            None => drop(self.misses.fetch_add(1, Ordering::Relaxed)),
        }
        done.map(|()| run.out)
    }
}

/// One rendering.
struct Run<'a> {
    context: &'a Context,
    rule: &'a AutoEscape,
    /// The turns of the loops that run now, outermost first.
    turns: Vec<Turn<'a>>,
    out: String,
    limit: usize,
    fuel: u64,
}

struct Turn<'a> {
    item: Seen<'a>,
    index: usize,
    length: usize,
    /// The cells of the item, if it is a row.
    cells: &'a [Value],
    /// Where each of the loop's columns stands among them; the last number there is for one that doesn't.
    places: Vec<usize>,
}

/// What an expression gives, as it stands in the context.
#[derive(Clone)]
enum Seen<'a> {
    Value(Cow<'a, Value>),
    Row(&'a Arc<Rows>, usize),
    /// The columns of a row whose names begin with a prefix.
    Part(&'a Arc<Rows>, usize, Box<str>),
    Rows(&'a Arc<Rows>),
    List(&'a Arc<Rows>),
    Names(&'a Arc<dyn Names>),
    /// What a filter or function gave.
    Made(Shown),
}

const NOTHING: Seen<'static> = Seen::Value(Cow::Borrowed(&Value::Null));

impl<'a> Run<'a> {
    /// Takes as much fuel as the engine would take at most: it must have some left.
    fn burn(&mut self, fuel: u64) -> Option<()> {
        self.fuel = self.fuel.checked_sub(fuel).filter(|left| *left > 0)?;
        Some(())
    }

    fn steps(&mut self, steps: &'a [Step]) -> Option<()> {
        for step in steps {
            match step {
                Step::Text(text) => self.out.push_str(text),
                Step::Print(expression) => match self.cell(expression) {
                    Some(value) => self.print_value(value)?,
                    None => self.print(expression)?,
                },
                Step::If { test, then, otherwise } => {
                    let body = if self.holds(test)? { then } else { otherwise };
                    self.steps(body)?;
                }
                Step::For(node) => self.each(node)?,
            }
            if self.out.len() > self.limit {
                return None;
            }
        }
        Some(())
    }

    fn each(&mut self, node: &'a For) -> Option<()> {
        let over = self.see(&node.over)?;
        let length = over.length()?;
        if length == 0 {
            return self.steps(&node.otherwise);
        }
        self.burn(node.fuel.checked_mul(length as u64)?)?;
        let order = match (&node.order, &over) {
            (None, _) => None,
            (Some(order), Seen::Rows(rows)) => Some(order.places(rows)?),
            _ => return None,
        };
        let (rows, places): (Option<&'a Rows>, Vec<usize>) = match &over {
            Seen::Rows(rows) => {
                let places = node.columns.iter().map(|name| rows.column(name).unwrap_or(usize::MAX));
                (Some(rows), places.collect())
            }
            _ => (None, Vec::new()),
        };
        self.turns.push(Turn { item: NOTHING, index: 0, length, cells: &[], places });
        for index in 0..length {
            let place = order.as_ref().map_or(index, |places| places[index]);
            let turn = self.turns.last_mut()?;
            (turn.item, turn.index) = (over.item(place), index);
            turn.cells = rows.map_or(&[], |rows| rows.row(place));
            self.steps(&node.body)?;
        }
        self.turns.pop();
        Some(())
    }

    // Apart from `steps`, which stays small for what is printed most.
    #[inline(never)]
    fn print(&mut self, expression: &'a Expression) -> Option<()> {
        match self.see(expression)? {
            Seen::Value(value) => self.print_value(&value),
            other => escape::write(&mut self.out, self.rule, &other.shown()).ok(),
        }
    }

    /// Prints by the rule of the page. The shortcuts print what `escape::write` prints for the same values.
    fn print_value(&mut self, value: &Value) -> Option<()> {
        match (value, self.rule) {
            (Value::Null, AutoEscape::Html | AutoEscape::None) => Some(()),
            (Value::Text(text), AutoEscape::Html) => escape::html_text(&mut self.out, text).ok(),
            (Value::Text(text), AutoEscape::None) => self.out.write_str(text).ok(),
            (Value::Int(number), AutoEscape::Html | AutoEscape::None) => escape::whole(&mut self.out, *number).ok(),
            _ => escape::write(&mut self.out, self.rule, &view::value_of(value)).ok(),
        }
    }

    fn holds(&self, expression: &'a Expression) -> Option<bool> {
        match self.cell(expression) {
            Some(value) => Some(value.holds()),
            None => Some(self.see(expression)?.holds()),
        }
    }

    /// A shortcut to the commonest of what `see` finds: a value of the context or a column of a row. `None` for
    /// anything else.
    fn cell(&self, expression: &'a Expression) -> Option<&'a Value> {
        match expression {
            Expression::Column(number, column, _) => {
                let turn = self.turns.get(*number)?;
                turn.cells.get(*turn.places.get(*column)?)
            }
            Expression::Below(base, name) => match self.slot(base)? {
                Slot::Row(rows) => rows.row(0).get(name.place(&rows.columns)?),
                _ => None,
            },
            Expression::Name(_) => match self.slot(expression)? {
                Slot::Value(value) => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    fn slot(&self, expression: &Expression) -> Option<&'a Slot> {
        let Expression::Name(name) = expression else { return None };
        self.context.names.iter().find(|(known, _)| **known == **name).map(|(_, slot)| slot)
    }

    fn see(&self, expression: &'a Expression) -> Option<Seen<'a>> {
        Some(match expression {
            Expression::Constant(value) => Seen::Value(Cow::Borrowed(value)),
            Expression::Name(_) => self.name(expression)?,
            Expression::Item(number) => self.turns.get(*number)?.item.clone(),
            Expression::Turn(number, part) => self.turns.get(*number)?.part(*part),
            Expression::Column(number, _, name) => match self.cell(expression) {
                Some(value) => Seen::Value(Cow::Borrowed(value)),
                None => self.turns.get(*number)?.item.clone().below(name)?,
            },
            Expression::Below(base, name) => self.see(base)?.below(&name.name)?,
            Expression::Not(inner) => truth(!self.holds(inner)?),
            Expression::And(both) => match self.see(&both[0])? {
                left if left.holds() => self.see(&both[1])?,
                left => left,
            },
            Expression::Or(both) => match self.see(&both[0])? {
                left if left.holds() => left,
                _ => self.see(&both[1])?,
            },
            Expression::Concat(both) => {
                let text = format!("{}{}", self.see(&both[0])?.shown(), self.see(&both[1])?.shown());
                Seen::Value(Cow::Owned(Value::from(text)))
            }
            Expression::Compare(how, both) => truth(how(&self.see(&both[0])?.shown(), &self.see(&both[1])?.shown())),
            Expression::Choice(parts) => {
                let chosen = if self.holds(&parts[0])? { &parts[1] } else { &parts[2] };
                self.see(chosen)?
            }
            Expression::IsNull(inner) => truth(self.see(inner)?.is_null()),
            Expression::Filter(filter, inner) => Seen::Made(filter(&self.see(inner)?.shown())?),
            Expression::Call(name, function, inner) => {
                if self.context.names.iter().any(|(known, _)| **known == **name) {
                    return None;
                }
                Seen::Made(function(&self.see(inner)?.shown())?)
            }
        })
    }

    fn name(&self, name: &Expression) -> Option<Seen<'a>> {
        Some(match self.slot(name)? {
            Slot::Value(value) => Seen::Value(Cow::Borrowed(value)),
            Slot::Row(rows) if rows.is_empty() => NOTHING,
            Slot::Row(rows) => Seen::Row(rows, 0),
            Slot::Rows(rows) => Seen::Rows(rows),
            Slot::List(rows) => Seen::List(rows),
            Slot::Names(names) => Seen::Names(names),
            Slot::Form(_) => return None,
        })
    }
}

impl Turn<'_> {
    fn part(&self, part: TurnPart) -> Seen<'static> {
        match part {
            TurnPart::Index => whole(self.index + 1),
            TurnPart::Index0 => whole(self.index),
            TurnPart::First => truth(self.index == 0),
            TurnPart::Last => truth(self.index + 1 == self.length),
            TurnPart::Length => whole(self.length),
        }
    }
}

fn truth(truth: bool) -> Seen<'static> {
    Seen::Value(Cow::Owned(Value::Bool(truth)))
}

fn whole(number: usize) -> Seen<'static> {
    Seen::Value(Cow::Owned(Value::Int(number as i64)))
}

impl<'a> Seen<'a> {
    /// What stands below it by a name; nothing where there is no such name.
    fn below(self, name: &str) -> Option<Seen<'a>> {
        Some(match self {
            Seen::Row(rows, row) => below_row(rows, row, "", name),
            Seen::Part(rows, row, prefix) => below_row(rows, row, &prefix, name),
            Seen::Rows(rows) => match name {
                "more" => truth(rows.more),
                "first" if !rows.is_empty() => Seen::Row(rows, 0),
                _ => NOTHING,
            },
            Seen::Names(names) => match names.get(name) {
                None => NOTHING,
                Some(Slot::Value(value)) => Seen::Value(Cow::Owned(value)),
                Some(_) => return None,
            },
            Seen::Value(_) | Seen::List(_) => NOTHING,
            Seen::Made(_) => return None,
        })
    }

    /// Over how many items a loop goes; `None` for what it can't or what isn't known here.
    fn length(&self) -> Option<usize> {
        match self {
            Seen::Rows(rows) | Seen::List(rows) => Some(rows.len()),
            Seen::Value(value) => match &**value {
                Value::Null => Some(0),
                Value::List(items) => Some(items.len()),
                _ => None,
            },
            _ => None,
        }
    }

    fn item(&self, index: usize) -> Seen<'a> {
        let found = match self {
            Seen::Rows(rows) => return Seen::Row(rows, index),
            Seen::List(rows) => rows.row(index).first().map(Cow::Borrowed),
            Seen::Value(Cow::Borrowed(Value::List(items))) => items.get(index).map(Cow::Borrowed),
            Seen::Value(Cow::Owned(Value::List(items))) => items.get(index).cloned().map(Cow::Owned),
            _ => None,
        };
        found.map_or(NOTHING, Seen::Value)
    }

    fn holds(&self) -> bool {
        match self {
            Seen::Value(value) => value.holds(),
            Seen::Rows(_) | Seen::List(_) => self.length() > Some(0),
            Seen::Row(..) | Seen::Part(..) | Seen::Names(_) => true,
            Seen::Made(value) => value.is_true(),
        }
    }

    fn is_null(&self) -> bool {
        match self {
            Seen::Value(value) => value.is_null(),
            Seen::Made(value) => value.is_undefined() || value.is_none(),
            _ => false,
        }
    }

    /// The same as the engine's value.
    fn shown(&self) -> Shown {
        match self {
            Seen::Value(value) => view::value_of(value),
            Seen::Row(rows, row) => view::row_value(rows, *row, ""),
            Seen::Part(rows, row, prefix) => view::row_value(rows, *row, prefix),
            Seen::Rows(rows) => view::slot_value(&Slot::Rows(Arc::clone(rows))),
            Seen::List(rows) => view::slot_value(&Slot::List(Arc::clone(rows))),
            Seen::Names(names) => view::slot_value(&Slot::Names(Arc::clone(names))),
            Seen::Made(value) => value.clone(),
        }
    }
}

fn below_row<'a>(rows: &'a Arc<Rows>, row: usize, prefix: &str, name: &str) -> Seen<'a> {
    match view::below_row(rows, row, prefix, name) {
        Some(view::BelowRow::Cell(value)) => Seen::Value(Cow::Borrowed(value)),
        Some(view::BelowRow::Part(prefix)) => Seen::Part(rows, row, prefix),
        None => NOTHING,
    }
}
