//! The database room on PostgreSQL: types, placeholders, limits, and every way in which a connection can go away.

mod cluster;
mod entry;
mod lost;
mod pipeline;
mod proxy;
mod values;

use std::future::Future;
use std::time::Duration;

use tableside::database::postgres::{Options, Postgres, Snapshot, Transaction};
use tableside::database::{Failure, Limit};
use tableside::value::{Declared, Kind, Rows, Value};

pub(crate) use cluster::{Cluster, fresh_database, psql, quick_database};
pub(crate) use proxy::{Cut, Proxy};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Drives a future as a serving thread does.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// A new database with a schema.
async fn open(schema: &str) -> (Postgres, String) {
    open_with(schema, |_| {}).await
}

async fn open_with(schema: &str, set: impl FnOnce(&mut Options)) -> (Postgres, String) {
    let url = fresh_database();
    if !schema.is_empty() {
        psql(&url, schema);
    }
    let mut options = Options::new(&url);
    set(&mut options);
    (Postgres::open(&options).await.unwrap(), url)
}

fn one(kind: Kind) -> Declared {
    Declared { kind, list: false }
}

/// One query in a snapshot of its own.
async fn read(postgres: &Postgres, sql: &str, kinds: &[Declared], binds: &[Value]) -> Result<Rows, Failure> {
    postgres.read(LONG, async |snapshot: &mut Snapshot| snapshot.query(sql, kinds, binds, 1000).await).await
}

/// The only cell of a query without placeholders.
async fn cell(postgres: &Postgres, sql: &str) -> Value {
    let rows = read(postgres, sql, &[], &[]).await.unwrap_or_else(|failure| panic!("{sql}: {failure}"));
    assert_eq!(rows.cells.len(), 1, "{sql}");
    rows.cells[0].clone()
}

/// One statement in a transaction of its own.
async fn write(postgres: &Postgres, sql: &'static str, binds: &[Value]) -> Result<Rows, Failure> {
    let binds = binds.to_vec();
    postgres.write(async move |transaction: &mut Transaction| transaction.query(sql, &[], &binds, 1000).await).await
}

#[test]
fn a_page_sees_one_snapshot() {
    run(async {
        let (postgres, url) = open("create table n (i int); insert into n values (1)").await;
        let seen = postgres.read(LONG, async |snapshot: &mut Snapshot| {
            let before = snapshot.query("select sum(i) as s from n", &[], &[], 1).await?;
            psql(&url, "insert into n values (10)");
            let after = snapshot.query("select sum(i) as s from n", &[], &[], 1).await?;
            Ok::<_, Failure>((before, after))
        });
        let (before, after) = seen.await.unwrap();
        assert_eq!((before.cells, after.cells), (vec![Value::Int(1)], vec![Value::Int(1)]));
        assert_eq!(cell(&postgres, "select sum(i) from n").await, Value::Int(11));
    });
}

#[test]
fn queries_asked_at_once_share_the_snapshot_and_fail_by_their_place() {
    use tableside::database::Call;
    run(async {
        let (postgres, _) = open("create table n (i int); insert into n values (1), (2)").await;
        let call = |sql| Call { sql, kinds: &[], binds: &[], limit: Limit::AtMost(10) };
        let ask = async |calls: &[Call<'_>], last: bool| {
            let work = async |snapshot: &mut Snapshot| Ok::<_, Failure>(snapshot.level(calls, last).await);
            postgres.read(LONG, work).await.unwrap()
        };
        for last in [false, true] {
            let rows = ask(&[call("select i from n order by i"), call("select count(*) from n")], last).await;
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0].as_ref().map(Rows::len), Ok(2));
            assert_eq!(rows[1].as_ref().map(|rows| &rows.cells[..]), Ok(&[Value::Int(2)][..]));
            assert_eq!(ask(&[call("select 1")], last).await.len(), 1);

            let failed = ask(&[call("select 1"), call("select i / 0 from n"), call("select 2")], last).await;
            assert!(matches!(&failed[..], [Ok(_), Err(Failure::Broken { .. })]), "{failed:?}");
            let failed = ask(&[call("select 1"), call("select i from n limit 1")], last).await;
            assert!(failed.iter().all(Result::is_ok));
            let many = ask(&[call("select i from n, generate_series(1, 9)"), call("select 1")], last).await;
            assert_eq!(many, [Err(Failure::TooManyRows(10))]);
            let failed = ask(&[call("select 1"), call("select 'é', nmae from n")], last).await;
            let [Ok(_), Err(Failure::Broken { message, offset })] = &failed[..] else { panic!("{failed:?}") };
            assert!(message.contains("nmae"), "{message}");
            assert_eq!(*offset, Some("select 'é', ".len()));
            let kinds = [one(Kind::Text)];
            let bad = Call { binds: &[Value::text("\0")], kinds: &kinds, ..call("select $1 as t") };
            let failed = ask(&[call("select 1"), bad], last).await;
            assert!(matches!(&failed[..], [Ok(_), Err(Failure::BadValue { bind: Some(0), .. })]), "{failed:?}");
        }
        assert_eq!(cell(&postgres, "select 3").await, Value::Int(3));
    });
}

