//! Writing: one thread, one connection, group commit.
//!
//! Actions that wait together share one transaction and its one durable commit, each in a savepoint of its own. While
//! a commit runs, the next actions gather, so groups grow with the load. Who was answered together comes back together,
//! one after the other: so a group that is smaller than the last one waits for more, a fraction of what a commit takes.
//! Else the first to come back would have a commit of its own, and all others would wait for that. It is woken not for
//! each of them but when all are there that it misses: a wakening costs as much as a short action.
//! Somebody who acts alone waits for nobody.
//!
//! A crowd is told before the commit what its actions gave, so that its answers are made while the disk is at work. They are
//! sent when the commit has ended ([`crate::database::commit`]); should it fail, something else is.
//!
//! An action can take the whole transaction down (`raise(rollback, …)`, `on conflict rollback`, an interrupted write, a
//! full disk: <https://www.sqlite.org/lang_transaction.html>). Nobody of its group was answered by then: it fails
//! alone, and the others are run again.
//!
//! A savepoint costs as much as a short statement. So a group is run without them at first: an action that fails before it
//! has changed anything leaves nothing to take back. If one fails later, its group is rolled back and run again in
//! savepoints, as are those that follow for a while: what it fails with must not come from what is never committed.
//!
//! Other programs may write to the same file. The connection's `data_version` tells when another one has committed
//! (<https://www.sqlite.org/pragma.html#pragma_data_version>); it is asked in each transaction and, when there is nothing
//! to do, from time to time.
//!
//! While there is nothing to do the connection stays in a reading transaction of the newest snapshot. It holds the lock of
//! that snapshot for the whole process, so that no page of it asks the system for the lock and gives it back: each is a
//! call of the kernel (`fcntl`). It never reads an old snapshot for longer than [`LOOK_AROUND`], and so keeps nobody from
//! moving pages out of the write-ahead log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::changed::ChangedRows;
use super::checkpoint::Checkpointer;
use super::failure;
use super::link::{Link, Plan, Role};
use super::pool::join_others;
use super::queue::Queue;
use super::schema::KnownSchema;
use super::transaction::Transaction;
use crate::database::Failure;
use crate::database::answers::Round;
use crate::database::commit::Committing;
use crate::database::versions::{Change, Mark, TableSet, Versions};
use crate::value::Value;

