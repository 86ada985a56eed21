//! A script being run, without any I/O: it says what to ask the database next, and takes the answer.

use std::sync::Arc;

use super::arguments::Arguments;
use super::dialect::Dialect;
use super::file::{QueryKind, Require};
use super::resolve::equals;
use super::script::{Ask, Query, Script, Source, When};
use super::selection::Selection;
use super::server::Surroundings;
use crate::problem::{Kind, Problem};
use crate::value::{Declared, Rows, Value};

/// How many rows a statement may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// One row more is a fault.
    AtMost(usize),
    /// The first rows are kept; whether there was one more is told by [`Rows::more`].
    First(usize),
}

/// The next statement to run.
#[derive(Clone, Copy, Debug)]
pub struct Call<'r> {
    /// Its place in [`Script::queries`].
    pub query: usize,
    /// Its SQL.
    pub sql: &'r Arc<str>,
    /// What each placeholder is declared to take.
    pub kinds: &'r [Declared],
    /// A value for each placeholder.
    pub binds: &'r [Value],
    /// How many rows it may give.
    pub limit: Limit,
}

/// What a query gave. A query that did not run gives the empty form of its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// `:one`, `:maybe`: no row or one.
    Row(Arc<Rows>),
    /// `:many`.
    Rows(Arc<Rows>),
    /// `:value`; null without a row.
    Value(Value),
    /// `:list`: the first column counts.
    List(Arc<Rows>),
    /// `:exec`: how many rows it changed.
    Changed(u64),
    /// `:require`.
    Passed,
}

impl Outcome {
    fn is_same(&self, other: &Outcome) -> bool {
        match (self, other) {
            (Outcome::Row(mine), Outcome::Row(theirs))
            | (Outcome::Rows(mine), Outcome::Rows(theirs))
            | (Outcome::List(mine), Outcome::List(theirs)) => mine.are_same(theirs),
            (Outcome::Value(mine), Outcome::Value(theirs)) => mine.is_same(theirs),
            (mine, theirs) => mine == theirs,
        }
    }
}

/// A script being run. A clone starts where the original stands, so that a transaction can be run again.
///
/// ```text
/// while let Some(call) = run.next() {
///     let rows = database.query(call.sql, call.kinds, call.binds, call.limit)?;
///     run.take(rows)?;
/// }
/// let results = run.finish();
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    script: Arc<Script>,
    pub(super) selection: Selection,
    arguments: Arguments,
    /// In the order of [`Script::server`].
    server: Vec<Value>,
    /// In the order of [`Script::computed`].
    computed: Vec<Value>,
    /// A result for each name, and the statement that gave it; `None` until a statement of that name has run.
    outcomes: Vec<Option<(usize, Outcome)>>,
    rows: usize,
    /// The statement that runs, or is next. It sees the results of those before it.
    pub(super) at: usize,
    /// The elements of the running `each=` loop that are still to come, the next one last; `None` outside of a loop.
    elements: Option<Vec<Value>>,
    binds: Vec<Value>,
}

impl Run {
    /// Starts a run: reads the server values that the script names and computes its `@values`. `rows` is the most rows
    /// that one query may give.
    ///
    /// # Errors
    /// A computed value that can't be computed (a date past the year 9999, no random numbers).
    pub fn start(
        script: &Arc<Script>,
        arguments: impl Into<Arguments>,
        around: &dyn Surroundings,
        rows: usize,
    ) -> Result<Run, Problem> {
        Run::start_only(script, &script.whole, arguments, around, rows)
    }

    /// The same for a subset of the queries; only what they need is read and computed.
    ///
    /// # Errors
    /// As [`Run::start`].
    pub fn start_only(
        script: &Arc<Script>,
        selection: &Selection,
        arguments: impl Into<Arguments>,
        around: &dyn Surroundings,
        rows: usize,
    ) -> Result<Run, Problem> {
        let arguments = arguments.into();
        let read = |(index, value)| if selection.server(index) { around.server(value) } else { Value::Null };
        let server = script.server.iter().copied().enumerate().map(read).collect();
        let mut computed = Vec::with_capacity(script.computed.len());
        for (index, value) in script.computed.iter().enumerate() {
            let next = match selection.computed(index) {
                true => value.expression.value(script, &arguments, &computed, around)?,
                false => Value::Null,
            };
            computed.push(next);
        }
        Ok(Run {
            script: script.clone(),
            selection: selection.clone(),
            arguments,
            server,
            computed,
            outcomes: vec![None; script.names.len()],
            rows,
            at: 0,
            elements: None,
            binds: Vec::new(),
        })
    }

