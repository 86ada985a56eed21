//! A script of one statement that binds its parameters as they stand, as most pages and data have: it runs without a
//! [`Run`](super::Run), which would copy all that it might need later.

use std::sync::Arc;

use super::run::Results;
use super::script::{Query, Script, Source};
use crate::problem::Problem;
use crate::value::Rows;

impl Script {
    /// Its only statement, if the values of the script's parameters are, in their order, what it binds. Whether it runs
    /// depends on nothing.
    pub fn lone(&self) -> Option<&Query> {
        let [query] = &self.queries[..] else { return None };
        let as_it_stands =
            |index: usize| query.binds[index].source == Source::Parameter(index) && !query.binds[index].list;
        let plain = self.server.is_empty()
            && self.computed.is_empty()
            && !query.is_conditional()
            && query.each.is_none()
            && query.binds.len() == self.parameters.len()
            && (0..query.binds.len()).all(as_it_stands);
        plain.then_some(query)
    }

    /// The results, from the rows of its only statement.
    ///
    /// # Errors
    /// As [`Run::take`](super::Run::take).
    pub fn lone_results(self: &Arc<Self>, query: &Query, rows: Rows) -> Result<Results, Problem> {
        Ok(Results::new(self.clone(), vec![Some((0, query.outcome(rows, 0)?))]))
    }
}
