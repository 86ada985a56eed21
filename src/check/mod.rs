//! Finds every fault of a site before a visitor does: its SQL against the migrated schema, its templates against what
//! the SQL gives, its links against its routes.

mod access;
mod addresses;
mod caching;
mod differences;
mod links;
mod lock;
mod providers;
mod queries;
mod rows;
mod served;
mod templates;
mod users;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::database::{Database, Description, Tables};
use crate::problem::{Fault, Level, Place};
use crate::site::policy::Policy;
use crate::site::{Endpoint, Site};
use crate::sqlfile::{Dialect, Script};

pub use lock::lock;
pub use served::{Served, served};

/// Every fault that shows only with a schema, in the order of the files, each once.
pub fn check(site: &Site, schema: &Database) -> Vec<Fault> {
    let mut faults = Vec::new();
    let known = queries::describe(site, schema, &mut faults);
    queries::tell_writes(site, &known);
    queries::tell_reads(site, &known);
    templates::check(site, &known, &mut faults);
    links::check(site, &mut faults);
    access::check(site, &mut faults);
    caching::check(site, &mut faults);
    lock::check(site, &mut faults);
    providers::check(site, &mut faults);
    rows::check(site, schema, &known, &mut faults);
    users::check(site, &known, &mut faults);
    in_order(faults)
}

/// The faults of the access rules alone, which need no schema.
pub fn rules(site: &Site) -> Vec<Fault> {
    let mut faults = Vec::new();
    access::check(site, &mut faults);
    in_order(faults)
}

/// What differs between the databases in texts that run on both, of a site that is checked for PostgreSQL, and what is
/// unusual about the database.
pub fn differences(site: &Site, schema: &Database) -> Vec<Fault> {
    let Some(keeper) = schema.keeper() else { return Vec::new() };
    let mut faults = Vec::new();
    faults.extend(unusual_order(&keeper.server().collation));
    differences::check(site, &keeper.tables(), &|table| keeper.nullable(table), &mut faults);
    in_order(faults)
}

/// A warning about a database of PostgreSQL that doesn't sort texts as SQLite does; also for the start of a server.
pub fn unusual_order(collation: &str) -> Option<Fault> {
    if matches!(collation, "C" | "POSIX" | "C.UTF-8" | "C.utf8") {
        return None;
    }
    let message = format!("the database sorts texts by the rules of {collation}, SQLite by their characters");
    let help = "make the database with `create database … template template0 lc_collate 'C'`";
    Some(Fault { level: Level::Warning, ..Fault::everywhere(message).help(help) })
}

/// What to do about an error that a migration met on a database; empty when there is nothing to say.
pub fn help_for(dialect: Dialect, fault: &Fault) -> String {
    let Some(place) = fault.place.as_ref().filter(|_| dialect == Dialect::Postgres) else { return String::new() };
    let offset = place.text.char_indices().nth(place.column as usize - 1).map(|(at, _)| at);
    differences::help(&place.text, &fault.message, offset)
}

/// The faults that reading a folder found and those that checking it found, as one list in the order of the files.
/// What only follows from a fault that was told already is left out: an error at the same place, and warnings about a
/// file that could not be read whole.
pub fn joined(read: Vec<Fault>, checked: Vec<Fault>) -> Vec<Fault> {
    let broken: Vec<Place> =
        read.iter().filter(|fault| fault.level == Level::Error).filter_map(|fault| fault.place.clone()).collect();
    let follows = |fault: &Fault| {
        let Some(place) = &fault.place else { return false };
        broken.iter().any(|known| match fault.level {
            Level::Error => (&known.file, known.line, known.column) == (&place.file, place.line, place.column),
            Level::Warning => known.file == place.file,
        })
    };
    let new = checked.into_iter().filter(|fault| !follows(fault)).collect::<Vec<_>>();
    in_order(read.into_iter().chain(new).collect())
}

