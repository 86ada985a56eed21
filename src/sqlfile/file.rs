//! A query file as its author wrote it, in parts.

use std::ops::Range;
use std::sync::Arc;

use super::compute::Computed;
use super::directives::Directives;
use super::parameter::Parameter;
use crate::problem::Place;

/// A query file, parsed on its own: what it uses is not joined yet.
#[derive(Clone, Debug)]
pub struct QueryFile {
    /// The file, relative to the site's folder.
    pub path: Arc<str>,
    /// Its text.
    pub source: Arc<str>,
    /// `-- :name type …` lines, in their order.
    pub parameters: Vec<Parameter>,
    /// `-- @name = …` lines, in their order.
    pub computed: Vec<Computed>,
    /// `-- word: …` lines.
    pub directives: Directives,
    /// The named statements, in their order.
    pub statements: Vec<Statement>,
    /// `-- use: …` lines.
    pub uses: Vec<Use>,
    /// Whose SQL it is.
    pub dialect: super::Dialect,
}

impl QueryFile {
    /// The place of a range of its bytes.
    pub(super) fn place(&self, range: &Range<usize>) -> Place {
        Place::of(self.path.clone(), &self.source, range.start, range.end)
    }
}

/// A shared file whose declarations and queries are used.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// Its path in the site, with a leading slash: `/_products.sql`.
    pub file: Arc<str>,
    /// Where it is named.
    pub place: Place,
}

/// A named statement: `-- name: products :many more=20` and the SQL below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Its name.
    pub name: Arc<str>,
    /// What becomes of its rows.
    pub kind: QueryKind,
    /// `when=` and `unless=`; it runs only if all hold.
    pub conditions: Vec<Condition>,
    /// `each=`: the list that it runs over, once per element.
    pub each: Option<Each>,
    /// `more=`: how many rows are kept; one further is read.
    pub more: Option<u32>,
    /// The bytes of its SQL in the file, without the semicolon at its end.
    pub text: Range<usize>,
    /// Its heading.
    pub place: Place,
}

/// What becomes of a statement's rows.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryKind {
    /// Exactly one row; none is "not found", two are a fault of the site.
    One,
    /// The first row, or null.
    Maybe,
    /// All rows.
    Many,
    /// The first column of the first row.
    Value,
    /// The first column of every row.
    List,
    /// Nothing but the number of changed rows.
    Exec,
    /// Without a row everything stops.
    Require(Arc<Require>),
    /// Never run by itself: a table expression for statements that name it.
    With,
}

/// `:require STATUS on=field message`.
#[derive(Clone, Debug, PartialEq)]
pub struct Require {
    /// 402, 403, 404, 409 or 422.
    pub status: u16,
    /// The field that a 422 belongs to; empty for the form as a whole.
    pub field: Arc<str>,
    /// The message for the visitor; empty when the author gave none.
    pub message: Arc<str>,
}

/// `when=…`, or `unless=…` if negated.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Whether it is `unless=`.
    pub negated: bool,
    /// What is asked.
    pub test: Test,
    /// Where it stands.
    pub place: Place,
}

/// What a condition asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `NAME`: that query gave a row (a `:value` one: a value that holds, an `:exec`: it changed a row).
    Query(Arc<str>),
    /// `:name`: the parameter was given; a `bool` is true.
    Given(Arc<str>),
    /// `:name=text`: the parameter has this value.
    Equals(Arc<str>, Arc<str>),
    /// `@name`: the server's or computed value holds.
    Server(Arc<str>),
}

/// `each=:tags` or `each=@tags`.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// The name without `:` or `@`.
    pub name: Arc<str>,
    /// Whether it is an `@name`.
    pub server: bool,
    /// Where it stands.
    pub place: Place,
}
