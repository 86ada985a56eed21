//! The part of PostgreSQL's catalogs that dependencies are told from: tables with all that hangs on them, functions,
//! operators, types. Only what the site made is held, and of PostgreSQL's own functions those that aren't immutable.
//!
//! It is read whole, by one batch of queries, and again when [`FINGERPRINT`] gives something else.

use std::collections::{BTreeSet, HashMap};

use super::nodes::{Facts, Ops};

/// The rows of one query as texts; `None` is null.
pub(super) type Cells = Vec<Vec<Option<String>>>;

/// The first object identifier that isn't PostgreSQL's own.
pub(super) const FIRST: u32 = 16384;

/// Changes with every change of the schema: the versions of all catalog rows that [`QUERIES`] look at.
pub(super) const FINGERPRINT: &str = "select md5(concat(current_setting('search_path'), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_class where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_proc where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_type where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_rewrite where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_trigger), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_constraint where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_attrdef), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_operator where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_cast where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_amproc where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_amop where oid >= 16384), \
    (select string_agg(concat(oid, ' ', xmin), ',' order by oid) from pg_namespace where nspname !~ '^pg_'), \
    (select string_agg(concat(inhrelid, ' ', inhparent, ' ', xmin), ',' order by inhrelid) from pg_inherits)))";

/// What [`Catalog::read`] takes, in this order.
pub(super) const QUERIES: [&str; 12] = [
    // Relations; a table that the search path doesn't lead to is told with its schema.
    "select c.oid, case when pg_table_is_visible(c.oid) then c.relname else n.nspname || '.' || c.relname end, c.relkind, \
     c.relrowsecurity from pg_class c join pg_namespace n on n.oid = c.relnamespace \
     where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')",
    "select inhparent, inhrelid from pg_inherits",
    "select ev_class, ev_type, ev_action::text, ev_qual::text from pg_rewrite where ev_class >= 16384",
    // Those of `triggers.rs` change nothing.
    "select tgrelid, tgname, tgtype, tgfoid, tgqual::text from pg_trigger \
     where tgenabled <> 'D' and tgname !~ '^tableside_tell_[0-9a-f]{8}$'",
    "select confrelid, conrelid, confdeltype, confupdtype from pg_constraint where contype = 'f'",
    // Expressions that run when a row is written.
    "select adrelid, adbin::text from pg_attrdef union all \
     select conrelid, conbin::text from pg_constraint where contype = 'c' and conrelid <> 0 union all \
     select indrelid, indexprs::text from pg_index where indrelid >= 16384 and indexprs is not null union all \
     select indrelid, indpred::text from pg_index where indrelid >= 16384 and indpred is not null",
    "select attrelid, atttypid from pg_attribute \
     where attrelid >= 16384 and atttypid >= 16384 and attnum > 0 and not attisdropped",
    "select p.oid, p.proname, l.lanname, p.provolatile, p.prosqlbody::text, p.proargdefaults::text, e.extname \
     from pg_proc p join pg_language l on l.oid = p.prolang \
     left join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e' \
     left join pg_extension e on e.oid = d.refobjid where p.oid >= 16384",
    "select a.aggfnoid::oid, f.oid from pg_aggregate a cross join lateral unnest(array[aggtransfn::oid, aggfinalfn::oid, \
     aggcombinefn::oid, aggserialfn::oid, aggdeserialfn::oid, aggmtransfn::oid, aggminvtransfn::oid, \
     aggmfinalfn::oid]) as f (oid) where a.aggfnoid >= 16384 and f.oid <> 0",
    "select oid, oprcode::oid from pg_operator where oid >= 16384",
    "select t.oid, t.typtype, t.typbasetype, t.typelem, t.typrelid, c.conbin::text, t.typdefaultbin::text, r.rngsubtype \
     from pg_type t left join pg_constraint c on c.contypid = t.oid and c.conbin is not null \
     left join pg_range r on r.rngtypid = t.oid or r.rngmultitypid = t.oid where t.oid >= 16384",
    // Functions that comparing, ranging and casting to JSON call without their being named anywhere.
    "select f.oid from (select amproc::oid from pg_amproc union select o.oprcode::oid from pg_amop a \
     join pg_operator o on o.oid = a.amopopr union select castfunc from pg_cast where casttarget = 'json'::regtype \
     union select rngcanonical::oid from pg_range union select rngsubdiff::oid from pg_range) f (oid) \
     join pg_proc p on p.oid = f.oid join pg_language l on l.oid = p.prolang \
     where f.oid >= 16384 and l.lanname not in ('c', 'internal')",
];

