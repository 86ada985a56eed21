//! The database room: every hazard of a shared transaction, of reading with a deadline, of migrations; what statements
//! depend on; PostgreSQL's functions on SQLite.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tableside::clock::Clock;
use tableside::database::migrations::{self, Content, Migration, State};
use tableside::database::{
    Call, ConstraintKind, Database, Failure, Limit, Limits, Options, Snapshot, Tables, Transaction, Written,
};
use tableside::value::{Rows, Value};

/// Longer than any query of these tests takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A query that never ends by itself.
const ENDLESS: &str = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

/// Gives what a future of an embedded database gives: it is ready at its first poll.
trait Now: Future + Sized {
    fn now(self) -> Self::Output {
        match pin!(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("reading here waits"),
        }
    }
}

impl<F: Future> Now for F {}

/// A database in a folder of its own, with a schema.
struct Bench {
    database: Database,
    options: Options,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(schema: &str) -> Bench {
        Bench::with(schema, |_| {})
    }

    fn with(schema: &str, set: impl FnOnce(&mut Limits)) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path().join("data/site.db"));
        set(&mut options.limits);
        let database = Database::open(&options).unwrap();
        migrations::apply(&database, &[migration(1, schema)]).unwrap();
        Bench { database, options, _folder: folder }
    }

    fn read(&self, sql: &str) -> Result<Rows, Failure> {
        self.database.here(LONG, async |snapshot| snapshot.query(sql, &[], &[], 1000).await).now()
    }

    /// The only cell of a query, as text.
    fn cell(&self, sql: &str) -> String {
        let rows = self.read(sql).unwrap_or_else(|failure| panic!("{sql}: {failure}"));
        assert_eq!((rows.len(), rows.columns.len()), (1, 1), "{sql}");
        match &rows.cells[0] {
            Value::Null => "null".to_string(),
            value => value.to_string(),
        }
    }

    fn write(&self, sql: &'static str) -> Result<Rows, Failure> {
        self.database.write(async move |transaction| transaction.query(sql, &[], &[], 1000).await).wait()
    }

    /// Holds the writer until `queue` has queued its actions, so that they form one group.
    fn group<T>(&self, queue: impl FnOnce(&Database) -> T) -> T {
        let (started, wait_started) = mpsc::channel();
        let (release, wait_release) = mpsc::channel::<()>();
        let holder: Written<(), Failure> = self.database.write(async move |_| {
            started.send(()).unwrap();
            wait_release.recv().unwrap();
            Ok(())
        });
        wait_started.recv().unwrap();
        let queued = queue(&self.database);
        release.send(()).unwrap();
        holder.wait().unwrap();
        queued
    }
}

fn migration(number: u32, sql: &str) -> Migration {
    let mut fingerprint = [0; 32];
    fingerprint[..sql.len().min(32)].copy_from_slice(&sql.as_bytes()[..sql.len().min(32)]);
    let path = format!("migrations/{number:04}_test.sql").into();
    Migration { number, path, content: Content::Sql(sql.into()), fingerprint }
}

fn constraint(failure: &Failure) -> &tableside::database::Constraint {
    match failure {
        Failure::Constraint(constraint) => constraint,
        other => panic!("not a constraint: {other:?}"),
    }
}

// --- Group commit -----------------------------------------------------------------------------------------------

/// Runs a culprit between two ordinary actions of one group. Returns the culprit's failure and how often each of the
/// three ran; the ordinary ones must be whole and there exactly once.
fn beside_a_culprit(
    bench: &Bench,
    culprit: impl AsyncFn(&mut Transaction<'_>) -> Result<(), Failure> + Send + 'static,
) -> (Result<(), Failure>, [usize; 3]) {
    let runs: Arc<[AtomicUsize; 3]> = Arc::default();
    let ordinary = |place: usize| {
        let runs = Arc::clone(&runs);
        async move |transaction: &mut Transaction<'_>| {
            runs[place].fetch_add(1, Ordering::SeqCst);
            let who = Value::Int(place as i64);
            transaction
                .query("insert into notes (who, text) values (?1, 'first half')", &[], std::slice::from_ref(&who), 0)
                .await?;
            transaction.query("insert into notes (who, text) values (?1, 'second half')", &[], &[who], 0).await
        }
    };
    let counted = Arc::clone(&runs);
    let (first, middle, last) = bench.group(|database| {
        let first = database.write(ordinary(0));
        let middle = database.write(async move |transaction| {
            counted[1].fetch_add(1, Ordering::SeqCst);
            transaction.query("insert into notes (who, text) values (1, 'of the culprit')", &[], &[], 0).await?;
            culprit(transaction).await
        });
        (first, middle, database.write(ordinary(2)))
    });
    first.wait().unwrap();
    let result = middle.wait();
    last.wait().unwrap();
    let kept = "select group_concat(who || ' ' || text, ', ' order by id) from notes";
    assert_eq!(bench.cell(kept), "0 first half, 0 second half, 2 first half, 2 second half");
    (result, [0, 1, 2].map(|place| runs[place].load(Ordering::SeqCst)))
}

const NOTES: &str = "create table notes (id integer primary key, who integer not null, text text not null);";

#[test]
fn a_deferred_foreign_key_fails_its_own_action_alone() {
    let bench = Bench::new(&format!(
        "{NOTES} create table owners (id integer primary key);
         create table pets (owner integer references owners deferrable initially deferred);"
    ));
    let (result, runs) = beside_a_culprit(&bench, async |transaction| {
        transaction.query("insert into pets (owner) values (77)", &[], &[], 0).await.map(|_| ())
    });
    assert_eq!(constraint(&result.unwrap_err()).kind, ConstraintKind::ForeignKey);
    // Once more in savepoints.
    assert_eq!(runs, [2, 2, 1]);
    assert_eq!(bench.cell("select count(*) from pets"), "0");
    // Deferred means that order within an action doesn't matter.
    bench
        .database
        .write(async |transaction| {
            transaction.query("insert into pets (owner) values (5)", &[], &[], 0).await?;
            transaction.query("insert into owners (id) values (5)", &[], &[], 0).await
        })
        .wait()
        .unwrap();
}

#[test]
fn a_trigger_that_rolls_back_takes_nobody_with_it() {
    let bench = Bench::new(&format!(
        "{NOTES} create table gates (id integer);
         create trigger shut before insert on gates begin select raise(rollback, 'the gate is shut'); end;"
    ));
    let (result, runs) = beside_a_culprit(&bench, async |transaction| {
        transaction.query("insert into gates values (1)", &[], &[], 0).await.map(|_| ())
    });
    let failure = result.unwrap_err();
    assert_eq!((constraint(&failure).kind, failure.to_string().as_str()), (ConstraintKind::Raised, "the gate is shut"));
    // Only what came before the culprit had to be run again.
    assert_eq!(runs, [2, 1, 1]);
}

#[test]
fn an_action_that_ignores_a_rollback_fails_and_writes_nothing_more() {
    let bench =
        Bench::new(&format!("{NOTES} create table keys (id integer primary key); insert into keys values (1);"));
    let (result, _) = beside_a_culprit(&bench, async |transaction| {
        transaction.query("insert or rollback into keys values (1)", &[], &[], 0).await.unwrap_err();
        // Without the transaction this would be committed by itself.
        transaction.query("insert into notes (who, text) values (9, 'stray')", &[], &[], 0).await.unwrap_err();
        Ok(())
    });
    assert!(matches!(result, Err(Failure::Broken { .. })), "{result:?}");
}

#[test]
fn on_conflict_rollback_takes_nobody_with_it() {
    let bench =
        Bench::new(&format!("{NOTES} create table keys (id integer primary key); insert into keys values (1);"));
    let (result, runs) = beside_a_culprit(&bench, async |transaction| {
        transaction.query("insert or rollback into keys values (1)", &[], &[], 0).await.map(|_| ())
    });
    let failure = result.unwrap_err();
    assert_eq!(
        (constraint(&failure).kind, &constraint(&failure).columns[..]),
        (ConstraintKind::Unique, &["id".into()][..])
    );
    assert_eq!(runs, [2, 1, 1]);
}

