//! Who is current when, alone and among many threads.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::*;

fn set(versions: &Versions, names: &[&str]) -> TableSet {
    versions.tables(&Tables::Known(names.iter().map(ToString::to_string).collect()))
}

/// Polls once.
fn is_ready<T>(future: impl Future<Output = T>) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_change_outdates_who_read_the_table_and_nobody_else() {
    let versions = Versions::new();
    let (orders, both, other) =
        (set(&versions, &["orders"]), set(&versions, &["orders", "stickers"]), set(&versions, &["designers"]));
    let stamps = [&orders, &both, &other].map(|tables| versions.current(tables));
    let current = || stamps.clone().map(|stamp| versions.is_current(&stamp));
    assert_eq!(current(), [true; 3]);
    versions.bump(&set(&versions, &["stickers"]));
    assert_eq!(current(), [true, false, true]);
    versions.bump(&orders);
    assert_eq!(current(), [false, false, true]);
    versions.bump(&versions.tables(&Tables::Unknown));
    assert_eq!(current(), [false; 3]);
    assert!(versions.is_current(&versions.current(&both)));
}

#[test]
fn what_may_have_read_anything_is_never_current() {
    let versions = Versions::new();
    assert!(!versions.is_current(&versions.current(&TableSet::all())));
    let nothing = versions.current(&set(&versions, &[]));
    versions.bump(&set(&versions, &["orders"]));
    assert!(versions.is_current(&nothing));
}

#[test]
fn news_of_tables_that_nobody_reads_are_passed_over() {
    let versions = Versions::new();
    let orders = set(&versions, &["orders"]);
    let stamp = versions.current(&orders);
    versions.bump(&versions.known(["lines", "_sessions"]));
    assert!(versions.known(["lines"]).is_empty() && versions.is_current(&stamp));
    versions.bump(&versions.known(["lines", "orders"]));
    assert!(!versions.is_current(&stamp));
}

