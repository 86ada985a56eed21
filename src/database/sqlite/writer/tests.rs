//! The writer's groups, without a queue of real actions.

use std::task::{Context, Poll, Waker};

use super::super::clock;
use super::*;
use crate::clock::Clock;
use crate::database::{Commit, Limit, Limits};

fn every_table() -> &'static TableSet {
    static ALL: std::sync::LazyLock<TableSet> = std::sync::LazyLock::new(TableSet::all);
    &ALL
}

/// An action that runs one statement.
struct Statement(&'static str);

impl Job for Statement {
    fn tables(&self) -> &TableSet {
        every_table()
    }

    fn run(&mut self, mut transaction: Transaction<'_>) -> bool {
        transaction.query(self.0, &[], Limit::AtMost(0)).is_ok()
    }

    fn answer(&mut self, fate: Fate, _: &mut Round) {
        assert_eq!(fate, Fate::Committed);
    }
}

/// An action that is followed by others, which come while it runs.
struct Followed(usize, Arc<Queue<Box<dyn Job>>>);

impl Job for Followed {
    fn tables(&self) -> &TableSet {
        every_table()
    }

    fn run(&mut self, mut transaction: Transaction<'_>) -> bool {
        if self.0 > 0 {
            let next = Followed(self.0 - 1, Arc::clone(&self.1));
            assert!(self.1.push(Box::new(next)).is_ok());
        }
        transaction.query("insert into t values (1)", &[], Limit::AtMost(0)).is_ok()
    }

    fn answer(&mut self, fate: Fate, _: &mut Round) {
        assert_eq!(fate, Fate::Committed);
    }
}

fn committer(folder: &std::path::Path) -> Committer {
    let vfs = clock::register(&Clock::system()).unwrap();
    let plan = Plan { path: folder.join("site.db"), vfs, limits: Limits::default(), durable: false };
    let mut committer = Committer::open(plan, Versions::new(), Arc::default()).unwrap();
    committer.shares_its_core = false;
    committer.leave();
    committer.link().unwrap().own("create table t (a)").unwrap();
    committer
}

#[test]
fn a_group_takes_along_who_came_back_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = committer(folder.path());
    let queue = Arc::new(Queue::new(8));
    // Nobody else is expected.
    committer.settle(vec![Box::new(Followed(1, Arc::clone(&queue)))], Some(&queue));
    assert_eq!((committer.last_group, queue.is_empty()), (1, false));
    // Three are, and no more.
    committer.last_group = 3;
    committer.settle(vec![Box::new(Followed(5, Arc::clone(&queue)))], Some(&queue));
    assert_eq!((committer.last_group, queue.is_empty()), (3, false));
    committer.leave();
    let rows = committer.link().unwrap().own("select count(*) from t").unwrap();
    assert_eq!(rows.cells, [Value::Int(4)]);
}

#[test]
fn changes_are_counted_in_the_order_of_their_actions() {
    let versions = Versions::new();
    let set = |name: &str| versions.tables(&crate::database::Tables::Known([name.to_string()].into()));
    let (counts, copies) = (set("counts"), set("copies"));
    let mut changed = Vec::new();
    [&copies, &counts, &counts, &copies].into_iter().for_each(|tables| note(&mut changed, Change::of(tables)));
    let tables = changed.iter().map(|change| format!("{:?}", change.tables())).collect::<String>();
    assert_eq!(tables, "{\"copies\"}{\"counts\"}{\"copies\"}");
}

/// An action that asks who a session is, does something, and asks again; what it was told is left behind.
struct Asking(&'static str, bool, Told);

type Told = Arc<Mutex<Vec<usize>>>;

impl Job for Asking {
    fn tables(&self) -> &TableSet {
        every_table()
    }

    fn run(&mut self, mut transaction: Transaction<'_>) -> bool {
        let ask = |transaction: &mut Transaction<'_>| {
            let rows = transaction.recall("select id from _sessions where key = ?", b"key", Limit::AtMost(1)).unwrap();
            self.2.lock().unwrap().push(rows.len());
        };
        ask(&mut transaction);
        let _ = transaction.query(self.0, &[], Limit::AtMost(1));
        ask(&mut transaction);
        self.1
    }

    fn answer(&mut self, _: Fate, _: &mut Round) {}
}

