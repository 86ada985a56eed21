//! An answer that many ask for at once is made once, and nobody who waits for it gets an older one, or none.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, Folder, Request, Server};

/// Pages that take a while: their last query counts to a number of the table.
const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table counters (id integer primary key, n integer not null, effort integer not null);
         insert into counters values (1, 0, 400000);
         create table guests (name text primary key);
         insert into guests values ('ann');",
    ),
    ("pages/index.html", "{{ c.n }}"),
    (
        "pages/index.sql",
        "-- name: c :one
         select n, (with recursive up(i) as (select 1 union all select i + 1 from up where i < effort) select count(*) from up)
         as counted from counters where id = 1",
    ),
    (
        "pages/index.post.sql",
        "-- :effort int
         -- name: up :exec
         update counters set n = n + 1, effort = coalesce(:effort, effort) where id = 1;
         -- name: n :value
         select n from counters where id = 1",
    ),
    ("pages/who.html", "{{ c.n }} {{ request.query }}"),
    (
        "pages/who.sql",
        "-- name: c :one
         select n, (with recursive up(i) as (select 1 union all select i + 1 from up where i < effort) select count(*) from up)
         as counted from counters where id = 1",
    ),
    ("pages/nothing.html", "{{ c.n }}"),
    (
        "pages/nothing.sql",
        "-- name: counted :value
         select (with recursive up(i) as (select 1 union all select i + 1 from up where i < effort) select count(*) from up)
         from counters where id = 1;
         -- name: c :one
         select n from counters where id = 2",
    ),
    ("pages/guests/[name].html", "welcome {{ name }}"),
    (
        "pages/guests/[name].sql",
        "-- name: invited :require 403 You are not invited.
         select 1 from guests where name = :name;
         -- name: name :value
         select :name",
    ),
];

fn develop(folder: &Folder) -> Server {
    Server::start_with(folder.path(), "dev", &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn cached(answer: &Answer) -> String {
    let timing = answer.header("server-timing").unwrap_or("");
    timing.split("cache;desc=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("").to_string()
}

/// Counts up; gives what the writer is told.
fn up(client: &mut Client, effort: Option<u32>) -> i64 {
    let effort = effort.map_or(String::new(), |effort| effort.to_string());
    let request = Request::new("POST", "/").header("Accept", "application/json");
    let answer = client.send(&request.form(&[("effort", &effort)])).unwrap();
    let text = answer.text();
    text.trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap_or_else(|_| panic!("{text}"))
}

/// What each of `paths` answers when all are asked for at once.
fn at_once(server: &Server, paths: &[String]) -> Vec<Answer> {
    let start = Barrier::new(paths.len());
    std::thread::scope(|threads| {
        let asks = paths.iter().map(|path| {
            threads.spawn(|| {
                let mut client = server.client();
                start.wait();
                client.get(path)
            })
        });
        let asks: Vec<_> = asks.collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    })
}

#[test]
fn a_page_that_many_ask_for_at_once_is_made_once() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    let mut joined = 0;
    for _ in 0..10 {
        let n = up(&mut client, None).to_string();
        let answers = at_once(&server, &vec!["/".to_string(); 8]);
        let said: Vec<String> = answers.iter().map(cached).collect();
        assert!(answers.iter().all(|answer| answer.text() == n), "{said:?}");
        let made = said.iter().filter(|said| !matches!(said.as_str(), "hit" | "joined")).count();
        assert_eq!(made, 1, "{said:?}");
        joined += said.iter().filter(|said| *said == "joined").count();
        if joined > 3 {
            return;
        }
    }
    panic!("nobody waited for another's answer");
}

/// Nobody knows what the first answer shows of its visitor before it is made.
#[test]
fn what_shows_something_of_its_visitor_is_made_for_each() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    // The writer takes what was done at the start for another program's doing.
    up(&mut server.client(), None);
    let paths: Vec<String> = (0..6).map(|number| format!("/who?number={number}")).collect();
    for (path, answer) in paths.iter().zip(at_once(&server, &paths)) {
        assert_eq!(answer.text(), path.replace("/who?", "1 "));
    }
    for (path, answer) in paths.iter().zip(at_once(&server, &paths)) {
        assert_eq!((cached(&answer).as_str(), answer.text()), ("hit", path.replace("/who?", "1 ")));
    }
}

#[test]
fn a_problem_is_told_to_each_who_waited() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let answers = at_once(&server, &vec!["/nothing".to_string(); 5]);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<BTreeSet<_>>(), [404].into());
}

#[test]
fn nobody_waits_for_somebody_who_hung_up() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    for round in 0..6 {
        let n = up(&mut client, Some(500_000)).to_string();
        let leaves = || {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream
        };
        let gone: Vec<TcpStream> = (0..3).map(|_| leaves()).collect();
        std::thread::scope(|threads| {
            let asks: Vec<_> = (0..3).map(|_| threads.spawn(|| server.client().get("/"))).collect();
            let mut gone = gone;
            // One after another, so that those who take its place go, too.
            while let Some(stream) = gone.pop() {
                std::thread::sleep(Duration::from_millis(5 * round));
                drop(stream);
            }
            for ask in asks {
                let answer = ask.join().unwrap();
                assert_eq!((answer.status, answer.text()), (200, n.clone()), "{}", cached(&answer));
            }
        });
    }
}

/// Nobody sees an older count than one that anybody was told before their request began, also not by another's answer.
#[test]
fn who_joins_sees_nothing_older_than_what_was_told() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    up(&mut server.client(), Some(3_000));
    let (told, asked) = (AtomicI64::new(0), AtomicUsize::new(0));
    let said = Mutex::new(BTreeSet::new());
    let until = Instant::now() + Duration::from_secs(4);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let mut client = server.client();
                while Instant::now() < until {
                    told.fetch_max(up(&mut client, None), SeqCst);
                }
            });
        }
        for _ in 0..8 {
            threads.spawn(|| {
                let mut client = server.client();
                while Instant::now() < until {
                    let least = told.load(SeqCst);
                    let answer = client.get("/");
                    let n: i64 = answer.text().trim().parse().unwrap();
                    assert!(n >= least, "{n} after {least} ({})", cached(&answer));
                    told.fetch_max(n, SeqCst);
                    asked.fetch_add(1, SeqCst);
                    said.lock().unwrap().insert(cached(&answer));
                }
            });
        }
    });
    let said = said.into_inner().unwrap();
    assert!(asked.load(SeqCst) > 50 && said.contains("joined"), "{said:?}");
}

/// Another program's write is noticed a little later, but whether somebody may see something is asked each time.
#[test]
fn what_a_kept_answer_requires_is_asked_at_each_request() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    up(&mut client, None);
    assert_eq!(client.get("/guests/ann").text(), "welcome ann");
    let again = client.get("/guests/ann");
    assert_eq!((cached(&again).as_str(), again.text().as_str()), ("hit", "welcome ann"));
    assert_eq!(client.get("/guests/bob").status, 403);
    let other = folder.database();
    for _ in 0..5 {
        other.execute("delete from guests", []).unwrap();
        assert_eq!(client.get("/guests/ann").status, 403);
        other.execute("insert into guests values ('ann')", []).unwrap();
        assert_eq!(client.get("/guests/ann").status, 200);
    }
}
