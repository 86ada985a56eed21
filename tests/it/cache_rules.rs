//! What `[[cache]]` in `site.toml` says about a route holds: nothing kept, each answer held against the database, answers
//! that may grow old.

use std::time::Instant;

use crate::harness::{Answer, Client, Folder, LONG, Request, Server, tableside};
use crate::postgres::quick_database;

const SITE: &[(&str, &str)] = &[
    (
        "site.toml",
        "[[cache]]\npath = \"/off\"\noff = true\n\n[[cache]]\npath = \"/strict/**\"\nstrict = true\n\n\
         [[cache]]\npath = \"/old/**\"\nmax_stale = \"1h\"\n\n[[cache]]\npath = \"/old/fresh\"\nmax_stale = \"0s\"\n\n\
         [[cache]]\npath = \"/old/soon\"\nmax_stale = \"1ms\"\n",
    ),
    (
        "migrations/0001_start.sql",
        "create table counters (id integer primary key, n integer not null);
         insert into counters (id, n) values (1, 0);
         create table guests (name text primary key);
         insert into guests (name) values ('ann');",
    ),
    ("pages/_n.sql", "-- name: n :value\nselect n from counters where id = 1"),
    ("pages/index.html", "{{ n }}"),
    ("pages/index.sql", "-- use: /_n.sql"),
    (
        "pages/index.post.sql",
        "-- name: up :exec\nupdate counters set n = n + 1 where id = 1;\n-- name: n :value\nselect n from counters where id = 1",
    ),
    ("pages/off.html", "{{ n }}"),
    ("pages/off.sql", "-- use: /_n.sql"),
    ("pages/strict/index.html", "{{ n }}"),
    ("pages/strict/index.sql", "-- use: /_n.sql"),
    ("pages/strict/api.json.sql", "-- name: body :value\nselect n from counters where id = 1"),
    ("pages/old/index.html", "{{ n }}"),
    ("pages/old/index.sql", "-- use: /_n.sql"),
    ("pages/old/fresh.html", "{{ n }}"),
    ("pages/old/fresh.sql", "-- use: /_n.sql"),
    ("pages/old/soon.html", "{{ n }}"),
    ("pages/old/soon.sql", "-- use: /_n.sql"),
    ("pages/old/[name].html", "{{ name.name }} {{ n }}"),
    (
        "pages/old/[name].sql",
        "-- use: /_n.sql\n-- name: invited :require 403\nselect 1 from guests where name = :name;\n\
         -- name: name :maybe\nselect name from guests where name = :name",
    ),
    (
        "pages/leave.post.sql",
        "-- :name text required\n-- redirect: /\n-- name: a :exec\ndelete from guests where name = :name",
    ),
];

fn develop(folder: &Folder) -> Server {
    Server::start_with(folder.path(), "dev", &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn cached(answer: &Answer) -> String {
    let timing = answer.header("server-timing").unwrap_or("");
    timing.split("cache;desc=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("").to_string()
}

/// What the cache said, and the text.
fn ask(client: &mut Client, path: &str) -> (String, String) {
    let answer = client.get(path);
    (cached(&answer), answer.text())
}

fn is(said: &str, text: &str) -> (String, String) {
    (said.to_string(), text.to_string())
}

#[test]
fn nothing_is_kept_where_a_rule_says_so() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    for _ in 0..2 {
        assert_eq!(ask(&mut client, "/off"), is("off: a rule of site.toml says so", "0"));
    }
}

#[test]
fn a_strict_answer_shows_what_another_program_has_just_written() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    assert_eq!(ask(&mut client, "/strict"), is("miss", "0"));
    let tag = client.get("/strict").header("etag").map(str::to_string);
    assert_eq!(ask(&mut client, "/strict"), is("revalidated", "0"));
    assert!(tag.is_some() && client.get("/strict").header("etag") == tag.as_deref());
    let other = folder.database();
    for n in 1..20 {
        other.execute("update counters set n = ?1", [n]).unwrap();
        assert_eq!(client.get("/strict").text(), n.to_string());
        assert_eq!(client.get("/strict/api").text(), n.to_string());
    }
}

#[test]
fn a_strict_answer_shows_what_another_node_has_just_written() {
    let (folder, url) = (Folder::new(SITE), quick_database());
    let start = || {
        let mut command = tableside();
        command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0"]);
        command.args(["--set", "database.allow_unsafe_durability=true"]);
        Server::spawn(command.env("DATABASE_URL", &url)).unwrap_or_else(|said| panic!("{said}"))
    };
    let (one, two) = (start(), start());
    let (mut writer, mut reader) = (one.client(), two.client());
    for n in 1..40 {
        let told = writer.send(&Request::new("POST", "/").header("Accept", "application/json")).unwrap();
        assert_eq!(told.text(), format!("{{\"n\":{n}}}"));
        assert_eq!(reader.get("/strict").text(), n.to_string());
        assert_eq!(reader.get("/strict/api").text(), n.to_string());
    }
}

#[test]
fn an_answer_may_grow_old_but_not_for_whom_has_written() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let (mut writer, mut reader) = (server.client(), server.client());
    // The writer takes what was done at the start for another program's doing.
    writer.send(&Request::new("POST", "/").header("Accept", "application/json")).unwrap();
    for path in ["/", "/old", "/old/fresh"] {
        assert_eq!(ask(&mut reader, path), is("miss", "1"));
        assert_eq!(ask(&mut reader, path), is("hit", "1"));
    }
    assert_eq!(writer.post("/", &[]).status, 303);
    assert!(writer.cookies.iter().any(|(name, _)| name == "wrote"));
    assert_eq!(ask(&mut reader, "/old"), is("stale", "1"));
    assert_eq!(ask(&mut reader, "/"), is("changed: counters", "2"));
    assert_eq!(ask(&mut reader, "/old/fresh"), is("changed: counters", "2"));
    assert_eq!(ask(&mut writer, "/old"), is("changed: counters", "2"));
    // What was made for one is there for all.
    assert_eq!(ask(&mut reader, "/old"), is("hit", "2"));
    // A program says itself that it must see the newest.
    assert!(server.client().send(&Request::new("POST", "/").header("Accept", "application/json")).is_ok());
    assert_eq!(ask(&mut reader, "/old"), is("stale", "2"));
    let newest = reader.send(&Request::new("GET", "/old").header("Cache-Control", "no-cache")).unwrap();
    assert_eq!(newest.text(), "3");
    // A script in a browser that asks for JSON goes on with pages.
    let mut browser = server.client();
    let host = format!("http://{}", server.address());
    let write = Request::new("POST", "/").header("Accept", "application/json").header("Origin", &host);
    assert_eq!(browser.send(&write).unwrap().text(), "{\"n\":4}");
    assert_eq!(ask(&mut browser, "/old").1, "4");
}

#[test]
fn an_answer_is_made_again_when_it_is_too_old() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let (mut reader, until) = (server.client(), Instant::now() + LONG);
    for n in 1..10 {
        let mut program = server.client();
        program.send(&Request::new("POST", "/").header("Accept", "application/json")).unwrap();
        while reader.get("/old/soon").text() != n.to_string() {
            assert!(Instant::now() < until, "{n} never came");
        }
    }
}

#[test]
fn what_an_old_answer_requires_is_asked_all_the_same() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut reader = server.client();
    assert_eq!(reader.get("/old/ann").status, 200);
    assert_eq!(reader.get("/old/ann").status, 200);
    assert_eq!(server.client().post("/leave", &[("name", "ann")]).status, 303);
    assert_eq!(reader.get("/old/ann").status, 403);
}
