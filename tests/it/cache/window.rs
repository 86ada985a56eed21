//! Between a commit and its count: what a visitor has seen, nobody sees the time before of, whatever shows it.
//!
//! That moment is too short to be met by chance. On SQLite the server holds each commit in it; on PostgreSQL a proxy
//! lets the answers to commits come late.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::attacks::Ground;
use crate::harness::{Client, Request, Server};
use crate::postgres::{Cut, Proxy};

/// All pages show one count; some are kept, and some never are.
const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table counters (id integer primary key, n integer not null);\n\
         insert into counters values (1, 0);\n\
         create table notes (text text not null);\n\
         create view counts as select id, n from counters;\n",
    ),
    ("pages/index.html", "n={{ n }}."),
    ("pages/index.sql", "-- name: n :value\nselect n from counters where id = 1"),
    (
        "pages/index.post.sql",
        "-- name: up :exec\nupdate counters set n = n + 1 where id = 1;\n\
         -- name: n :value\nselect 'n=' || n || '.' from counters where id = 1",
    ),
    ("pages/view.html", "n={{ row.n }}."),
    ("pages/view.sql", "-- name: row :one\nselect n from counts where id = 1"),
    ("pages/data.json.sql", "-- name: body :value\nselect 'n=' || n || '.' from counters where id = 1"),
    // Never kept: chance.
    ("pages/chance.html", "n={{ row.n }}. {{ row.r }}"),
    ("pages/chance.sql", "-- name: row :one\nselect n, random() as r from counters where id = 1"),
    // Not kept while a message waits.
    ("pages/told.html", "{{ flash }} n={{ n }}."),
    ("pages/told.sql", "-- name: n :value\nselect n from counters where id = 1"),
    // Made again because something did not pass.
    ("pages/form.html", "n={{ n }}. <form {{ fields.attrs }}>{{ fields.word.error }}</form>"),
    ("pages/form.sql", "-- name: n :value\nselect n from counters where id = 1"),
    ("pages/form.post.sql", "-- :word text\n-- name: no :require 422 on=word No.\nselect 1 where :word = 'never'"),
    // Writes another table and tells what it has read.
    (
        "pages/note.post.sql",
        "-- name: n :value\nselect 'n=' || n || '.' from counters where id = 1;\n\
         -- name: noted :exec\ninsert into notes values ('x')",
    ),
    // The same, and the count stands in the other table then.
    (
        "pages/copy.post.sql",
        "-- name: noted :exec\ninsert into notes select 'n=' || n || '.' from counters where id = 1",
    ),
    ("pages/copies.html", "{{ text }}"),
    (
        "pages/copies.sql",
        "-- name: text :value\nselect coalesce((select text from notes where text like 'n=%' \
         order by cast(substr(text, 3, length(text) - 3) as integer) desc limit 1), 'n=0.')",
    ),
    // A visit action runs first.
    ("pages/visit.visit.sql", "-- name: noted :exec\ninsert into notes values ('v')"),
    ("pages/visit.html", "n={{ n }}."),
    ("pages/visit.sql", "-- name: n :value\nselect n from counters where id = 1"),
    ("pages/_404.html", "n={{ n }}."),
    ("pages/_404.sql", "-- name: n :value\nselect n from counters where id = 1"),
];

/// Visitors who ask at once, many of them for the same page.
const READERS: usize = 12;

const TIME: Duration = Duration::from_secs(4);

#[test]
fn nobody_sees_the_time_before_what_was_seen() {
    let ground = Ground::of(SITE, false);
    let mut command = ground.command(&["log.requests=false"]);
    // Two milliseconds.
    let server = Server::spawn(command.env("TABLESIDE_HOLD_COMMITS", "2000")).unwrap();
    watch(&server);
}

#[test]
fn nobody_sees_the_time_before_what_was_seen_on_postgres() {
    let ground = Ground::of(SITE, true);
    let (proxy, url) = Proxy::before(ground.url().unwrap());
    let setting = format!("database.url={url}");
    let server = ground.serve(&["log.requests=false", "database.connections=16", &setting]);
    proxy.cut(Cut::Late);
    watch(&server);
}

/// Counts up while many look.
fn watch(server: &Server) {
    let (told, asked) = (AtomicI64::new(0), AtomicUsize::new(0));
    let until = Instant::now() + TIME;
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let mut client = server.client();
                while Instant::now() < until {
                    let n = ask(&mut client, "POST", "/", &told);
                    told.fetch_max(n, SeqCst);
                }
            });
        }
        for reader in 0..READERS {
            let (told, asked) = (&told, &asked);
            threads.spawn(move || {
                let mut client = server.client();
                for turn in reader.. {
                    if Instant::now() > until {
                        return;
                    }
                    let (method, path) = WAYS[turn * 7 % WAYS.len()];
                    let n = ask(&mut client, method, path, told);
                    told.fetch_max(n, SeqCst);
                    asked.fetch_add(1, SeqCst);
                }
            });
        }
    });
    let (told, asked) = (told.into_inner(), asked.into_inner());
    assert!(told > 20 && asked > 100, "counted to {told}, asked {asked} times");
}

/// The ways to see the count. Those that are kept stand often, as they are what may be old.
const WAYS: [(&str, &str); 16] = [
    ("GET", "/"),
    ("GET", "/view"),
    ("GET", "/chance"),
    ("GET", "/data"),
    ("GET", "/"),
    ("GET", "/told"),
    ("GET", "/"),
    ("POST", "/form"),
    ("GET", "/view"),
    ("POST", "/note"),
    ("GET", "/"),
    ("GET", "/nowhere"),
    ("POST", "/copy"),
    ("GET", "/copies"),
    ("GET", "/"),
    ("GET", "/visit"),
];

/// Asks, and holds the answer against what anybody was told before. Gives the count that it tells.
fn ask(client: &mut Client, method: &str, path: &str, told: &AtomicI64) -> i64 {
    let least = told.load(SeqCst);
    let mut request = Request::new(method, path);
    if method == "POST" && path != "/form" {
        request = request.header("Accept", "application/json");
    }
    if path == "/told" {
        client.cookies.push(("flash".into(), "hello".into()));
    }
    let answer = client.send(&request).unwrap();
    client.cookies.retain(|(name, _)| name != "flash");
    let text = answer.text();
    let n = text.split_once("n=").and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    match n {
        // It may have copied an older count before.
        Some(n) if path == "/copies" => n,
        Some(n) => {
            assert!(n >= least, "{method} {path} tells {n} after {least}");
            n
        }
        None => {
            assert!(matches!(path, "/copy"), "{method} {path}: {} {text}", answer.status);
            0
        }
    }
}