    /// The next statement to run; `None` when all is done. The answer goes to [`Run::take`] before the next call.
    #[expect(clippy::should_implement_trait, reason = "a call borrows from the run, which no iterator can")]
    pub fn next(&mut self) -> Option<Call<'_>> {
        while let Some(query) = self.script.queries.get(self.at) {
            if self.elements.is_none() && !self.runs(query) {
                self.at += 1;
                continue;
            }
            if let (Some(source), None) = (&query.each, &self.elements) {
                let (elements, slot) = (self.elements_of(source), query.slot);
                self.elements = Some(elements);
                self.begin_loop(slot);
            }
            let element = match &mut self.elements {
                None => None,
                Some(left) => match left.pop() {
                    Some(element) => Some(element),
                    None => {
                        self.elements = None;
                        self.at += 1;
                        continue;
                    }
                },
            };
            let mut binds = std::mem::take(&mut self.binds);
            let query = &self.script.queries[self.at];
            binds.clear();
            binds.extend(self.values(query, element.as_ref()));
            self.binds = binds;
            let query = &self.script.queries[self.at];
            let limit = self.limit(query);
            return Some(Call { query: self.at, sql: &query.sql, kinds: &query.kinds, binds: &self.binds, limit });
        }
        None
    }

    /// Takes the rows of the statement that [`Run::next`] gave.
    ///
    /// # Errors
    /// No row for `:one` (not found) or `:require` (as it says), two rows for `:one` (a fault of the site).
    pub fn take(&mut self, rows: Rows) -> Result<(), Problem> {
        self.keep(rows)?;
        if self.elements.is_none() {
            self.at += 1;
        }
        Ok(())
    }

    /// Keeps what the statement at `self.at` gave.
    pub(super) fn keep(&mut self, rows: Rows) -> Result<(), Problem> {
        let Some(query) = self.script.queries.get(self.at) else { return Ok(()) };
        let outcome = query.outcome(rows, self.changed_so_far(query.slot))?;
        let slot = query.slot;
        self.outcomes[slot] = Some((self.at, outcome));
        Ok(())
    }

    /// A loop over nothing ran, too: it changed no row.
    pub(super) fn begin_loop(&mut self, slot: usize) {
        self.outcomes[slot].get_or_insert((self.at, Outcome::Changed(0)));
    }

    /// The script that is run.
    pub fn script(&self) -> &Arc<Script> {
        &self.script
    }

    /// The results.
    pub fn finish(self) -> Results {
        let Run { script, selection, mut outcomes, .. } = self;
        for (slot, outcome) in outcomes.iter_mut().enumerate() {
            outcome.get_or_insert_with(|| (usize::MAX, absent(&script, &selection, slot)));
        }
        Results { script, outcomes }
    }

    /// Whether a statement runs: it is selected, none of its name ran before, and its conditions hold.
    fn runs(&self, query: &Query) -> bool {
        let shares_name = !query.conditions.is_empty();
        self.selection.query(self.at)
            && !(shares_name && self.outcomes[query.slot].is_some())
            && query.conditions.iter().all(|when| self.holds(when))
    }

    pub(super) fn holds(&self, when: &When) -> bool {
        let holds = match &when.ask {
            Ask::Gave(slot) => self.outcome(*slot).is_some_and(gave),
            Ask::Given(index) => match self.arguments.values().get(*index) {
                Some(Value::Bool(truth)) => *truth,
                Some(Value::List(items)) => !items.is_empty(),
                Some(value) => !value.is_null(),
                None => false,
            },
            Ask::Equals(index, wanted) => {
                self.arguments.values().get(*index).is_some_and(|value| equals(value, wanted))
            }
            Ask::Holds(source) => self.value(source, None).holds(),
        };
        holds != when.negated
    }

    /// Whether a statement of this name has run.
    pub(super) fn has_run(&self, slot: usize) -> bool {
        self.outcomes[slot].is_some()
    }

    /// What an earlier statement gave.
    fn outcome(&self, slot: usize) -> Option<&Outcome> {
        self.outcomes[slot].as_ref().filter(|(giver, _)| *giver < self.at).map(|(_, outcome)| outcome)
    }

    /// The elements of a loop, the first one last.
    pub(super) fn elements_of(&self, source: &Source) -> Vec<Value> {
        match self.value(source, None) {
            Value::List(items) => items.iter().rev().cloned().collect(),
            Value::Null => Vec::new(),
            single => vec![single],
        }
    }

    /// A value for each placeholder of a statement, as things stand.
    pub(super) fn values(&self, query: &Query, element: Option<&Value>) -> impl Iterator<Item = Value> {
        query.binds.iter().map(move |bind| {
            let value = self.value(&bind.source, element);
            if bind.list { as_list(value, self.script.dialect) } else { value }
        })
    }

    /// The value of a source as things stand.
    fn value(&self, source: &Source, element: Option<&Value>) -> Value {
        match source {
            Source::Parameter(index) => self.arguments.values().get(*index).cloned().unwrap_or_default(),
            Source::Server(index) => self.server.get(*index).cloned().unwrap_or_default(),
            Source::Computed(index) => self.computed.get(*index).cloned().unwrap_or_default(),
            Source::Element => element.cloned().unwrap_or_default(),
            Source::Column(slot, column) => match self.outcome(*slot) {
                Some(Outcome::Row(rows)) => rows.cell(0, column).cloned().unwrap_or_default(),
                _ => Value::Null,
            },
            Source::Value(slot) => match self.outcome(*slot) {
                Some(Outcome::Value(value)) => value.clone(),
                _ => Value::Null,
            },
            Source::Changed(slot) => match self.outcome(*slot) {
                Some(Outcome::Changed(count)) => Value::Int(i64::try_from(*count).unwrap_or(i64::MAX)),
                _ => Value::Int(0),
            },
        }
    }

    fn changed_so_far(&self, slot: usize) -> u64 {
        match &self.outcomes[slot] {
            Some((_, Outcome::Changed(count))) => *count,
            _ => 0,
        }
    }

    pub(super) fn limit(&self, query: &Query) -> Limit {
        query.limit(self.rows)
    }
}

