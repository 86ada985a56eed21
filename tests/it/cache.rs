//! The always-fresh cache: exact on one node, whatever is written and by whom.

mod cases;
mod generated;
mod many;
mod rows;
mod window;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, Folder, Request, Server};

/// A site with pages of every kind that could go stale.
const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table counters (id integer primary key, n integer not null);
         insert into counters values (1, 0), (2, 0);
         create table words (id integer primary key, word text not null unique, place integer);
         insert into words (word, place) values ('one', 1), ('two', 2), ('three', 3);
         create view short as select word from words where length(word) <= 3;
         create table lists (name text primary key, n integer) without rowid;
         create virtual table found using fts5(word, content='words', content_rowid='id');
         create trigger words_in after insert on words begin
           insert into found (rowid, word) values (new.id, new.word);
           update counters set n = n + 1 where id = 2;
         end;
         create table notes (session_id text not null, text text not null);",
    ),
    (
        "pages/_layout.html",
        "<title>{{ request.path }}</title>{% if user %}{{ user.email }}{% endif %}{% block main %}{% endblock %}",
    ),
    ("pages/index.html", "{{ n }}"),
    ("pages/index.sql", "-- name: n :value\nselect n from counters where id = 1"),
    (
        "pages/index.post.sql",
        "-- name: up :exec\nupdate counters set n = n + 1 where id = 1;\n-- name: n :value\nselect n from counters where id = 1",
    ),
    (
        "pages/words.html",
        "{% extends '_layout.html' %}{% block main %}{% for w in words %}{{ w.word }} {% endfor %}{{ params.q }}{% endblock %}",
    ),
    (
        "pages/words.sql",
        "-- :q text\n-- name: words :many\nselect word from words where :q is null or word like :q || '%' order by place, word",
    ),
    (
        "pages/words.post.sql",
        "-- :word text required\n-- :place int\n-- name: a :exec\ninsert or replace into words (word, place) values (:word, :place)",
    ),
    ("pages/words.delete.sql", "-- name: a :exec\ndelete from words"),
    ("pages/short.html", "{% for w in short %}{{ w.word }} {% endfor %}"),
    ("pages/short.sql", "-- name: short :many\nselect word from short order by word"),
    ("pages/found.html", "{% for w in found %}{{ w.word }} {% endfor %}"),
    (
        "pages/found.sql",
        "-- :q text default=one\n-- name: found :many\nselect word from found where found match :q order by rowid",
    ),
    ("pages/lists.html", "{% for l in lists %}{{ l.name }}={{ l.n }} {% endfor %}"),
    ("pages/lists.sql", "-- name: lists :many\nselect name, n from lists order by name"),
    (
        "pages/lists.post.sql",
        "-- :name text required\n-- name: a :exec\ninsert into lists values (:name, 1) on conflict (name) do update set n = lists.n + 1",
    ),
    ("pages/counted.html", "{{ n }}"),
    ("pages/counted.sql", "-- name: n :value\nselect n from counters where id = 2"),
    (
        "pages/notes.html",
        "{% extends '_layout.html' %}{% block main %}{% for note in notes %}{{ note.text }} {% endfor %}{% endblock %}",
    ),
    ("pages/notes.sql", "-- name: notes :many\nselect text from notes where session_id = @session_id order by rowid"),
    ("pages/notes.post.sql", "-- :text text required\n-- name: a :exec\ninsert into notes values (@session_id, :text)"),
    ("pages/clock.html", "{{ t }}"),
    ("pages/clock.sql", "-- name: t :value\nselect strftime('%f', 'now')"),
    ("pages/chance.html", "{{ r }}"),
    ("pages/chance.sql", "-- name: r :value\nselect random()"),
    ("pages/place.html", "{{ site.url }} {{ request.query }}"),
    ("pages/api/words.json.sql", "-- name: words :list\nselect word from words order by word"),
    ("pages/word/[id].html", "{{ word.word }}"),
    ("pages/word/[id].sql", "-- :id int\n-- name: word :one\nselect word from words where id = :id"),
];

