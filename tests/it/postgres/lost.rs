//! Deadlines, visitors who leave, connections that are cut, servers that stop.

use std::time::Duration;

use tableside::database::Failure;
use tableside::database::postgres::{Engine, Options, Postgres, Server, Snapshot, Transaction};
use tableside::value::Value;

use super::cluster::{Cluster, psql};
use super::proxy::{Cut, Proxy};
use super::{LONG, cell, open, open_with, read, run, write};

/// How many statements of the database run, beside the one that asks.
pub(super) fn running(url: &str) -> usize {
    let name = url.rsplit('/').next().unwrap();
    let sql = "select count(*) from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid() and datname";
    psql(url, &format!("{sql} = '{name}'")).parse().unwrap()
}

/// Waits until nothing runs for nobody.
pub(super) async fn quiet(url: &str) {
    let waits = async {
        while running(url) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, waits).await.expect("the server still works for nobody");
}

#[test]
fn a_deadline_cancels_what_the_server_does() {
    run(async {
        let (postgres, url) = open_with("create table n (i int)", |it| it.connections = 1).await;
        let limit = Duration::from_millis(100);
        let slow = async |snapshot: &mut Snapshot| {
            let result = snapshot.query("select pg_sleep(600)", &[], &[], 1).await;
            assert_eq!(snapshot.query("select 1", &[], &[], 1).await, Err(Failure::Deadline));
            result
        };
        // Opening the connection is not what is to take too long.
        cell(&postgres, "select 1").await;
        assert_eq!(postgres.read(limit, slow).await, Err(Failure::Deadline));
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
        quiet(&url).await;

        let (postgres, url) = open_with("create table n (i int)", |it| it.limits.action_time = limit).await;
        cell(&postgres, "select 1").await;
        let action = write(&postgres, "insert into n select 1 from pg_sleep(600)", &[]).await;
        assert_eq!(action, Err(Failure::Deadline));
        quiet(&url).await;
        assert_eq!(cell(&postgres, "select count(*) from n").await, Value::Int(0));
    });
}

#[test]
fn who_leaves_takes_the_query_along() {
    run(async {
        let (postgres, url) = open_with("", |it| it.connections = 2).await;
        for _ in 0..5 {
            let slow = async |snapshot: &mut Snapshot| snapshot.query("select pg_sleep(600)", &[], &[], 1).await;
            let left = tokio::time::timeout(Duration::from_millis(30), postgres.read(LONG, slow)).await;
            assert!(left.is_err());
        }
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
        quiet(&url).await;
        let between = async |snapshot: &mut Snapshot| {
            snapshot.query("select 1", &[], &[], 1).await?;
            std::future::pending::<Result<(), Failure>>().await
        };
        // The transaction that is left open goes, too.
        assert!(tokio::time::timeout(Duration::from_millis(30), postgres.read(LONG, between)).await.is_err());
        quiet(&url).await;
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
    });
}

#[test]
fn answers_never_reach_somebody_else() {
    use tableside::database::Call;
    use tableside::database::Limit;
    run(async {
        let set = |options: &mut Options| (options.connections, options.waiting) = (2, 1000);
        let (postgres, url) = open_with("create table n (i int)", set).await;
        let visit = async |number: i64| {
            let (binds, kinds) = ([Value::Int(number)], [super::one(tableside::value::Kind::Int)]);
            let sqls = ["select $1 as n", "select $1 as n, pg_sleep(0.001)", "select $1 as n, 1 / ($1 % 5) as m"];
            let call = |sql| Call { sql, kinds: &kinds, binds: &binds, limit: Limit::AtMost(1) };
            let calls = [call(sqls[number as usize % 3]), call(sqls[0]), call(sqls[1])];
            let work = async |snapshot: &mut Snapshot| {
                let mut answers = snapshot.level(&calls[..1 + number as usize % 3], number % 2 == 0).await;
                if number % 2 == 1 && number % 5 != 0 {
                    answers.extend(snapshot.level(&calls[..1], true).await);
                }
                Ok::<_, Failure>(answers)
            };
            // Some leave at a moment that differs from run to run, at any point of their way.
            let patience = if number % 4 == 0 { Duration::from_micros(number as u64 * 20) } else { LONG };
            let Ok(Ok(answers)) = tokio::time::timeout(patience, postgres.read(LONG, work)).await else { return };
            for answer in answers {
                match answer {
                    Ok(rows) => assert_eq!(rows.cells[0], Value::Int(number)),
                    Err(failure) => assert!(number % 5 == 0, "{number}: {failure:?}"),
                }
            }
        };
        super::join_all((0..400).map(visit)).await;
        quiet(&url).await;
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
    });
}