#[test]
fn a_mark_counts_up_however_it_goes() {
    let versions = Versions::new();
    let orders = set(&versions, &["orders"]);
    let stamp = versions.current(&orders);
    let mark = versions.mark(&orders);
    assert!(versions.is_marked(&orders) && versions.is_current(&stamp));
    drop(mark);
    assert!(!versions.is_marked(&orders) && !versions.is_current(&stamp));

    let stamp = versions.current(&orders);
    let writer = Arc::clone(&versions);
    let panicked = std::thread::spawn(move || {
        let _mark = writer.mark(&set(&writer, &["orders"]));
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(!versions.is_marked(&orders) && !versions.is_current(&stamp));
}

#[test]
fn only_the_marks_that_stood_are_waited_for() {
    let versions = Versions::new();
    let (orders, other) = (set(&versions, &["orders"]), set(&versions, &["other"]));
    assert!(is_ready(versions.await_unmarked(&orders)));
    let first = versions.mark(&orders);
    let mut waits = pin!(versions.await_unmarked(&orders));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending() && is_ready(versions.await_unmarked(&other)));
    // Writers that never rest must not hold a reader up for ever.
    let second = versions.mark(&orders);
    drop(first);
    assert!(waits.as_mut().poll(&mut context).is_ready());
    assert!(!is_ready(versions.await_unmarked(&orders)));
    drop(second);
    let all = versions.mark(&TableSet::all());
    assert!(versions.is_marked(&other) && !is_ready(versions.await_unmarked(&other)));
    assert!(is_ready(versions.await_unmarked(&set(&versions, &[]))));
    drop(all);
    assert!(is_ready(versions.await_unmarked(&TableSet::all())));
}

#[test]
fn who_may_have_seen_what_is_marked_counts_it() {
    let versions = Versions::new();
    let (a, b, ab) = (set(&versions, &["a"]), set(&versions, &["b"]), set(&versions, &["a", "b"]));
    let stamps = || (versions.current(&a), versions.current(&b));
    let (of_a, of_b) = stamps();
    versions.count_marked(&TableSet::all());
    assert!(versions.is_current(&of_a) && versions.is_current(&of_b));
    let mark = versions.mark(&a);
    versions.count_marked(&b);
    assert!(versions.is_current(&of_a) && versions.is_current(&of_b));
    versions.count_marked(&ab);
    assert!(!versions.is_current(&of_a) && versions.is_current(&of_b));
    drop(mark);
    let (of_a, of_b) = stamps();
    let mark = versions.mark(&TableSet::all());
    versions.count_marked(&b);
    assert!(versions.is_current(&of_a) && !versions.is_current(&of_b));
    versions.count_marked(&TableSet::all());
    assert!(!versions.is_current(&of_a));
    drop(mark);
    assert!(!versions.is_marked(&TableSet::all()) && !versions.is_marked(&a));
}

#[test]
fn without_trust_nothing_is_current_and_nothing_old_ever_again() {
    let versions = Versions::new();
    let orders = set(&versions, &["orders"]);
    let before = versions.current(&orders);
    assert!(versions.distrust() && !versions.distrust());
    let between = versions.current(&orders);
    assert!(![&before, &between].map(|stamp| versions.is_current(stamp)).contains(&true));
    versions.bump_all();
    assert!(!versions.trusted());
    assert!(versions.trust() && !versions.trust());
    assert!(![&before, &between].map(|stamp| versions.is_current(stamp)).contains(&true));
    assert!(versions.is_current(&versions.current(&orders)));
}

#[test]
fn a_lease_that_ran_out_stops_the_counts_and_a_new_one_revives_them() {
    let versions = Versions::new();
    let stamp = versions.current(&set(&versions, &["orders"]));
    versions.lease_until(Instant::now());
    assert!(!versions.is_current(&stamp) && !versions.trusted());
    versions.lease_until(Instant::now() + Duration::from_secs(3600));
    assert!(versions.is_current(&stamp) && versions.trusted());
}

#[test]
fn who_watches_is_told_once_of_what_happened_in_between() {
    let versions = Versions::new();
    let (orders, other) = (set(&versions, &["orders"]), set(&versions, &["other"]));
    let (mut changes, mut any) = (versions.watch(&orders), versions.watch(&TableSet::all()));
    assert!(!is_ready(changes.changed()) && !is_ready(any.changed()));
    versions.bump(&other);
    assert!(!is_ready(changes.changed()) && is_ready(any.changed()));
    versions.bump(&orders);
    versions.bump(&orders);
    assert!(is_ready(changes.changed()) && !is_ready(changes.changed()));
    versions.bump_all();
    assert!(is_ready(changes.changed()) && !is_ready(changes.changed()));
    versions.distrust();
    assert!(is_ready(changes.changed()) && !is_ready(changes.changed()));
}

#[test]
fn a_sleeper_is_woken_and_a_gone_one_forgotten() {
    let versions = Versions::new();
    let orders = set(&versions, &["orders"]);
    for _ in 0..100 {
        drop(versions.watch(&orders));
    }
    let mut changes = versions.watch(&orders);
    let slot = versions.slot("orders");
    assert!(slot.watchers.count.load(SeqCst) < 100);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(changes.changed());
        });
        versions.bump(&orders);
        sleeper.join().unwrap();
    });
    drop(changes);
    versions.bump(&orders);
    assert_eq!(slot.watchers.count.load(SeqCst), 0);
}

#[test]
fn no_stale_answer_is_ever_current_among_many_threads() {
    let versions = Versions::new();
    let table = set(&versions, &["n"]);
    // The "database": what is committed.
    let committed = AtomicU64::new(0);
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=20_000 {
                let mark = versions.mark(&table);
                committed.store(number, SeqCst);
                drop(mark);
                acknowledged.store(number, SeqCst);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut kept = (versions.current(&table), committed.load(SeqCst));
                while acknowledged.load(SeqCst) < 20_000 {
                    let known = acknowledged.load(SeqCst);
                    if versions.is_current(&kept.0) {
                        assert!(kept.1 >= known, "{} is older than {known}", kept.1);
                    } else {
                        let stamp = versions.current(&table);
                        kept = (stamp, committed.load(SeqCst));
                    }
                }
            });
        }
    });
}

