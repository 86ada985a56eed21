//! Which rows of a table have changed, for what is known to depend on a single one.
//!
//! A table keeps the count at which each of its rows has changed last, in so many buckets that rows seldom share one.
//! Whoever took the table's count before reading, and depends on one row only, is current as long as neither that row's
//! bucket nor the table at large, that is by a change of which nobody knows the rows, has changed since.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};

use super::{Slot, TableSet};

/// For each table of which single rows are depended on. At 8 bytes each, 128 KiB.
const BUCKETS: usize = 1 << 14;

/// When rows of a table have changed last.
#[derive(Default)]
pub(super) struct RowCounts {
    /// The table's count at the last change of which nobody knows the rows.
    at_large: AtomicU64,
    /// The same for rows by themselves; there once anybody depends on one.
    buckets: OnceLock<Box<[AtomicU64]>>,
}

impl RowCounts {
    /// From now on rows are counted by themselves. What was counted before that was counted at large.
    pub(super) fn begin(&self) {
        self.buckets.get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
    }

    /// Notes a change of any rows.
    fn change_at_large(&self, count: u64) {
        self.at_large.fetch_max(count, SeqCst);
    }

    fn change(&self, row: i64, count: u64) {
        match self.buckets.get() {
            Some(buckets) => _ = buckets[bucket(row)].fetch_max(count, SeqCst),
            None => self.change_at_large(count),
        }
    }

    /// Whether the row is as it was when the table had this count.
    pub(super) fn is_unchanged(&self, row: i64, count: u64) -> bool {
        let Some(buckets) = self.buckets.get() else { return false };
        self.at_large.load(SeqCst) <= count && buckets[bucket(row)].load(SeqCst) <= count
    }
}

/// Rows that are made one after another have different ones.
fn bucket(row: i64) -> usize {
    row.rem_euclid(BUCKETS as i64) as usize
}

/// Tables that change, and which of their rows where that is known.
#[derive(Clone)]
pub struct Change {
    pub(super) tables: TableSet,
    /// Those of all the tables; `None` when nobody knows.
    rows: Option<Arc<Vec<ChangedRow>>>,
}

/// A row of a table.
type ChangedRow = (Arc<Slot>, i64);

impl Change {
    /// A change of any rows.
    pub fn of(tables: &TableSet) -> Change {
        Change { tables: tables.clone(), rows: None }
    }

    /// A change of no other rows than these, by table and rowid. Rows of other tables are not counted.
    pub fn of_rows<'r>(tables: &TableSet, rows: impl Iterator<Item = (&'r str, i64)>) -> Change {
        let Some(slots) = &tables.slots else { return Change::of(tables) };
        let known = |(name, row)| Some((slots.iter().find(|slot| slot.name.eq_ignore_ascii_case(name))?.clone(), row));
        Change { tables: tables.clone(), rows: Some(Arc::new(rows.filter_map(known).collect())) }
    }

    /// Takes in such a change of the same tables, which needs nothing of its own then. False if these are others.
    pub fn join_rows<'r>(&mut self, tables: &TableSet, rows: impl Iterator<Item = (&'r str, i64)>) -> bool {
        let (Some(slots), Some(theirs)) = (&self.tables.slots, &tables.slots) else { return false };
        if !Arc::ptr_eq(slots, theirs) {
            return false;
        }
        if let Some(mine) = &mut self.rows {
            let known =
                |(name, row)| Some((slots.iter().find(|slot| slot.name.eq_ignore_ascii_case(name))?.clone(), row));
            Arc::make_mut(mine).extend(rows.filter_map(known));
        }
        true
    }

    /// The tables.
    pub fn tables(&self) -> &TableSet {
        &self.tables
    }

    /// Takes in another change of the same tables, so that both are one; gives back one of others.
    pub fn join(&mut self, other: Change) -> Option<Change> {
        let same = match (&self.tables.slots, &other.tables.slots) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        };
        if !same {
            return Some(other);
        }
        match (&mut self.rows, other.rows) {
            (Some(mine), Some(theirs)) => Arc::make_mut(mine).extend(theirs.iter().cloned()),
            (mine, _) => *mine = None,
        }
        None
    }

    /// What of it concerns these tables.
    pub(super) fn shared_with(&self, tables: &TableSet) -> Change {
        Change { tables: self.tables.shared_with(tables), rows: self.rows.clone() }
    }

    /// Whether somebody who has read these tables, and of some of them (by their place) one row only, may have read what
    /// it changes.
    pub(super) fn touches(&self, tables: &TableSet, only: &[(usize, i64)]) -> bool {
        let (Some(mine), Some(theirs)) = (&self.tables.slots, &tables.slots) else {
            return !self.tables.is_empty() && !tables.is_empty();
        };
        let touched = |(place, their): (usize, &Arc<Slot>)| {
            let row = only.iter().find(|(of, _)| *of == place).map(|(_, row)| *row);
            mine.iter().any(|mine| Arc::ptr_eq(mine, their)) && row.is_none_or(|row| self.may_change(their, row))
        };
        theirs.iter().enumerate().any(touched)
    }

    fn may_change(&self, slot: &Arc<Slot>, row: i64) -> bool {
        let same = |(changed, other): &ChangedRow| Arc::ptr_eq(changed, slot) && bucket(*other) == bucket(row);
        self.rows.as_ref().is_none_or(|rows| rows.iter().any(same))
    }

    /// Notes in a table that was counted up to `count` which rows that was about.
    pub(super) fn note(&self, slot: &Arc<Slot>, count: u64) {
        match &self.rows {
            None => slot.rows.change_at_large(count),
            Some(rows) => rows
                .iter()
                .filter(|(changed, _)| Arc::ptr_eq(changed, slot))
                .for_each(|(_, row)| slot.rows.change(*row, count)),
        }
    }
}
