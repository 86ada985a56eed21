//! A script: a query file joined with the files that it uses, every statement ready for the database.

use std::sync::Arc;

use super::arguments::Arguments;
use super::compute::{Computed, Expression, Function};
use super::dialect::Dialect;
use super::directives::Directives;
use super::file::{QueryFile, QueryKind};
use super::parameter::Parameter;
use super::selection::Selection;
use super::server::{ServerValue, Surroundings};
use crate::problem::{Place, Problem};
use crate::value::{Declared, Value};

/// What a page, an action or a job runs.
#[derive(Clone, Debug)]
pub struct Script {
    /// The query file, relative to the site's folder.
    pub path: Arc<str>,
    /// All parameters: those of the path first, in the order of the route. [`Arguments`](super::Arguments) hold one
    /// value for each, in this order.
    pub parameters: Vec<Parameter>,
    /// Computed values in the order of their computing.
    pub computed: Vec<Computed>,
    /// The directives of the file itself; `error:` also from the files that it uses.
    pub directives: Directives,
    /// The statements in the order of their running; `:with` ones stand inside those that name them.
    pub queries: Vec<Query>,
    /// The names of results: the query names without repetition. [`Query::slot`] points into it.
    pub names: Vec<Arc<str>>,
    /// Every server value that binding, computing or conditions read, in the order of their first use.
    pub server: Vec<ServerValue>,
    /// Whether a computed value depends on the time of the request (beside [`ServerValue::Now`]).
    pub reads_time: bool,
    /// Whose SQL the statements are in.
    pub dialect: Dialect,
    /// The places of the file's own parameters that nothing in it uses.
    pub(super) unused: Vec<usize>,
    /// All queries.
    pub(super) whole: Selection,
}

impl Script {
    /// The problem of a value that converts, but that the database can't take: a number out of the column's range.
    /// `bind` is the place of its placeholder, where the database tells it; `cause` is the database's message.
    ///
    /// The kinds are those of [`Script::arguments`]; a value that comes from no visitor is a fault of the site.
    pub fn refused_value(&self, query: usize, bind: Option<usize>, cause: String) -> Problem {
        let query = &self.queries[query];
        let binds = query.binds.iter().enumerate().filter(|(index, _)| bind.is_none_or(|bind| bind == *index));
        let mut behind: Vec<&Parameter> = Vec::new();
        for (_, bind) in binds {
            let source = match (&bind.source, &query.each) {
                (Source::Element, Some(list)) => list,
                (source, _) => source,
            };
            self.parameters_behind(source, &mut |parameter| behind.push(parameter));
        }
        behind.dedup_by_key(|parameter| &parameter.name);
        let problem = match behind[..] {
            [] => return Problem::broken(cause).at(query.place.clone()),
            _ if behind.iter().all(|parameter| parameter.from_path) => Problem::not_found(),
            [parameter] => Problem::invalid(parameter.name.clone(), "This value can't be used here."),
            _ => Problem::invalid("", "One of these values can't be used here."),
        };
        problem.caused_by(cause).at(query.place.clone())
    }

    /// The computed values that are worked out before the transaction: their places, what works them out, and with what.
    ///
    /// # Errors
    /// An argument that can't be computed.
    pub fn proofs(
        &self,
        arguments: &Arguments,
        around: &dyn Surroundings,
    ) -> Result<Vec<(usize, Function, Vec<Value>)>, Problem> {
        let mut computed = Vec::with_capacity(self.computed.len());
        let mut proofs = Vec::new();
        for (index, value) in self.computed.iter().enumerate() {
            if let Expression::Call(function, inputs) = &value.expression
                && function.is_proof()
            {
                let inputs = inputs.iter().map(|input| input.value(self, arguments, &computed, around));
                proofs.push((index, *function, inputs.collect::<Result<_, _>>()?));
            }
            computed.push(value.expression.value(self, arguments, &computed, around)?);
        }
        Ok(proofs)
    }

    /// Whether it asks who the visitor is, so that this must be known before it runs.
    pub fn asks_who(&self) -> bool {
        use ServerValue::{Roles, SessionId, UserId, Visitor};
        self.server.iter().any(|value| matches!(value, UserId | SessionId | Visitor | Roles))
    }

    /// Whether any of its values is worked out before the transaction.
    pub fn has_proofs(&self) -> bool {
        self.computed.iter().any(|value| value.expression.is_proof())
    }

    /// Whether one of its statements is a `:require`.
    pub fn has_requires(&self) -> bool {
        self.queries.iter().any(|query| matches!(query.kind, QueryKind::Require(_)))
    }

    /// Whether it is what somebody does who comes back from a provider of logins: a GET runs it.
    pub fn is_return(&self) -> bool {
        let is_it = |value: &Computed| matches!(value.expression, Expression::Call(Function::ProviderUser, _));
        self.computed.iter().any(is_it)
    }

