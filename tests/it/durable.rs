//! What was acknowledged stays: 64 visitors post while the server is killed again and again.
//!
//! Each action writes two rows in two tables. After each restart, and by a reading that doesn't go through the server,
//! every acknowledged write must be there once, and no write may be there by half.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;

use crate::harness::{Client, Folder, LONG, Request, Server};

/// How often the server is killed.
const KILLS: u64 = 100;

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

#[test]
fn acknowledged_writes_outlive_every_kill() {
    let folder = Folder::new(SITE);
    let told = Told::default();
    for round in 0..KILLS {
        let server = Server::start(&folder);
        // Every other time the server itself is the first to open what the kill left.
        if round % 2 == 1 {
            check(&folder, &told, round - 1);
        }
        post_until_killed(server, round, &told);
        if round % 2 == 1 {
            check(&folder, &told, round);
        }
    }
    let server = Server::start(&folder);
    let acknowledged = told.acknowledged.lock().unwrap().len() as u64;
    let counted = server.client().get("/count").text();
    server.stop();
    let held: u64 = counted.trim_start_matches("{\"orders\":").trim_end_matches('}').parse().unwrap();
    assert!(held >= acknowledged, "{held} orders of {acknowledged} acknowledged ones");
    // A test in which nothing was written would show nothing.
    assert!(acknowledged > KILLS * 10, "only {acknowledged} orders were acknowledged");
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

/// Reads the database file as the kill left it.
fn check(folder: &Folder, told: &Told, round: u64) {
    let database = folder.database();
    let number = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let sound: String = database.query_row("pragma quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "round {round}");
    let halves = "select count(*) from orders o where 2 <> (select count(*) from lines l where l.order_id = o.id and \
                  l.key = o.key) or o.amount <> (select sum(half) from lines l where l.order_id = o.id)";
    assert_eq!(number(halves), 0, "round {round}: half an order");
    let strays = "select count(*) from lines where order_id not in (select id from orders)";
    assert_eq!(number(strays), 0, "round {round}: lines without their order");
    let mut statement = database.prepare("select key from orders where key like ?1 || '-%'").unwrap();
    let rows = statement.query_map([round.to_string()], |row| row.get::<_, String>(0)).unwrap();
    let held: HashSet<String> = rows.map(Result::unwrap).collect();
    let acknowledged = told.acknowledged.lock().unwrap();
    let prefix = format!("{round}-");
    let lost: Vec<&String> =
        acknowledged.iter().filter(|key| key.starts_with(&prefix) && !held.contains(*key)).collect();
    assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
}