/// Served for its author, so that answers tell what the cache said.
fn develop(folder: &Folder) -> Server {
    Server::start_with(folder.path(), "dev", &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn cached(answer: &Answer) -> String {
    let timing = answer.header("server-timing").unwrap_or("");
    timing.split("cache;desc=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("").to_string()
}

fn get(client: &mut Client, path: &str) -> Answer {
    client.get(path)
}

/// The same past the cache.
fn fresh(client: &mut Client, path: &str) -> Answer {
    client.send(&Request::new("GET", path).header("Cache-Control", "no-cache")).unwrap()
}

fn post(client: &mut Client, path: &str, body: &str) -> Answer {
    let pairs: Vec<(&str, &str)> = body.split('&').filter_map(|pair| pair.split_once('=')).collect();
    client.post(path, &pairs)
}

#[test]
fn a_page_is_made_once_until_what_it_shows_changes() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    // The writer takes what was done at the start for another program's doing.
    post(&mut client, "/lists", "name=start");
    assert_eq!(cached(&get(&mut client, "/words")), "miss");
    assert_eq!(cached(&get(&mut client, "/words")), "hit");
    // Another table of the page's is none of its business.
    post(&mut client, "/lists", "name=a");
    assert_eq!(cached(&get(&mut client, "/words")), "hit");
    post(&mut client, "/words", "word=four&place=4");
    let after = get(&mut client, "/words");
    assert_eq!(cached(&after), "changed: words");
    assert!(after.text().contains("four"));
    assert_eq!(cached(&get(&mut client, "/words")), "hit");
    // Rows that come out the same keep the page.
    assert_eq!(cached(&get(&mut client, "/word/1")), "miss");
    post(&mut client, "/words", "word=five&place=5");
    assert_eq!(cached(&get(&mut client, "/word/1")), "revalidated");
    assert_eq!(cached(&get(&mut client, "/word/1")), "hit");
    for path in ["/clock", "/place?a=1"] {
        get(&mut client, path);
    }
    assert_eq!(cached(&get(&mut client, "/clock")), "miss");
    assert!(cached(&get(&mut client, "/chance")).starts_with("off: r calls random"));
    assert_eq!(cached(&get(&mut client, "/place?a=1")), "hit");
    assert!(get(&mut client, "/place?a=2").text().ends_with("a=2"));
    let tag = get(&mut client, "/words").header("etag").unwrap().to_string();
    let same = client.send(&Request::new("GET", "/words").header("If-None-Match", &tag)).unwrap();
    assert_eq!(same.status, 304);
}

/// After every write of a long row of random ones, by visitors with and without sessions, each page is what it is past the
/// cache, byte for byte.
#[test]
fn every_answer_is_what_it_would_be_without_the_cache() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut clients = [server.client(), server.client(), server.client()];
    let pages = [
        "/",
        "/words",
        "/words?q=o",
        "/words?q=t&x=1",
        "/short",
        "/found",
        "/found?q=two",
        "/lists",
        "/counted",
        "/notes",
        "/place",
        "/api/words",
        "/word/1",
        "/word/2",
        "/word/99",
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let words = ["one", "two", "ten", "oak", "owl", "tea", "elephant"];
    let mut hits = 0;
    for _ in 0..120 {
        let who = random(3);
        let client = &mut clients[who];
        match random(9) {
            0 => post(client, "/", ""),
            1 | 2 => post(client, "/words", &format!("word={}&place={}", words[random(7)], random(5))),
            3 => client.send(&Request::new("DELETE", "/words")).unwrap(),
            4 => post(client, "/lists", &format!("name={}", words[random(7)])),
            5 | 6 => post(client, "/notes", &format!("text={}", words[random(7)])),
            _ => get(client, "/"),
        };
        for _ in 0..6 {
            let (who, page) = (random(3), pages[random(pages.len())]);
            let (kept, made) = (get(&mut clients[who], page), fresh(&mut clients[who], page));
            hits += usize::from(cached(&kept) == "hit");
            assert_eq!((kept.status, kept.text()), (made.status, made.text()), "{page}");
            for name in ["content-type", "cache-control", "etag", "vary", "content-security-policy"] {
                assert_eq!(kept.header(name), made.header(name), "{name} of {page}");
            }
        }
    }
    assert!(hits > 50, "only {hits} hits");
}

/// Nobody sees an older count than one that anybody was told before their request began.
#[test]
fn one_node_is_linearizable() {
    let folder = Folder::new(SITE);
    let server = Server::start(&folder);
    let (told, asked) = (AtomicI64::new(0), AtomicUsize::new(0));
    let until = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let mut client = server.client();
                while Instant::now() < until {
                    let answer = client.send(&Request::new("POST", "/").header("Accept", "application/json")).unwrap();
                    let n = answer.text().trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap();
                    told.fetch_max(n, SeqCst);
                }
            });
        }
        for _ in 0..6 {
            threads.spawn(|| {
                let mut client = server.client();
                while Instant::now() < until {
                    let least = told.load(SeqCst);
                    let n: i64 = get(&mut client, "/").text().trim().parse().unwrap();
                    assert!(n >= least, "{n} after {least}");
                    told.fetch_max(n, SeqCst);
                    asked.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert!(asked.load(SeqCst) > 100 && told.load(SeqCst) > 10);
}

#[test]
fn what_another_program_writes_is_seen_within_moments() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    let mut seen = |path: &str, text: &str| {
        let until = Instant::now() + Duration::from_secs(5);
        while !get(&mut client, path).text().contains(text) {
            assert!(Instant::now() < until, "{path} never showed {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    seen("/short", "one");
    let other = folder.database();
    other.execute_batch("insert into words (word) values ('ape')").unwrap();
    seen("/short", "ape");
    // The view reads another table now, which nobody told the cache of: nothing is kept until the site is read again.
    other.execute_batch("drop view short; create view short as select name as word from lists").unwrap();
    let mut client = server.client();
    let until = Instant::now() + Duration::from_secs(5);
    while get(&mut client, "/short").text().contains("ape") {
        assert!(Instant::now() < until, "the view's old rows stay");
        std::thread::sleep(Duration::from_millis(20));
    }
    for name in ["bee", "cat"] {
        post(&mut client, "/lists", &format!("name={name}"));
        let until = Instant::now() + Duration::from_secs(5);
        while !get(&mut client, "/short").text().contains(name) {
            assert!(Instant::now() < until, "{name} never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
