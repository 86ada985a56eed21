//! Whether a page's answers may be kept, and what they depend on.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crate::database::Tables;
use crate::database::versions::{TableSet, Versions};
use crate::trace::Detail;

/// What is known of the answers of a page, or of data, for the cache. The check finds it before the first visit; what the
/// answers read of their visitors is found as they are made.
#[derive(Debug, Default)]
pub struct Keeping {
    /// The tables that all its queries read, or why it is never kept.
    reads: OnceLock<Result<Tables, Arc<str>>>,
    tables: OnceLock<TableSet>,
    /// Everything that any of its answers has read of a visitor, as bits.
    aspects: AtomicU8,
}

impl Keeping {
    /// For the check: what is known of its queries. Only the first call counts.
    pub fn learn(&self, reads: Result<Tables, Arc<str>>) {
        let _ = self.reads.set(reads);
    }

    /// The tables to watch.
    ///
    /// # Errors
    /// Why its answers are never kept.
    pub fn tables(&self, versions: &Versions) -> Result<&TableSet, Detail> {
        match self.reads.get() {
            Some(Ok(Tables::Unknown)) => Err("off: reads tables that nobody can tell".into()),
            Some(Ok(known)) => Ok(self.tables.get_or_init(|| versions.tables(known))),
            Some(Err(why)) => Err(why.clone().into()),
            None => Err("off: was not checked".into()),
        }
    }

    /// What any of its answers has read of a visitor.
    pub fn aspects(&self) -> u8 {
        self.aspects.load(Relaxed)
    }

    /// Adds what an answer has read. From then on every answer is looked for with that in its key.
    pub fn add_aspects(&self, aspects: u8) -> u8 {
        self.aspects.fetch_or(aspects, Relaxed) | aspects
    }
}
