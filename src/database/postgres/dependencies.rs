//! What a statement reads and writes on PostgreSQL: from what its parsed tree names to every table that may be touched,
//! through views, rules, triggers, foreign keys, partitions and functions.
//!
//! More tables than are touched is fine, fewer never. Where the catalogs don't tell, the answer is [`Tables::Unknown`]
//! with the reason: functions whose bodies are texts, row-level security, foreign tables, PostgreSQL's own tables.
//! Looking up a foreign key's other table is not told, as SQLite doesn't tell it either: it decides whether a write
//! succeeds, not what it gives.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::catalog::{Catalog, FIRST, Relation};
use super::functions::{self, Nature};
use super::nodes::{ANY, DELETE, Facts, Ops, UPDATE};
use crate::database::Tables;

/// What is known of a statement.
#[derive(Debug)]
pub(super) struct Dependencies {
    /// See [`crate::database::Description::reads`].
    pub(super) reads: Tables,
    /// See [`crate::database::Description::writes`].
    pub(super) writes: Tables,
    /// See [`crate::database::Description::impure`].
    pub(super) impure: BTreeSet<String>,
    /// Whether it may tell the time.
    pub(super) clock: bool,
    /// Why tables are unknown; empty when they are known.
    pub(super) because: String,
}

impl Dependencies {
    /// Of a statement of which nothing is known.
    pub(super) fn unknown(because: impl Into<String>) -> Dependencies {
        let (reads, writes) = (Tables::Unknown, Tables::Unknown);
        Dependencies { reads, writes, impure: BTreeSet::new(), clock: true, because: because.into() }
    }

    /// Of a statement whose tree names these things.
    pub(super) fn of(facts: &Facts, catalog: &Catalog) -> Dependencies {
        let mut walk = Walk::new(catalog);
        walk.facts(facts);
        for function in &catalog.hidden {
            walk.call(*function);
        }
        let known =
            |names: BTreeSet<String>, unknown: bool| if unknown { Tables::Unknown } else { Tables::Known(names) };
        Dependencies {
            reads: known(walk.reads, walk.unknown_reads),
            writes: known(walk.writes, walk.unknown_writes),
            impure: walk.impure,
            clock: walk.clock,
            because: walk.because,
        }
    }
}

/// Goes through everything that a statement sets off, each thing once.
struct Walk<'c> {
    catalog: &'c Catalog,
    reads: BTreeSet<String>,
    writes: BTreeSet<String>,
    impure: BTreeSet<String>,
    clock: bool,
    unknown_reads: bool,
    unknown_writes: bool,
    because: String,
    /// What was gone through already.
    read: HashSet<u32>,
    written: HashMap<u32, Ops>,
    called: HashSet<u32>,
    typed: HashSet<u32>,
}

impl<'c> Walk<'c> {
    fn new(catalog: &'c Catalog) -> Walk<'c> {
        Walk {
            catalog,
            reads: BTreeSet::new(),
            writes: BTreeSet::new(),
            impure: BTreeSet::new(),
            clock: false,
            unknown_reads: false,
            unknown_writes: false,
            because: String::new(),
            read: HashSet::new(),
            written: HashMap::new(),
            called: HashSet::new(),
            typed: HashSet::new(),
        }
    }

    /// Nothing more is known; the first reason is told.
    fn lost(&mut self, because: impl FnOnce() -> String) {
        if self.because.is_empty() {
            self.because = because();
        }
        (self.unknown_reads, self.unknown_writes) = (true, true);
    }

    fn facts(&mut self, facts: &Facts) {
        if let Some(node) = &facts.unknown {
            self.lost(|| format!("uses {node}"));
        }
        self.clock |= facts.clock;
        if facts.counts {
            self.impure.insert("nextval".into());
        }
        facts.reads.iter().for_each(|table| self.read(*table));
        facts.writes.iter().for_each(|(table, ops)| self.write(*table, *ops));
        facts.functions.iter().for_each(|function| self.call(*function));
        for operator in &facts.operators {
            if let Some(function) = self.catalog.operators.get(operator) {
                self.call(*function);
            }
        }
        facts.types.iter().for_each(|kind| self.convert(*kind));
    }

    /// A table or view; `None` for PostgreSQL's own, after they were taken for unknown.
    fn relation(&mut self, id: u32) -> Option<&'c Relation> {
        let relation = self.catalog.relations.get(&id);
        match relation {
            None => self.lost(|| "uses a table of PostgreSQL itself".into()),
            Some(relation) if relation.row_security => {
                self.lost(|| format!("{} has row-level security", relation.name));
            }
            Some(_) => {}
        }
        relation
    }