impl Query {
    /// How many rows it may give, where no query may give more than `rows`. Of `:one` two are read, so that a second one
    /// is noticed.
    pub fn limit(&self, rows: usize) -> Limit {
        match (&self.kind, self.more) {
            (QueryKind::Many, Some(kept)) => Limit::First(kept),
            (QueryKind::One, _) => Limit::First(2),
            (QueryKind::Maybe | QueryKind::Value | QueryKind::Require(_), _) => Limit::First(1),
            _ => Limit::AtMost(rows),
        }
    }

    /// What becomes of its rows. `changed` is how many rows it has changed before, in a loop.
    pub(super) fn outcome(&self, rows: Rows, changed: u64) -> Result<Outcome, Problem> {
        Ok(match &self.kind {
            QueryKind::One => Outcome::Row(one_row(self, rows)?),
            QueryKind::Maybe => Outcome::Row(Arc::new(rows)),
            QueryKind::Many => Outcome::Rows(Arc::new(kept(rows, self.more))),
            QueryKind::List => Outcome::List(Arc::new(rows)),
            QueryKind::Value => Outcome::Value(rows.cells.into_iter().next().unwrap_or_default()),
            QueryKind::Exec => Outcome::Changed(rows.changed + changed),
            QueryKind::Require(require) if rows.is_empty() => return Err(refusal(require)),
            QueryKind::Require(_) | QueryKind::With => Outcome::Passed,
        })
    }
}

/// The row of a `:one`.
fn one_row(query: &Query, rows: Rows) -> Result<Arc<Rows>, Problem> {
    match rows.len() {
        0 => Err(Problem::not_found()),
        1 => Ok(Arc::new(rows)),
        _ => Err(Problem::broken(format!("`{}` is `:one`, but gave two rows", query.name)).at(query.place.clone())),
    }
}

/// The rows of `more=`, should the database have given those beyond them, too.
fn kept(mut rows: Rows, most: Option<usize>) -> Rows {
    if let Some(most) = most.filter(|most| rows.len() > *most) {
        rows.cells.truncate(most * rows.columns.len());
        rows.more = true;
    }
    rows
}

/// Whether a result counts as given, for `when=NAME`.
fn gave(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Row(rows) | Outcome::Rows(rows) | Outcome::List(rows) => !rows.is_empty(),
        Outcome::Value(value) => value.holds(),
        Outcome::Changed(count) => *count > 0,
        Outcome::Passed => true,
    }
}

/// What stands for a result whose statements did not run; of those that were not selected there is none.
fn absent(script: &Script, selection: &Selection, slot: usize) -> Outcome {
    let queries = script.queries.iter().enumerate();
    let mut selected = queries.filter(|(index, query)| query.slot == slot && selection.query(*index));
    selected.next().map_or(Outcome::Passed, |(_, query)| empty_outcome(&query.kind))
}

/// What stands for a statement that did not run.
fn empty_outcome(kind: &QueryKind) -> Outcome {
    match kind {
        QueryKind::One | QueryKind::Maybe => Outcome::Row(Arc::default()),
        QueryKind::Many => Outcome::Rows(Arc::default()),
        QueryKind::List => Outcome::List(Arc::default()),
        QueryKind::Value => Outcome::Value(Value::Null),
        QueryKind::Exec => Outcome::Changed(0),
        QueryKind::Require(_) | QueryKind::With => Outcome::Passed,
    }
}