/// Ends all connections of the database but the one that asks.
pub(super) fn cut_all(url: &str) {
    let name = url.rsplit('/').next().unwrap();
    let sql = "select pg_terminate_backend(pid, 60000) from pg_stat_activity where pid <> pg_backend_pid() and datname";
    psql(url, &format!("{sql} = '{name}'"));
}

#[test]
fn a_connection_that_is_cut_in_a_read_is_replaced() {
    run(async {
        let (postgres, url) = open("").await;
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
        // While nobody uses it: the visitor doesn't notice.
        cut_all(&url);
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
        // Within a snapshot: it can't be gone on with.
        let work = async |snapshot: &mut Snapshot| {
            snapshot.query("select 1", &[], &[], 1).await?;
            cut_all(&url);
            snapshot.query("select 1", &[], &[], 1).await
        };
        assert_eq!(postgres.read(LONG, work).await, Err(Failure::Down));
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
    });
}

#[test]
fn a_connection_that_is_cut_in_an_action_is_replaced_and_the_action_runs_again() {
    run(async {
        let (postgres, url) = open("create table n (i int)").await;
        let (mut runs, cut_url) = (0, url.clone());
        let counted = postgres.write(async move |transaction: &mut Transaction| {
            runs += 1;
            transaction.query("insert into n values (1)", &[], &[], 0).await?;
            if runs == 1 {
                cut_all(&cut_url);
            }
            transaction.query("insert into n values (2)", &[], &[], 0).await?;
            Ok::<_, Failure>(runs)
        });
        assert_eq!(counted.await, Ok(2));
        assert_eq!(cell(&postgres, "select sum(i) from n").await, Value::Int(3));
    });
}

/// Adds one row by way of a proxy that cuts its commit.
async fn add_with_cut(cut: Cut, action_time: Duration) -> (Result<u64, Failure>, String) {
    let (_, url) = open("create table n (i int)").await;
    let (proxy, by_proxy) = Proxy::before(&url);
    let mut options = Options::new(by_proxy);
    options.limits.action_time = action_time;
    let postgres = Postgres::open(&options).await.unwrap();
    // Opens the connection without a commit, which might be the one that is cut.
    let open = async |snapshot: &mut Snapshot| snapshot.only("select 1", &[], &[], 1).await;
    postgres.read(LONG, open).await.unwrap();
    proxy.cut(cut);
    let result = write(&postgres, "insert into n values (1)", &[]).await.map(|rows| rows.changed);
    let count = psql(&url, "select count(*) from n");
    (result, count)
}

#[test]
fn a_commit_that_is_cut_off_happens_once() {
    run(async {
        for cut in [Cut::Never, Cut::Before, Cut::After] {
            assert_eq!(add_with_cut(cut, LONG).await, (Ok(1), "1".to_string()), "{cut:?}");
        }
    });
}

