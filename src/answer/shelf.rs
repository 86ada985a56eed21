//! Rows of single statements that are taken from what is kept, so that a page is made of them and of what is asked now.
//!
//! All of a page's rows must be those of one snapshot. The page took its counts before its snapshot began. Kept rows with
//! the same counts, which still hold after the page's last query, are what that snapshot holds, whether they were read
//! before or after it began: nobody has committed a change of their tables in between. If they don't hold any more, all is
//! asked again without them.
//!
//! This is for statements that take long, on an embedded database. Looking up what is asked in a few microseconds saves
//! nothing. On a server the statements of a page travel together, and what another node has written is known a moment
//! later only, which rows of one snapshot may not be.

use std::sync::Arc;
use std::time::Duration;

use super::reading::{Ended, limit, placed};
use super::times::Times;
use super::{Keep, Tools};
use crate::cache::Key;
use crate::cache::rows::{Shelf, Shelved, key};
use crate::database::Queries;
use crate::database::versions::{Stamp, Versions};
use crate::site::keeping::{Keeping, Statement, Statements};
use crate::sqlfile::{Call, Run};
use crate::value::Rows;

/// The rows of a statement that usually takes as long as this are kept: some fifty times what it takes to look it up.
const LONG: Duration = Duration::from_micros(50);

/// What a script's statements may be taken from.
#[derive(Clone, Debug)]
pub(super) struct Lent {
    shelf: Arc<Shelf>,
    versions: Arc<Versions>,
    statements: Arc<Statements>,
    /// The script's place among the page's.
    script: usize,
    generation: u64,
    /// The counts of all the page's tables, taken before anything was read.
    stamp: Stamp,
}

impl Lent {
    /// For one script of a page; `None` where everything is asked anew.
    pub(super) fn to(tools: &Tools<'_>, keeping: &Keeping, keep: &Keep, script: usize) -> Option<Lent> {
        let (Keep::Yes { stamp, by_rows: true, .. }, Some(database)) = (keep, tools.database) else { return None };
        let statements = keeping.statements().filter(|_| database.is_embedded())?;
        Some(Lent {
            shelf: tools.shelf.clone(),
            versions: database.versions().clone(),
            statements: statements.clone(),
            script,
            generation: tools.site.generation,
            stamp: stamp.clone(),
        })
    }
}

/// What was taken for a page, and what it adds.
#[derive(Debug, Default)]
pub(super) struct Taken {
    used: Vec<(Arc<Shelved>, Arc<Versions>)>,
    asked: Vec<(Key, Shelved, Arc<Shelf>)>,
}

impl Taken {
    /// Whether what was taken is still what the database holds.
    pub(super) fn holds(&self) -> bool {
        self.used.iter().all(|(shelved, versions)| versions.holds(&shelved.stamp))
    }

    /// Keeps what was asked.
    pub(super) fn keep(self) {
        self.asked.into_iter().for_each(|(key, shelved, shelf)| shelf.keep(key, shelved));
    }

    /// Rows that are kept, as they were when the page took its counts.
    fn find(&mut self, lent: &Lent, key: &Key) -> Option<Rows> {
        let shelved = lent.shelf.find(key).filter(|shelved| lent.stamp.agrees_with(&shelved.stamp))?;
        let rows = shelved.rows.clone();
        self.used.push((shelved, lent.versions.clone()));
        Some(rows)
    }

    fn add(&mut self, lent: &Lent, statement: &Statement, key: Key, rows: &Rows) {
        if let Some(stamp) = lent.stamp.part(statement.tables(&lent.versions)) {
            self.asked.push((key, Shelved { rows: rows.clone(), stamp }, lent.shelf.clone()));
        }
    }
}

/// Runs a script to its end, statement after statement, with what is kept of them.
pub(super) async fn drive(
    queries: &mut impl Queries,
    run: &mut Run,
    lent: &Lent,
    taken: &mut Taken,
    times: &mut Times,
) -> Result<(), Ended> {
    let script = run.script().clone();
    while let Some(call) = run.next() {
        let index = call.query;
        let name = &script.queries[index].name;
        let statement = lent.statements.get(lent.script, index);
        let known = statement.filter(|statement| statement.is_long()).map(|statement| key_of(lent, statement, &call));
        if let Some(rows) = known.as_ref().and_then(|key| taken.find(lent, key)) {
            times.end(&format!("{name} (kept)").into());
            run.take(rows)?;
            continue;
        }
        let rows = queries.run(call.sql, call.kinds, call.binds, limit(call.limit)).await;
        let rows = rows.map_err(|failure| placed(failure, &script, index))?;
        let took = times.end(name);
        statement.iter().for_each(|statement| statement.note(took.as_nanos() / LONG.as_nanos()));
        if let Some(statement) = statement.filter(|statement| statement.is_long()) {
            taken.add(lent, statement, known.unwrap_or_else(|| key_of(lent, statement, &call)), &rows);
        }
        run.take(rows)?;
    }
    Ok(())
}

fn key_of(lent: &Lent, statement: &Statement, call: &Call<'_>) -> Key {
    key(lent.generation, statement.identity, call.binds, limit(call.limit))
}
