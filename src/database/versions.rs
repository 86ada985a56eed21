//! How often each table has changed: the ground of the always-fresh cache and of live pages, the same for each back-end.
//!
//! Whoever keeps what a page read takes a [`Stamp`] *before* the page's snapshot begins. As long as
//! [`Versions::is_current`] says yes, the page would read the same again.
//!
//! A writer tells of its tables twice. It *marks* them before it commits, and after any attempt to commit it counts them
//! up and takes the mark away, before it answers; both are done by one [`Mark`], also when the writer panics or is
//! dropped. So nobody who was answered finds the old content current. And whoever read in between, and may have seen
//! the new content already, answers only after [`Versions::await_unmarked`], so that no visitor sees the new
//! content before another one sees the old. Who keeps nothing needn't wait: [`Versions::count_marked`]. What a write changed is unknown at times: then every table is counted up.
//!
//! What depends on one row of a table alone says so when it has been read ([`Stamp::of_rows`]), and a writer that knows all
//! the rows that it changes tells them ([`Change::of_rows`]): changes of other rows then concern it no more.
//!
//! On a server where other nodes write, a count is worth something only while their news come in. Who listens to
//! them says so with [`Versions::trust`], [`Versions::lease_until`] and [`Versions::distrust`]: without trust no stamp is
//! current, and what was current before trust was lost is never current again.
//!
//! Asking takes no lock and writes nothing: some atomic numbers are compared.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::Tables;
use few::Few;
use rows::RowCounts;

pub use rows::Change;

mod few;
mod rows;

/// The counts of one open database.
pub struct Versions {
    /// Even while the counts may be trusted; counted up by two when all tables change at once. Each loss and each return
    /// of trust counts it up by one.
    era: AtomicU64,
    /// The moment up to which the counts may be trusted, in nanoseconds since `began`; [`FOREVER`] where nobody
    /// else writes.
    lease: AtomicU64,
    began: Instant,
    /// Every table that was ever asked for. It grows with the schema, never with what visitors send.
    slots: RwLock<HashMap<Arc<str>, Arc<Slot>>>,
    /// Marks on all tables.
    marks_on_all: AtomicUsize,
    /// Marks on any.
    marks_in_all: AtomicUsize,
    marks: Mutex<Marks>,
    /// Counts marks that were taken away.
    unmarked: watch::Sender<u64>,
    /// Counts changes of single tables, for those who may have read any.
    changes: AtomicU64,
    /// Who waits for anything, and so for every change of all tables and each loss of trust.
    watchers: Watchers,
    /// Who waits for a change of a table that is not known.
    watchers_of_any: Watchers,
}

/// A lease without an end.
const FOREVER: u64 = u64::MAX;

/// What is known of one table.
struct Slot {
    name: Arc<str>,
    version: AtomicU64,
    marks: AtomicUsize,
    watchers: Watchers,
    rows: RowCounts,
}

/// The marks that stand.
#[derive(Default)]
struct Marks {
    next: u64,
    standing: BTreeMap<u64, Change>,
}

/// Tables as [`Versions`] counts them; cheap to clone. It belongs to the `Versions` that made it.
#[derive(Clone)]
pub struct TableSet {
    /// `None` stands for every table there is.
    slots: Option<Arc<[Arc<Slot>]>>,
}

/// What the counts were at a moment.
#[derive(Clone)]
pub struct Stamp {
    tables: TableSet,
    era: u64,
    versions: Few<u64>,
    /// The tables, by their places, of which it is about one row only.
    rows: Option<Few<(usize, i64)>>,
}

/// Tables that are about to change. When it goes, they are counted up: whatever became of the commit, nobody may go on
/// with what was read before it.
#[must_use = "the tables are marked as long as this lives"]
pub struct Mark {
    versions: Arc<Versions>,
    number: u64,
    change: Change,
}

/// Wakes who shows something when that changes. What happens between two questions is told once.
pub struct Changes {
    versions: Arc<Versions>,
    stamp: Stamp,
    woken: Arc<Notify>,
}

impl fmt::Debug for Versions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Versions")
    }
}

impl fmt::Debug for TableSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            None => out.write_str("every table"),
            Some(names) => out.debug_set().entries(names).finish(),
        }
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Stamp").field("tables", &self.tables).field("versions", &self.versions).finish()
    }
}

impl Default for Versions {
    fn default() -> Versions {
        Versions {
            era: AtomicU64::new(0),
            lease: AtomicU64::new(FOREVER),
            began: Instant::now(),
            slots: RwLock::default(),
            marks_on_all: AtomicUsize::new(0),
            marks_in_all: AtomicUsize::new(0),
            marks: Mutex::default(),
            unmarked: watch::Sender::new(0),
            changes: AtomicU64::new(0),
            watchers: Watchers::default(),
            watchers_of_any: Watchers::default(),
        }
    }
}