#[test]
fn a_write_past_its_time_takes_nobody_with_it() {
    let bench = Bench::with(NOTES, |limits| limits.action_time = Duration::from_secs(1));
    let (result, runs) = beside_a_culprit(&bench, async |transaction| {
        let text = "insert into notes (who, text) select n, 'never' from";
        transaction
            .query(&format!("{text} ({})", ENDLESS.replace("count(*)", "count(*) as n")), &[], &[], 0)
            .await
            .map(|_| ())
    });
    // A mistake in the statement would fail, too, but not so.
    assert_eq!((result, runs), (Err(Failure::Deadline), [2, 1, 1]));
}

#[test]
fn a_query_past_its_time_fails_its_own_action_alone() {
    let bench = Bench::with(NOTES, |limits| limits.action_time = Duration::from_secs(1));
    let (result, runs) = beside_a_culprit(&bench, async |transaction| {
        transaction.query(ENDLESS, &[], &[], 1).await.unwrap_err();
        transaction.query("select 1", &[], &[], 1).await.map(|_| ())
    });
    assert_eq!((result, runs), (Err(Failure::Deadline), [2, 1, 1]));
}

#[test]
fn a_panic_fails_its_own_action_alone() {
    let bench = Bench::new(NOTES);
    let (result, runs) = beside_a_culprit(&bench, async |_| panic!("on purpose"));
    assert_eq!(result, Err(Failure::broken("the action panicked: on purpose")));
    assert_eq!(runs, [2, 1, 1]);
}

#[test]
fn a_full_database_fails_only_who_fills_it() {
    let bench = Bench::with(NOTES, |limits| limits.database_bytes = Some(1 << 20));
    let (result, _) = beside_a_culprit(&bench, async |transaction| {
        let large = "insert into notes (who, text) values (1, hex(zeroblob(4000000)))";
        transaction.query(large, &[], &[], 0).await.map(|_| ())
    });
    assert_eq!(result, Err(Failure::Full));
    bench.write("insert into notes (who, text) values (3, 'still writable')").unwrap();
}

#[test]
fn an_action_that_gives_an_error_is_rolled_back() {
    let bench = Bench::new(NOTES);
    let (result, runs) = beside_a_culprit(&bench, async |_| Err(Failure::broken("not enough stock")));
    assert_eq!((result, runs), (Err(Failure::broken("not enough stock")), [2, 2, 1]));
}

#[test]
fn an_action_that_fails_before_it_changes_anything_costs_nobody_a_second_run() {
    let bench = Bench::new(NOTES);
    let runs = Arc::new(AtomicUsize::new(0));
    let (answers, refused) = bench.group(|database| {
        let queue = |_| {
            let runs = Arc::clone(&runs);
            database.write(async move |transaction| {
                runs.fetch_add(1, Ordering::SeqCst);
                transaction.query("insert into notes (who, text) values (1, 'x')", &[], &[], 0).await
            })
        };
        let before: Vec<Written<Rows, Failure>> = (0..3).map(queue).collect();
        let refused: Written<(), Failure> = database.write(async |transaction| {
            transaction.query("select 1 where false", &[], &[], 1).await?;
            Err(Failure::broken("not enough stock"))
        });
        (before.into_iter().chain((0..3).map(queue)).collect::<Vec<_>>(), refused)
    });
    assert_eq!(refused.wait(), Err(Failure::broken("not enough stock")));
    answers.into_iter().for_each(|answer| assert!(answer.wait().is_ok()));
    assert_eq!((bench.cell("select count(*) from notes").as_str(), runs.load(Ordering::SeqCst)), ("6", 6));
}

#[test]
fn several_culprits_in_one_group_leave_the_others_whole() {
    let bench = Bench::new("create table n (i integer primary key);");
    let runs = Arc::new(AtomicUsize::new(0));
    let answers = bench.group(|database| {
        let queue = |i: i64| {
            let runs = Arc::clone(&runs);
            database.write(async move |transaction| {
                runs.fetch_add(1, Ordering::SeqCst);
                transaction.query("insert into n values (?1)", &[], &[Value::Int(i)], 0).await?;
                match i % 3 {
                    0 => transaction.query("insert or rollback into n values (?1)", &[], &[Value::Int(i)], 0).await,
                    _ => Ok(Rows::default()),
                }
            })
        };
        (1..=30).map(queue).collect::<Vec<Written<Rows, Failure>>>()
    });
    for (i, answer) in (1..=30).zip(answers) {
        assert_eq!(answer.wait().is_ok(), i % 3 != 0, "{i}");
    }
    assert_eq!(
        bench.cell("select group_concat(i, ' ' order by i) from n"),
        "1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 26 28 29"
    );
    assert!(runs.load(Ordering::SeqCst) <= 60, "no action runs much more than twice");
}

#[test]
fn slow_actions_do_not_hold_up_a_whole_group() {
    let bench = Bench::new(NOTES);
    let seen = Arc::new(AtomicUsize::new(0));
    let answers = bench.group(|database| {
        let slow = database.write(async |transaction| {
            let until = std::time::Instant::now() + Duration::from_millis(50);
            while std::time::Instant::now() < until {
                transaction.query("select 1", &[], &[], 1).await?;
            }
            transaction.query("insert into notes (who, text) values (1, 'slow')", &[], &[], 0).await
        });
        let (seen, path) = (Arc::clone(&seen), bench.options.path.clone());
        let next = database.write(async move |transaction| {
            // What another connection sees is committed.
            let other = rusqlite::Connection::open(&path).unwrap();
            let count: u32 = other.query_row("select count(*) from notes", [], |row| row.get(0)).unwrap();
            seen.store(count as usize, Ordering::SeqCst);
            transaction.query("select 1", &[], &[], 1).await
        });
        [slow, next]
    });
    answers.into_iter().for_each(|answer| assert!(answer.wait().is_ok()));
    assert_eq!(seen.load(Ordering::SeqCst), 1, "the slow one was committed before the next one began");
}

#[test]
fn nobody_learns_another_visitors_row_id() {
    let bench = Bench::new(NOTES);
    let ask = |database: &Database| {
        database.write(async |transaction| transaction.query("select last_insert_rowid() as id", &[], &[], 1).await)
    };
    let (mine, theirs) = bench.group(|database| {
        let mine = database.write(async |transaction| {
            transaction.query("insert into notes (id, who, text) values (4711, 1, '')", &[], &[], 0).await?;
            transaction.query("select last_insert_rowid() as id", &[], &[], 1).await
        });
        (mine, ask(database))
    });
    let id = |answer: Written<Rows, Failure>| answer.wait().unwrap().cell(0, "id").cloned();
    assert_eq!(id(mine), Some(Value::Int(4711)));
    assert_eq!(id(theirs), Some(Value::Int(0)), "in the same group");
    assert_eq!(id(ask(&bench.database)), Some(Value::Int(0)), "in a later group");
}

#[test]
fn an_action_sees_what_it_wrote_and_the_number_of_changed_rows() {
    let bench = Bench::new(NOTES);
    let rows = bench.database.write(async |transaction| {
        let inserted = transaction
            .query("insert into notes (who, text) values (1, 'a'), (2, 'b') returning id", &[], &[], 9)
            .await?;
        assert_eq!((inserted.len(), inserted.changed), (2, 2));
        let updated = transaction.query("update notes set text = 'c' where who > 5", &[], &[], 0).await?;
        assert_eq!(updated.changed, 0);
        transaction.query("select text from notes order by id", &[], &[], 9).await
    });
    assert_eq!(rows.wait().unwrap().cells, [Value::from("a"), Value::from("b")]);
}

