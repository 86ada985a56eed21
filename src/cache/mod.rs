//! The always-fresh cache: answers that are kept as long as nothing that they show has changed.
//!
//! An entry carries the [`Stamp`] that was taken before its queries ran. Whoever looks one up compares the stamp with the
//! counts of the moment and never waits: an entry whose tables have changed is no hit, but what is known of it is of use,
//! so that queries which give the same rows again keep the rendered answer. What an answer read of its visitor stands in
//! its key ([`Key`]), so no entry is ever found for whom it wasn't made.
//!
//! Rows of single statements are kept beside the answers ([`rows`]). While an answer is being made, others who want the same wait for it ([`flights`]).
//!
//! The room knows no HTTP: what is kept is its user's own type.

pub mod digest;
pub mod flights;
mod key;
pub mod rows;

use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache as Entries;
use quick_cache::{DefaultHashBuilder, Weighter};

use crate::database::versions::{Stamp, Versions};
use crate::sqlfile::Results;
use digest::Digest;
use flights::Flights;

pub use key::Key;

/// An answer that is kept. What a look at it needs lies together, in this order.
#[derive(Debug)]
#[repr(C)]
pub struct Entry<T> {
    /// What it is found by.
    pub key: Key,
    /// The counts before its rows were read.
    pub stamp: Stamp,
    /// When it is to be made again whatever the counts say: it shows something beside the database.
    pub until: Option<Instant>,
    /// The answer.
    pub value: Arc<T>,
    /// When it was last found to be current, in nanoseconds since then; noted only where it may grow old.
    pub seen: AtomicU64,
    /// A moment before the counts were taken.
    pub taken: Instant,
    /// What the rows come down to that it was made of.
    pub rows: Digest,
    /// The rows themselves, where they are of use for the next reading.
    pub results: Option<Arc<Vec<Results>>>,
    /// About how many bytes its answer and rows take.
    pub bytes: u64,
}

impl<T> Entry<T> {
    /// Whether it is what would be made now.
    pub fn is_current(&self, versions: &Versions) -> bool {
        versions.is_current(&self.stamp) && self.is_usable()
    }