#[test]
fn what_was_read_holds_while_nothing_is_marked_or_counted() {
    let versions = Versions::new();
    let tables = |names: &[&str]| versions.tables(&Tables::Known(names.iter().map(ToString::to_string).collect()));
    let page = versions.current(&tables(&["a", "b", "c"]));
    let stamp = page.part(&tables(&["c", "a"])).unwrap();
    assert!(page.part(&tables(&["a", "d"])).is_none() && page.part(&TableSet::all()).is_none());
    assert!(versions.holds(&stamp) && page.agrees_with(&stamp) && !stamp.agrees_with(&page));
    let mark = versions.mark(&tables(&["a"]));
    // It is current still, but the change may be committed.
    assert!(versions.is_current(&stamp) && !versions.holds(&stamp));
    drop(mark);
    assert!(!versions.holds(&stamp));
    assert!(!page.agrees_with(&versions.current(&tables(&["a"]))));
    let stamp = versions.current(&tables(&["a", "b", "c"])).part(&tables(&["a", "c"])).unwrap();
    versions.bump(&tables(&["b"]));
    assert!(versions.holds(&stamp));
    versions.bump_all();
    assert!(!versions.holds(&stamp));
}

#[test]
fn who_depends_on_one_row_hears_of_that_row_alone() {
    let versions = Versions::new();
    let (things, both) = (set(&versions, &["things"]), set(&versions, &["things", "other"]));
    let change = |row: i64| Change::of_rows(&things, [("things", row)].into_iter());
    let of = |row: i64| versions.current(&both).of_rows([("things", row)].into_iter());
    let (whole, one, two) = (versions.current(&both), of(1), of(2));
    drop(versions.mark_change(change(1)));
    assert_eq!([&whole, &one, &two].map(|stamp| versions.is_current(stamp)), [false, false, true]);
    assert_eq!(versions.changed_of(&one).as_deref(), Some("things"));
    assert!(versions.changed_of(&two).is_none());
    // Also who took the counts after it, and before the next one.
    let late = of(1);
    drop(versions.mark_change(change(2)));
    assert_eq!([&late, &two].map(|stamp| versions.is_current(stamp)), [true, false]);
    // The other table counts whole, and so does a change of which nobody knows the rows.
    versions.bump(&set(&versions, &["other"]));
    assert!(!versions.is_current(&late));
    let late = of(1);
    versions.bump(&things);
    assert!(!versions.is_current(&late) && versions.is_current(&of(1)));
    let late = of(1);
    versions.bump_all();
    assert!(!versions.is_current(&late));
    // What was counted before anybody asked for rows, was counted at large.
    let early = versions.current(&set(&versions, &["new"]));
    drop(versions.mark_change(Change::of_rows(&set(&versions, &["new"]), [("new", 7)].into_iter())));
    assert!(!versions.is_current(&early.of_rows([("new", 7)].into_iter())));
}

#[test]
fn who_has_read_one_row_waits_for_nobody_who_writes_another() {
    let versions = Versions::new();
    let things = set(&versions, &["things"]);
    let stamp = versions.current(&things).of_rows([("things", 1)].into_iter());
    let other = versions.mark_change(Change::of_rows(&things, [("things", 2), ("unknown", 1)].into_iter()));
    assert!(is_ready(versions.await_settled(&stamp)) && !is_ready(versions.await_unmarked(&things)));
    let mut both = Change::of_rows(&things, [("things", 3)].into_iter());
    assert!(both.join(Change::of_rows(&things, [("things", 1)].into_iter())).is_none());
    assert!(both.join(Change::of(&set(&versions, &["elsewhere"]))).is_some());
    let own = versions.mark_change(both);
    assert!(!is_ready(versions.await_settled(&stamp)));
    // Who doesn't wait counts it, with its rows.
    let fourth = versions.current(&things).of_rows([("things", 4)].into_iter());
    versions.count_marked(&things);
    assert!(!versions.is_current(&stamp) && versions.is_current(&fourth));
    drop((other, own));
    assert!(is_ready(versions.await_settled(&stamp)));
    let all = versions.mark_change(Change::of(&TableSet::all()));
    assert!(!is_ready(versions.await_settled(&stamp)));
    drop(all);
    assert!(!versions.is_current(&fourth));
}