#[test]
fn an_action_runs_to_its_end_when_its_client_is_gone() {
    let bench = Bench::new(NOTES);
    bench.group(|database| {
        drop(database.write(async |transaction| {
            transaction.query("insert into notes (who, text) values (1, 'ordered')", &[], &[], 0).await
        }));
    });
    // Actions are run in their order, so this one comes after it.
    bench.write("select 1").unwrap();
    assert_eq!(bench.cell("select text from notes"), "ordered");
}

#[test]
fn a_full_queue_refuses_at_once() {
    let bench = Bench::with(NOTES, |limits| limits.waiting_actions = 2);
    let answers = bench.group(|database| {
        let queue = |_| database.write(async |transaction| transaction.query("select 1", &[], &[], 1).await);
        let answers: Vec<Written<Rows, Failure>> = (0..3).map(queue).collect();
        answers
    });
    let results: Vec<bool> = answers.into_iter().map(|answer| answer.wait() == Err(Failure::Busy)).collect();
    assert_eq!(results, [false, false, true]);
}

#[test]
fn closing_finishes_what_waits_and_refuses_the_rest() {
    let bench = Bench::new(NOTES);
    let waiting = bench.group(|database| {
        (0..50)
            .map(|who| {
                database.write(async move |transaction| {
                    let who = Value::Int(who);
                    transaction.query("insert into notes (who, text) values (?1, '')", &[], &[who], 0).await
                })
            })
            .collect::<Vec<Written<Rows, Failure>>>()
    });
    bench.database.close();
    assert!(waiting.into_iter().all(|answer| answer.wait().is_ok()));
    assert_eq!(bench.write("select 1"), Err(Failure::Busy));
    let file = rusqlite::Connection::open(&bench.options.path).unwrap();
    let count: i64 = file.query_row("select count(*) from notes", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 50);
    assert!(!bench.options.path.with_extension("db-wal").metadata().is_ok_and(|wal| wal.len() > 0));
}

#[test]
fn two_writers_of_one_file_wait_for_each_other() {
    let bench = Bench::with(NOTES, |limits| limits.busy_time = LONG);
    let other = Database::open(&bench.options).unwrap();
    std::thread::scope(|scope| {
        for database in [&bench.database, &other] {
            for who in 0..4 {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let insert = "insert into notes (who, text) values (?1, '')";
                        database
                            .write(async move |transaction| transaction.query(insert, &[], &[Value::Int(who)], 0).await)
                            .wait()
                            .unwrap();
                    }
                });
            }
        }
    });
    assert_eq!(bench.cell("select count(*) from notes"), "160");
}

#[test]
fn a_lock_that_another_process_holds_too_long_is_busy() {
    let bench = Bench::with(NOTES, |limits| limits.busy_time = Duration::from_millis(20));
    let other = rusqlite::Connection::open(&bench.options.path).unwrap();
    other.execute_batch("begin immediate").unwrap();
    assert_eq!(bench.write("insert into notes (who, text) values (1, '')"), Err(Failure::Busy));
    assert_eq!(bench.cell("select count(*) from notes"), "0", "readers don't mind");
    other.execute_batch("rollback").unwrap();
    bench.write("insert into notes (who, text) values (1, '')").unwrap();
}

#[test]
fn constraints_are_told_with_their_names() {
    let bench = Bench::new(
        "create table items (id integer primary key, slug text not null, price integer check (price > 0),
            stock integer not null default 0 constraint stock_left check (stock >= 0));
         create unique index one_slug on items (slug);
         create table strict_items (qty integer) strict;
         create table lines (item integer references items);
         insert into items (slug, price) values ('a', 1);",
    );
    let cases: [(&'static str, ConstraintKind, Option<&str>, &[&str]); 7] = [
        ("insert into items (slug) values ('a')", ConstraintKind::Unique, Some("one_slug"), &["slug"]),
        ("insert into items (id, slug) values (1, 'b')", ConstraintKind::Unique, None, &["id"]),
        ("insert into items (slug) values (null)", ConstraintKind::NotNull, None, &["slug"]),
        ("update items set price = 0", ConstraintKind::Check, Some("price > 0"), &[]),
        ("update items set stock = -1", ConstraintKind::Check, Some("stock_left"), &[]),
        ("insert into strict_items values ('many')", ConstraintKind::Type, None, &["qty"]),
        ("insert into lines values (99)", ConstraintKind::ForeignKey, None, &[]),
    ];
    for (sql, kind, name, columns) in cases {
        let failure = bench.write(sql).unwrap_err();
        let found = constraint(&failure);
        let found_columns: Vec<&str> = found.columns.iter().map(String::as_str).collect();
        assert_eq!((found.kind, found.name.as_deref(), &found_columns[..]), (kind, name, columns), "{sql}");
        assert!(name.is_none_or(|name| found.is_called(name)), "{sql}");
    }
    let called = |sql: &'static str, name: &str| constraint(&bench.write(sql).unwrap_err()).is_called(name);
    assert!(called("insert into items (slug) values ('a')", "items_slug_key"));
    assert!(called("insert into items (id, slug) values (1, 'b')", "items_pkey"));
    assert!(called("insert into items (slug) values (null)", "items_slug_not_null"));
    assert!(!called("insert into items (slug) values (null)", "items_slug_key"));
}

/// The part of [`no_acknowledgement_after_a_failed_commit_until_reopened`] that runs in a process of its own, because
/// its limit on file sizes holds for all of a process.
#[test]
fn child_with_a_limit_on_file_sizes() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if std::env::var_os("TABLESIDE_TEST_CHILD").is_none() {
        return;
    }
    let bench = Bench::new(NOTES);
    bench.write("insert into notes (who, text) values (1, 'before')").unwrap();
    let log = bench.options.path.with_extension("db-wal").metadata().unwrap().len();
    let free = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(log + 100_000), ..free }).unwrap();
    let answers = bench.group(|database| {
        let large = "insert into notes (who, text) values (2, hex(zeroblob(500000)))";
        let queue = |sql| {
            database.write(async move |transaction: &mut Transaction<'_>| transaction.query(sql, &[], &[], 0).await)
        };
        [queue("insert into notes (who, text) values (2, 'lost')"), queue(large)]
    });
    for answer in answers {
        let failure = answer.wait().unwrap_err();
        assert!(failure.to_string().contains("disk I/O error"), "{failure}");
    }
    setrlimit(Resource::Fsize, free).unwrap();
    bench.write("insert into notes (who, text) values (3, 'after')").unwrap();
    assert_eq!(bench.cell("select group_concat(text, ' ' order by id) from notes"), "before after");
    println!("the child came to its end");
}

#[test]
fn no_acknowledgement_after_a_failed_commit_until_reopened() {
    let program = std::env::current_exe().unwrap();
    // The signal that comes with the limit would end the process; ignored, the write fails.
    let child = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(program)
        .args(["--exact", "database::child_with_a_limit_on_file_sizes", "--nocapture"])
        .env("TABLESIDE_TEST_CHILD", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("the child came to its end"), "{said}{}", String::from_utf8_lossy(&child.stderr));
}

// --- Reading ----------------------------------------------------------------------------------------------------

/// Whether no connection holds a snapshot: only then can the log be truncated. The writer's own is the newest, which it
/// renews often enough for whoever waits a moment.
fn no_snapshot_is_open(bench: &Bench) -> bool {
    bench.write("update notes set text = text || '.'").unwrap();
    let other = rusqlite::Connection::open(&bench.options.path).unwrap();
    other.busy_timeout(Duration::from_secs(2)).unwrap();
    let busy: i64 = other.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0)).unwrap();
    busy == 0
}