#[test]
fn a_limit_of_rows_stops_the_server() {
    run(async {
        let (postgres, _) = open("").await;
        // Were it not stopped, it would never end.
        let lazily = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
        let first = postgres.read(LONG, async |it: &mut Snapshot| it.only(lazily, &[], &[], Limit::First(20)).await);
        let first = first.await.unwrap();
        assert_eq!((first.len(), first.more), (20, true));
        let many = postgres.read(LONG, async |it: &mut Snapshot| it.query(lazily, &[], &[], 20).await).await;
        assert_eq!(many, Err(Failure::TooManyRows(20)));
        let exact = "select i from generate_series(1, 20) i";
        let exact = postgres.read(LONG, async |it: &mut Snapshot| it.query(exact, &[], &[], Limit::First(20)).await);
        assert_eq!(exact.await.map(|rows| (rows.len(), rows.more)), Ok((20, false)));
    });
}

#[test]
fn a_result_or_a_value_that_is_too_large_is_refused() {
    run(async {
        let set = |options: &mut Options| {
            (options.limits.result_bytes, options.limits.value_bytes) = (100_000, 2_000_000);
        };
        let (postgres, _) = open_with("", set).await;
        let rows = "select repeat('x', 1000) from generate_series(1, 900)";
        assert_eq!(read(&postgres, rows, &[], &[]).await, Err(Failure::TooLarge));
        assert_eq!(read(&postgres, "select repeat('x', 3000000)", &[], &[]).await, Err(Failure::TooLarge));
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
    });
}

#[test]
fn large_questions_and_large_answers_pass_each_other() {
    use tableside::database::Call;
    run(async {
        let (postgres, _) = open("").await;
        let (long, kinds) = ([Value::text("x".repeat(5_000_000))], [one(Kind::Text)]);
        let call = Call { sql: "select $1 as long", kinds: &kinds, binds: &long, limit: Limit::AtMost(1) };
        let work = async |it: &mut Snapshot| Ok::<_, Failure>(it.level(&[call; 6], true).await);
        let rows = postgres.read(LONG, work).await.unwrap();
        assert!(rows.iter().all(|rows| rows.as_ref().is_ok_and(|rows| rows.cells == long)), "{}", rows.len());
    });
}

#[test]
fn actions_that_get_between_each_other_are_run_again() {
    run(async {
        let set = |options: &mut Options| options.limits.action_time = LONG;
        let (postgres, _) = open_with("create table account (id int primary key, sum int)", set).await;
        write(&postgres, "insert into account values (1, 0)", &[]).await.unwrap();
        let add = async || {
            let work = async |transaction: &mut Transaction| {
                let read = transaction.query("select sum from account where id = 1", &[], &[], 1).await?;
                let sum = [Value::Int(read.cells[0].as_int().unwrap() + 1)];
                transaction.query("update account set sum = $1 where id = 1", &[one(Kind::Int)], &sum, 0).await
            };
            postgres.write(work).await
        };
        let writers = (0..8).map(|_| async {
            for _ in 0..25 {
                add().await.unwrap();
            }
        });
        join_all(writers).await;
        assert_eq!(cell(&postgres, "select sum from account").await, Value::Int(200));
    });
}