    /// Whether what it shows beside the database needn't be looked at.
    fn is_usable(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Notes that it was current at a moment that is not in the future.
    pub fn see(&self, moment: Instant) {
        let nanos = moment.saturating_duration_since(self.taken).as_nanos();
        self.seen.fetch_max(u64::try_from(nanos).unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether it was current so short a time ago.
    pub fn was_current_within(&self, time: Duration) -> bool {
        let seen = Duration::from_nanos(self.seen.load(Relaxed));
        self.is_usable() && self.taken.elapsed().saturating_sub(seen) <= time
    }
}

#[derive(Clone, Debug)]
struct Bytes;

/// What an entry takes in the table that finds it, and what its allocations take beside what they hold.
const BESIDE_ITSELF: usize = 128;

impl<T> Weighter<u64, Arc<Entry<T>>> for Bytes {
    fn weight(&self, _: &u64, entry: &Arc<Entry<T>>) -> u64 {
        (BESIDE_ITSELF + size_of::<Entry<T>>() + entry.key.beside()) as u64 + entry.bytes
    }
}

/// Passes on what is a hash already.
#[derive(Clone, Debug, Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The entries, bounded by their bytes; those that are asked for least go first.
#[derive(Debug)]
pub struct Cache<T> {
    entries: Option<ByHash<T>>,
    hashes: DefaultHashBuilder,
    /// What is being made.
    pub flights: Flights<T>,
}

/// The entries by the hashes of their keys, which nobody outside can foresee. Of two with the same hash one is kept.
type ByHash<T> = Entries<u64, Arc<Entry<T>>, Bytes, BuildHasherDefault<Itself>>;

/// What an answer of the usual size takes; how many there may be is reckoned with it.
const USUAL: u64 = 8 * 1024;

/// An answer that shows something beside the database, such as the address of a file with its fingerprint, is made
/// again after so long: as often as the files themselves are looked at.
pub const BESIDE: Duration = Duration::from_secs(1);

impl<T> Cache<T> {
    /// A cache of at most so many bytes; 0 keeps nothing.
    pub fn new(bytes: u64) -> Cache<T> {
        let usual = (bytes / USUAL).clamp(16, 1 << 20) as usize;
        let hashes = BuildHasherDefault::default();
        let make = || Entries::with(usual, bytes, Bytes, hashes, Default::default());
        Cache { entries: (bytes > 0).then(make), hashes: DefaultHashBuilder::default(), flights: Flights::default() }
    }

    /// Whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.entries.is_some()
    }

    /// Looks an answer up, be it current or as it was before something changed.
    pub fn find(&self, key: &Key) -> Option<Arc<Entry<T>>> {
        let entries = self.entries.as_ref()?;
        entries.get(&self.hashes.hash_one(key)).filter(|entry| entry.key == *key)
    }

    /// Keeps an answer.
    pub fn keep(&self, entry: Entry<T>) {
        if let Some(entries) = &self.entries {
            entries.insert(self.hashes.hash_one(&entry.key), Arc::new(entry));
        }
    }

    /// Forgets all.
    pub fn clear(&self) {
        if let Some(entries) = &self.entries {
            entries.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Tables;

    fn kept(versions: &Versions, key: &str, text: &str) -> Entry<String> {
        let tables = versions.tables(&Tables::Known(["a".to_string()].into()));
        Entry {
            key: Key::of(&[key]),
            value: Arc::new(text.to_string()),
            rows: Digest::of(&[]),
            results: None,
            stamp: versions.current(&tables),
            taken: Instant::now(),
            seen: AtomicU64::new(0),
            until: None,
            bytes: text.len() as u64,
        }
    }

    #[test]
    fn a_change_makes_an_entry_the_one_before() {
        let versions = Versions::new();
        let cache = Cache::new(1 << 20);
        cache.keep(kept(&versions, "/", "x"));
        let entry = cache.find(&Key::of(&["/"])).unwrap();
        assert!(*entry.value == "x" && entry.is_current(&versions));
        assert!(cache.find(&Key::of(&["/y"])).is_none());
        versions.bump(&versions.tables(&Tables::Known(["b".to_string()].into())));
        assert!(entry.is_current(&versions));
        versions.bump(&versions.tables(&Tables::Known(["a".to_string()].into())));
        assert!(!cache.find(&Key::of(&["/"])).unwrap().is_current(&versions));
    }

    #[test]
    fn an_entry_is_found_by_its_key_alone() {
        let versions = Versions::new();
        let cache = Cache::new(1 << 20);
        let (mine, theirs) = (Key::of(&["/mine"]), kept(&versions, "/theirs", "x"));
        // As if both had the same hash.
        cache.entries.as_ref().unwrap().insert(cache.hashes.hash_one(&mine), Arc::new(theirs));
        assert!(cache.find(&mine).is_none());
        cache.keep(kept(&versions, "/mine", "y"));
        assert_eq!(*cache.find(&mine).unwrap().value, "y");
    }

    #[test]
    fn an_entry_knows_when_it_was_current_last() {
        let mut entry = kept(&Versions::new(), "/", "x");
        let moment = Instant::now();
        entry.taken = moment.checked_sub(Duration::from_secs(100)).unwrap();
        assert!(
            !entry.was_current_within(Duration::from_secs(99)) && entry.was_current_within(Duration::from_secs(500))
        );
        entry.see(moment);
        // An earlier look takes nothing back.
        entry.see(moment - Duration::from_secs(50));
        assert!(entry.was_current_within(Duration::from_secs(99)) && !entry.was_current_within(Duration::ZERO));
        entry.until = Some(moment);
        assert!(!entry.was_current_within(Duration::from_secs(99)));
    }

    #[test]
    fn the_size_is_bounded() {
        let versions = Versions::new();
        let cache = Cache::new(100_000);
        for number in 0..1000 {
            cache.keep(kept(&versions, &number.to_string(), &"x".repeat(1000)));
        }
        let held = cache.entries.as_ref().unwrap().weight();
        assert!(held <= 100_000, "{held}");
        let off = Cache::new(0);
        off.keep(kept(&versions, "/", "x"));
        assert!(!off.is_on() && off.find(&Key::of(&["/"])).is_none());
    }
}