#[test]
fn a_query_past_its_deadline_leaves_no_snapshot_open() {
    let bench = Bench::new(&format!("{NOTES} insert into notes (who, text) values (1, '');"));
    let result = bench
        .database
        .here(Duration::from_millis(500), async |snapshot| {
            snapshot.query("select * from notes", &[], &[], 10).await?;
            snapshot.query(ENDLESS, &[], &[], 1).await
        })
        .now();
    assert_eq!(result, Err(Failure::Deadline));
    assert!(no_snapshot_is_open(&bench));
    assert!(bench.database.is_slow(ENDLESS));
    assert!(!bench.database.is_slow("select * from notes"));
    // The thread's connection goes on.
    assert_eq!(bench.cell("select count(*) from notes"), "1");
}

#[test]
fn all_queries_after_the_deadline_fail() {
    let bench = Bench::new(NOTES);
    let result = bench
        .database
        .here(Duration::from_millis(20), async |snapshot| {
            snapshot.query(ENDLESS, &[], &[], 1).await.unwrap_err();
            snapshot.query("select 1", &[], &[], 1).await
        })
        .now();
    assert_eq!(result, Err(Failure::Deadline));
}

#[test]
fn reading_ends_its_snapshot_on_error_and_panic() {
    let bench = Bench::new(&format!("{NOTES} insert into notes (who, text) values (1, '');"));
    let failed: Result<(), Failure> = bench
        .database
        .here(LONG, async |snapshot| {
            snapshot.query("select * from notes", &[], &[], 10).await?;
            snapshot.query("select * from nowhere", &[], &[], 10).await?;
            Ok(())
        })
        .now();
    assert!(matches!(failed, Err(Failure::Broken { .. })));
    assert!(no_snapshot_is_open(&bench));

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bench
            .database
            .here(LONG, async |snapshot| -> Result<(), Failure> {
                snapshot.query("select * from notes", &[], &[], 10).await?;
                panic!("on purpose")
            })
            .now()
    }));
    assert!(panicked.is_err());
    assert!(no_snapshot_is_open(&bench));
}

#[test]
fn all_queries_of_one_piece_of_work_see_one_snapshot() {
    let bench = Bench::new(NOTES);
    let count =
        async |snapshot: &mut Snapshot<'_>| snapshot.query("select count(*) as n from notes", &[], &[], 1).await;
    bench
        .database
        .here(LONG, async |snapshot| -> Result<(), Failure> {
            let before = count(snapshot).await?;
            bench.write("insert into notes (who, text) values (1, '')")?;
            assert_eq!(count(snapshot).await?, before);
            // Work within work is another reader, and sees the newer state.
            assert_eq!(bench.cell("select count(*) from notes"), "1");
            Ok(())
        })
        .now()
        .unwrap();
    assert_eq!(bench.cell("select count(*) from notes"), "1");
}

#[test]
fn a_level_is_answered_up_to_its_first_failure() {
    let bench = Bench::new(NOTES);
    let call = |sql: &'static str| Call { sql, kinds: &[], binds: &[], limit: Limit::AtMost(1) };
    let calls = [call("select 1 as n"), call("select * from nowhere"), call("select 2 as n")];
    let ask = |calls: &[Call]| {
        let level = bench.database.here(LONG, async |snapshot| Ok::<_, Failure>(snapshot.level(calls, true).await));
        level.now().unwrap()
    };
    let failed = ask(&calls).unwrap_err();
    assert_eq!((failed.call, &failed.before[0].cells[..]), (1, &[Value::Int(1)][..]));
    assert!(matches!(failed.failure, Failure::Broken { .. }) && failed.before.len() == 1);
    assert_eq!(ask(&[calls[0], calls[2]]).unwrap().len(), 2);
    assert_eq!(ask(&calls[2..]).unwrap()[0].cells, [Value::Int(2)]);
    assert!(no_snapshot_is_open(&bench));
}

#[test]
fn an_action_that_waits_for_something_else_fails_alone() {
    let bench = Bench::new(NOTES);
    let (result, runs) = beside_a_culprit(&bench, async |_| std::future::pending().await);
    assert!(matches!(result, Err(Failure::Broken { .. })), "{result:?}");
    assert_eq!(runs, [2, 2, 1]);
    let read: Result<(), Failure> = bench.database.read_and_wait(LONG, async |_| std::future::pending().await);
    assert!(matches!(read, Err(Failure::Broken { .. })), "{read:?}");
}