    /// Whether it sends visitors to a provider of logins, or takes them back.
    pub fn asks_provider(&self) -> bool {
        let is_it = |value: &Computed| {
            matches!(value.expression, Expression::Call(Function::AskProvider | Function::ProviderUser, _))
        };
        self.computed.iter().any(is_it)
    }

    /// Calls `see` for each parameter that a source's value is made of.
    fn parameters_behind<'s>(&'s self, source: &Source, see: &mut dyn FnMut(&'s Parameter)) {
        match source {
            Source::Parameter(index) => self.parameters.get(*index).into_iter().for_each(see),
            Source::Computed(index) => {
                let mut others = Vec::new();
                self.computed[*index].expression.names(&mut |name, server| {
                    if !server {
                        self.parameter(name).into_iter().for_each(&mut *see);
                    } else if let Some(other) = self.computed[..*index].iter().position(|value| value.name == *name) {
                        others.push(Source::Computed(other));
                    }
                });
                others.iter().for_each(|other| self.parameters_behind(other, see));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
impl Script {
    /// A script without anything.
    pub(super) fn empty() -> Script {
        Script {
            path: "".into(),
            parameters: Vec::new(),
            computed: Vec::new(),
            directives: Directives::default(),
            queries: Vec::new(),
            names: Vec::new(),
            server: Vec::new(),
            reads_time: false,
            dialect: Dialect::Sqlite,
            unused: Vec::new(),
            whole: Selection::default(),
        }
    }
}

/// One statement, ready to be prepared.
#[derive(Clone, Debug)]
pub struct Query {
    /// Its name; several may share one, each under a condition.
    pub name: Arc<str>,
    /// What becomes of its rows; never [`QueryKind::With`].
    pub kind: QueryKind,
    /// `more=`: how many rows are kept.
    pub more: Option<usize>,
    /// The SQL with `?1` or `$1` placeholders.
    pub sql: Arc<str>,
    /// What each placeholder takes, in their order.
    pub binds: Vec<Bind>,
    /// The kind of value that each of them is declared to take.
    pub kinds: Box<[Declared]>,
    /// The place of its result in [`Script::names`].
    pub slot: usize,
    /// Its heading.
    pub place: Place,
    /// Under which conditions it runs.
    pub(super) conditions: Vec<When>,
    /// The list that it runs over.
    pub(super) each: Option<Source>,
    /// From bytes of `sql` to the files.
    pub(super) map: SourceMap,
}

impl Query {
    /// The place in the author's files that a byte of [`Query::sql`] comes from.
    pub fn place_of(&self, offset: usize) -> Place {
        self.map.place(offset).unwrap_or_else(|| self.place.clone())
    }

    /// Whether it runs under a condition, so that its result may be empty although its kind says otherwise.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }
}

/// What one placeholder takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Bind {
    /// Where the value comes from.
    pub source: Source,
    /// Whether it is a list; SQLite takes it as the text of a JSON array.
    pub list: bool,
    /// The byte of [`Query::sql`] where the placeholder stands first, for [`Query::place_of`].
    pub at: usize,
}

/// Where a bound value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A place in [`Script::parameters`].
    Parameter(usize),
    /// A place in [`Script::server`].
    Server(usize),
    /// A place in [`Script::computed`].
    Computed(usize),
    /// The element of an `each=` loop.
    Element,
    /// A column of an earlier one-row result: its slot and the column's name.
    Column(usize, Arc<str>),
    /// The value of an earlier `:value` result.
    Value(usize),
    /// How many rows an earlier `:exec` changed.
    Changed(usize),
}

/// A condition with its names resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct When {
    pub(super) negated: bool,
    pub(super) ask: Ask,
}

/// What a resolved condition asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ask {
    /// The result in the slot gave a row.
    Gave(usize),
    /// The parameter was given.
    Given(usize),
    /// The parameter has this value.
    Equals(usize, Value),
    /// The value holds.
    Holds(Source),
}

/// From bytes of a statement's SQL to the bytes of the files that it was made of.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceMap {
    pub(super) pieces: Vec<Piece>,
}

impl SourceMap {
    /// The place that a byte of the SQL comes from: the word that begins there.
    pub(super) fn place(&self, offset: usize) -> Option<Place> {
        let piece = self.pieces.iter().rev().find(|piece| piece.at <= offset)?;
        let source = &piece.file.source;
        if piece.fixed {
            return Some(Place::of(piece.file.path.clone(), source, piece.from, piece.to));
        }
        let from = (piece.from + (offset - piece.at)).min(piece.to);
        let rest = source.get(from..piece.to).unwrap_or("");
        let width = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        Some(Place::of(piece.file.path.clone(), source, from, from + width.max(1)))
    }
}

/// A stretch of SQL: from `at` to the next piece it comes from `file`, from byte `from`; if `fixed`, all of it stands
/// for the one token there.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) at: usize,
    pub(super) file: Arc<QueryFile>,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) fixed: bool,
}
