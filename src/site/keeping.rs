//! Whether a page's answers may be kept, and what they depend on.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, OnceLock};

use crate::database::Tables;
use crate::database::versions::{TableSet, Versions};
use crate::trace::Detail;

/// What is known of the answers of a page, or of data, for the cache. The check finds it before the first visit; what the
/// answers read of their visitors is found as they are made.
#[derive(Debug, Default)]
pub struct Keeping {
    known: OnceLock<Known>,
    tables: OnceLock<TableSet>,
    /// Everything that any of its answers has read of a visitor, as bits.
    aspects: AtomicU8,
    /// Whether its last answer was of its moment alone.
    was_alone: AtomicBool,
}

/// What the check finds of a page's queries.
#[derive(Debug)]
pub struct Known {
    /// The tables that they read.
    pub reads: Tables,
    /// Why answers are never kept, if they aren't.
    pub off: Option<Arc<str>>,
    /// Whether one of them is a `:require`, which is asked at each request.
    pub requires: bool,
    /// The statements whose rows may be kept.
    pub statements: Arc<Statements>,
    /// Statements that alone read a table of which they look up one row.
    pub rows: Vec<LooksUp>,
}

/// A statement that looks up one row of a table that no other statement of its page reads: if it finds one, nothing else
/// in that table concerns the page.
#[derive(Debug)]
pub struct LooksUp {
    /// The table.
    pub table: Box<str>,
    /// The script's place among the page's.
    pub script: usize,
    /// The statement's place in the script.
    pub query: usize,
    /// The column that tells the row's rowid.
    pub column: usize,
}

/// The statements of a page whose rows may be kept: by their places in the scripts, and these by theirs in the page.
#[derive(Debug, Default)]
pub struct Statements(pub Vec<Vec<Option<Statement>>>);

/// What is known of a statement whose rows may be kept.
#[derive(Debug)]
pub struct Statement {
    /// Tells it from others: a hash of its SQL.
    pub identity: u128,
    reads: Tables,
    tables: OnceLock<TableSet>,
    /// How often it took long lately, less how often it didn't.
    long: AtomicU8,
}

/// A statement of such a count takes long. On a busy machine any does at times.
const OFTEN: u8 = 4;

impl Statements {
    /// The statement at a place.
    pub fn get(&self, script: usize, query: usize) -> Option<&Statement> {
        self.0.get(script)?.get(query)?.as_ref()
    }
}

impl Statement {
    /// A statement that reads these tables.
    pub fn new(identity: u128, reads: Tables) -> Statement {
        Statement { identity, reads, tables: OnceLock::new(), long: AtomicU8::new(0) }
    }

    /// The tables that it reads.
    pub fn tables(&self, versions: &Versions) -> &TableSet {
        self.tables.get_or_init(|| versions.tables(&self.reads))
    }

    /// Whether it usually takes long.
    pub fn is_long(&self) -> bool {
        self.long.load(Relaxed) >= OFTEN
    }

    /// Says how many times as long as what is long it took this time.
    pub fn note(&self, times: u128) {
        let now = self.long.load(Relaxed);
        let next = match times {
            0 => now.saturating_sub(1),
            1..4 => now + 2,
            _ => now + OFTEN,
        };
        // Two at once may count as one; that changes little.
        let next = next.min(2 * OFTEN);
        if next != now {
            self.long.store(next, Relaxed);
        }
    }
}

impl Keeping {
    /// For the check: what is known of its queries. Only the first call counts.
    pub fn learn(&self, known: Known) {
        let _ = self.known.set(known);
    }

    /// The tables to watch.
    ///
    /// # Errors
    /// Why its answers are never kept.
    pub fn tables(&self, versions: &Versions) -> Result<&TableSet, Detail> {
        match self.known.get() {
            Some(Known { off: Some(why), .. }) => Err(why.clone().into()),
            Some(Known { reads: Tables::Unknown, .. }) => Err("off: reads tables that nobody can tell".into()),
            Some(known) => Ok(self.tables.get_or_init(|| versions.tables(&known.reads))),
            None => Err("off: was not checked".into()),
        }
    }

    /// Whether something is to be asked at each request, also of an answer that is kept.
    pub fn requires(&self) -> bool {
        self.known.get().is_some_and(|known| known.requires)
    }

    /// The statements of which each looks up one row of a table that no other one reads.
    pub fn rows(&self) -> &[LooksUp] {
        self.known.get().map_or(&[], |known| &known.rows)
    }

    /// The statements whose rows may be kept; none where no answer is kept.
    pub fn statements(&self) -> Option<&Arc<Statements>> {
        self.known.get().filter(|known| known.off.is_none()).map(|known| &known.statements)
    }

    /// What any of its answers has read of a visitor.
    pub fn aspects(&self) -> u8 {
        self.aspects.load(Relaxed)
    }

    /// Adds what an answer has read. From then on every answer is looked for with that in its key.
    pub fn add_aspects(&self, aspects: u8) -> u8 {
        self.aspects.fetch_or(aspects, Relaxed) | aspects
    }

    /// Whether it pays to wait for an answer that is being made: the last one was for more than its moment.
    pub fn is_shared(&self) -> bool {
        !self.was_alone.load(Relaxed)
    }

    /// Says whether an answer was of its moment alone.
    pub fn note_alone(&self, alone: bool) {
        if self.was_alone.load(Relaxed) != alone {
            self.was_alone.store(alone, Relaxed);
        }
    }
}
