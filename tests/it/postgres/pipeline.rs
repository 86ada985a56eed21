//! What several requests ask at the same moment shares a connection.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use tableside::database::postgres::{Postgres, Snapshot, Transaction};
use tableside::database::{Call, Failure, Limit};
use tableside::value::{Kind, Rows, Value};

use super::cluster::psql;
use super::lost::{cut_all, quiet, running};
use super::{LONG, join_all, one, open_with, run};

/// A single query within a limit of time.
async fn ask_within(postgres: &Postgres, limit: Duration, sql: &str, binds: &[Value]) -> Result<Rows, Failure> {
    let kinds = vec![one(Kind::Int); binds.len()];
    let rows = Limit::AtMost(100);
    postgres.read(limit, async |snapshot: &mut Snapshot| snapshot.only(sql, &kinds, binds, rows).await).await
}

async fn ask(postgres: &Postgres, sql: &str, binds: &[Value]) -> Result<Rows, Failure> {
    ask_within(postgres, LONG, sql, binds).await
}

fn first(rows: Result<Rows, Failure>) -> Value {
    rows.unwrap().cells[0].clone()
}

/// Runs a statement alone until it counts as a quick one.
async fn acquaint(postgres: &Postgres, sql: &str, binds: &[Value]) {
    for _ in 0..40 {
        ask(postgres, sql, binds).await.unwrap();
    }
}

#[test]
fn quick_queries_that_come_at_once_share_a_connection() {
    run(async {
        let (postgres, _) = open_with("", |it| it.connections = 16).await;
        let pid = "select pg_backend_pid()";
        acquaint(&postgres, pid, &[]).await;
        let shares = async || {
            let pids = join_all((0..16).map(|_| ask(&postgres, pid, &[]))).await;
            let pids: BTreeSet<_> = pids.into_iter().map(|rows| first(rows).to_string()).collect();
            pids.len() <= 8
        };
        // On a machine that is busy with other things nothing may be quick for a while.
        for _ in 0..100 {
            if shares().await {
                return;
            }
        }
        panic!("each had a connection of its own");
    });
}

#[test]
fn each_gets_its_own_answer_and_its_own_failure() {
    run(async {
        let (postgres, url) = open_with("", |it| (it.connections, it.waiting) = (2, 1000)).await;
        let sqls = ["select $1 as n", "select $1 as n, 1 / ($1 % 5)", "select $1 as n from generate_series(1, $1)"];
        for sql in sqls {
            acquaint(&postgres, sql, &[Value::Int(1)]).await;
        }
        let visit = async |number: i64| {
            let sql = sqls[number as usize % 3];
            let binds = [Value::Int(number)];
            let answer = ask(&postgres, sql, &binds);
            // Some leave at a moment that differs from run to run.
            let patience = if number % 7 == 0 { Duration::from_micros(number as u64 * 20) } else { LONG };
            let Ok(answer) = tokio::time::timeout(patience, answer).await else { return };
            match answer {
                Ok(rows) => assert_eq!(rows.cells[0], Value::Int(number)),
                Err(Failure::Broken { message, .. }) => {
                    assert!(number % 3 == 1 && number % 5 == 0 && message.contains("zero"), "{number}: {message}");
                }
                Err(failure) => assert!(number % 3 == 2 && number > 100, "{number}: {failure:?}"),
            }
        };
        join_all((1..400).map(visit)).await;
        // A value that can't be sent fails by itself, too.
        let text = async |text: &'static str| {
            let binds = [Value::text(text)];
            let work = async |it: &mut Snapshot| it.only("select $1 as t", &[one(Kind::Text)], &binds, 1).await;
            postgres.read(LONG, work).await
        };
        join_all((0..40).map(|_| text("quick"))).await;
        let texts = join_all(["a", "\0", "b"].map(&text)).await;
        assert!(matches!(&texts[..], [Ok(_), Err(Failure::BadValue { bind: Some(0), .. }), Ok(_)]), "{texts:?}");
        quiet(&url).await;
        assert_eq!(first(ask(&postgres, sqls[0], &[Value::Int(3)]).await), Value::Int(3));
    });
}

