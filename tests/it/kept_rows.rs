//! Rows of single statements are kept beside the pages, and a page that is made of them shows one moment.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::harness::{Client, Folder, Request, Server};

/// The first statement takes long and is the same for all; the second one is another for each visitor.
const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table one (n integer not null);
         create table two (n integer not null);
         insert into one values (0);
         insert into two values (0);
         create table notes (session_id text not null, text text not null);",
    ),
    (
        "pages/_shared.sql",
        "-- name: one :value
         select n + 0 * (with recursive up(i) as (select 1 union all select i + 1 from up where i < 5000)
                         select count(*) from up) from one",
    ),
    ("pages/index.html", "{{ one }} {{ two }} {{ params.x }}{% for note in notes %} {{ note.text }}{% endfor %}"),
    (
        "pages/index.sql",
        "-- :x text
         -- use: /_shared.sql
         -- name: two :value
         select n from two;
         -- name: notes :many
         select text from notes where session_id = @session_id order by rowid",
    ),
    (
        "pages/index.post.sql",
        "-- name: a :exec
         update two set n = n + 1;
         -- name: b :exec
         update one set n = n + 1;
         -- name: n :value
         select n from one",
    ),
    (
        "pages/note.post.sql",
        "-- :text text required\n-- redirect: /\n-- name: a :exec\ninsert into notes values (@session_id, :text)",
    ),
    ("pages/never.html", "{{ one }} {{ t }}"),
    ("pages/never.sql", "-- use: /_shared.sql\n-- name: t :value\nselect random()"),
];

fn traced(folder: &Folder) -> Server {
    Server::start_with(folder.path(), "dev", &["--trace"]).unwrap_or_else(|error| panic!("{error}"))
}

fn up(client: &mut Client) -> i64 {
    let answer = client.send(&Request::new("POST", "/").header("Accept", "application/json")).unwrap();
    let text = answer.text();
    text.trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap_or_else(|_| panic!("{text}"))
}

/// How many times a statement was taken from what is kept.
fn times_kept(log: &str) -> usize {
    log.matches("one (kept)").count()
}

#[test]
fn what_is_the_same_for_all_is_asked_once_for_all_visitors() {
    let folder = Folder::new(SITE);
    let server = traced(&folder);
    let mut visitors = [server.client(), server.client(), server.client()];
    up(&mut visitors[0]);
    for (number, visitor) in visitors.iter_mut().enumerate() {
        visitor.post("/note", &[("text", &format!("note{number}"))]);
    }
    for (number, visitor) in visitors.iter_mut().enumerate() {
        assert_eq!(visitor.get("/").text(), format!("1 1  note{number}"));
    }
    // A page that is never kept is made of nothing that is.
    visitors[0].get("/never");
    // Nor is one for somebody who passes caches by.
    visitors[0].send(&Request::new("GET", "/?x=1").header("Cache-Control", "no-cache")).unwrap();
    let log = server.stop().stdout;
    assert_eq!(times_kept(&log), 2, "{log}");
}

/// An action writes both tables: whoever sees one new and the other old has seen no moment that there ever was.
#[test]
fn a_page_of_kept_rows_and_new_ones_shows_one_moment() {
    let folder = Folder::new(SITE);
    let server = traced(&folder);
    let (told, asked) = (AtomicI64::new(0), AtomicUsize::new(0));
    let until = Instant::now() + Duration::from_secs(4);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut client = server.client();
            while Instant::now() < until {
                told.fetch_max(up(&mut client), SeqCst);
                client.post("/note", &[("text", "x")]);
            }
        });
        for reader in 0..5 {
            let (told, asked, server) = (&told, &asked, &server);
            threads.spawn(move || {
                let mut client = server.client();
                for number in 0.. {
                    if Instant::now() >= until {
                        break;
                    }
                    let least = told.load(SeqCst);
                    let text = client.get(&format!("/?x={reader}-{number}")).text();
                    let mut words = text.split(' ');
                    let (one, two): (i64, i64) =
                        (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
                    assert!(one == two && one >= least, "{one} and {two} after {least}");
                    told.fetch_max(one, SeqCst);
                    asked.fetch_add(1, SeqCst);
                }
            });
        }
    });
    let kept = times_kept(&server.stop().stdout);
    let (told, asked) = (told.into_inner(), asked.into_inner());
    assert!(told > 10 && asked > 100 && kept > 20, "{told} writes, {kept} of {asked} pages had kept rows");
}
