//! Asks ahead: what a page asked the last time is sent to the database at once, also where one statement needs the rows of
//! another.
//!
//! Mostly they give what the later ones were bound to then, and the page has all its rows after one way to the database
//! and back. What turns out to be bound to something else is asked again in its turn, in the same snapshot. Reading has no
//! effects, so what was asked in vain costs nothing but itself.

use std::time::Instant;

use super::reading::{Start, limit};
use super::times::Times;
use crate::database::{Call, Snapshot};
use crate::sqlfile::{Foreseen, Levels};
use crate::value::{Rows, Value};

/// The rows of statements that were asked before their turn.
#[derive(Debug, Default)]
pub(super) struct Ahead(Vec<Early>);

/// One of them.
#[derive(Debug)]
struct Early {
    /// The script's place among the page's.
    run: usize,
    asked: Foreseen,
    rows: Rows,
}

impl Ahead {
    /// Asks what the scripts asked the last time, if that is known and saves a way. `None` when a statement failed that
    /// may not come to its turn; the snapshot can be asked nothing more.
    pub(super) async fn ask(
        snapshot: &mut Snapshot<'_>,
        starts: &[Start],
        runs: &[Levels],
        times: &mut Times,
    ) -> Option<Ahead> {
        let (mut depth, mut foreseen) = (0, Vec::new());
        for (index, (start, run)) in starts.iter().zip(runs).enumerate() {
            let Some(before) = start.before.as_ref().and_then(|before| before.get(index)) else { continue };
            let (levels, asked) = run.foresee(before);
            depth = depth.max(levels);
            foreseen.extend(asked.into_iter().map(|asked| (index, asked)));
        }
        if depth < 2 {
            return Some(Ahead::default());
        }
        let began = Instant::now();
        let calls = foreseen.iter().map(|(run, asked)| {
            let query = &runs[*run].script().queries[asked.query];
            Call { sql: &query.sql, kinds: &query.kinds, binds: &asked.binds, limit: limit(asked.limit) }
        });
        let calls: Vec<Call<'_>> = calls.collect();
        let answers = snapshot.level(&calls, false).await.ok()?;
        let took = began.elapsed();
        let early = foreseen.into_iter().zip(answers).map(|((run, asked), rows)| {
            times.add(&runs[run].script().queries[asked.query].name, began, took);
            Early { run, asked, rows }
        });
        Some(Ahead(early.collect()))
    }

    /// Gives the scripts what they ask now and was asked already. Whether they ask for more.
    pub(super) fn fill(&mut self, runs: &mut [Levels]) -> bool {
        let mut goes_on = false;
        for (index, run) in runs.iter_mut().enumerate() {
            run.take_early(|query, binds| self.take(index, query, binds));
            goes_on |= run.calls().next().is_some();
        }
        goes_on
    }

    fn take(&mut self, run: usize, query: usize, binds: &[Value]) -> Option<Rows> {
        let is_it = |early: &Early| {
            let same = || early.asked.binds.iter().zip(binds).all(|(mine, theirs)| mine.is_same(theirs));
            (early.run, early.asked.query, early.asked.binds.len()) == (run, query, binds.len()) && same()
        };
        let place = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(place).rows)
    }
}