/// Each fault once, by file and line.
fn in_order(faults: Vec<Fault>) -> Vec<Fault> {
    let mut seen = HashSet::new();
    let mut faults: Vec<Fault> = faults
        .into_iter()
        .filter(|fault| {
            let place = fault.place.as_ref().map(|place| (place.file.clone(), place.line, place.column));
            seen.insert((place, fault.message.clone()))
        })
        .collect();
    faults.sort_by_key(|fault| fault.place.as_ref().map(|place| (place.file.clone(), place.line, place.column)));
    faults
}

/// One line of `tableside routes`.
#[derive(Clone, Debug)]
pub struct RouteLine {
    /// The address pattern.
    pub route: String,
    /// `GET`, `POST` …, or `VISIT`.
    pub method: &'static str,
    /// Who may: `everyone`, or what the rules say.
    pub who: String,
    /// The tables that it reads.
    pub reads: Tables,
    /// The tables that it writes.
    pub writes: Tables,
    /// Why tables are unknown, such as `calls f()`.
    pub because: Vec<String>,
    /// What it takes: `:name type`.
    pub parameters: Vec<String>,
    /// What answers: the file, below the site's folder.
    pub file: String,
}

impl RouteLine {
    /// Whether it is one of the server's own pages.
    pub fn is_builtin(&self) -> bool {
        self.file.starts_with(crate::builtin::ROOT)
    }
}

/// What is served at each route, and which tables it reads and writes.
pub fn routes(site: &Site, schema: &Database) -> Vec<RouteLine> {
    let known = queries::describe(site, schema, &mut Vec::new());
    let mut lines = Vec::new();
    for endpoint in &site.endpoints {
        let line = |method: &'static str, scripts: &[Arc<Script>], file: &str| RouteLine {
            route: endpoint.pattern.to_string(),
            method,
            who: who(endpoint, method),
            reads: union(scripts, &known, |description| &description.reads),
            writes: union(scripts, &known, |description| &description.writes),
            because: reasons(scripts, &known),
            parameters: parameters(scripts),
            file: file.to_string(),
        };
        if let Some(page) = &endpoint.page {
            lines.push(line("GET", &page.scripts, &page.file));
        }
        for (_, data) in &endpoint.data {
            lines.push(line("GET", std::slice::from_ref(&data.script), &data.script.path));
        }
        if let Some(visit) = &endpoint.visit {
            lines.push(line("VISIT", std::slice::from_ref(&visit.script), &visit.script.path));
        }
        for (method, action) in &endpoint.actions {
            lines.push(line(method.name(), std::slice::from_ref(&action.script), &action.script.path));
        }
    }
    lines
}

/// Who may, by the rules of a route.
fn who(endpoint: &Endpoint, method: &str) -> String {
    Policy::of(&endpoint.rules, served::asked(method)).to_string()
}

fn union(scripts: &[Arc<Script>], known: &queries::Known, pick: impl Fn(&Description) -> &Tables) -> Tables {
    let mut tables = Tables::none();
    for script in scripts {
        for index in 0..script.queries.len() {
            match known.get(script, index) {
                Some(description) => tables.add(pick(description)),
                None => tables.add(&Tables::Unknown),
            }
        }
    }
    tables
}

fn reasons(scripts: &[Arc<Script>], known: &queries::Known) -> Vec<String> {
    let queries = scripts.iter().flat_map(|script| (0..script.queries.len()).filter_map(|at| known.get(script, at)));
    let reasons: BTreeSet<&String> = queries.map(|description| &description.because).collect();
    reasons.into_iter().filter(|reason| !reason.is_empty()).cloned().collect()
}

fn parameters(scripts: &[Arc<Script>]) -> Vec<String> {
    let all = scripts.iter().flat_map(|script| &script.parameters);
    let mut list: Vec<String> = Vec::new();
    for parameter in all {
        let text = format!(":{} {}", parameter.name, parameter.kind.name());
        if !list.contains(&text) {
            list.push(text);
        }
    }
    list
}
