//! Computed values: `-- @slug = slug(:title)`.

use std::sync::Arc;

use crate::problem::Place;

/// A value that the server computes before the queries run.
#[derive(Clone, Debug)]
pub struct Computed {
    /// The name without its at-sign.
    pub name: Arc<str>,
    /// How it is computed.
    pub expression: Expression,
    /// Where it is declared.
    pub place: Place,
}

/// How a value is computed, from a closed list of functions that give the same on every database.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {}