#[test]
fn sessions_are_recalled_only_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = committer(folder.path());
    let link = committer.link().unwrap();
    link.own("create table _sessions (id text primary key, key blob unique) without rowid").unwrap();
    link.own("create trigger leaves after insert on t when new.a = 3 begin delete from _sessions; end").unwrap();
    let begins = "insert into _sessions values ('a', x'6b6579')";
    let told = Told::default();
    let mut run = |group: &[(&'static str, bool)]| {
        let job = |(sql, keep): &(&'static str, bool)| Box::new(Asking(sql, *keep, told.clone())) as Box<dyn Job>;
        committer.settle(group.iter().map(job).collect(), None);
        std::mem::take(&mut *told.lock().unwrap())
    };
    assert_eq!(run(&[("select 1", true), (begins, true), ("select 1", true)]), [0, 0, 0, 1, 1, 1]);
    assert_eq!(run(&[("insert into t values (1)", true), ("delete from _sessions", true)]), [1, 1, 1, 0]);
    assert_eq!(run(&[(begins, true), ("insert into t values (3)", true)]), [0, 1, 1, 0], "a trigger wrote it");
    // An action that fails is taken back, with its group, and alone when that runs again.
    assert_eq!(run(&[("select 1", true), (begins, false)]), [0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(run(&[("select 1", true)]), [0, 0]);
    let other = rusqlite::Connection::open(folder.path().join("site.db")).unwrap();
    other.execute(begins, []).unwrap();
    assert_eq!(run(&[("select 1", true)]), [1, 1]);
}

/// Pages in the log, and how many of them are in the database file.
fn log_pages(committer: &mut Committer) -> (i64, i64) {
    committer.leave();
    let rows = committer.link().unwrap().own("pragma wal_checkpoint(noop)").unwrap();
    let number = |name| rows.cell(0, name).and_then(Value::as_int).unwrap();
    (number("log"), number("checkpointed"))
}

#[test]
fn the_log_is_kept_small() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = committer(folder.path());
    // More than 1,000 pages: a background checkpoint is due. Somebody who reads keeps it from its end.
    committer.settle(vec![Box::new(Statement("insert into t values (zeroblob(6000000))"))], None);
    let reader = rusqlite::Connection::open(folder.path().join("site.db")).unwrap();
    reader.execute_batch("begin; select count(*) from t").unwrap();
    committer.settle(vec![Box::new(Statement("insert into t values (1)"))], None);
    committer.checkpoint();
    committer.checkpointer.close();
    let (log, checkpointed) = log_pages(&mut committer);
    assert!(log > 1_000 && checkpointed < log, "{log} {checkpointed}");
    // What it has left is moved by the writer.
    drop(reader);
    committer.checkpoint();
    let (log, checkpointed) = log_pages(&mut committer);
    assert!(log > 1_000 && checkpointed == log, "{log} {checkpointed}");
    // The log begins anew; 17,000 pages are so many that the writer truncates it.
    for _ in 0..7 {
        committer.settle(vec![Box::new(Statement("insert into t values (zeroblob(10000000))"))], None);
    }
    assert!(log_pages(&mut committer).0 > 16_384);
    committer.checkpoint();
    assert_eq!(log_pages(&mut committer), (0, 0));
    assert_eq!(folder.path().join("site.db-wal").metadata().unwrap().len(), 0);
}

/// An action for somebody who wants to know ahead of the commit what it gave.
struct Hurrying(Arc<Mutex<Heard>>);

/// What they hear: the commit to come, or else what became of the action.
#[derive(Default)]
struct Heard {
    runs: usize,
    commit: Option<Commit>,
    fate: Option<Fate>,
}

impl Hurrying {
    /// So many, with what each of them hears.
    fn group(count: usize) -> (Group, Vec<Arc<Mutex<Heard>>>) {
        let heard: Vec<Arc<Mutex<Heard>>> = (0..count).map(|_| Arc::default()).collect();
        (heard.iter().map(|heard| Box::new(Hurrying(heard.clone())) as Box<dyn Job>).collect(), heard)
    }
}

impl Job for Hurrying {
    fn tables(&self) -> &TableSet {
        every_table()
    }

    fn run(&mut self, mut transaction: Transaction<'_>) -> bool {
        self.0.lock().unwrap().runs += 1;
        transaction.query("insert into t values (1)", &[], Limit::AtMost(0)).is_ok()
    }

    fn tell_ahead(&mut self, committing: &Committing, _: &mut Round) {
        self.0.lock().unwrap().commit = Some(committing.commit());
    }

    fn is_told(&self) -> bool {
        self.0.lock().unwrap().commit.is_some()
    }

    fn answer(&mut self, fate: Fate, _: &mut Round) {
        self.0.lock().unwrap().fate = Some(fate);
    }
}

/// What the commit that somebody was told of has come to.
fn outcome(heard: &Mutex<Heard>) -> Option<Result<(), Failure>> {
    let commit = heard.lock().unwrap().commit.take()?;
    match std::pin::pin!(commit).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => panic!("the commit is over"),
    }
}

#[test]
fn many_are_told_ahead_of_their_commit_and_how_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = committer(folder.path());
    let mut settle = |count: usize, durable: bool, fails: bool| {
        committer.plan.durable = durable;
        committer.leave();
        committer.link().unwrap().connection.commit_hook(Some(move || fails)).unwrap();
        let (group, heard) = Hurrying::group(count);
        committer.settle(group, None);
        assert!(heard.iter().all(|heard| heard.lock().unwrap().runs == 1));
        heard.iter().map(|heard| outcome(heard)).collect::<Vec<_>>()
    };
    assert_eq!(settle(CROWD, true, false), vec![Some(Ok(())); CROWD]);
    // Few, and where no disk is waited for, are told when all is done.
    assert_eq!(settle(CROWD - 1, true, false), vec![None; CROWD - 1]);
    assert_eq!(settle(CROWD, false, false), vec![None; CROWD]);
    let lost = settle(CROWD, true, true);
    assert!(lost.iter().all(|outcome| matches!(outcome, Some(Err(_)))), "{lost:?}");
    committer.leave();
    let rows = committer.link().unwrap().own("select count(*) from t").unwrap();
    assert_eq!(rows.cells, [Value::Int(3 * CROWD as i64 - 1)]);
    // Where the disk was full, those are run again who have been told nothing.
    let (group, heard) = Hurrying::group(3);
    heard[1].lock().unwrap().commit = Some(Commit::default());
    one_by_one(group).for_each(|group| committer.settle(group, None));
    assert_eq!([0, 1, 2].map(|place| heard[place].lock().unwrap().runs), [1, 0, 1]);
}