    fn read(&mut self, id: u32) {
        if !self.read.insert(id) {
            return;
        }
        let Some(relation) = self.relation(id) else { return };
        match relation.kind {
            'r' | 'p' => {
                self.reads.insert(relation.name.clone());
            }
            // It shows its tables as they were when it was refreshed, so it stands for itself.
            'm' => {
                self.reads.insert(relation.name.clone());
                return;
            }
            'v' => {}
            'S' => self.lost(|| format!("reads the sequence {}", relation.name)),
            _ => self.lost(|| format!("{} is a foreign table", relation.name)),
        }
        relation.children.iter().for_each(|child| self.read(*child));
        relation.view.iter().for_each(|view| self.facts(view));
    }

    fn write(&mut self, id: u32, ops: Ops) {
        let before = self.written.get(&id).copied().unwrap_or(0);
        if before & ops == ops {
            return;
        }
        let Some(relation) = self.relation(id) else { return };
        // A changed row may move to another partition.
        let ops = if relation.kind == 'p' && ops & UPDATE != 0 { ANY } else { ops };
        self.written.insert(id, before | ops);
        match relation.kind {
            'r' | 'p' => {
                self.writes.insert(relation.name.clone());
            }
            'v' => {}
            _ => self.lost(|| format!("writes {}, which is no table", relation.name)),
        }
        relation.children.iter().for_each(|child| self.write(*child, ops));
        self.facts(&relation.attached);
        for kind in self.catalog.column_types.get(&id).into_iter().flatten() {
            self.convert(*kind);
        }
        relation.rules.iter().for_each(|rule| self.facts(rule));
        // A simple view passes the write on to its table.
        for table in relation.view.iter().flat_map(|view| &view.reads).filter(|table| **table != id) {
            self.write(*table, ops);
        }
        self.triggers(relation, ops);
        self.references(relation, ops);
    }

    fn triggers(&mut self, relation: &'c Relation, ops: Ops) {
        for trigger in relation.triggers.iter().filter(|trigger| trigger.ops & ops != 0) {
            self.facts(&trigger.condition);
            let own = self.catalog.own_functions.get(&trigger.function);
            if own.is_some_and(|(name, _)| functions::is_harmless_trigger(name)) {
                continue;
            }
            let function = self.catalog.functions.get(&trigger.function).map(|function| &function.name);
            let name = own.map(|(name, _)| name).or(function).map_or("?", String::as_str);
            self.lost(|| format!("the trigger {} of {} calls {name}()", trigger.name, relation.name));
        }
    }

    /// The actions of the foreign keys that point here.
    fn references(&mut self, relation: &'c Relation, ops: Ops) {
        for reference in &relation.referenced_by {
            let action = |letter: char| match letter {
                'c' => Some(true),
                'n' | 'd' => Some(false),
                _ => None,
            };
            if ops & DELETE != 0 {
                match action(reference.on_delete) {
                    Some(true) => self.write(reference.child, DELETE),
                    Some(false) => self.write(reference.child, UPDATE),
                    None => {}
                }
            }
            if ops & UPDATE != 0 && action(reference.on_update).is_some() {
                self.write(reference.child, UPDATE);
            }
        }
    }

    fn call(&mut self, id: u32) {
        if !self.called.insert(id) {
            return;
        }
        if id < FIRST {
            // One that isn't held is immutable.
            let Some((name, volatility)) = self.catalog.own_functions.get(&id) else { return };
            if volatility != "i" {
                self.nature(functions::own(name), name);
            }
            return;
        }
        let Some(function) = self.catalog.functions.get(&id) else {
            return self.lost(|| "calls a function that is not known".into());
        };
        self.facts(&function.defaults);
        if !function.parts.is_empty() {
            function.parts.iter().for_each(|part| self.call(*part));
        } else if let Some(body) = &function.body {
            self.facts(body);
        } else {
            let extension = function.extension.as_deref().unwrap_or("");
            self.nature(functions::of_extension(extension, &function.volatility), &function.name);
        }
    }

    fn nature(&mut self, nature: Nature, name: &str) {
        match nature {
            Nature::Pure => {}
            Nature::Clock => self.clock = true,
            Nature::Impure => drop(self.impure.insert(name.to_string())),
            Nature::Opaque => {
                self.impure.insert(name.to_string());
                self.lost(|| format!("calls {name}()"));
            }
        }
    }

    /// A value is made of this type from a text, or checked against its rules.
    fn convert(&mut self, id: u32) {
        self.clock |= functions::is_time(id);
        if !self.typed.insert(id) {
            return;
        }
        let Some(kind) = self.catalog.types.get(&id) else { return };
        self.facts(&kind.checks);
        let columns = self.catalog.column_types.get(&kind.relation).into_iter().flatten();
        kind.inner.iter().chain(columns).for_each(|inner| self.convert(*inner));
        // Of a composite type only the columns of its own kinds are held; the others may be times.
        self.clock |= kind.relation != 0;
    }
}