#[test]
fn what_an_action_has_read_holds_until_its_commit() {
    run(async {
        let set = |options: &mut Options| options.limits.action_time = LONG;
        let (postgres, _) = open_with("create table booking (room int, guest int)", set).await;
        // Each looks whether the room is free, then books it: no row of the one is changed by the other.
        let book = async |guest: i64| {
            let work = async move |transaction: &mut Transaction| {
                let taken = transaction.query("select 1 from booking where room = 1", &[], &[], 1).await?;
                if !taken.is_empty() {
                    return Ok(false);
                }
                let sql = "insert into booking values (1, $1)";
                transaction.query(sql, &[one(Kind::Int)], &[Value::Int(guest)], 0).await?;
                Ok::<_, Failure>(true)
            };
            postgres.write(work).await.unwrap()
        };
        let booked = join_all((0..8).map(book)).await;
        assert_eq!(booked.iter().filter(|booked| **booked).count(), 1);
        assert_eq!(cell(&postgres, "select count(*) from booking").await, Value::Int(1));
    });
}

#[test]
fn actions_that_wait_for_each_other_both_end() {
    run(async {
        let set = |options: &mut Options| options.limits.action_time = LONG;
        let schema = "create table account (id int primary key, sum int); insert into account values (1, 0), (2, 0)";
        let (postgres, _) = open_with(schema, set).await;
        let both = async |first: i64| {
            let work = async move |transaction: &mut Transaction| {
                let sql = "update account set sum = sum + 1 where id = $1";
                transaction.query(sql, &[one(Kind::Int)], &[Value::Int(first)], 0).await?;
                transaction.query("select pg_sleep(0.05)", &[], &[], 1).await?;
                transaction.query(sql, &[one(Kind::Int)], &[Value::Int(3 - first)], 0).await
            };
            postgres.write(work).await
        };
        let results = join_all([1, 2].map(both)).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(cell(&postgres, "select sum(sum) from account").await, Value::Int(4));
    });
}

#[test]
fn a_closed_database_takes_no_more_work() {
    run(async {
        let (postgres, _) = open("").await;
        assert_eq!(cell(&postgres, "select 1").await, Value::Int(1));
        postgres.close();
        assert_eq!(read(&postgres, "select 1", &[], &[]).await, Err(Failure::Busy));
        assert_eq!(write(&postgres, "select 1", &[]).await, Err(Failure::Busy));
    });
}

#[test]
fn a_failed_action_leaves_nothing_and_tells_the_rule() {
    run(async {
        let schema =
            "create table item (id int primary key, price int constraint dear check (price >= 0), name text not null,
            unique (name, price))";
        let (postgres, _) = open(schema).await;
        let add = async |id: i64, price: i64, name: Value| {
            let binds = [Value::Int(id), Value::Int(price), name];
            let work = async move |transaction: &mut Transaction| {
                transaction.query("insert into item (id, price, name) values (100, 100, 'x')", &[], &[], 0).await?;
                // An action that goes on after a failure must not be committed.
                let rule = transaction.query("insert into item values ($1, $2, $3)", &[], &binds, 0).await;
                transaction.query("delete from item where id = 100", &[], &[], 0).await.or(rule)
            };
            postgres.write(work).await
        };
        add(1, 5, "a".into()).await.unwrap();
        let rule = async |id, price, name| match add(id, price, name).await {
            Err(Failure::Constraint(rule)) => (rule.name.unwrap_or_default(), rule.table, rule.columns.join(",")),
            other => panic!("{other:?}"),
        };
        let table = || Some("item".to_string());
        assert_eq!(rule(1, 5, "b".into()).await, ("item_pkey".into(), table(), "id".into()));
        assert_eq!(rule(2, 5, "a".into()).await, ("item_name_price_key".into(), table(), "name,price".into()));
        assert_eq!(rule(2, -1, "b".into()).await, ("dear".into(), table(), String::new()));
        assert_eq!(rule(2, 1, Value::Null).await, (String::new(), table(), "name".into()));
        assert_eq!(cell(&postgres, "select count(*) from item").await, Value::Int(1));
    });
}