/// What a `:require` without a row answers.
fn refusal(require: &Require) -> Problem {
    let said = |otherwise: &'static str| match &*require.message {
        "" => otherwise.to_string(),
        message => message.to_string(),
    };
    match require.status {
        402 => Problem::new(Kind::PaymentNeeded, said("This must be paid for first.")),
        403 => Problem::new(Kind::NotAllowed, said("You may not do this.")),
        404 => Problem::new(Kind::NotFound, said("There is nothing at this address.")),
        409 => Problem::new(Kind::Conflict, said("This is not possible now.")),
        _ => Problem::invalid(require.field.clone(), said("This is not possible.")),
    }
}

/// A list as its database takes it: SQLite as the text of a JSON array, for `json_each`.
fn as_list(value: Value, dialect: Dialect) -> Value {
    let items: Arc<[Value]> = match value {
        Value::List(items) => items,
        Value::Null => Arc::from([]),
        single => Arc::from([single]),
    };
    match dialect {
        Dialect::Sqlite => Value::from(serde_json::Value::from_iter(items.iter().map(as_json)).to_string()),
        Dialect::Postgres => Value::List(items),
    }
}

/// An element of a list as JSON. Lists hold what visitors send, so no bytes and no lists.
fn as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => (**text).into(),
        Value::Null | Value::Blob(_) | Value::List(_) => serde_json::Value::Null,
    }
}

/// The results of a run, by the names of the queries.
#[derive(Clone, Debug)]
pub struct Results {
    script: Arc<Script>,
    /// Those of the run: each is there, with the statement that gave it.
    outcomes: Vec<Option<(usize, Outcome)>>,
}

impl Results {
    /// An outcome for each name of the script, all of them there.
    pub(super) fn new(script: Arc<Script>, outcomes: Vec<Option<(usize, Outcome)>>) -> Results {
        Results { script, outcomes }
    }

    /// Whether whatever is made of them is the same. Numbers that are equal but are written otherwise (`-0.0`) differ.
    pub fn are_same(&self, other: &Results) -> bool {
        Arc::ptr_eq(&self.script, &other.script)
            && self.outcomes.len() == other.outcomes.len()
            && self.outcomes().zip(other.outcomes()).all(|(mine, theirs)| mine.is_same(theirs))
    }

    /// Whether they are the results of this script.
    pub(super) fn are_of(&self, script: &Arc<Script>) -> bool {
        Arc::ptr_eq(&self.script, script)
    }

    /// Rows of which a statement would make the result in a slot.
    pub(super) fn rows(&self, slot: usize) -> Rows {
        let one =
            |value: &Value| Rows { columns: [Arc::from("")].into(), cells: vec![value.clone()], ..Rows::default() };
        match self.outcomes().nth(slot) {
            Some(Outcome::Row(rows) | Outcome::Rows(rows) | Outcome::List(rows)) => (**rows).clone(),
            Some(Outcome::Value(value)) => one(value),
            Some(Outcome::Passed) => one(&Value::Null),
            Some(Outcome::Changed(_)) | None => Rows::default(),
        }
    }

    /// What a column holds in the one row that a statement gave; none if it didn't run, or gave no row or several.
    pub fn only_row(&self, statement: usize, column: usize) -> Option<&Value> {
        let (_, outcome) = self.outcomes.iter().flatten().find(|(of, _)| *of == statement)?;
        match outcome {
            Outcome::Row(rows) | Outcome::Rows(rows) if rows.len() == 1 => rows.row(0).get(column),
            _ => None,
        }
    }

    /// About how many bytes of memory they take.
    pub fn bytes(&self) -> u64 {
        let of = |outcome: &Outcome| match outcome {
            Outcome::Row(rows) | Outcome::Rows(rows) | Outcome::List(rows) => rows.cells.iter().map(Value::bytes).sum(),
            Outcome::Value(value) => value.bytes(),
            Outcome::Changed(_) | Outcome::Passed => 0,
        };
        self.outcomes.iter().flatten().map(|(_, outcome)| size_of::<Outcome>() as u64 + of(outcome)).sum()
    }

    /// The result of a name.
    pub fn get(&self, name: &str) -> Option<&Outcome> {
        let slot = self.script.names.iter().position(|known| &**known == name)?;
        self.outcomes().nth(slot)
    }

    /// One for each name of the script.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().flatten().map(|(_, outcome)| outcome)
    }

    /// All results with their names, in the order of the queries, without `:require` and without queries that were not
    /// selected.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Outcome)> {
        self.script.names.iter().zip(self.outcomes()).filter(|(_, outcome)| **outcome != Outcome::Passed)
    }

    /// A column of a one-row result (`login: user.id`); `None` when there is no such row or column.
    pub fn column(&self, name: &str, column: &str) -> Option<&Value> {
        match self.get(name)? {
            Outcome::Row(rows) => rows.cell(0, column),
            _ => None,
        }
    }
}