#[test]
fn engines_that_number_no_transactions_tell_honestly_that_a_commit_is_unknown() {
    run(async {
        let (postgres, url) = open("create table n (i int)").await;
        let (proxy, by_proxy) = Proxy::before(&url);
        // It speaks the protocol, and has none of PostgreSQL's functions for the fate of transactions.
        let other = Server { engine: Engine::Cockroach, ..postgres.server().clone() };
        let postgres = Postgres::known(&Options::new(by_proxy), other).unwrap();
        let add = async || write(&postgres, "insert into n values (1)", &[]).await.map(|rows| rows.changed);
        assert_eq!(add().await, Ok(1));
        proxy.cut(Cut::After);
        assert_eq!(add().await, Err(Failure::Unknown));
        assert_eq!((add().await, psql(&url, "select count(*) from n")), (Ok(1), "3".to_string()));
    });
}

#[test]
fn a_commit_that_nobody_can_ask_about_is_unknown() {
    run(async {
        let (result, _) = add_with_cut(Cut::ForGood, Duration::from_secs(2)).await;
        assert_eq!(result, Err(Failure::Unknown));
    });
}

#[test]
fn a_server_that_stops_is_down_at_once_and_comes_back_by_itself() {
    run(async {
        let mut cluster = Cluster::start();
        let url = cluster.fresh_database();
        let postgres = Postgres::open(&Options::new(&url)).await.unwrap();
        write(&postgres, "select 1", &[]).await.unwrap();
        assert_eq!(postgres.trouble(), None);
        cluster.stop();
        for _ in 0..20 {
            assert_eq!(read(&postgres, "select 1", &[], &[]).await, Err(Failure::Down));
            assert_eq!(write(&postgres, "select 1", &[]).await, Err(Failure::Down));
        }
        assert!(postgres.trouble().is_some());
        cluster.run();
        let comes_back = async {
            while read(&postgres, "select 1", &[], &[]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, comes_back).await.expect("the server is found again");
        assert_eq!(postgres.trouble(), None);
    });
}

#[test]
fn a_server_that_may_lose_what_it_acknowledged_is_refused() {
    run(async {
        let (postgres, url) = open("").await;
        assert!(postgres.server().version.starts_with("PostgreSQL "));
        let careless = format!("{url}?options=-c%20synchronous_commit%3Doff");
        let mut options = Options::new(&careless);
        let problem = Postgres::open(&options).await.err().unwrap();
        assert!(problem.to_string().contains("synchronous_commit=off"), "{problem}");
        options.unsafe_is_fine = true;
        assert!(Postgres::open(&options).await.is_ok());
        let nowhere = Postgres::open(&Options::new("postgres://me@127.0.0.1:1/x")).await;
        assert!(nowhere.is_err());
    });
}

#[test]
fn a_number_that_a_crash_gave_to_another_proves_nothing() {
    // Nothing reaches the disk before somebody waits for it: the numbers of open transactions are lost in a crash.
    let mut cluster = Cluster::start_with("-c wal_writer_delay=10000");
    let real = cluster.fresh_database();
    psql(&real, "create table n (i int primary key)");
    let (proxy, url) = Proxy::before(&real);
    run(async {
        let postgres = Postgres::open(&Options::new(&url)).await.unwrap();
        proxy.cut(Cut::AndWait);
        let crash = tokio::task::spawn_blocking(move || {
            let until = std::time::Instant::now() + LONG;
            while !proxy.is_shut() {
                assert!(std::time::Instant::now() < until, "the commit never came");
                std::thread::sleep(Duration::from_millis(1));
            }
            cluster.stop();
            cluster.run();
            (2..8).for_each(|i| drop(psql(&real, &format!("insert into n values ({i})"))));
            proxy.cut(Cut::Never);
            (cluster, real)
        });
        let written = write(&postgres, "insert into n values (1)", &[]).await;
        let (_cluster, real) = crash.await.unwrap();
        let count = psql(&real, "select count(*) from n where i = 1");
        match written {
            Ok(_) => assert_eq!(count, "1", "acknowledged and lost"),
            Err(failure) => assert_eq!((failure, &*count), (Failure::Unknown, "0")),
        }
    });
}