#[test]
fn an_action_runs_to_its_end_and_a_panic_rolls_it_back() {
    run(async {
        let (postgres, _) = open("create table n (i int)").await;
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
        let action = postgres.write(async move |transaction: &mut Transaction| {
            started.send(()).unwrap();
            let rows = transaction.query("insert into n select 1 from pg_sleep(0.1)", &[], &[], 0).await;
            ended.send(()).unwrap();
            rows
        });
        tokio::select! { biased; _ = action => panic!("it waits"), _ = starts.recv() => {} }
        ends.recv().await.unwrap();
        let panics = postgres.write(async |transaction: &mut Transaction| {
            transaction.query("insert into n values (2)", &[], &[], 0).await?;
            if cfg!(test) {
                panic!("on purpose")
            }
            Ok::<(), Failure>(())
        });
        assert!(matches!(panics.await, Err(Failure::Broken { .. })));
        while cell(&postgres, "select count(*) from n").await != Value::Int(1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(cell(&postgres, "select sum(i) from n").await, Value::Int(1));
    });
}

#[test]
fn nothing_is_written_outside_of_an_action() {
    run(async {
        let (postgres, _) = open("create table n (i int)").await;
        let read_only = read(&postgres, "insert into n values (1)", &[], &[]).await;
        let Err(Failure::Broken { message, .. }) = read_only else { panic!("{read_only:?}") };
        assert!(message.contains("read-only"), "{message}");
        let alone = async |it: &mut Snapshot| it.only("insert into n values (1)", &[], &[], 0).await;
        assert!(matches!(postgres.read(LONG, alone).await, Err(Failure::Broken { .. })));
        let rows = write(&postgres, "insert into n values (1), (2) returning i", &[]).await.unwrap();
        assert_eq!((rows.len(), rows.changed), (2, 2));
        assert_eq!(write(&postgres, "update n set i = 0", &[]).await.map(|rows| rows.changed), Ok(2));
    });
}

#[test]
fn statements_outlive_a_change_of_the_schema() {
    run(async {
        let (postgres, url) =
            open_with("create table n (i int); insert into n values (1)", |it| it.connections = 1).await;
        let all = "select * from n";
        assert_eq!(read(&postgres, all, &[], &[]).await.unwrap().columns.len(), 1);
        psql(&url, "alter table n add column name text default 'new'");
        let rows = read(&postgres, all, &[], &[]).await.unwrap();
        assert_eq!(rows.cells, [Value::Int(1), Value::text("new")]);
        psql(&url, "alter table n alter column i type text");
        assert_eq!(write(&postgres, all, &[]).await.unwrap().cells[0], Value::text("1"));
    });
}

#[test]
fn more_statements_than_are_kept_push_old_ones_out() {
    run(async {
        let set = |options: &mut Options| (options.connections, options.limits.statements) = (1, 5);
        let (postgres, _) = open_with("", set).await;
        for round in 0..3 {
            for number in 0..20 {
                let sql = format!("select {number} as n");
                assert_eq!(cell(&postgres, &sql).await, Value::Int(number), "{round}");
            }
        }
        let Value::Int(kept) = cell(&postgres, "select count(*) from pg_prepared_statements").await else { panic!() };
        assert!(kept <= 6, "{kept}");
    });
}

#[test]
fn the_pool_is_bounded() {
    run(async {
        let set = |options: &mut Options| (options.connections, options.waiting) = (3, 150);
        let (postgres, url) = open_with("", set).await;
        let most = std::cell::Cell::new(0);
        let watch = || {
            let name = url.rsplit('/').next().unwrap();
            // Without the one that looked at the server, which may be about to end.
            let others = "pid <> pg_backend_pid() and query not like 'select version%'";
            let sql = format!("select count(*) from pg_stat_activity where datname = '{name}' and {others}");
            psql(&url, &sql).parse::<usize>().unwrap()
        };
        let results = join_all((0..200).map(|number| {
            let (postgres, most, watch) = (&postgres, &most, &watch);
            async move {
                let result = read(postgres, "select pg_sleep(0.001)", &[], &[]).await;
                if number % 50 == 0 {
                    most.set(watch().max(most.get()));
                }
                result
            }
        }))
        .await;
        let refused = results.iter().filter(|result| **result == Err(Failure::Busy)).count();
        let done = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!((done, refused), (153, 47));
        assert!((1..=3).contains(&most.get()), "{}", most.get());
    });
}

/// Waits for all, in one task.
pub(crate) async fn join_all<T>(works: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut works: Vec<_> = works.into_iter().map(|work| (Box::pin(work), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (work, result) in &mut works {
            if result.is_none() {
                match work.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    works.into_iter().filter_map(|(_, result)| result).collect()
}