impl TableSet {
    /// Every table there is, also those that nobody has named yet.
    pub fn all() -> TableSet {
        TableSet { slots: None }
    }

    /// The names; `None` for every table.
    pub fn names(&self) -> Option<impl Iterator<Item = &Arc<str>>> {
        self.slots.as_ref().map(|slots| slots.iter().map(|slot| &slot.name))
    }

    /// Whether there is no table in it.
    pub fn is_empty(&self) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.is_empty())
    }

    /// The tables that are in both.
    fn shared_with(&self, other: &TableSet) -> TableSet {
        match (&self.slots, &other.slots) {
            (None, _) => other.clone(),
            (_, None) => self.clone(),
            (Some(mine), Some(theirs)) => {
                let shared = |slot: &&Arc<Slot>| theirs.iter().any(|their| Arc::ptr_eq(slot, their));
                TableSet { slots: Some(mine.iter().filter(shared).cloned().collect()) }
            }
        }
    }
}

impl Versions {
    /// Nothing has changed yet, and nobody else writes.
    pub fn new() -> Arc<Versions> {
        Arc::default()
    }

    /// The tables that a description names; unknown ones are every table. To be kept: it takes a lock.
    pub fn tables(&self, tables: &Tables) -> TableSet {
        match tables {
            Tables::Unknown => TableSet::all(),
            Tables::Known(names) => TableSet { slots: Some(names.iter().map(|name| self.slot(name)).collect()) },
        }
    }

    /// Those of the names that anybody has asked for. The others concern nobody.
    pub fn known<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> TableSet {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        TableSet { slots: Some(names.into_iter().filter_map(|name| slots.get(name).cloned()).collect()) }
    }