/// One action in the queue.
pub(super) trait Job: Send {
    /// The tables that it may write.
    fn tables(&self) -> &TableSet;
    /// Runs the action from its start; true when its changes shall stay.
    fn run(&mut self, transaction: Transaction<'_>) -> bool;
    /// Tells whoever waits and can do something with what it gave before that is committed.
    fn tell_ahead(&mut self, _committing: &Committing, _round: &mut Round) {}
    /// Whether somebody has been told what it gave.
    fn is_told(&self) -> bool {
        false
    }
    /// Tells whoever still waits, who is woken with the others of the round.
    fn answer(&mut self, fate: Fate, round: &mut Round);
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// Its group is committed; its own result stands.
    Committed,
    /// It is rolled back: its own error stands; if it has none, this one.
    Undone(Failure),
    /// Its group could not be committed.
    Lost(Failure),
}

type Group = Vec<Box<dyn Job>>;

/// After so long a group takes no further action: those before wait for their commit, and other processes for the lock.
const GROUP_TIME: Duration = Duration::from_millis(20);

/// A group that others may still join waits for the next of them as long as the last commit took, divided by this.
const PATIENCE: u32 = 2;

/// And as long for each that it misses: their answers are written one after the other before the first comes back.
const RETURN: Duration = Duration::from_micros(25);

/// It waits no longer without anybody coming.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// So many together are told what they gave before they are committed: for fewer a second wakening would cost more than
/// it saves.
const CROWD: usize = 4;

/// After an action that had changed something before it failed, so many groups are run in savepoints.
const CAREFUL_GROUPS: u32 = 64;

/// After so long without an action there is nothing to do; before, it would hardly pay to hold the newest snapshot.
const IDLE: Duration = Duration::from_millis(5);

/// How often another program's commit is looked for while there is nothing to do.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// The writer of one database.
pub(super) struct Writer {
    queue: Arc<Queue<Box<dyn Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the writing connection and starts its thread.
    pub(super) fn start(plan: &Plan, versions: &Arc<Versions>, schema: &Arc<KnownSchema>) -> Result<Writer, Failure> {
        let queue = Arc::new(Queue::new(plan.limits.waiting_actions));
        let (tell, opened) = mpsc::channel();
        let (plan, versions, jobs) = (plan.clone(), Arc::clone(versions), Arc::clone(&queue));
        let schema = Arc::clone(schema);
        let thread = std::thread::Builder::new()
            .name("writer".to_string())
            .spawn(move || match Committer::open(plan, versions, schema) {
                Ok(mut committer) => {
                    let jobs = ClosedAtEnd(jobs);
                    let _ = tell.send(Ok(()));
                    committer.work_off(&jobs.0);
                }
                Err(failure) => {
                    let _ = tell.send(Err(failure));
                }
            })
            .map_err(|error| Failure::broken(format!("no thread for writing: {error}")))?;
        opened.recv().map_err(|_| Failure::broken("the writer did not start"))??;
        Ok(Writer { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Queues an action; gives it back when the queue is full or closed.
    pub(super) fn push(&self, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        self.queue.push(job)
    }

    /// Finishes what waits and ends the thread.
    pub(super) fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        join_others(thread);
    }
}

/// Should the writer's thread ever end by itself, nobody waits for it forever.
struct ClosedAtEnd(Arc<Queue<Box<dyn Job>>>);

impl Drop for ClosedAtEnd {
    fn drop(&mut self) {
        self.0.close();
        let mut left = Group::new();
        while self.0.take(usize::MAX, &mut left) {
            left.clear();
        }
    }
}

/// How a group ended.
enum Outcome {
    /// What was run is on disk; for each action why it was rolled back, if it was and has no error of its own. There may
    /// be fewer than the group has.
    Committed(Vec<Option<Failure>>),
    /// The transaction is gone, through the action at this place.
    TakenDown(usize, Failure),
    /// It was rolled back to be run again in savepoints, because an action failed that had changed something.
    Again,
    /// The commit failed for all.
    Failed(Failure),
}

/// The writer's thread: its link, and when to checkpoint.
struct Committer {
    plan: Plan,
    versions: Arc<Versions>,
    schema: Arc<KnownSchema>,
    /// Gone after a commit that failed in a way that leaves the connection's state in doubt; opened again before
    /// anything else is acknowledged.
    link: Option<Link>,
    /// Changes when another connection commits; `None` when nothing is known yet.
    data_version: Option<i64>,
    /// Whether there is one core only. To be woken there by the first who comes back would be two switches of threads for one
    /// action.
    shares_its_core: bool,
    /// How many actions the last group had.
    last_group: usize,
    /// How long its commit took.
    last_commit: Duration,
    /// How many groups are still to be run in savepoints.
    careful: u32,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicUsize>,
    checkpointer: Checkpointer,
}

impl Committer {
    fn open(plan: Plan, versions: Arc<Versions>, schema: Arc<KnownSchema>) -> Result<Committer, Failure> {
        let log_pages = Arc::new(AtomicUsize::new(0));
        let link = open_link(&plan, &log_pages)?;
        let checkpointer = Checkpointer::start(&plan)?;
        let mut committer = Committer {
            plan,
            versions,
            schema,
            link: Some(link),
            data_version: None,
            shares_its_core: std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1),
            last_group: 1,
            last_commit: Duration::ZERO,
            careful: 0,
            log_pages,
            checkpointer,
        };
        committer.begin_log();
        committer.stay();
        Ok(committer)
    }

    /// Writes what is there already, and moves it from the write-ahead log to the file. While the log is empty SQLite asks
    /// the system for the file's size at each reading, because the log doesn't tell it.
    fn begin_log(&mut self) {
        let Some(link) = &mut self.link else { return };
        let version = link.own("pragma user_version").ok().and_then(|rows| rows.cells.first().and_then(Value::as_int));
        // Readers do without, should the disk be full or another process be writing.
        let _ = link.connection.busy_timeout(Duration::ZERO);
        let _ = version.and_then(|version| link.own(&format!("pragma user_version = {version}")).ok());
        let _ = link.own("pragma wal_checkpoint(passive)");
        let _ = link.connection.busy_timeout(self.plan.limits.busy_time);
    }

    fn work_off(&mut self, queue: &Queue<Box<dyn Job>>) {
        let (mut group, mut idle) = (Group::new(), LOOK_AROUND);
        while self.gather(queue, idle, &mut group) {
            if group.is_empty() {
                self.stay();
                (self.last_group, idle) = (1, LOOK_AROUND);
                continue;
            }
            // Once for all that may be run again of it.
            self.careful = self.careful.saturating_sub(1);
            self.settle(std::mem::take(&mut group), Some(queue));
            self.checkpoint();
            idle = IDLE;
        }
        self.leave();
        self.checkpointer.close();
        if let Some(link) = &mut self.link {
            // The last chance to leave a single file behind; a reader elsewhere may prevent it, and nothing is lost.
            let _ = link.own("pragma wal_checkpoint(truncate)");
        }
    }

    /// Waits for the next actions, `idle` at most; false when no more will come.
    fn gather(&self, queue: &Queue<Box<dyn Job>>, idle: Duration, group: &mut Group) -> bool {
        let most = self.plan.limits.group;
        if self.shares_its_core && self.last_group > 1 {
            let all = self.last_group.min(most);
            if !queue.take_within(self.patience(all), all, most, group) {
                return false;
            }
        }
        !group.is_empty() || queue.take_within(idle, 1, most, group)
    }

    /// How long so many are waited for.
    fn patience(&self, missing: usize) -> Duration {
        let returns = RETURN.saturating_mul(u32::try_from(missing).unwrap_or(u32::MAX));
        (self.last_commit / PATIENCE).saturating_add(returns).min(LONGEST_WAIT)
    }

    /// Answers every action of a group. Groups get only smaller, so this ends; an action runs about twice at most,
    /// because what came before one that takes the transaction down is committed without it.
    ///
    /// Those who come to `queue` meanwhile may join it.
    fn settle(&mut self, group: Group, mut queue: Option<&Queue<Box<dyn Job>>>) {
        let mut groups = vec![group];
        while let Some(mut group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            match self.commit(&mut group, queue.take()) {
                Outcome::Committed(undone) => {
                    groups.push(group.split_off(undone.len()));
                    let fates = undone.into_iter().map(|undone| undone.map_or(Fate::Committed, Fate::Undone));
                    answer(group, fates);
                }
                Outcome::TakenDown(place, failure) => {
                    let after = group.split_off(place + 1);
                    answer(group.drain(place..).collect(), [Fate::Undone(failure)]);
                    groups.push(after);
                    groups.push(group);
                }
                Outcome::Again => groups.push(group),
                // One large action must not fail the small ones beside it.
                Outcome::Failed(Failure::Full) if group.len() > 1 => {
                    self.careful = CAREFUL_GROUPS;
                    groups.extend(one_by_one(group));
                }
                Outcome::Failed(failure) => {
                    answer(group, std::iter::repeat(Fate::Lost(failure)));
                }
            }
        }
    }

    /// Looks around in a reading transaction of the newest snapshot, and stays in it.
    fn stay(&mut self) {
        self.leave();
        if let Some(link) = &mut self.link {
            // Without it the look is a transaction by itself.
            let _ = link.own("begin deferred");
        }
        self.look_around();
    }

    /// Ends the transaction in which [`Committer::stay`] has stayed.
    fn leave(&mut self) {
        if let Some(link) = self.link.as_mut().filter(|link| !link.is_autocommit()) {
            let _ = link.own("commit");
        }
    }

    /// Takes every table for changed when another connection has committed since the last look.
    fn look_around(&mut self) {
        let Some(link) = &mut self.link else { return };
        let now = link.own("pragma data_version").ok().and_then(|rows| rows.cells.first().and_then(Value::as_int));
        if self.data_version.is_some() && now != self.data_version {
            self.versions.bump_all();
            link.recall.forget();
            let schema = link.own("pragma schema_version").ok().and_then(|rows| rows.cells.first()?.as_int());
            if !self.schema.is(schema) {
                // What a page reads may be other tables now than those that are known of it.
                self.versions.distrust();
            }
        }
        // Who can't be asked may have anything to tell.
        self.data_version = Some(now.unwrap_or(i64::MIN));
    }

    /// Runs a group in one transaction, with those who come to `queue` meanwhile, and commits it.
    fn commit(&mut self, group: &mut Group, queue: Option<&Queue<Box<dyn Job>>>) -> Outcome {
        self.leave();
        let link = match self.link() {
            Ok(link) => link,
            Err(failure) => return Outcome::Failed(failure),
        };
        if let Err(failure) = link.own("begin immediate") {
            return Outcome::Failed(failure);
        }
        link.recall.begin();
        self.look_around();
        let (undone, changed) = match self.run_group(group, queue) {
            Ok(done) => done,
            Err(outcome) => return outcome,
        };
        let ahead = (!changed.is_empty()).then(|| self.tell_ahead(group, &undone)).flatten();
        let Some(link) = &mut self.link else { return Outcome::Failed(Failure::Down) };
        let begins = Instant::now();
        let marks: Vec<Mark> = changed.into_iter().map(|change| self.versions.mark_change(change)).collect();
        let committed = link.own("commit");
        drop(marks);
        ahead.into_iter().for_each(|committing| committing.end(committed.clone().map(drop)));
        let Err(failure) = committed else {
            (self.last_group, self.last_commit) = (undone.len(), begins.elapsed());
            return Outcome::Committed(undone);
        };
        end_transaction(link);
        if !matches!(failure, Failure::Busy | Failure::Full) {
            // After a failed sync nobody knows what is on disk; a new connection reads it afresh.
            (self.link, self.data_version) = (None, None);
            self.versions.bump_all();
        }
        Outcome::Failed(failure)
    }

    /// Runs the actions of a group and of those who come to `queue` meanwhile, in the open transaction. Tells for each why
    /// it was rolled back, if it was, and what all others have changed; or how the group has ended already.
    fn run_group(
        &mut self,
        group: &mut Group,
        queue: Option<&Queue<Box<dyn Job>>>,
    ) -> Result<(Vec<Option<Failure>>, Vec<Change>), Outcome> {
        let time = self.plan.limits.action_time;
        let (mut undone, mut changed) = (Vec::with_capacity(group.len()), Vec::new());
        let careful = self.careful > 0;
        let began = Instant::now();
        // Where they share the core, they are all there already.
        let expected = if self.shares_its_core { 0 } else { self.last_group.min(self.plan.limits.group) };
        for place in 0.. {
            let now = Instant::now();
            if place > 0 && now.saturating_duration_since(began) > GROUP_TIME {
                break;
            }
            if let (true, true, Some(queue)) = (place == group.len(), place < expected, queue) {
                let missing = expected - place;
                queue.take_within(self.patience(missing), missing, missing, group);
            }
            let Some(link) = &mut self.link else { return Err(Outcome::Failed(Failure::Down)) };
            let Some(job) = group.get_mut(place) else { break };
            let changes = link.connection.total_changes();
            link.changed.iter().for_each(ChangedRows::begin);
            let ran = match careful {
                true => run_in_savepoint(link, job, now + time),
                false => run(link, job, now + time),
            };
            match ran {
                Ok((kept, failure)) => {
                    let has_changed = link.connection.total_changes() != changes;
                    if has_changed && !kept && !careful {
                        end_transaction(link);
                        self.careful = CAREFUL_GROUPS;
                        // What took its whole time, or panicked, would only do so again.
                        let is_late = Instant::now() >= now + time;
                        return Err(match failure {
                            Some(panic @ Failure::Broken { .. }) => Outcome::TakenDown(place, panic),
                            _ if is_late => Outcome::TakenDown(place, Failure::Deadline),
                            _ => Outcome::Again,
                        });
                    }
                    if has_changed && kept {
                        match &link.changed {
                            Some(rows) if rows.join(job.tables(), changed.last_mut()) => {}
                            Some(rows) => note(&mut changed, rows.of(job.tables())),
                            None => note(&mut changed, Change::of(job.tables())),
                        }
                    }
                    undone.push(failure);
                }
                Err(failure) => {
                    end_transaction(link);
                    return Err(Outcome::TakenDown(place, failure));
                }
            }
        }
        Ok((undone, changed))
    }

    /// Tells those who can make their answers while the disk is at work what their actions gave. Not while groups are
    /// run with care: the disk may be full.
    fn tell_ahead(&self, group: &mut Group, undone: &[Option<Failure>]) -> Option<Committing> {
        if group.len() < CROWD || self.careful > 0 || !self.plan.durable {
            return None;
        }
        let (committing, mut round) = (Committing::begin(group.len()), Round::default());
        let kept = group.iter_mut().zip(undone).filter(|(_, undone)| undone.is_none());
        kept.for_each(|(job, _)| job.tell_ahead(&committing, &mut round));
        round.wake();
        Some(committing)
    }

    fn link(&mut self) -> Result<&mut Link, Failure> {
        match &mut self.link {
            Some(link) => Ok(link),
            place => Ok(place.insert(open_link(&self.plan, &self.log_pages)?)),
        }
    }

    /// Keeps the write-ahead log small: in the background as long as that suffices, else here, between two groups.
    fn checkpoint(&mut self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if self.checkpointer.wants_truncation(pages) {
            self.leave();
            if let Some(link) = &mut self.link {
                // Readers that are in the way are not waited for: every action would wait with us.
                let _ = link.own("pragma busy_timeout = 20");
                let _ = link.own("pragma wal_checkpoint(truncate)");
                let _ = link.connection.busy_timeout(self.plan.limits.busy_time);
            }
        } else if self.checkpointer.leaves_a_rest(pages) {
            let _ = self.link.as_mut().map(|link| link.own("pragma wal_checkpoint(passive)"));
        } else {
            self.checkpointer.request(pages);
        }
    }
}

fn open_link(plan: &Plan, log_pages: &Arc<AtomicUsize>) -> Result<Link, Failure> {
    let mut link = Link::open(plan, Role::Writer)?;
    let log_pages = Arc::clone(log_pages);
    link.connection
        .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            log_pages.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
        .map_err(|error| failure::from_rusqlite(&error))?;
    Ok(link)
}

/// Adds a change to those of its group, in their order: what an action wrote may tell of what one before it did, and whoever
/// waits until the one is counted must find the other counted, too. Most are of the same tables as the one before.
fn note(changed: &mut Vec<Change>, change: Change) {
    let rest = match changed.last_mut() {
        Some(last) => last.join(change),
        None => Some(change),
    };
    changed.extend(rest);
}

/// Runs one action. Tells whether its changes shall stay and, if not, why, if it has no error of its own; `Err` means that
/// the whole transaction is gone.
fn run(link: &mut Link, job: &mut Box<dyn Job>, deadline: Instant) -> Result<(bool, Option<Failure>), Failure> {
    link.forget_last_rowid();
    link.set_deadline(Some(deadline));
    let ran = catch_unwind(AssertUnwindSafe(|| job.run(Transaction::of(link))));
    link.set_deadline(None);
    let (keep, undone) = match ran {
        Ok(true) if link.has_deferred_violations() => (false, Some(failure::deferred_violation())),
        Ok(keep) => (keep, None),
        Err(panic) => (false, Some(failure::panicked(&*panic))),
    };
    match link.is_autocommit() {
        true => Err(undone.unwrap_or_else(|| Failure::broken("the action rolled the transaction back"))),
        false => Ok((keep, undone)),
    }
}

/// The same in a savepoint of its own, so that nothing is left of it when it fails.
fn run_in_savepoint(
    link: &mut Link,
    job: &mut Box<dyn Job>,
    deadline: Instant,
) -> Result<(bool, Option<Failure>), Failure> {
    link.own("savepoint action")?;
    let (kept, undone) = run(link, job, deadline)?;
    if !kept {
        link.own("rollback to action")?;
    }
    link.own("release action")?;
    Ok((kept, undone))
}

/// The actions of a group that may be run again, each alone, the first of them last. Who has been told what their action gave
/// must not be given something else.
fn one_by_one(mut group: Group) -> impl Iterator<Item = Group> {
    group.retain(|job| !job.is_told());
    group.into_iter().rev().map(|job| vec![job])
}

/// Answers a group. What the actions hold may be large, or the database itself: the answers come first.
fn answer(mut group: Group, fates: impl IntoIterator<Item = Fate>) {
    let mut round = Round::default();
    group.iter_mut().zip(fates).for_each(|(job, fate)| job.answer(fate, &mut round));
    round.wake();
}

/// Leaves no transaction open.
fn end_transaction(link: &mut Link) {
    if !link.is_autocommit() {
        let _ = link.own("rollback");
    }
}

#[cfg(test)]
mod tests;