#[test]
fn reading_apart_answers_fails_late_and_refuses_when_full() {
    let bench = Bench::with(NOTES, |limits| {
        limits.apart_threads = 1;
        limits.apart_waiting = 1;
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let database = &bench.database;
    let answered = database.apart(LONG, async |snapshot| snapshot.only("select 7 as n", &[], &[], 1).await);
    assert_eq!(runtime.block_on(answered).unwrap().cells, [Value::Int(7)]);

    let late = database.apart(Duration::from_millis(20), async |snapshot| snapshot.query(ENDLESS, &[], &[], 1).await);
    assert_eq!(runtime.block_on(late), Err(Failure::Deadline));

    let (started, wait_started) = mpsc::channel();
    let (release, wait_release) = mpsc::channel::<()>();
    let running = database.apart(LONG, async move |_| -> Result<(), Failure> {
        started.send(()).unwrap();
        wait_release.recv().unwrap();
        panic!("on purpose")
    });
    wait_started.recv().unwrap();
    let waiting = database.apart(LONG, async |snapshot| snapshot.query("select 1", &[], &[], 1).await);
    let refused = database.apart(LONG, async |snapshot| snapshot.query("select 1", &[], &[], 1).await);
    assert_eq!(runtime.block_on(refused), Err(Failure::Busy));
    release.send(()).unwrap();
    assert_eq!(runtime.block_on(running), Err(Failure::broken("the work panicked")));
    assert!(runtime.block_on(waiting).is_ok(), "the thread outlives the panic");
}

#[test]
fn rows_and_values_have_limits() {
    let bench = Bench::with(NOTES, |limits| {
        limits.value_bytes = 100_000;
        limits.result_bytes = 50_000;
    });
    let three = "select 1 as n union all select 2 union all select 3";
    let read = |sql: &str, limit: Limit| {
        bench.database.here(LONG, async |snapshot| snapshot.query(sql, &[], &[], limit).await).now()
    };
    assert_eq!(read(three, Limit::AtMost(2)), Err(Failure::TooManyRows(2)));
    assert_eq!(read(three, Limit::AtMost(3)).unwrap().len(), 3);
    let first = read(three, Limit::First(2)).unwrap();
    assert_eq!((first.len(), first.more), (2, true));
    assert!(!read(three, Limit::First(3)).unwrap().more);
    assert_eq!(read("select hex(zeroblob(90000))", Limit::AtMost(1)), Err(Failure::TooLarge));
    assert_eq!(read("select hex(zeroblob(30000))", Limit::AtMost(1)), Err(Failure::TooLarge));
    assert_eq!(read("select hex(zeroblob(20000))", Limit::AtMost(1)).unwrap().len(), 1);
}

#[test]
fn like_minds_case_and_a_plan_does_not_depend_on_the_values() {
    let bench = Bench::new(
        "create table t (name text); create index by_name on t (name); insert into t values ('abc'), ('Abd');",
    );
    let like = |pattern: &str| {
        let pattern = Value::from(pattern);
        let found = bench
            .database
            .here(LONG, async |snapshot| {
                snapshot.query("select name from t where name like ?1", &[], &[pattern], 9).await
            })
            .now();
        found.unwrap_or_else(|failure: Failure| panic!("{failure}")).cells
    };
    assert_eq!(like("ab%"), [Value::from("abc")]);
    assert_eq!(like("A%"), [Value::from("Abd")]);
}

#[test]
fn values_come_back_as_they_were_bound() {
    let bench = Bench::new(NOTES);
    let values = [
        Value::Null,
        Value::Int(i64::MIN),
        Value::Real(0.5),
        Value::from(""),
        Value::from("it's \0 ü"),
        Value::Blob(Arc::from([0_u8, 255].as_slice())),
        Value::Blob(Arc::from([].as_slice())),
    ];
    let rows = bench
        .database
        .here(LONG, async |snapshot| snapshot.query("select ?1, ?2, ?3, ?4, ?5, ?6, ?7", &[], &values, 1).await)
        .now();
    assert_eq!(rows.unwrap().cells, values);
    let list = Value::List(Arc::from([Value::Int(3), Value::from("b"), Value::Bool(true), Value::Null].as_slice()));
    let rows = bench
        .database
        .here(LONG, async |snapshot| snapshot.query("select value from json_each(?1)", &[], &[list], 9).await)
        .now();
    assert_eq!(rows.unwrap().cells, [Value::Int(3), Value::from("b"), Value::Int(1), Value::Null]);
    let select = "select $1 as a, $2 as b, $1 as c";
    let rows = bench.database.here(LONG, async |snapshot| snapshot.only(select, &[], &values[1..3], 1).await).now();
    assert_eq!(rows.unwrap().cells, [values[1].clone(), values[2].clone(), values[1].clone()]);
    let missing =
        bench.database.here(LONG, async |snapshot| snapshot.query("select ?1, ?2", &[], &values[..1], 1).await).now();
    assert_eq!(missing, Err(Failure::broken("the statement takes 2 values, 1 were given")));
}

#[test]
fn statements_follow_a_changed_schema() {
    let bench = Bench::new("create table t (a text); insert into t values ('x');");
    assert_eq!(&*bench.read("select * from t").unwrap().columns[0], "a");
    let more = [
        migration(1, "create table t (a text); insert into t values ('x');"),
        migration(2, "alter table t rename a to b; alter table t add c default 5"),
    ];
    migrations::apply(&bench.database, &more).unwrap();
    let rows = bench.read("select * from t").unwrap();
    assert_eq!(
        (rows.columns.len(), rows.cell(0, "b"), rows.cell(0, "c")),
        (2, Some(&"x".into()), Some(&Value::Int(5)))
    );
    assert_eq!(bench.database.describe("select * from t", &[]).unwrap().columns, ["b", "c"]);
}

#[test]
fn query_files_can_do_nothing_but_read_and_write_rows() {
    let bench = Bench::new(NOTES);
    let refused = [
        ("begin", "the server itself begins"),
        ("commit", "the server itself begins"),
        ("rollback", "the server itself begins"),
        ("savepoint a", "the server itself begins"),
        ("release action", "the server itself begins"),
        ("pragma foreign_keys = off", "PRAGMA"),
        ("attach 'other.db' as other", "ATTACH"),
        ("vacuum", ""),
        ("create table x (y)", "migrations"),
        ("drop table notes", "migrations"),
        ("alter table notes add x", "migrations"),
        ("create temporary table x (y)", "temporary"),
        ("create temp view x as select 1", "temporary"),
        ("analyze", "migrations"),
        ("reindex", "migrations"),
        ("delete from sqlite_master", ""),
        ("select 1; select 2", "more than one statement"),
        ("-- nothing", "no statement"),
        ("select \"text\"", "no such column"),
        ("explain select 1", "EXPLAIN"),
        ("select * from pragma_table_info('notes')", "pragma_table_info"),
    ];
    for (sql, message) in refused {
        let fault = bench.database.describe(sql, &[]).expect_err(sql);
        assert!(fault.message.contains(message), "{sql}: {}", fault.message);
        let runtime_too = !message.contains("EXPLAIN") && !message.contains("pragma_");
        if runtime_too {
            assert!(bench.write(sql).is_err(), "{sql} in an action");
            assert!(bench.read(sql).is_err(), "{sql} in a page");
        }
    }
    assert!(bench.read("insert into notes (who, text) values (1, '')").is_err(), "a page doesn't write");
    assert_eq!(bench.cell("select count(*) from notes"), "0");
    bench.write("insert into notes (who, text) values (1, '')").unwrap();
}

#[test]
fn faults_point_at_their_place() {
    let bench = Bench::new(NOTES);
    let fault = bench.database.describe("select id,\n  nmae from notes", &[]).unwrap_err();
    assert_eq!((fault.message.as_str(), fault.offset), ("no such column: nmae", Some(13)));
    let fault = bench.database.describe("select id fro notes", &[]).unwrap_err();
    assert!(fault.message.contains("syntax error"), "{}", fault.message);
    assert_eq!(bench.database.tables(), ["notes", "outbox", "uploads"]);
    assert_eq!(bench.database.columns_of("notes"), ["id", "who", "text"]);
    assert!(bench.database.columns_of("nowhere").is_empty());
}

// --- The clock --------------------------------------------------------------------------------------------------

#[test]
fn sql_reads_our_clock_and_says_so() {
    let clock = Clock::fixed(1_700_000_000_123);
    let database = Database::scratch(&clock).unwrap();
    let views = "create view recent as select strftime('%Y-%m-%dT%H:%M:%fZ', 'now') as at; create table t (a);";
    migrations::apply(&database, &[migration(1, views)]).unwrap();
    let ask = |sql: &str| {
        database
            .here(LONG, async |snapshot| -> Result<_, Failure> {
                let rows = snapshot.query(sql, &[], &[], 1).await?;
                Ok((rows.cells[0].to_string(), snapshot.read_the_clock()))
            })
            .now()
            .unwrap()
    };
    assert_eq!(ask("select at from recent"), ("2023-11-14T22:13:20.123Z".into(), true));
    assert_eq!(ask("select current_timestamp"), ("2023-11-14 22:13:20".into(), true));
    assert_eq!(ask("select date('2024-01-31', '+1 day')"), ("2024-02-01".into(), false));
    assert_eq!(ask("select count(*) from t"), ("0".into(), false));
    clock.set(0);
    assert_eq!(ask("select unixepoch()"), ("0".into(), true));
}

// --- Dependencies -----------------------------------------------------------------------------------------------

const WORLD: &str = "
create table groups (id integer primary key, name text unique, parent integer references groups on delete set null);
create table items (id integer primary key, name text, price integer, group_id integer references groups on delete cascade on update cascade);
create table tags (item integer not null references items on delete cascade, tag text not null, primary key (item, tag)) without rowid;
create table prices (item integer references items on delete set null, old integer);
create table log (id integer primary key autoincrement, what text);
create table audit (what text);
create table counts (what text primary key, n integer);
create view cheap as select * from items where price < 10;
create view cheap_names as select name from cheap;
create view group_names as select name from groups;
create trigger items_deleted after delete on items begin insert into log (what) values ('deleted'); end;
create trigger items_priced after update of price on items begin insert into prices values (old.id, old.price); end;
create trigger log_added after insert on log begin update counts set n = n + 1 where what = (select max(what) from audit); end;
create trigger group_named instead of insert on group_names begin insert into groups (name) values (new.name); end;
create virtual table plain_search using fts5(title);
create virtual table item_search using fts5(name, content='items', content_rowid='id');
create virtual table cheap_search using fts5(name, content='cheap');
create virtual table words using fts5vocab(item_search, 'row');
create virtual table boxes using rtree(id, x0, x1);
create table mirrored (id integer primary key, text text);
create trigger mirror after insert on mirrored begin insert into plain_search (rowid, title) values (new.id, new.text); end;
create table bare (k text primary key, v text) without rowid;
create table made (a integer, b integer generated always as (a * 2) stored);
create table outer_reaches (x, y text default (datetime('now')));
";

/// The statement, what it reads, what it writes; `*` where reads are not the point.
const STATEMENTS: &[(&str, &str, &str)] = &[
    ("select 1", "", ""),
    ("select * from items", "items", ""),
    ("select count(*) from items", "items", ""),
    ("select rowid from items", "items", ""),
    ("select 1 from ITEMS", "items", ""),
    ("select i.* from items i, groups", "groups items", ""),
    ("select name from items where exists (select 1 from tags where item = items.id)", "items tags", ""),
    ("select (select max(old) from prices)", "prices", ""),
    ("select 1 where 5 in audit", "audit", ""),
    ("select * from cheap", "items", ""),
    ("select count(*) from cheap_names", "items", ""),
    ("with c as (select * from tags) select i.name from items i", "items", ""),
    ("with c as (select * from tags) select count(*) from c", "tags", ""),
    (
        "with recursive up(id) as (select 1 union select parent from groups, up where groups.id = up.id) select * from up",
        "groups",
        "",
    ),
    ("with items as (select 1 as a) select a from items", "", ""),
    ("select 1 union all select name from groups order by 1", "groups", ""),
    ("select row_number() over (order by price) from items", "items", ""),
    ("select a.id from items a left join groups b on b.id = a.group_id", "groups items", ""),
    ("select value from json_each('[1,2]')", "", ""),
    ("select value from items, json_each(items.name)", "items", ""),
    ("select name from sqlite_master", "sqlite_master", ""),
    ("select * from sqlite_schema", "sqlite_master", ""),
    ("select seq from sqlite_sequence", "sqlite_sequence", ""),
    ("select k from bare", "bare", ""),
    ("values (1), (2)", "", ""),
    // Virtual tables.
    ("select title from plain_search where plain_search match ?1 order by rank", "plain_search", ""),
    ("select highlight(plain_search, 0, '<', '>') from plain_search('a')", "plain_search", ""),
    ("select rowid from item_search where item_search match 'a'", "item_search items", ""),
    ("select rowid from cheap_search", "cheap_search items", ""),
    ("select term from words", "item_search items words", ""),
    ("select c0 from plain_search_content", "plain_search", ""),
    ("select id from boxes where x0 > 1", "boxes", ""),
    ("insert into plain_search (title) values ('a')", "", "plain_search"),
    ("insert into plain_search (plain_search) values ('rebuild')", "", "plain_search"),
    ("insert into item_search (rowid, name) values (1, 'a')", "", "item_search"),
    ("delete from plain_search where rowid = 1", "plain_search", "plain_search"),
    ("insert into mirrored values (101, 'a')", "mirrored", "mirrored plain_search"),
    ("insert into boxes values (1, 0, 1)", "", "boxes"),
    // Writes.
    ("insert into audit values ('x')", "", "audit"),
    ("insert into audit default values", "", "audit"),
    ("insert into audit select name from cheap", "items", "audit"),
    ("insert into audit values ('x') returning what", "audit", "audit"),
    ("insert into bare values ('n', 'b')", "", "bare"),
    ("delete from bare", "", "bare"),
    ("delete from audit", "", "audit"),
    ("delete from audit where what in (select name from groups)", "audit groups", "audit"),
    ("update audit set what = (select name from cheap limit 1)", "items", "audit"),
    ("update audit set what = g.name from groups g where g.id = 1", "audit groups", "audit"),
    ("replace into bare values ('a', 'b')", "", "bare"),
    ("insert into counts values ('a', 1) on conflict (what) do update set n = n + 1", "counts", "counts"),
    ("insert into made (a) values (1)", "*", "made"),
    // Triggers, also those that triggers set off.
    ("insert into log (what) values ('x')", "audit counts", "counts log sqlite_sequence"),
    ("update items set price = 1", "*", "items prices"),
    ("update items set name = 'a'", "", "items"),
    ("insert into items (id, price) values (1, 2) on conflict (id) do update set price = 3", "*", "items prices"),
    ("insert into group_names values ('new')", "*", "groups"),
    // Foreign keys: cascades, triggers on what they delete, and what those set off.
    ("delete from items", "*", "counts items log prices sqlite_sequence tags"),
    ("delete from items where id = 1", "*", "counts items log prices sqlite_sequence tags"),
    ("delete from groups", "*", "counts groups items log prices sqlite_sequence tags"),
    ("update groups set id = id + 10 where id = 2", "*", "groups items"),
    ("update groups set name = name || 'a'", "*", "groups"),
    // Replacing deletes: cascades follow, delete triggers don't (recursive_triggers is off).
    ("insert or replace into items (id) values (1)", "*", "items prices tags"),
    ("update or replace groups set name = 'a'", "*", "counts groups items log prices sqlite_sequence tags"),
];

#[test]
fn the_tables_of_every_statement_are_known() {
    let bench = Bench::new(WORLD);
    for (sql, reads, writes) in STATEMENTS {
        let found = bench.database.describe(sql, &[]).unwrap_or_else(|fault| panic!("{sql}: {}", fault.message));
        assert_eq!(names(&found.writes), *writes, "writes of {sql}");
        if *reads != "*" {
            assert_eq!(names(&found.reads), *reads, "reads of {sql}");
        }
        assert_eq!(found.read_only, writes.is_empty(), "{sql}");
        assert!(found.impure.is_empty(), "{sql}: {:?}", found.impure);
    }
}

const LIFE: &str = "
insert into groups values (1, 'tools', null), (2, 'saws', 1), (3, 'empty', null);
insert into items values (1, 'a saw', 5, 2), (2, 'a hammer', 50, 1), (3, 'a nail', 1, 1);
insert into tags values (1, 'sharp'), (2, 'heavy'), (3, 'sharp');
insert into counts values ('a', 0), ('tools', 0);
insert into audit values ('tools'), ('x');
insert into log (what) values ('begun');
insert into prices values (1, 6), (3, 2);
insert into plain_search values ('a saw'), ('b');
insert into item_search (item_search) values ('rebuild');
insert into boxes values (7, 0, 2), (8, 2, 3);
insert into mirrored values (9, 'mirrored');
insert into bare values ('a', 'old'), ('z', 'last');
insert into made (a) values (4);
";

/// The results of all queries among the statements, and the contents of all tables.
async fn everything(transaction: &mut Transaction<'_>, tables: &[String]) -> Vec<(String, Result<Rows, Failure>)> {
    let contents = tables.iter().map(|table| format!("select * from \"{table}\""));
    let queries = STATEMENTS.iter().filter(|(_, _, writes)| writes.is_empty()).map(|(sql, ..)| sql.to_string());
    let binds = |sql: &str| if sql.contains("?1") { vec![Value::from("a")] } else { Vec::new() };
    let mut results = Vec::new();
    for sql in contents.chain(queries) {
        let rows = transaction.query(&sql, &[], &binds(&sql), 1000).await;
        results.push((sql, rows));
    }
    results
}

/// The table of statements holds by SQLite's own doing: what is not written doesn't change, and a query changes its
/// result only when something is written that it reads.
#[test]
fn what_is_not_touched_does_not_change() {
    let bench = Bench::new(&format!("{WORLD}{LIFE}"));
    let tables = bench.database.tables();
    let mut changes = 0;
    for (write, _, writes) in STATEMENTS.iter().filter(|(_, _, writes)| !writes.is_empty()) {
        let listed = tables.clone();
        let compared = Arc::new(std::sync::Mutex::new(Vec::new()));
        let results = Arc::clone(&compared);
        let undone: Result<(), Failure> = bench
            .database
            .write(async move |transaction| {
                let before = everything(transaction, &listed).await;
                transaction.query(write, &[], &[], 10).await?;
                let after = everything(transaction, &listed).await;
                *results.lock().unwrap() = before.into_iter().zip(after).collect();
                Err(Failure::broken("only looking"))
            })
            .wait();
        assert_eq!(undone, Err(Failure::broken("only looking")), "{write}");
        for ((sql, before), (_, after)) in compared.lock().unwrap().iter() {
            let reads = bench.database.describe(sql, &[]).unwrap().reads;
            let touched = writes.split(' ').any(|table| reads.may_hold(table));
            assert!(touched || before == after, "`{write}` changes `{sql}`");
            changes += usize::from(before != after);
        }
    }
    assert!(changes > 100, "the statements do something: {changes}");
}

fn names(tables: &Tables) -> String {
    match tables {
        Tables::Known(names) => names.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        Tables::Unknown => "unknown".to_string(),
    }
}

#[test]
fn what_is_not_known_is_said_so() {
    let bench = Bench::new(WORLD);
    assert_eq!(bench.database.describe("select * from dbstat", &[]).unwrap().reads, Tables::Unknown);
    let impure =
        |sql: &str| bench.database.describe(sql, &[]).unwrap().impure.into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(impure("select random() from items"), "random");
    assert_eq!(
        impure("select changes(), last_insert_rowid(), hex(randomblob(3))"),
        "changes last_insert_rowid randomblob"
    );
    assert_eq!(
        impure("select count(*), sum(price), lower(max(name)), json_agg(id) from items where name like 'a%'"),
        ""
    );
    let reads_clock = |sql: &str| bench.database.describe(sql, &[]).unwrap().may_read_clock;
    assert!(reads_clock("select datetime('now')"));
    assert!(reads_clock("select current_date"));
    assert!(!reads_clock("select upper(name) from items"));
}

#[test]
fn a_description_tells_columns_and_placeholders() {
    let bench = Bench::new(WORLD);
    let found = bench
        .database
        .describe("select id, name as title, count(*) from items where id = ?1 or name = ?2", &[])
        .unwrap();
    assert_eq!((found.columns, found.placeholders), (vec!["id".into(), "title".into(), "count(*)".into()], 2));
    assert!(bench.database.describe("delete from audit", &[]).unwrap().columns.is_empty());
    assert_eq!(bench.database.describe("delete from audit returning what", &[]).unwrap().columns, ["what"]);
}

// --- PostgreSQL's functions -------------------------------------------------------------------------------------

#[test]
fn functions_answer_as_on_postgresql() {
    let bench = Bench::new(
        "create table words (id integer primary key, word text collate nocase);
         insert into words (word) values ('Ärger'), ('ärmel'), ('Zoo');
         create view lowered as select lower(word) as w from words;
         create table folded (word text, folded text generated always as (lower(word)) stored);
         create index folded_words on folded (upper(word));
         create table logged (at text);
         create trigger words_logged after delete on words begin insert into logged values (concat(old.word, left(old.word, 1))); end;",
    );
    let cases = [
        ("lower('ÄÖÜ É')", "äöü é"),
        ("upper('straße')", "STRASSE"),
        ("lower(null)", "null"),
        ("left('Käse', 2)", "Kä"),
        ("left('Käse', -1)", "Käs"),
        ("left('Käse', 9)", "Käse"),
        ("right('Käse', 3)", "äse"),
        ("right('Käse', -3)", "e"),
        ("right('Käse', 0)", ""),
        ("split_part('a,b,c', ',', 2)", "b"),
        ("split_part('a,b,c', ',', -1)", "c"),
        ("split_part('a,b,c', ',', 9)", ""),
        ("split_part('abc', '', 1)", "abc"),
        ("strpos('Käse', 's')", "3"),
        ("strpos('Käse', 'x')", "0"),
        ("concat('a', null, 1)", "a1"),
        ("chr(228)", "ä"),
        ("starts_with('Käse', 'Kä')", "1"),
        ("starts_with('Käse', 'k')", "0"),
        ("greatest(1, null, 3, 2)", "3"),
        ("least('b', 'a', null)", "a"),
        ("greatest(null, null)", "null"),
        ("greatest(1, 1.5)", "1.5"),
        ("power(2, 10)", "1024"),
        ("floor(-1.5)", "-2"),
        ("ceil(1.2)", "2"),
        ("date_trunc('month', '2024-07-15')", "2024-07-01T00:00:00.000Z"),
        ("to_char('2024-07-15T10:05:00.000Z', 'DD.MM.YYYY HH24:MI')", "15.07.2024 10:05"),
        ("to_char(1234.5, 'FM9,999.00')", "1,234.50"),
        ("seconds_between('2024-01-01', '2024-01-02')", "86400"),
        ("shift('2024-01-31', 1, 'months')", "2024-02-29"),
        ("shift(null, 1, 'months')", "null"),
        ("'Abc' like 'a%'", "0"),
        ("'Abc' like 'A_c'", "1"),
        (
            "json_build_object('a', 1, 'b', null, 'c', 'x\"y', 'd', json_build_object('e', 0.5))",
            r#"{"a":1,"b":null,"c":"x\"y","d":{"e":0.5}}"#,
        ),
        ("(select json_agg(word order by id desc) from words)", r#"["Zoo","ärmel","Ärger"]"#),
        (
            "(select json_agg(json_build_object('w', word) order by id) from words where id < 3)",
            r#"[{"w":"Ärger"},{"w":"ärmel"}]"#,
        ),
        ("(select json_agg(word) from words where id > 9)", "null"),
        ("(select json_agg(value) from json_each('[1,null]'))", "[1,null]"),
        ("json_extract(json_build_object('list', (select json_agg(id) from words)), '$.list[1]')", "2"),
        ("(select string_agg(w, '; ') from lowered)", "ärger; ärmel; zoo"),
    ];
    for (expression, expected) in cases {
        assert_eq!(bench.cell(&format!("select {expression}")), expected, "{expression}");
    }
    for expression in [
        "split_part('a', ',', 0)",
        "chr(0)",
        "date_trunc('eon', '2024-01-01')",
        "json_build_object('a')",
        "json_build_object(null, 1)",
        "shift('soon', 1, 'days')",
        "to_char('2024-01-01', 'QX')",
        "greatest()",
    ] {
        assert!(bench.read(&format!("select {expression}")).is_err(), "{expression}");
    }
    bench.write("insert into folded (word) values ('ÄB')").unwrap();
    assert_eq!(bench.cell("select folded from folded where upper(word) = 'ÄB'"), "äb");
    bench.write("delete from words where id = 3").unwrap();
    assert_eq!(bench.cell("select at from logged"), "ZooZ");
}

// --- Migrations -------------------------------------------------------------------------------------------------

fn states(database: &Database, all: &[Migration]) -> Vec<State> {
    migrations::status(database, all).unwrap().into_iter().map(|status| status.state).collect()
}

fn scratch() -> Database {
    Database::scratch(&Clock::fixed(0)).unwrap()
}

const AT: &str = "1970-01-01T00:00:00.000Z";

#[test]
fn migrations_are_applied_once_and_in_order() {
    let database = scratch();
    let all = [migration(2, "insert into t values (2)"), migration(1, "create table t (a integer)")];
    assert_eq!(states(&database, &all), [State::Pending, State::Pending]);
    let done = migrations::apply(&database, &all).unwrap();
    assert_eq!(done.iter().map(|status| status.number).collect::<Vec<_>>(), [1, 2]);
    assert!(migrations::apply(&database, &all).unwrap().is_empty());
    assert_eq!(states(&database, &all), [State::Applied(AT.into()), State::Applied(AT.into())]);
    let rows = database.here(LONG, async |snapshot| snapshot.query("select a from t", &[], &[], 9).await).now();
    let rows: Rows = rows.unwrap();
    assert_eq!(rows.cells, [Value::Int(2)]);
}

#[test]
fn an_applied_migration_must_stay_as_it_is() {
    let database = scratch();
    migrations::apply(&database, &[migration(2, "create table t (a)")]).unwrap();

    let edited = [migration(2, "create table t (b)"), migration(3, "create table u (a)")];
    assert_eq!(states(&database, &edited), [State::Edited, State::Pending]);
    let fault = migrations::apply(&database, &edited).unwrap_err();
    assert!(fault.message.contains("edited"), "{}", fault.message);
    assert_eq!(fault.place.unwrap().file.as_ref(), "migrations/0002_test.sql");

    let missing = [migration(3, "create table u (a)")];
    assert_eq!(states(&database, &missing), [State::Missing, State::Pending]);
    assert!(migrations::apply(&database, &missing).unwrap_err().message.contains("0002_test.sql"));

    let late = [migration(1, "create table u (a)"), migration(2, "create table t (a)")];
    assert_eq!(states(&database, &late), [State::OutOfOrder, State::Applied(AT.into())]);
    assert!(migrations::apply(&database, &late).is_err());

    let twice =
        [migration(2, "create table t (a)"), migration(3, "create table u (a)"), migration(3, "create table v (a)")];
    assert_eq!(states(&database, &twice)[1..], [State::Pending, State::OutOfOrder]);
    assert!(migrations::apply(&database, &twice).is_err());
    assert_eq!(database.tables(), ["outbox", "t", "uploads"], "nothing was skipped and nothing applied");
}

#[test]
fn a_failing_migration_leaves_nothing_behind() {
    let database = scratch();
    let all = [
        migration(1, "create table t (a);"),
        migration(2, "create table u (a);\n-- a note; with a semicolon\ninsert into\n  nowhere values (1);"),
    ];
    let fault = migrations::apply(&database, &all).unwrap_err();
    assert_eq!(fault.message, "no such table: nowhere");
    let place = fault.place.unwrap();
    assert_eq!((place.file.as_ref(), place.line, place.text.as_str()), ("migrations/0002_test.sql", 3, "insert into"));
    assert_eq!(database.tables(), ["outbox", "t", "uploads"]);
    assert_eq!(states(&database, &all), [State::Applied(AT.into()), State::Pending]);

    let not_allowed = [all[0].clone(), migration(2, "begin; create table x (a); commit;")];
    assert!(migrations::apply(&database, &not_allowed).unwrap_err().message.contains("begins and commits"));
}

#[test]
fn a_table_can_be_rebuilt_but_foreign_keys_must_hold_afterwards() {
    let database = scratch();
    let start = migration(
        1,
        "create table a (id integer primary key); create table b (a integer references a on delete cascade);
        insert into a values (1); insert into b values (1);",
    );
    let rebuild = migration(
        2,
        "create table new_a (id integer primary key, name text); insert into new_a (id) select id from a;
        drop table a; alter table new_a rename to a;",
    );
    migrations::apply(&database, &[start.clone(), rebuild.clone()]).unwrap();
    let rows: Rows = database
        .here(LONG, async |snapshot| snapshot.query("select count(*) from b", &[], &[], 1).await)
        .now()
        .unwrap_or_else(|f: Failure| panic!("{f}"));
    assert_eq!(rows.cells, [Value::Int(1)], "the drop did not cascade");
    let dangling = migration(3, "insert into b values (99);");
    let fault = migrations::apply(&database, &[start, rebuild, dangling]).unwrap_err();
    assert!(fault.message.contains("lead nowhere") && fault.help.contains("`b`"), "{fault:?}");
}

#[test]
fn csv_fills_a_table_by_its_header() {
    let database = scratch();
    let csv = |number, text: &str| Migration {
        content: Content::Csv { table: "cities".into(), text: text.into() },
        path: format!("migrations/{number:04}_cities.csv").into(),
        ..migration(number, text)
    };
    let start = migration(1, "create table cities (name text not null, people integer, note text default 'none');");
    let good = csv(2, "\u{feff}people,name\n3677472,\"Berlin, \"\"B\"\"\"\n,Bonn\n");
    migrations::apply(&database, &[start.clone(), good.clone()]).unwrap();
    let rows = database
        .here(LONG, async |snapshot| snapshot.query("select * from cities order by rowid", &[], &[], 9).await)
        .now();
    let rows: Rows = rows.unwrap_or_else(|failure: Failure| panic!("{failure}"));
    assert_eq!(rows.row(0), ["Berlin, \"B\"".into(), Value::Int(3_677_472), "none".into()]);
    assert_eq!(rows.row(1), ["Bonn".into(), Value::Null, "none".into()]);

    for (text, message, line) in [
        ("name,poeple\nBonn,1\n", "poeple", 1),
        ("name,people\nBonn,1\n,2\n", "NOT NULL", 3),
        ("name,people\nBonn,1\nBerlin\n", "not CSV", 3),
    ] {
        let fault = migrations::apply(&database, &[start.clone(), good.clone(), csv(3, text)]).unwrap_err();
        assert!(fault.message.contains(message), "{}", fault.message);
        assert_eq!(fault.place.map(|place| place.line), Some(line), "{text}");
    }
}

#[test]
fn long_csv_is_inserted_in_batches_and_the_line_that_is_refused_is_told() {
    let csv = |number, text: &str| Migration {
        content: Content::Csv { table: "cities".into(), text: text.into() },
        path: format!("migrations/{number:04}_cities.csv").into(),
        ..migration(number, text)
    };
    let lines = |wrong: Option<usize>| {
        let line = |number| match Some(number) == wrong {
            true => format!("{number},\n"),
            false => format!("{number},City {number}\n"),
        };
        std::iter::once("id,name\n".to_string()).chain((2..=750).map(line)).collect::<String>()
    };
    // A trigger sees the rows one by one; what it refuses ends the statement, the transaction, or nothing.
    for refusal in ["abort", "fail", "rollback"] {
        let database = scratch();
        let start = migration(
            1,
            &format!(
                "create table cities (id integer primary key, name text);
                create table known (name text, place integer);
                create trigger told after insert on cities begin
                    select raise({refusal}, 'no name') where new.name is null;
                    insert into known values (new.name, (select count(*) from known));
                end;"
            ),
        );
        let fault = migrations::apply(&database, &[start.clone(), csv(2, &lines(Some(733)))]).unwrap_err();
        assert!(fault.message.contains("no name"), "{}", fault.message);
        let line = fault.place.map_or(0, |place| place.line);
        match refusal {
            // Nothing is left to try the lines one by one in.
            "rollback" => assert!(line == 502 && fault.message.contains("one of the next 248"), "{}", fault.message),
            _ => assert_eq!(line, 733, "{refusal}"),
        }
        let known = async |database: &Database| -> Rows {
            let sql = "select count(*), max(place) from known join cities using (name) where known.place = id - 2";
            let rows = database.here(LONG, async |snapshot| snapshot.query(sql, &[], &[], 1).await).now();
            rows.unwrap_or_else(|failure: Failure| panic!("{failure}"))
        };
        assert_eq!(known(&database).now().row(0)[0], Value::Int(0), "{refusal}");
        migrations::apply(&database, &[start, csv(2, &lines(None))]).unwrap();
        assert_eq!(known(&database).now().row(0), [Value::Int(749), Value::Int(748)], "{refusal}");
    }
}

#[test]
fn of_two_processes_one_migrates_and_the_other_waits() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path().join("site.db"));
    let all: Vec<Migration> =
        (1..=20).map(|number| migration(number, &format!("create table t{number} (a)"))).collect();
    let applied: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let database = Database::open(&options).unwrap();
                    migrations::apply(&database, &all).unwrap().len()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(applied, 20);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.db");
    std::fs::write(&path, "this is no database, but it is long enough to be read as the header of one, or so").unwrap();
    let problem = Database::open(&Options::new(&path)).err().unwrap();
    assert!(problem.to_string().contains("site.db"), "{problem}");
}

#[test]
fn a_scratch_database_leaves_nothing_behind() {
    let database = scratch();
    let file: Rows = database
        .here(LONG, async |snapshot| snapshot.query("select 1 as one", &[], &[], 1).await)
        .now()
        .unwrap_or_else(|f: Failure| panic!("{f}"));
    assert_eq!(file.len(), 1);
    let written: Result<Rows, Failure> =
        database.write(async |transaction| transaction.query("select 1", &[], &[], 1).await).wait();
    assert!(written.is_ok());
}
