//! Which parts of a script a run needs: of the queries, of the server's values, of the computed ones.

use std::sync::Arc;

use super::compute::Computed;
use super::file::QueryKind;
use super::script::{Ask, Query, Script, Source};
use super::server::ServerValue;

/// A subset of a script's queries: those asked for, all that they depend on, and every `:require`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection(Arc<Needs>);

/// A flag for each query, server value and computed value of a script.
#[derive(Debug, Default, PartialEq)]
struct Needs {
    queries: Vec<bool>,
    server: Vec<bool>,
    computed: Vec<bool>,
}

impl Selection {
    /// Whether the query at this place runs.
    pub(super) fn query(&self, index: usize) -> bool {
        self.0.queries.get(index).copied().unwrap_or(false)
    }

    /// Whether the server value at this place is bound or asked by one of the queries.
    pub(super) fn server(&self, index: usize) -> bool {
        self.0.server.get(index).copied().unwrap_or(false)
    }

    /// Whether the computed value at this place is bound or asked by one of the queries, or by another that is.
    pub(super) fn computed(&self, index: usize) -> bool {
        self.0.computed.get(index).copied().unwrap_or(false)
    }
}

impl Script {
    /// The queries of these names with all that they depend on, and every `:require`. Unknown names are left out.
    pub fn select(&self, names: &[&str]) -> Selection {
        self.select_by(|query| names.contains(&&*query.name) || matches!(query.kind, QueryKind::Require(_)))
    }

    /// The queries for which `wanted` holds, with all that they depend on.
    pub(super) fn select_by(&self, wanted: impl Fn(&Query) -> bool) -> Selection {
        let mut needs = Needs {
            queries: self.queries.iter().map(wanted).collect(),
            server: vec![false; self.server.len()],
            computed: vec![false; self.computed.len()],
        };
        // What a query depends on stands before it, and so do the values that a computed one is made of.
        for index in (0..self.queries.len()).rev() {
            if needs.queries[index] {
                self.queries[index].sources(&mut |source| self.need(source, index, &mut needs));
            }
        }
        for index in (0..self.computed.len()).rev() {
            if needs.computed[index] {
                self.computed[index].expression.names(&mut |name, server| {
                    let before = &self.computed[..index];
                    if let (true, Some(other)) = (server, before.iter().position(|value| value.name == *name)) {
                        needs.computed[other] = true;
                    }
                });
            }
        }
        Selection(Arc::new(needs))
    }

    /// Marks what a source of the query at `index` stands on.
    fn need(&self, source: Needed, index: usize, needs: &mut Needs) {
        match source {
            Needed::Source(Source::Server(at)) => needs.server[*at] = true,
            Needed::Source(Source::Computed(at)) => needs.computed[*at] = true,
            Needed::Source(Source::Column(slot, _) | Source::Value(slot) | Source::Changed(slot))
            | Needed::Result(slot) => {
                for (before, query) in self.queries.iter().enumerate().take(index) {
                    needs.queries[before] |= query.slot == *slot;
                }
            }
            Needed::Source(Source::Parameter(_) | Source::Element) => {}
        }
    }
}

/// What a query stands on.
enum Needed<'q> {
    Source(&'q Source),
    /// A slot.
    Result(&'q usize),
}

impl Query {
    /// Calls `see` for everything that the query stands on.
    fn sources<'q>(&'q self, see: &mut dyn FnMut(Needed<'q>)) {
        self.binds.iter().for_each(|bind| see(Needed::Source(&bind.source)));
        self.each.iter().for_each(|source| see(Needed::Source(source)));
        for condition in &self.conditions {
            match &condition.ask {
                Ask::Gave(slot) => see(Needed::Result(slot)),
                Ask::Holds(source) => see(Needed::Source(source)),
                Ask::Given(_) | Ask::Equals(..) => {}
            }
        }
        // Of those that share its name, one that ran before keeps it from running.
        if self.is_conditional() {
            see(Needed::Result(&self.slot));
        }
    }
}

/// The server values that a computed value reads.
pub(super) fn server_values(computed: &Computed) -> Vec<ServerValue> {
    let mut values = Vec::new();
    computed.expression.names(&mut |name, server| {
        if server {
            values.extend(ServerValue::named(name));
        }
    });
    if computed.expression.asks_roles() {
        values.push(ServerValue::Roles);
    }
    values
}
