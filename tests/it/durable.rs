//! What was acknowledged stays: 64 visitors post while the server is killed again and again.
//!
//! Each action writes two rows in two tables. After each restart, and by a reading that doesn't go through the server,
//! every acknowledged write must be there once, and no write may be there by half.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;

use crate::harness::{Client, Folder, LONG, Request, Server};
use crate::postgres::{fresh_database, psql};

/// How often the server is killed.
const KILLS: u64 = 100;

/// The same on PostgreSQL, whose own promise is not what is tested.
const KILLS_ON_POSTGRES: u64 = 20;

/// Connections that post at once.
const VISITORS: u64 = 64;

/// The site: an action whose two rows must agree, and a page that counts them.
const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table orders (id integer primary key, key text not null unique, amount integer not null);\n\
         create table lines (order_id integer not null references orders (id), key text not null, half integer not null);\n\
         create index lines_by_order on lines (order_id);\n",
    ),
    (
        "pages/order.post.sql",
        "-- :key text required\n-- :amount int required\n-- status: 201\n\
         -- name: placed :one\n\
         insert into orders (key, amount) values (:key, :amount) returning id;\n\
         -- name: _first :exec\n\
         insert into lines (order_id, key, half) values (@placed.id, :key, :amount / 2);\n\
         -- name: _second :exec\n\
         insert into lines (order_id, key, half) values (@placed.id, :key, :amount - :amount / 2);\n",
    ),
    ("pages/count.json.sql", "-- name: orders :value\nselect count(*) from orders;\n"),
];

/// What the visitors were told, over all rounds.
#[derive(Default)]
struct Told {
    /// Keys of orders that were answered with success.
    acknowledged: Mutex<HashSet<String>>,
    /// How many orders were sent.
    sent: AtomicU64,
}

/// A site, and the database beside it if it doesn't hold its own.
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) url: Option<String>,
}

impl Site {
    pub(crate) fn start(&self) -> Server {
        let url = self.url.iter().flat_map(|url| ["--set".into(), format!("database.url={url}")]).collect::<Vec<_>>();
        let arguments: Vec<&str> = url.iter().map(String::as_str).collect();
        Server::start_with(self.folder.path(), "serve", &arguments).unwrap_or_else(|said| panic!("no start:\n{said}"))
    }

    /// The first column of a query, read past the server.
    pub(crate) fn read(&self, sql: &str) -> Vec<String> {
        if let Some(url) = &self.url {
            return psql(url, sql).lines().map(String::from).collect();
        }
        let database = self.folder.database();
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        let text = |value| match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{other:?}"),
        };
        rows.map(|value| text(value.unwrap())).collect()
    }
}

#[test]
fn acknowledged_writes_outlive_every_kill() {
    outlive(&Site { folder: Folder::new(SITE), url: None }, KILLS);
}

#[test]
fn acknowledged_writes_outlive_every_kill_on_postgres() {
    outlive(&Site { folder: Folder::new(SITE), url: Some(fresh_database()) }, KILLS_ON_POSTGRES);
}

