//! Several nodes on one PostgreSQL, and other programs beside a site: who learns of whose writes, and what happens when
//! the word is lost.

mod freshness;
mod market;
mod processes;
mod sqlite;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tableside::database::postgres::{Notifier, Options, Postgres, Snapshot, Transaction};
use tableside::database::versions::{MAX_LAG, Stamp, TableSet, Versions};
use tableside::database::{Failure, Tables};

use crate::harness::LONG;
use crate::postgres::{fresh_database, psql};

/// Drives a future as a serving thread does.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// One node.
struct Node {
    postgres: Postgres,
    notifier: Notifier,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Node {
    async fn join(url: &str) -> Node {
        Node::join_with(url, false).await
    }

    async fn join_with(url: &str, watch_others: bool) -> Node {
        let postgres = Postgres::open(&Options::new(url)).await.unwrap();
        let notes: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&notes);
        let tell = Box::new(move |note: &str| kept.lock().unwrap().push(note.to_string()));
        let notifier = postgres.listen(watch_others, tell).unwrap();
        Node { postgres, notifier, notes }
    }

    fn versions(&self) -> &Arc<Versions> {
        self.postgres.versions()
    }

    fn tables(&self, names: &[&str]) -> TableSet {
        self.versions().tables(&Tables::Known(names.iter().map(ToString::to_string).collect()))
    }

    fn stamp(&self, table: &str) -> Stamp {
        self.versions().current(&self.tables(&[table]))
    }

    async fn write(&self, tables: &TableSet, sql: &'static str) {
        let work = async move |transaction: &mut Transaction| transaction.query(sql, &[], &[], 100).await;
        self.postgres.write_to(tables.clone(), work).await.unwrap();
    }

    /// Waits until it trusts its counts.
    async fn trusted(&self) {
        until("trust", || self.versions().trusted()).await;
    }

    /// Waits until a stamp counts no more; it need not be looked at in the right moment.
    async fn outdated(&self, stamp: &Stamp) {
        until("a change", || self.versions().trusted() && !self.versions().is_current(stamp)).await;
    }

    /// Waits until it was told so.
    async fn noted(&self, wanted: &str) {
        until(wanted, || self.notes.lock().unwrap().iter().any(|note| note.contains(wanted))).await;
    }