/// PostgreSQL's own functions that aren't immutable: they are the same as long as the server is.
pub(super) const OWN_FUNCTIONS: &str = "select oid, proname, provolatile from pg_proc where oid < 16384 and provolatile <> 'i' or prorettype = 'trigger'::regtype";

/// A table, a view or a sequence.
#[derive(Debug, Default)]
pub(super) struct Relation {
    /// Its name as a query writes it, without quotes; with the schema if the search path doesn't lead to it.
    pub(super) name: String,
    /// `pg_class.relkind`.
    pub(super) kind: char,
    /// Whether row-level security is on.
    pub(super) row_security: bool,
    /// Its partitions, and the tables that inherit from it.
    pub(super) children: Vec<u32>,
    /// What a view selects.
    pub(super) view: Option<Facts>,
    /// What its other rules do.
    pub(super) rules: Vec<Facts>,
    /// Its triggers that are not off.
    pub(super) triggers: Vec<Trigger>,
    /// The foreign keys that point at it.
    pub(super) referenced_by: Vec<Reference>,
    /// Defaults, checks, generated columns, indexed expressions.
    pub(super) attached: Facts,
}

/// A trigger.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    /// On what it fires.
    pub(super) ops: Ops,
    pub(super) function: u32,
    /// Its `when`.
    pub(super) condition: Facts,
}

/// A foreign key, seen from the table that it points at.
#[derive(Debug)]
pub(super) struct Reference {
    /// The table that holds it.
    pub(super) child: u32,
    /// `pg_constraint.confdeltype`
    pub(super) on_delete: char,
    /// `pg_constraint.confupdtype`
    pub(super) on_update: char,
}

/// A function that the site, or an extension, brought.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) volatility: String,
    /// Its body, if PostgreSQL keeps it parsed.
    pub(super) body: Option<Facts>,
    /// The defaults of its arguments.
    pub(super) defaults: Facts,
    /// The extension that it belongs to.
    pub(super) extension: Option<String>,
    /// For an aggregate: the functions that it is made of.
    pub(super) parts: Vec<u32>,
}

/// A type that the site, or an extension, brought.
#[derive(Debug, Default)]
pub(super) struct Kind {
    /// A domain's checks and default.
    pub(super) checks: Facts,
    /// The types that its texts hold: of a domain's base, an array's elements, a range's bounds.
    pub(super) inner: BTreeSet<u32>,
    /// For a composite type: its relation, whose columns it has.
    pub(super) relation: u32,
}

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) relations: HashMap<u32, Relation>,
    pub(super) functions: HashMap<u32, Function>,
    /// The functions behind operators.
    pub(super) operators: HashMap<u32, u32>,
    pub(super) types: HashMap<u32, Kind>,
    /// The types of columns that aren't PostgreSQL's own, by table.
    pub(super) column_types: HashMap<u32, BTreeSet<u32>>,
    /// Functions that may be called without being named.
    pub(super) hidden: BTreeSet<u32>,
    /// Names and volatilities of [`OWN_FUNCTIONS`].
    pub(super) own_functions: HashMap<u32, (String, String)>,
}