/// Commits fail while their answers are being made. Nobody may be told of a success that isn't there, nor have written
/// something that they were not told of.
#[test]
fn a_commit_that_fails_is_told_to_nobody_as_a_success() {
    let site = Site { folder: Folder::new(SITE), url: None };
    let server = Server::start_with_limits(&site.folder);
    server.limit_files(Some(1 << 20));
    let post = |client: &mut Client, key: &str| {
        let form = [("key", key), ("amount", "7")];
        client.send(&Request::new("POST", "/order").header("Accept", "application/json").form(&form)).unwrap().status
    };
    let acknowledged = Mutex::new(HashSet::new());
    let refused = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for visitor in 0..VISITORS {
            let (server, acknowledged, refused) = (&server, &acknowledged, &refused);
            scope.spawn(move || {
                let mut client = server.client();
                for number in 0..20 {
                    // Long, so that the log soon reaches its limit.
                    let key = format!("{visitor}-{number}-{:0>500}", 0);
                    match post(&mut client, &key) {
                        201 => drop(acknowledged.lock().unwrap().insert(key)),
                        status => {
                            assert!(status >= 500, "{status}");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let mut acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 10 && refused.into_inner() > 10, "{} were acknowledged", acknowledged.len());
    // The same process goes on when there is room again.
    server.limit_files(None);
    assert_eq!(post(&mut server.client(), "afterwards"), 201);
    acknowledged.insert("afterwards".into());
    server.kill();
    assert_eq!(site.read("pragma quick_check"), ["ok"]);
    assert_eq!(site.read("select key from orders").into_iter().collect::<HashSet<_>>(), acknowledged);
    assert_eq!(site.read("select count(*) from lines"), [(2 * acknowledged.len()).to_string()]);
}

fn outlive(site: &Site, kills: u64) {
    let told = Told::default();
    for round in 0..kills {
        let server = site.start();
        // Every other time the server itself is the first to open what the kill left.
        if round % 2 == 1 {
            check(site, &told, round - 1);
        }
        post_until_killed(server, round, &told);
        if round % 2 == 1 {
            check(site, &told, round);
        }
    }
    let server = site.start();
    let acknowledged = told.acknowledged.lock().unwrap().len() as u64;
    let counted = server.client().get("/count").text();
    server.stop();
    let held: u64 = counted.trim_start_matches("{\"orders\":").trim_end_matches('}').parse().unwrap();
    assert!(held >= acknowledged, "{held} orders of {acknowledged} acknowledged ones");
    // A test in which nothing was written would show nothing.
    assert!(acknowledged > kills * 10, "only {acknowledged} orders were acknowledged");
    assert!(told.sent.load(Ordering::Relaxed) > acknowledged, "no kill came while an order was under way");
}

/// All visitors post as fast as they are answered; the kill comes after a number of answers that differs from round to
/// round, so that it meets the server at any point of its work.
fn post_until_killed(server: Server, round: u64, told: &Told) {
    let killed = AtomicBool::new(false);
    let (answered, answers) = channel();
    // From the very first answer to some hundreds, in no order.
    let kill_after = (round * 7919) % 600;
    let address = server.address();
    std::thread::scope(|scope| {
        for visitor in 0..VISITORS {
            let (killed, answered) = (&killed, answered.clone());
            scope.spawn(move || {
                let mut client = Client::new(address);
                for number in 0.. {
                    let key = format!("{round}-{visitor}-{number}");
                    let amount = (visitor * 31 + number).to_string();
                    let request = Request::new("POST", "/order")
                        .header("Accept", "application/json")
                        .form(&[("key", &key), ("amount", &amount)]);
                    told.sent.fetch_add(1, Ordering::Relaxed);
                    match client.send(&request) {
                        Ok(answer) => {
                            assert_eq!(answer.status, 201, "{}", answer.text());
                            told.acknowledged.lock().unwrap().insert(key);
                            // Nobody counts any more once the kill has come.
                            let _ = answered.send(());
                        }
                        Err(error) => {
                            // Without a kill a server has no reason to hang up.
                            assert!(killed.load(Ordering::SeqCst), "before the kill: {error}");
                            return;
                        }
                    }
                }
            });
        }
        let answers_come = (0..kill_after).all(|_| answers.recv_timeout(LONG).is_ok());
        // The visitors end only with the server, so it goes first, whatever happened.
        killed.store(true, Ordering::SeqCst);
        server.kill();
        assert!(answers_come, "the server is stuck");
    });
}

/// Reads the database as the kill left it.
fn check(site: &Site, told: &Told, round: u64) {
    if site.url.is_none() {
        assert_eq!(site.read("pragma quick_check"), ["ok"], "round {round}");
    }
    let halves = "select count(*) from orders o where 2 <> (select count(*) from lines l where l.order_id = o.id and \
                  l.key = o.key) or o.amount <> (select sum(half) from lines l where l.order_id = o.id)";
    assert_eq!(site.read(halves), ["0"], "round {round}: half an order");
    let strays = "select count(*) from lines where order_id not in (select id from orders)";
    assert_eq!(site.read(strays), ["0"], "round {round}: lines without their order");
    let held = site.read(&format!("select key from orders where key like '{round}-%'"));
    let held: HashSet<String> = held.into_iter().collect();
    let acknowledged = told.acknowledged.lock().unwrap();
    let prefix = format!("{round}-");
    let lost: Vec<&String> =
        acknowledged.iter().filter(|key| key.starts_with(&prefix) && !held.contains(*key)).collect();
    assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
}
