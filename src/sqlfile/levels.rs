//! A script that only reads, run level by level: all statements that need nothing of each other are asked at once.
//!
//! The end is the one that [`Run::next`] would have led to, statement after statement: the first that fails in the order
//! of the file decides. Statements that would not have been reached then may be asked all the same, because reading has
//! no effects.

use std::sync::Arc;

use super::run::{Call, Limit, Results, Run};
use super::script::{Ask, Query, Script, Source};
use crate::problem::Problem;
use crate::value::{Rows, Value};

/// A run, level by level.
///
/// ```text
/// while levels.advance() {
///     let asked = levels.calls().map(|call| (call.query, database.query(call.sql, …)?));
///     for (query, rows) in asked {
///         levels.take(query, rows);
///     }
/// }
/// let results = levels.finish()?;
/// ```
#[derive(Clone, Debug)]
pub struct Levels {
    run: Run,
    /// How each statement stands.
    states: Vec<State>,
    /// The level that is being asked.
    asked: Vec<Asked>,
    /// Statements from this one on no longer matter, because it failed.
    end: usize,
    /// Why it failed.
    problem: Option<Problem>,
}

/// How a statement stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// What it needs is not known yet.
    Waits,
    /// So many answers are to come: one, or one for each element of a loop.
    Asked(usize),
    /// It gave its result, or doesn't run.
    Done,
}

/// A statement that is likely to be asked.
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// Its place in [`Script::queries`].
    pub query: usize,
    /// A value for each placeholder.
    pub binds: Vec<Value>,
    /// How many rows it may give.
    pub limit: Limit,
}

#[derive(Clone, Debug)]
struct Asked {
    query: usize,
    binds: Vec<Value>,
    limit: Limit,
}

impl Levels {
    /// The levels of a run that begins.
    pub fn new(run: Run) -> Levels {
        let count = run.script().queries.len();
        Levels { run, states: vec![State::Waits; count], asked: Vec::new(), end: count, problem: None }
    }

    /// Goes on to the next level; false when nothing is left to ask. All answers of the level before have been taken.
    pub fn advance(&mut self) -> bool {
        self.asked.clear();
        let script = self.run.script().clone();
        for (at, query) in script.queries.iter().enumerate().take(self.end) {
            if self.states[at] == State::Waits {
                self.run.at = at;
                self.ask(query);
            }
        }
        !self.asked.is_empty()
    }

    /// The statements of this level, in the order of the file; one that runs over a list stands there once for each
    /// element.
    pub fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        self.asked.iter().map(|asked| {
            let Query { sql, kinds, .. } = &self.run.script().queries[asked.query];
            Call { query: asked.query, sql, kinds, binds: &asked.binds, limit: asked.limit }
        })
    }

    /// All that would be asked from here on if every statement gave what it gave before, and in how many levels.
    pub fn foresee(&self, before: &Results) -> (usize, Vec<Foreseen>) {
        let (mut levels, mut foreseen) = (0, Vec::new());
        let mut run = self.clone();
        while before.are_of(self.script()) && run.advance() {
            levels += 1;
            for Asked { query, binds, limit } in run.asked.clone() {
                run.take(query, before.rows(run.script().queries[query].slot));
                foreseen.push(Foreseen { query, binds, limit });
            }
        }
        (levels, foreseen)
    }

    /// Takes the rows of those statements of this level for which `find` has them, by their place and values; the others
    /// remain to be asked.
    pub fn take_early(&mut self, mut find: impl FnMut(usize, &[Value]) -> Option<Rows>) {
        for asked in std::mem::take(&mut self.asked) {
            match find(asked.query, &asked.binds) {
                Some(rows) => self.take(asked.query, rows),
                None => self.asked.push(asked),
            }
        }
    }

    /// Whether no further level can follow this one.
    pub fn is_last(&self) -> bool {
        !self.states[..self.end].contains(&State::Waits)
    }

    /// Takes the rows of a statement of this level; its problem is kept for [`Levels::finish`].
    pub fn take(&mut self, query: usize, rows: Rows) {
        if query >= self.end {
            return;
        }
        self.run.at = query;
        match self.run.keep(rows) {
            Ok(()) => {
                self.states[query] = match self.states[query] {
                    State::Asked(left) if left > 1 => State::Asked(left - 1),
                    _ => State::Done,
                }
            }
            Err(problem) => {
                self.end = query;
                self.problem = Some(problem);
            }
        }
    }

    /// Says that a statement of this level failed in the database. What those before it give still counts.
    pub fn cut(&mut self, query: usize) {
        if query < self.end {
            self.end = query;
            self.problem = None;
        }
    }

    /// Whether statements that matter have neither run nor been left out.
    pub fn is_open(&self) -> bool {
        self.states[..self.end].iter().any(|state| *state != State::Done)
    }

    /// Whether a statement's rows decided against the run; a statement before it may still do so, too.
    pub fn has_failed(&self) -> bool {
        self.problem.is_some()
    }

    /// The script that is run.
    pub fn script(&self) -> &Arc<Script> {
        self.run.script()
    }

    /// The results.
    ///
    /// # Errors
    /// As [`Run::take`], of the first statement in the order of the file that failed.
    pub fn finish(self) -> Result<Results, Problem> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self.run.finish()),
        }
    }

    /// Asks the statement at `run.at` if all is known that it needs.
    fn ask(&mut self, query: &Query) {
        let at = self.run.at;
        let Some(runs) = self.runs(query) else { return };
        if !runs {
            self.states[at] = State::Done;
            return;
        }
        let mut sources = query.binds.iter().map(|bind| &bind.source).chain(&query.each);
        if !sources.all(|source| self.knows(source)) {
            return;
        }
        let before = self.asked.len();
        let limit = self.run.limit(query);
        let mut put = |element: Option<&Value>| {
            self.asked.push(Asked { query: at, binds: self.run.values(query, element).collect(), limit });
        };
        match &query.each {
            None => put(None),
            // The first element stands last.
            Some(list) => self.run.elements_of(list).iter().rev().for_each(|element| put(Some(element))),
        }
        if query.each.is_some() {
            self.run.begin_loop(query.slot);
        }
        self.states[at] = match self.asked.len() - before {
            0 => State::Done,
            count => State::Asked(count),
        };
    }

    /// Whether the statement runs; `None` when that is not known yet. One condition that doesn't hold is enough.
    fn runs(&self, query: &Query) -> Option<bool> {
        let mut known = true;
        let mut shared = false;
        if query.is_conditional() {
            known = self.has_settled(query.slot);
            shared = known && self.run.has_run(query.slot);
        }
        if !self.run.selection.query(self.run.at) || shared {
            return Some(false);
        }
        for when in &query.conditions {
            let asked = match &when.ask {
                Ask::Gave(slot) => self.has_settled(*slot),
                Ask::Holds(source) => self.knows(source),
                Ask::Given(_) | Ask::Equals(..) => true,
            };
            if asked && !self.run.holds(when) {
                return Some(false);
            }
            known &= asked;
        }
        known.then_some(true)
    }

    fn knows(&self, source: &Source) -> bool {
        match source {
            Source::Column(slot, _) | Source::Value(slot) | Source::Changed(slot) => self.has_settled(*slot),
            Source::Parameter(_) | Source::Server(_) | Source::Computed(_) | Source::Element => true,
        }
    }

    /// Whether no statement before this one can still change the result in the slot.
    fn has_settled(&self, slot: usize) -> bool {
        let before = self.run.script().queries.iter().zip(&self.states).take(self.run.at);
        before.filter(|(query, _)| query.slot == slot).all(|(_, state)| *state == State::Done)
    }
}