    fn slot(&self, name: &str) -> Arc<Slot> {
        let known = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            let name: Arc<str> = name.into();
            Arc::clone(slots.entry(Arc::clone(&name)).or_insert_with(|| {
                let (version, marks) = (AtomicU64::new(0), AtomicUsize::new(0));
                Arc::new(Slot { name, version, marks, watchers: Watchers::default(), rows: RowCounts::default() })
            }))
        })
    }

    /// Says that tables are about to change. To be called before the commit.
    pub fn mark(self: &Arc<Self>, tables: &TableSet) -> Mark {
        self.mark_change(Change::of(tables))
    }

    /// The same where more may be known than the tables.
    pub fn mark_change(self: &Arc<Self>, change: Change) -> Mark {
        let mut marks = self.marks();
        let number = marks.next;
        marks.next += 1;
        marks.standing.insert(number, change.clone());
        drop(marks);
        self.each_mark(&change.tables, |count| {
            count.fetch_add(1, SeqCst);
        });
        Mark { versions: Arc::clone(self), number, change }
    }

    fn each_mark(&self, tables: &TableSet, change: impl Fn(&AtomicUsize)) {
        change(&self.marks_in_all);
        match &tables.slots {
            None => change(&self.marks_on_all),
            Some(slots) => slots.iter().for_each(|slot| change(&slot.marks)),
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts tables up: they have changed, or may have.
    pub fn bump(&self, tables: &TableSet) {
        self.count(&Change::of(tables));
    }

    fn count(&self, change: &Change) {
        match &change.tables.slots {
            None => self.bump_all(),
            Some(slots) => {
                for slot in slots.iter() {
                    // In this order: who takes the new count reads what is committed; who has the one before and finds
                    // the row not noted yet was not told of the commit, nor was anybody else.
                    let count = slot.version.fetch_add(1, SeqCst) + 1;
                    change.note(slot, count);
                    slot.watchers.wake();
                }
                if !slots.is_empty() {
                    self.changes.fetch_add(1, SeqCst);
                    self.watchers_of_any.wake();
                }
            }
        }
    }

    /// Counts every table up.
    pub fn bump_all(&self) {
        self.era.fetch_add(2, SeqCst);
        self.watchers.wake();
    }

    /// The counts of the moment. To be taken before what they stand for is read.
    pub fn current(&self, tables: &TableSet) -> Stamp {
        let era = self.era.load(SeqCst);
        let versions = match &tables.slots {
            None => Few::One([self.changes.load(SeqCst)]),
            Some(slots) => slots.iter().map(|slot| slot.version.load(SeqCst)).collect(),
        };
        Stamp { era, versions, tables: tables.clone(), rows: None }
    }

    /// Whether nothing that the stamp is about has changed since, as far as this node may be sure of it. Of every
    /// table nobody can be: what may have read anything is never current.
    pub fn is_current(&self, stamp: &Stamp) -> bool {
        let Some(slots) = &stamp.tables.slots else { return false };
        let same = |place| stamp.is_same(slots, place);
        (0..slots.len()).all(same) && self.era.load(SeqCst) == stamp.era && self.trusted()
    }

    /// Whether what was read after the stamp, and before this call, is what the database holds at some moment of this
    /// call: nothing has changed, and nobody is about to count up what is committed already.
    pub fn holds(&self, stamp: &Stamp) -> bool {
        // In this order: a mark that is taken away in between was counted before.
        !self.is_marked(&stamp.tables) && self.is_current(stamp)
    }

    /// A table of the stamp that has changed since; `None` when it isn't one table alone that makes it old.
    pub fn changed_of(&self, stamp: &Stamp) -> Option<Arc<str>> {
        let slots = stamp.tables.slots.as_ref()?;
        (0..slots.len()).find(|place| !stamp.is_same(slots, *place)).map(|place| slots[place].name.clone())
    }

    /// Whether a writer may be about to commit a change of these tables.
    pub fn is_marked(&self, tables: &TableSet) -> bool {
        match &tables.slots {
            None => self.marks_in_all.load(SeqCst) > 0,
            Some(slots) => {
                let on_all = !slots.is_empty() && self.marks_on_all.load(SeqCst) > 0;
                on_all || slots.iter().any(|slot| slot.marks.load(SeqCst) > 0)
            }
        }
    }

    /// Counts up what is marked of these tables, for who has read them and waits for nobody: they may be committed
    /// already, and whoever asks after this answer must not find anything older current.
    pub fn count_marked(&self, tables: &TableSet) {
        if !self.is_marked(tables) {
            return;
        }
        let touched: Vec<Change> = self
            .marks()
            .standing
            .values()
            .map(|marked| marked.shared_with(tables))
            .filter(|it| !it.tables.is_empty())
            .collect();
        touched.iter().for_each(|change| self.count(change));
    }

    /// Waits until the marks that stand on these tables now are gone; those that are made meanwhile are not waited
    /// for. A mark stands no longer than a commit takes.
    pub async fn await_unmarked(&self, tables: &TableSet) {
        self.await_untouched(tables, &[]).await;
    }

    /// The same for who has read no more than what a stamp is about.
    pub async fn await_settled(&self, stamp: &Stamp) {
        self.await_untouched(&stamp.tables, stamp.rows.as_deref().unwrap_or_default()).await;
    }

    async fn await_untouched(&self, tables: &TableSet, only: &[(usize, i64)]) {
        if !self.is_marked(tables) {
            return;
        }
        let mut unmarked = self.unmarked.subscribe();
        let touching = |(number, marked): (&u64, &Change)| marked.touches(tables, only).then_some(*number);
        let Some(last) = self.marks().standing.iter().filter_map(touching).max() else { return };
        loop {
            unmarked.mark_unchanged();
            if !self.marks().standing.range(..=last).any(|(_, marked)| marked.touches(tables, only)) {
                return;
            }
            // The sender lives as long as `self`.
            let _ = unmarked.changed().await;
        }
    }

    /// Whether the counts tell all that others wrote.
    pub fn trusted(&self) -> bool {
        if !self.era.load(SeqCst).is_multiple_of(2) {
            return false;
        }
        let lease = self.lease.load(SeqCst);
        lease == FOREVER || self.nanos(Instant::now()) < lease
    }

    /// The news of others don't come in any more: nothing is current until [`Versions::trust`]. True if that is new.
    pub fn distrust(&self) -> bool {
        let lost = self.turn(true);
        if lost {
            self.watchers.wake();
        }
        lost
    }

    /// The news come in again, from this moment on: what was current before is not. True if that is new.
    pub fn trust(&self) -> bool {
        self.turn(false)
    }

    /// Goes to the next era of the one kind, if this one is of the other.
    fn turn(&self, odd: bool) -> bool {
        let next = |era: u64| (era.is_multiple_of(2) == odd).then_some(era + 1);
        self.era.fetch_update(SeqCst, SeqCst, next).is_ok()
    }

    /// How long the counts may be trusted without further word. A lease that ran out takes trust away by itself,
    /// also while this process is stopped; a new one gives it back, and what was current is so again.
    pub fn lease_until(&self, until: Instant) {
        self.lease.store(self.nanos(until).min(FOREVER - 1), SeqCst);
    }

    fn nanos(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.began).as_nanos()).unwrap_or(FOREVER - 1)
    }

    /// Watches tables from this moment on.
    pub fn watch(self: &Arc<Self>, tables: &TableSet) -> Changes {
        let woken = Arc::new(Notify::new());
        self.watchers.add(&woken);
        match &tables.slots {
            None => self.watchers_of_any.add(&woken),
            Some(slots) => slots.iter().for_each(|slot| slot.watchers.add(&woken)),
        }
        Changes { stamp: self.current(tables), versions: Arc::clone(self), woken }
    }
}