#[test]
fn a_statement_that_is_known_to_be_slow_goes_alone() {
    run(async {
        let (postgres, _) = open_with("", |it| it.connections = 1).await;
        let (quick, slow) = ("select pg_backend_pid()", "select pg_backend_pid(), pg_sleep(0.15)");
        acquaint(&postgres, quick, &[]).await;
        let pid = first(ask(&postgres, quick, &[]).await);
        for _ in 0..4 {
            // Together with others it would be given up before it ends, and the connection with it.
            let (slow, others) =
                tokio::join!(ask(&postgres, slow, &[]), join_all((0..5).map(|_| ask(&postgres, quick, &[]))));
            assert_eq!(first(slow), pid);
            assert!(others.into_iter().all(|other| first(other) == pid));
        }
    });
}

#[test]
fn nobody_waits_long_behind_a_query_that_is_slow_for_once() {
    run(async {
        let (postgres, url) = open_with("", |it| it.connections = 2).await;
        let sleep = "select $1 as n, pg_sleep($1)";
        acquaint(&postgres, sleep, &[Value::Int(0)]).await;
        let slow = async { ask_within(&postgres, Duration::from_millis(300), sleep, &[Value::Int(600)]).await };
        let others = join_all((0..10).map(async |_| ask(&postgres, sleep, &[Value::Int(0)]).await));
        let (slow, others) = tokio::join!(slow, others);
        assert_eq!(slow, Err(Failure::Deadline));
        assert!(others.iter().all(Result::is_ok), "{others:?}");
        quiet(&url).await;
        assert_eq!(first(ask(&postgres, "select 1", &[]).await), Value::Int(1));
    });
}

#[test]
fn answers_that_come_too_late_reach_nobody_else() {
    run(async {
        let (postgres, url) = open_with("", |it| it.connections = 1).await;
        // The second holds up those behind it, after the first was answered.
        let sql = "select $1 as n, pg_sleep(case $1 when 2 then 0.3 else 0 end)";
        for _ in 0..3 {
            acquaint(&postgres, sql, &[Value::Int(1)]).await;
            let numbers = join_all((1..9).map(async |number| ask(&postgres, sql, &[Value::Int(number)]).await)).await;
            let numbers: Vec<_> = numbers.into_iter().map(first).collect();
            assert_eq!(numbers, (1..9).map(Value::Int).collect::<Vec<_>>());
        }
        quiet(&url).await;
    });
}

#[test]
fn who_leaves_early_holds_nobody_up() {
    run(async {
        let (postgres, url) = open_with("", |it| it.connections = 1).await;
        let quick = "select $1 as n";
        acquaint(&postgres, quick, &[Value::Int(1)]).await;
        for patience in 0..60 {
            let leaves =
                tokio::time::timeout(Duration::from_micros(patience * 10), ask(&postgres, quick, &[Value::Int(1)]));
            let stays = ask(&postgres, quick, &[Value::Int(2)]);
            let (_, stayed) = tokio::join!(leaves, stays);
            assert_eq!(first(stayed), Value::Int(2));
        }
        assert_eq!(running(&url), 0);
    });
}

#[test]
fn a_change_of_the_schema_is_seen_by_all() {
    run(async {
        let (postgres, url) =
            open_with("create table n (i int); insert into n values (7)", |it| it.connections = 3).await;
        let all = "select * from n";
        acquaint(&postgres, all, &[]).await;
        let everyone = async || join_all((0..60).map(|_| ask(&postgres, all, &[]))).await;
        assert!(everyone().await.into_iter().all(|rows| first(rows) == Value::Int(7)));
        psql(&url, "alter table n alter i type text using 'seven'");
        assert!(everyone().await.into_iter().all(|rows| first(rows) == Value::text("seven")));
        psql(&url, "drop table n");
        assert!(everyone().await.iter().all(|answer| matches!(answer, Err(Failure::Broken { .. }))));
        psql(&url, "create table n (i float8); insert into n values (0.5)");
        assert!(everyone().await.into_iter().all(|rows| first(rows) == Value::Real(0.5)));
    });
}

#[test]
fn a_connection_that_is_cut_loses_no_answer() {
    run(async {
        let (postgres, url) = open_with("", |it| it.connections = 2).await;
        let quick = "select $1 as n";
        acquaint(&postgres, quick, &[Value::Int(1)]).await;
        for _ in 0..5 {
            cut_all(&url);
            let answers = join_all(
                (0..40).map(async |number| (number, first(ask(&postgres, quick, &[Value::Int(number)]).await))),
            );
            assert!(answers.await.into_iter().all(|(number, answer)| answer == Value::Int(number)));
        }
    });
}