    /// Says something on the channel as if it were another node.
    fn say_as(&self, url: &str, message: &str) {
        psql(url, &format!("select pg_notify('{}', '{message}')", self.notifier.channel()));
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "it never came to {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn database(schema: &str) -> String {
    let url = fresh_database();
    psql(&url, schema);
    url
}

#[test]
fn a_write_on_one_node_is_known_on_the_others() {
    run(async {
        let url = database("create table n (i int); create table m (i int)");
        let (one, two) = (Node::join(&url).await, Node::join(&url).await);
        assert_eq!(one.notifier.channel(), two.notifier.channel());
        two.trusted().await;
        let (own, n, m) = (one.stamp("n"), two.stamp("n"), two.stamp("m"));
        let mut changes = two.versions().watch(&two.tables(&["n"]));
        one.write(&one.tables(&["n"]), "insert into n values (1)").await;
        assert!(!one.versions().is_current(&own), "the answer came before the count");
        tokio::time::timeout(LONG, changes.changed()).await.unwrap();
        two.outdated(&n).await;
        until("the other table", || two.versions().is_current(&m)).await;
        // What is not known to be one table may be any.
        one.write(&TableSet::all(), "insert into n values (2)").await;
        two.outdated(&m).await;
    });
}

#[test]
fn an_action_that_writes_nothing_or_fails_tells_nothing() {
    run(async {
        let url = database("create table n (i int primary key); insert into n values (1)");
        let node = Node::join(&url).await;
        node.trusted().await;
        let (stamp, tables) = (node.stamp("n"), node.tables(&["n"]));
        node.write(&tables, "select i from n").await;
        node.write(&tables, "update n set i = 7 where i = 8").await;
        let twice =
            async |transaction: &mut Transaction| transaction.query("insert into n values (1)", &[], &[], 0).await;
        assert!(matches!(node.postgres.write_to(tables.clone(), twice).await, Err(Failure::Constraint(_))));
        until("the old count", || node.versions().is_current(&stamp)).await;
    });
}

#[test]
fn a_node_whose_line_is_cut_trusts_nothing_until_it_is_healed() {
    run(async {
        let url = database("create table n (i int)");
        let (one, two) = (Node::join(&url).await, Node::join(&url).await);
        two.trusted().await;
        let stamp = two.stamp("n");
        let mut changes = two.versions().watch(&two.tables(&["n"]));
        let lines = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                     where datname = current_database() and application_name like '%#%'";
        assert_eq!(psql(&url, lines), "2");
        tokio::time::timeout(LONG, changes.changed()).await.unwrap();
        // Nobody waits for a line that isn't there, and what was written meanwhile is not forgotten.
        one.write(&one.tables(&["n"]), "insert into n values (1)").await;
        for node in [&one, &two] {
            node.noted("can't be heard").await;
            node.noted("are heard again").await;
            node.trusted().await;
        }
        assert!(!two.versions().is_current(&stamp));
    });
}

/// It can't connect until it is forgotten; when it can again, and writes, its line is still down.
#[test]
fn a_node_that_was_forgotten_tells_with_its_commit() {
    run(async {
        let url = database("create table n (i int)");
        // A role of its own, that can be kept out.
        let role = url.rsplit('/').next().unwrap().replace("test", "role");
        psql(&url, &format!("create role {role} superuser login"));
        let one = Node::join(&url.replace("postgres@", &format!("{role}@"))).await;
        let two = Node::join(&url).await;
        let tables = one.tables(&["n"]);
        one.write(&tables, "insert into n values (1)").await;
        two.trusted().await;
        let stamp = two.stamp("n");
        let cut = |which: &str| {
            let of = format!("from pg_stat_activity where usename = '{role}' and ({which})");
            psql(&url, &format!("select count(pg_terminate_backend(pid)) {of}"));
        };
        psql(&url, &format!("alter role {role} nologin"));
        cut("true");
        two.outdated(&stamp).await;
        // Its tries have become rare meanwhile.
        tokio::time::sleep(3 * MAX_LAG).await;
        two.trusted().await;
        let stamp = two.stamp("n");
        psql(&url, &format!("alter role {role} login"));
        one.write(&tables, "insert into n values (2)").await;
        let told = Instant::now();
        while told.elapsed() < MAX_LAG {
            // The line, not the writer's connection.
            cut("query like 'select distinct%' or state = 'idle' and query like '%pg_notify%'");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!two.versions().is_current(&stamp), "the others don't know what was acknowledged a second ago");
    });
}

#[test]
fn many_writers_share_messages() {
    run(async {
        let url = database("create table n (i int)");
        let (one, two) = (Node::join(&url).await, Node::join(&url).await);
        let before = one.notifier.messages();
        let tables = one.tables(&["n"]);
        let writers = (0..8).map(|_| async {
            for _ in 0..40 {
                one.write(&tables, "insert into n values (1)").await;
            }
        });
        crate::postgres::join_all(writers).await;
        let messages = one.notifier.messages() - before;
        assert!(messages > 0 && messages < 8 * 40, "{messages} messages for {} writes", 8 * 40);
        two.trusted().await;
    });
}

#[test]
fn more_tables_than_a_message_holds_are_all_of_them() {
    run(async {
        let url = database("create table n (i int)");
        let (one, two) = (Node::join(&url).await, Node::join(&url).await);
        two.trusted().await;
        let stamp = two.stamp("another");
        let names: Vec<String> = (0..400).map(|number| format!("a_table_with_a_rather_long_name_{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        one.write(&one.tables(&names), "insert into n values (1)").await;
        two.outdated(&stamp).await;
    });
}

#[test]
fn a_gap_and_a_strange_word_outdate_everything() {
    run(async {
        let url = database("create table n (i int)");
        let node = Node::join(&url).await;
        let outdates = async |message: &str| {
            node.trusted().await;
            let stamp = node.stamp("n");
            node.say_as(&url, message);
            node.outdated(&stamp).await;
        };
        outdates("[\"ghost\", 8, []]").await;
        outdates("[\"ghost\", 10, []]").await;
        outdates("what is this").await;
        outdates("[\"\", 0, null]").await;
        outdates("[\"\", 0, [\"n\"]]").await;
        outdates("[\"ghost\", 12, false]").await;
    });
}

#[test]
fn a_node_that_died_is_forgotten_and_one_that_is_only_silent_is_waited_for() {
    run(async {
        let url = database("create table n (i int)");
        let node = Node::join(&url).await;
        node.trusted().await;
        // It says one word and has no connection: it may have committed what it told nobody of.
        node.say_as(&url, "[\"ghost\", 1, []]");
        let stamp = node.stamp("n");
        node.outdated(&stamp).await;
        // One with a connection may write at any time.
        let name = format!("x%23{}.mute", node.notifier.channel());
        let mut mute = sleeper(&format!("{url}?application_name={name}"));
        until("its connection", || {
            psql(&url, "select count(*) from pg_stat_activity where application_name like '%.mute'") == "1"
        })
        .await;
        node.trusted().await;
        node.say_as(&url, "[\"mute\", 1, []]");
        node.noted("node mute is silent").await;
        assert!(!node.versions().trusted());
        psql(&url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%.mute'");
        mute.wait().unwrap();
        node.trusted().await;
    });
}

/// A connection that does nothing.
fn sleeper(url: &str) -> Child {
    Command::new("psql")
        .args(["-X", "-d", url, "-c", "select pg_sleep(600)"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What was acknowledged is seen on each node at most [`MAX_LAG`] later, whatever becomes of the lines: here one is
/// cut again and again.
#[test]
fn nothing_that_is_current_is_older_than_allowed() {
    let url = database("create table n (i bigint); insert into n values (0)");
    let ended = AtomicBool::new(false);
    // What was acknowledged, and when.
    let acknowledged: Mutex<Vec<(Instant, i64)>> = Mutex::new(vec![(Instant::now(), 0)]);
    let (hits, written) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run(async {
                let node = Node::join(&url).await;
                let tables = node.tables(&["n"]);
                while !ended.load(Ordering::SeqCst) {
                    node.write(&tables, "update n set i = i + 1").await;
                    let number = written.fetch_add(1, Ordering::SeqCst) + 1;
                    acknowledged.lock().unwrap().push((Instant::now(), number));
                    tokio::time::sleep(Duration::from_millis(u64::try_from(number * 37 % 90).unwrap())).await;
                }
            });
        });
        for _ in 0..2 {
            scope.spawn(|| run(read_until(&url, &ended, &acknowledged, &hits)));
        }
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(900));
            let line = "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity \
                        where datname = current_database() and query like '%pg_notify%' and pid <> pg_backend_pid() \
                        order by random() limit 1) one";
            psql(&url, line);
        }
        ended.store(true, Ordering::SeqCst);
    });
    let (hits, written) = (hits.load(Ordering::SeqCst), written.load(Ordering::SeqCst));
    assert!(hits > 100 && written > 20, "{hits} hits and {written} writes show nothing");
}

/// A node that keeps what it read as long as it is current.
async fn read_until(url: &str, ended: &AtomicBool, acknowledged: &Mutex<Vec<(Instant, i64)>>, hits: &AtomicI64) {
    let node = Node::join(url).await;
    let tables = node.tables(&["n"]);
    let mut kept: Option<(Stamp, i64)> = None;
    while !ended.load(Ordering::SeqCst) {
        let now = Instant::now();
        match &kept {
            Some((stamp, value)) if node.versions().is_current(stamp) => {
                let due = {
                    let all = acknowledged.lock().unwrap();
                    all.iter().rev().find(|(at, _)| *at + MAX_LAG <= now).map_or(0, |(_, number)| *number)
                };
                assert!(*value >= due, "{value} is current, and {due} was answered long ago");
                hits.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            _ => {
                let stamp = node.versions().current(&tables);
                let read = async |snapshot: &mut Snapshot| snapshot.only("select i from n", &[], &[], 1).await;
                let rows = node.postgres.read(LONG, read).await.unwrap();
                kept = Some((stamp, rows.cells[0].as_int().unwrap()));
            }
        }
    }
}

#[test]
fn triggers_tell_what_other_programs_write() {
    run(async {
        let url = database(
            "create schema tableside; create table n (i int); create table p (i int) partition by range (i); \
             create table p_1 partition of p for values from (0) to (100); create table child (id int)",
        );
        let node = Node::join_with(&url, true).await;
        let triggers = || psql(&url, "select count(*) from pg_trigger where tgname ~ '^tableside_tell_'");
        until("triggers", || triggers() == "4").await;
        let outdates = async |sql: &str, table: &str| {
            node.trusted().await;
            let (stamp, other) = (node.stamp(table), node.stamp("child"));
            psql(&url, sql);
            node.outdated(&stamp).await;
            until("the other table", || node.versions().is_current(&other)).await;
        };
        // The look that follows the triggers takes all for changed; it has passed when the look after it has.
        for (sql, table) in [
            ("insert into n values (1)", "n"),
            ("update n set i = 2", "n"),
            ("delete from n", "n"),
            ("truncate n", "n"),
            ("insert into p values (1)", "p"),
            ("insert into p values (2)", "p_1"),
            ("insert into p_1 values (3)", "p"),
            ("truncate p_1", "p"),
            ("truncate p", "p_1"),
            ("begin; insert into n values (1); savepoint s; update n set i = 3; rollback to s; commit", "n"),
        ] {
            outdates(sql, table).await;
        }
        // A partition that comes later is noticed, too.
        node.trusted().await;
        let stamp = node.stamp("n");
        psql(&url, "create table p_2 partition of p for values from (100) to (200)");
        until("one more trigger", || triggers() == "5").await;
        node.outdated(&stamp).await;
        outdates("insert into p_2 values (150)", "p").await;
        // Its own writes go without them.
        let heard = psql_heard(&url, node.notifier.channel(), || {
            run_apart(&url, "insert into n values (7)");
        });
        assert!(!heard.contains("\"\", 0") && !heard.contains("[\"\",0"), "{heard}");
        drop(node);
        let _without = Node::join(&url).await;
        until("no trigger", || triggers() == "0").await;
    });
}

/// Writes as a node does, on a thread of its own.
fn run_apart(url: &str, sql: &'static str) {
    let url = url.to_string();
    let write = move || {
        run(async {
            let node = Node::join_with(&url, true).await;
            node.write(&node.tables(&["n"]), sql).await;
        });
    };
    std::thread::spawn(write).join().unwrap();
}

/// What is said on a channel while something is done.
fn psql_heard(url: &str, channel: &str, work: impl FnOnce()) -> String {
    let mut psql = Command::new("psql")
        .args(["-X", "-q", "-d", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = psql.stdin.take().unwrap();
    writeln!(input, "listen {channel}; select 'listens';").unwrap();
    let mut output = psql.stdout.take().unwrap();
    let (mut heard, mut bytes) = (String::new(), [0; 4096]);
    while !heard.contains("listens") {
        let length = output.read(&mut bytes).unwrap();
        assert!(length > 0, "psql ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    work();
    writeln!(input, "select 'ended';").unwrap();
    drop(input);
    output.read_to_string(&mut heard).unwrap();
    psql.wait().unwrap();
    heard
}

#[test]
fn triggers_leave_what_is_known_of_statements() {
    use tableside::clock::Clock;
    use tableside::database::postgres::Keeper;
    run(async {
        let url = database("create schema tableside; create table n (i int)");
        let _node = Node::join_with(&url, true).await;
        until("triggers", || psql(&url, "select count(*) from pg_trigger where tgname ~ '^tableside_tell_'") == "1")
            .await;
        let described = std::thread::spawn(move || {
            let keeper = Keeper::open(&Options::new(&url), &Clock::system()).unwrap();
            keeper.describe("insert into n values (1)", &[]).unwrap()
        });
        assert_eq!(described.join().unwrap().writes, Tables::Known(["n".to_string()].into()));
    });
}

#[test]
fn a_server_that_knows_no_listen_is_never_trusted_and_says_so_once() {
    run(async {
        let url = database("create table n (i int)");
        let node = Node::join(&without_listen(&url)).await;
        node.noted("nothing is kept").await;
        let stamp = node.stamp("n");
        node.write(&node.tables(&["n"]), "insert into n values (1)").await;
        assert!(!node.versions().trusted() && !node.versions().is_current(&stamp));
        assert_eq!(node.notes.lock().unwrap().len(), 1);
    });
}

/// The URL of a proxy by which a server understands no LISTEN.
fn without_listen(url: &str) -> String {
    let (start, rest) = url.rsplit_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = server.to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&server).unwrap();
            let (back, forth) = ((server.try_clone().unwrap(), client.try_clone().unwrap()), (client, server));
            std::thread::spawn(move || pass(back.0, back.1));
            std::thread::spawn(move || pass(forth.0, forth.1));
        }
    });
    format!("{start}@127.0.0.1:{port}/{database}?sslmode=disable")
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if let Some(at) = bytes[..length].windows(8).position(|part| part == b"; listen") {
            bytes[at + 2..at + 8].copy_from_slice(b"lisxen");
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