/// How long a commit is held before it is counted, in microseconds. For this program's own tests: what happens in
/// between is over too soon to be met by chance.
#[cfg(debug_assertions)]
static HELD: AtomicU64 = AtomicU64::new(0);

/// Holds every commit of this process for so long before it is counted.
#[cfg(debug_assertions)]
pub fn hold_commits(time: Duration) {
    HELD.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), SeqCst);
}

impl Stamp {
    /// The same for who has found, after taking it, to depend on one row only of some tables: by name and rowid.
    pub fn of_rows<'r>(&self, rows: impl Iterator<Item = (&'r str, i64)>) -> Stamp {
        let slots = self.tables.slots.as_deref().unwrap_or_default();
        let placed = |(name, row)| Some((slots.iter().position(|slot| &*slot.name == name)?, row));
        let rows: Few<(usize, i64)> = rows.filter_map(placed).collect();
        rows.iter().for_each(|(place, _)| slots[*place].rows.begin());
        Stamp { rows: Some(rows).filter(|rows| !rows.is_empty()), ..self.clone() }
    }

    /// Whether what it is about of one of its tables is as it was.
    fn is_same(&self, slots: &[Arc<Slot>], place: usize) -> bool {
        let (slot, count) = (&slots[place], self.versions[place]);
        let row = || self.rows.as_ref()?.iter().find(|(of, _)| *of == place).map(|(_, row)| *row);
        slot.version.load(SeqCst) == count || row().is_some_and(|row| slot.rows.is_unchanged(row, count))
    }

    /// The same for some of its tables; `None` if it doesn't hold them all.
    pub fn part(&self, tables: &TableSet) -> Option<Stamp> {
        let (Some(mine), Some(wanted)) = (&self.tables.slots, &tables.slots) else { return None };
        let version = |slot: &Arc<Slot>| {
            let place = mine.iter().position(|known| Arc::ptr_eq(known, slot))?;
            self.versions.get(place).copied()
        };
        let versions = wanted.iter().map(version).collect::<Option<_>>()?;
        Some(Stamp { tables: tables.clone(), era: self.era, versions, rows: None })
    }

    /// Whether it holds all of another's tables, with the same counts.
    pub fn agrees_with(&self, part: &Stamp) -> bool {
        self.part(&part.tables).is_some_and(|mine| mine.era == part.era && mine.versions == part.versions)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        if let held @ 1.. = HELD.load(SeqCst) {
            std::thread::sleep(Duration::from_micros(held));
        }
        self.versions.count(&self.change);
        self.versions.marks().standing.remove(&self.number);
        self.versions.each_mark(&self.change.tables, |count| {
            count.fetch_sub(1, SeqCst);
        });
        self.versions.unmarked.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Mark {
    /// The tables.
    pub fn tables(&self) -> &TableSet {
        &self.change.tables
    }
}

impl Changes {
    /// Waits until a table has changed, or may have, since this was asked last. A loss of trust is told as a change,
    /// once.
    pub async fn changed(&mut self) {
        loop {
            let now = self.versions.current(&self.stamp.tables);
            if now.era != self.stamp.era || now.versions != self.stamp.versions {
                self.stamp = now;
                return;
            }
            // A change after the look is kept as a permit.
            self.woken.notified().await;
        }
    }
}

/// Who is to be woken.
#[derive(Default)]
struct Watchers {
    /// How many stand in the list, so that a writer whom nobody watches needn't look.
    count: AtomicUsize,
    list: Mutex<Vec<Weak<Notify>>>,
}

impl Watchers {
    fn add(&self, watcher: &Arc<Notify>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are gone make room when the list would grow.
        if list.len() == list.capacity() {
            list.retain(|watcher| watcher.strong_count() > 0);
        }
        list.push(Arc::downgrade(watcher));
        self.count.store(list.len(), SeqCst);
    }

    fn wake(&self) {
        if self.count.load(SeqCst) == 0 {
            return;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|watcher| watcher.upgrade().inspect(|watcher| watcher.notify_one()).is_some());
        self.count.store(list.len(), SeqCst);
    }
}

/// How long a node may be behind what another one acknowledged. A visitor's own write is never missed: its
/// answer brings a cookie that lives longer than this and keeps caches out of the way on every node.
pub const MAX_LAG: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
