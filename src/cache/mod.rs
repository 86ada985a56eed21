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

pub mod flights;
pub mod rows;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache as Entries;

use crate::database::versions::{Stamp, Versions};
use crate::sqlfile::Results;
use flights::Flights;

/// What distinguishes one answer from another: parts of a request, each with its length, so that no two requests whose
/// parts differ have one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// Adds a part.
    pub fn push(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u32).to_le_bytes());
        self.0.extend_from_slice(part);
    }
}

/// An answer that is kept.
#[derive(Debug)]
pub struct Entry<T> {
    /// The answer.
    pub value: Arc<T>,
    /// The rows that it was made of.
    pub results: Arc<Vec<Results>>,
    /// The counts before those were read.
    pub stamp: Stamp,
    /// A moment before the counts were taken.
    pub taken: Instant,
    /// When it was last found to be current, in nanoseconds since then; noted only where it may grow old.
    pub seen: AtomicU64,
    /// When it is to be made again whatever the counts say: it shows something beside the database.
    pub until: Option<Instant>,
    /// About how many bytes it takes.
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

impl<T> Weighter<Box<[u8]>, Arc<Entry<T>>> for Bytes {
    fn weight(&self, key: &Box<[u8]>, entry: &Arc<Entry<T>>) -> u64 {
        key.len() as u64 + entry.bytes
    }
}

/// The entries, bounded by their bytes; those that are asked for least go first.
#[derive(Debug)]
pub struct Cache<T> {
    entries: Option<ByKey<T>>,
    /// What is being made.
    pub flights: Flights<T>,
}

/// The entries by the bytes of their keys.
type ByKey<T> = Entries<Box<[u8]>, Arc<Entry<T>>, Bytes>;

/// What an answer of the usual size takes; how many there may be is reckoned with it.
const USUAL: u64 = 8 * 1024;

/// An answer that shows something beside the database, such as the address of a file with its fingerprint, is made
/// again after so long: as often as the files themselves are looked at.
pub const BESIDE: Duration = Duration::from_secs(1);

impl<T> Cache<T> {
    /// A cache of at most so many bytes; 0 keeps nothing.
    pub fn new(bytes: u64) -> Cache<T> {
        let make = || Entries::with_weighter((bytes / USUAL).clamp(16, 1 << 20) as usize, bytes, Bytes);
        Cache { entries: (bytes > 0).then(make), flights: Flights::default() }
    }

    /// Whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.entries.is_some()
    }

    /// Looks an answer up, be it current or as it was before something changed.
    pub fn find(&self, key: &Key) -> Option<Arc<Entry<T>>> {
        self.entries.as_ref()?.get(&key.0[..])
    }

    /// Keeps an answer.
    pub fn keep(&self, key: Key, entry: Entry<T>) {
        if let Some(entries) = &self.entries {
            entries.insert(key.0.into(), Arc::new(entry));
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

    fn key(parts: &[&str]) -> Key {
        let mut key = Key::default();
        parts.iter().for_each(|part| key.push(part.as_bytes()));
        key
    }

    fn kept(versions: &Versions, text: &str) -> Entry<String> {
        let tables = versions.tables(&Tables::Known(["a".to_string()].into()));
        Entry {
            value: Arc::new(text.to_string()),
            results: Arc::default(),
            stamp: versions.current(&tables),
            taken: Instant::now(),
            seen: AtomicU64::new(0),
            until: None,
            bytes: text.len() as u64,
        }
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a", ""]), key(&["a"]));
    }

    proptest::proptest! {
        #[test]
        fn two_rows_of_parts_have_one_key_only_if_they_are_the_same(
            one in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..6), 0..5),
            two in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..6), 0..5),
        ) {
            let of = |parts: &[Vec<u8>]| {
                let mut key = Key::default();
                parts.iter().for_each(|part| key.push(part));
                key
            };
            proptest::prop_assert_eq!(of(&one) == of(&two), one == two);
            // Also where they differ only in how they are cut.
            let joined = [one.concat()];
            proptest::prop_assert_eq!(of(&one) == of(&joined), one == joined);
        }
    }

    #[test]
    fn a_change_makes_an_entry_the_one_before() {
        let versions = Versions::new();
        let cache = Cache::new(1 << 20);
        cache.keep(key(&["/"]), kept(&versions, "x"));
        let entry = cache.find(&key(&["/"])).unwrap();
        assert!(*entry.value == "x" && entry.is_current(&versions));
        assert!(cache.find(&key(&["/y"])).is_none());
        versions.bump(&versions.tables(&Tables::Known(["b".to_string()].into())));
        assert!(entry.is_current(&versions));
        versions.bump(&versions.tables(&Tables::Known(["a".to_string()].into())));
        assert!(!cache.find(&key(&["/"])).unwrap().is_current(&versions));
    }

    #[test]
    fn an_entry_knows_when_it_was_current_last() {
        let mut entry = kept(&Versions::new(), "x");
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
            cache.keep(key(&[&number.to_string()]), kept(&versions, &"x".repeat(1000)));
        }
        let held = cache.entries.as_ref().unwrap().weight();
        assert!(held <= 100_000, "{held}");
        let off = Cache::new(0);
        off.keep(key(&["/"]), kept(&versions, "x"));
        assert!(!off.is_on() && off.find(&key(&["/"])).is_none());
    }
}