impl Catalog {
    /// The catalog of what [`QUERIES`] and [`OWN_FUNCTIONS`] gave.
    pub(super) fn read(results: &[Cells], own_functions: &Cells) -> Catalog {
        let mut catalog = Catalog::default();
        let rows = |index: usize| results.get(index).into_iter().flatten().map(|cells| Row(cells));
        rows(0).for_each(|row| catalog.relation(&row));
        rows(1).for_each(|row| catalog.with_relation(&row, |relation| relation.children.push(row.id(1))));
        rows(2).for_each(|row| catalog.with_relation(&row, |relation| relation.rule(&row)));
        rows(3).for_each(|row| catalog.with_relation(&row, |relation| relation.triggers.push(trigger(&row))));
        rows(4).for_each(|row| catalog.with_relation(&row, |relation| relation.referenced_by.push(reference(&row))));
        rows(5).for_each(|row| catalog.with_relation(&row, |relation| relation.attached.read(row.text(1))));
        for row in rows(6) {
            catalog.column_types.entry(row.id(0)).or_default().insert(row.id(1));
        }
        rows(7).for_each(|row| catalog.function(&row));
        for row in rows(8) {
            catalog.functions.entry(row.id(0)).or_default().parts.push(row.id(1));
        }
        catalog.operators.extend(rows(9).map(|row| (row.id(0), row.id(1))));
        rows(10).for_each(|row| catalog.kind(&row));
        catalog.hidden.extend(rows(11).map(|row| row.id(0)));
        let own = own_functions.iter().map(|cells| Row(cells));
        catalog.own_functions.extend(own.map(|row| (row.id(0), (row.text(1).to_string(), row.text(2).to_string()))));
        catalog
    }

    fn relation(&mut self, row: &Row<'_>) {
        let relation = Relation {
            name: row.text(1).to_string(),
            kind: row.letter(2),
            row_security: row.text(3) == "t",
            ..Relation::default()
        };
        self.relations.insert(row.id(0), relation);
    }

    fn with_relation(&mut self, row: &Row<'_>, change: impl FnOnce(&mut Relation)) {
        if let Some(relation) = self.relations.get_mut(&row.id(0)) {
            change(relation);
        }
    }

    fn function(&mut self, row: &Row<'_>) {
        let function = Function {
            name: row.text(1).to_string(),
            volatility: row.text(3).to_string(),
            body: row.0.get(4).cloned().flatten().filter(|_| row.text(2) == "sql").map(|tree| Facts::of(&tree)),
            defaults: Facts::of(row.text(5)),
            extension: row.0.get(6).cloned().flatten(),
            parts: Vec::new(),
        };
        self.functions.insert(row.id(0), function);
    }

    /// A type has a row for each check.
    fn kind(&mut self, row: &Row<'_>) {
        let kind = self.types.entry(row.id(0)).or_default();
        kind.checks.read(row.text(5));
        kind.checks.read(row.text(6));
        kind.inner.extend([row.id(2), row.id(3), row.id(7)].into_iter().filter(|inner| *inner != 0));
        kind.relation = row.id(4);
    }
}

impl Relation {
    fn rule(&mut self, row: &Row<'_>) {
        let mut facts = Facts::of(row.text(2));
        facts.read(row.text(3));
        match row.text(1) {
            "1" => self.view = Some(facts),
            _ => self.rules.push(facts),
        }
    }
}

fn trigger(row: &Row<'_>) -> Trigger {
    Trigger {
        name: row.text(1).to_string(),
        ops: row.text(2).parse::<i16>().map_or(super::nodes::ANY, |bits| bits as Ops & super::nodes::ANY),
        function: row.id(3),
        condition: Facts::of(row.text(4)),
    }
}

fn reference(row: &Row<'_>) -> Reference {
    Reference { child: row.id(1), on_delete: row.letter(2), on_update: row.letter(3) }
}

/// One row of a result.
struct Row<'r>(&'r [Option<String>]);

impl Row<'_> {
    /// A cell; null and a cell that isn't there are empty.
    fn text(&self, index: usize) -> &str {
        self.0.get(index).and_then(Option::as_deref).unwrap_or("")
    }

    fn letter(&self, index: usize) -> char {
        self.text(index).chars().next().unwrap_or(' ')
    }

    /// An object identifier; 0 for none.
    fn id(&self, index: usize) -> u32 {
        self.text(index).parse().unwrap_or(0)
    }
}