#[test]
fn so_many_wait_and_no_more() {
    run(async {
        let (postgres, url) = open_with("", |it| (it.connections, it.waiting) = (1, 20)).await;
        let quick = "select 1";
        acquaint(&postgres, quick, &[]).await;
        let slow = async { tokio::time::timeout(LONG, ask(&postgres, "select pg_sleep(600)", &[])).await };
        let (limit, failures) = (Duration::from_millis(300), RefCell::new(Vec::new()));
        let others = async {
            while running(&url) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let all = join_all((0..30).map(async |_| {
                let failure = ask_within(&postgres, limit, quick, &[]).await.unwrap_err();
                failures.borrow_mut().push(failure);
            }));
            // Those who wait for longer will ask by themselves.
            let _ = tokio::time::timeout(Duration::from_millis(20), all).await;
            assert_eq!(*failures.borrow(), [const { Failure::Busy }; 10]);
            // No connection comes free in time.
            assert_eq!(ask_within(&postgres, limit, quick, &[]).await, Err(Failure::Busy));
        };
        tokio::select! { biased; _ = slow => panic!("it slept too short"), () = others => {} }
        quiet(&url).await;
        assert_eq!(first(ask(&postgres, quick, &[]).await), Value::Int(1));
    });
}

#[test]
fn what_a_page_asks_at_once_sees_one_snapshot() {
    run(async {
        let schema =
            "create table a (n int); create table b (n int); insert into a values (0); insert into b values (0)";
        let (postgres, _) = open_with(schema, |it| it.connections = 3).await;
        let page = async |between: &str| {
            let sqls = ["select n from a", between, "select n from b"];
            let calls = sqls.map(|sql| Call { sql, kinds: &[], binds: &[], limit: Limit::AtMost(1) });
            let work = async |snapshot: &mut Snapshot| Ok::<_, Failure>(snapshot.level(&calls, true).await);
            let rows = postgres.read(LONG, work).await.unwrap().into_iter().map(first).collect::<Vec<_>>();
            assert_eq!((rows.len(), &rows[0]), (3, &rows[2]));
            rows[0].clone()
        };
        let add = async |transaction: &mut Transaction| {
            transaction.query("update a set n = n + 1", &[], &[], 0).await?;
            transaction.query("update b set n = n + 1", &[], &[], 0).await.map(drop)
        };
        let writer = async {
            for _ in 0..100 {
                postgres.write(add).await.unwrap();
            }
        };
        let readers = async {
            let mut seen = BTreeSet::new();
            while !seen.contains("100") {
                let quick = join_all((0..10).map(|_| page("select 1"))).await;
                seen.extend(quick.into_iter().map(|n| n.to_string()));
                seen.insert(page("select pg_sleep(0.003)").await.to_string());
            }
            assert!(seen.len() > 3, "{seen:?}");
        };
        tokio::join!(writer, readers);
    });
}

#[test]
fn a_page_that_fails_touches_no_other() {
    run(async {
        let (postgres, url) = open_with("create table n (i int)", |it| it.connections = 2).await;
        let kinds = [one(Kind::Int)];
        let page = async |number: i64| {
            let binds = [Value::Int(number)];
            let sqls = ["select $1 as n", "select 60 / $1 as n", "select $1 + 1 as n"];
            let calls = sqls.map(|sql| Call { sql, kinds: &kinds, binds: &binds, limit: Limit::AtMost(1) });
            let work = async |snapshot: &mut Snapshot| Ok::<_, Failure>(snapshot.level(&calls, true).await);
            postgres.read(LONG, work).await.unwrap()
        };
        for _ in 0..40 {
            assert_eq!(page(1).await.len(), 3);
        }
        let pages = join_all((0..60).map(|number| page(number % 6))).await;
        for (number, answers) in pages.into_iter().enumerate() {
            match number as i64 % 6 {
                0 => assert!(matches!(&answers[..], [Ok(_), Err(Failure::Broken { .. })]), "{answers:?}"),
                n => {
                    let cells: Vec<_> = answers.into_iter().map(first).collect();
                    assert_eq!(cells, [n, 60 / n, n + 1].map(Value::Int));
                }
            }
        }
        // And none can write.
        let write = ask(&postgres, "insert into n values (1) returning i", &[]).await;
        assert!(matches!(write, Err(Failure::Broken { .. })), "{write:?}");
        quiet(&url).await;
    });
}
