//! A site whose PostgreSQL server goes away, comes back, is slow, full, or lost in the middle of a commit.
//!
//! What holds through all of it: static files are answered, pages and actions say 503 and never 500, what was acknowledged
//! is there once, and nobody has to do anything afterwards.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, Folder, LONG, Request, Server, run, tableside};
use crate::postgres::{Cluster, Cut, Proxy, fresh_database, psql, quick_database};

/// Visitors that ask all the time.
const VISITORS: usize = 8;

const SITE: &[(&str, &str)] = &[
    ("migrations/0001_start.sql", "create table notes (id integer primary key, note text not null);\n"),
    (
        "migrations/0002_full.sql",
        "create function full_disk() returns integer language plpgsql as $$\n\
         begin raise exception 'could not extend file' using errcode = '53100'; end $$;\n",
    ),
    ("public/style.css", "b { color: red }\n"),
    (
        "pages/_layout.html",
        "<title>{{ latest.note }}</title>{% for n in notes %}<i>{{ n.note }}</i>{% endfor %}\
         {% block main %}{% endblock %}\n",
    ),
    (
        "pages/_layout.sql",
        "-- name: latest :maybe\nselect note from notes order by id desc limit 1;\n\
         -- name: notes :many more=3\nselect note from notes order by id;\n",
    ),
    (
        "pages/_error.html",
        "{% extends \"_layout.html\" %}{% block main %}<b>Sorry: {{ problem.status }} {{ problem.message }}</b>\
         {% endblock %}\n",
    ),
    ("pages/index.html", "{% extends \"_layout.html\" %}{% block main %}<h1>{{ count }}</h1>{% endblock %}\n"),
    ("pages/index.sql", "-- name: count :value\nselect count(*) from notes;\n"),
    ("pages/index.post.sql", "-- :note text required\n-- name: kept :exec\ninsert into notes (note) values (:note);\n"),
    ("pages/slow.json.sql", "-- name: n :value\nselect 1 from pg_sleep(600);\n"),
    ("pages/slow.post.sql", "-- name: n :exec\ninsert into notes (note) select 'slow' from pg_sleep(600);\n"),
    ("pages/full.json.sql", "-- name: n :value\nselect full_disk();\n"),
    ("pages/full.post.sql", "-- name: n :exec\ninsert into notes (note) select 'full' where full_disk() = 1;\n"),
];

/// A server of the site on a database, with further settings.
fn serve(url: &str, settings: &[&str]) -> (Server, Folder) {
    let folder = Folder::new(SITE);
    let url = format!("database.url={url}");
    let mut arguments = vec!["--set", "server.threads=2", "--set", &url];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    let server = Server::start_with(folder.path(), "serve", &arguments);
    (server.unwrap_or_else(|said| panic!("the server didn't start:\n{said}")), folder)
}

/// What many visitors are told while something goes on.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    /// Pages and actions that went well, and those that were refused; both since somebody last looked.
    well: AtomicUsize,
    refused: AtomicUsize,
    /// Whether each note that was sent was acknowledged.
    notes: Mutex<HashMap<String, bool>>,
}

impl Load {
    /// Asks and looks at each answer until it ends.
    fn visit(&self, address: std::net::SocketAddr, visitor: usize) {
        let mut client = Client::new(address);
        for number in 0.. {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            assert_eq!(client.get("/style.css").status, 200, "static files need no database");
            self.count(&client.get("/"), 200);
            let note = format!("{visitor}-{number}");
            let answer = client.post("/", &[("note", &note)]);
            self.count(&answer, 303);
            self.notes.lock().unwrap().insert(note, answer.status == 303);
        }
    }

    fn count(&self, answer: &Answer, well: u16) {
        match answer.status {
            503 => {
                assert!(answer.text().contains("<b>Sorry: 503 "), "{}", answer.text());
                self.refused.fetch_add(1, Ordering::SeqCst);
            }
            status => {
                assert_eq!(status, well, "{}", answer.text());
                self.well.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Waits until so many more are counted.
    fn wait_for(&self, count: &AtomicUsize, more: usize) {
        count.store(0, Ordering::SeqCst);
        let until = Instant::now() + LONG;
        while count.load(Ordering::SeqCst) < more {
            assert!(!self.ended.load(Ordering::SeqCst), "a visitor was told something wrong");
            assert!(Instant::now() < until, "the visitors wait for ever");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Ends the load, also when a visitor panics.
struct Ends<'a>(&'a Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}

/// Visitors ask while `happens` goes on; then every acknowledged note must be there once, and none twice.
fn under_load(server: &Server, url: &str, happens: impl FnOnce(&Load)) -> Load {
    let load = Load::default();
    std::thread::scope(|scope| {
        for visitor in 0..VISITORS {
            let (load, address) = (&load, server.address());
            scope.spawn(move || {
                let _ends = Ends(load);
                load.visit(address, visitor);
            });
        }
        let _ends = Ends(&load);
        load.wait_for(&load.well, 100);
        happens(&load);
        load.wait_for(&load.well, 100);
    });
    let told = psql(url, "select note from notes");
    let mut held: HashMap<&str, usize> = HashMap::new();
    told.lines().for_each(|note| *held.entry(note).or_default() += 1);
    for (note, acknowledged) in load.notes.lock().unwrap().iter() {
        let times = held.get(note.as_str()).copied().unwrap_or(0);
        assert!(times <= 1, "{note} is there {times} times");
        assert!(times == 1 || !acknowledged, "{note} was acknowledged and is lost");
    }
    load
}

#[test]
fn a_server_that_stops_and_starts_is_waited_for() {
    let mut cluster = Cluster::start();
    let url = cluster.fresh_database();
    let (server, _folder) = serve(&url, &[]);
    under_load(&server, &url, |load| {
        for _ in 0..2 {
            cluster.stop();
            load.wait_for(&load.refused, 100);
            let answer = server.client().get("/");
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
            assert!(answer.text().contains("<b>Sorry: 503 The server is busy."), "{}", answer.text());
            cluster.run();
            load.wait_for(&load.well, 100);
        }
    });
    let said = server.stop().stdout;
    assert_eq!(said.matches("the database can't be reached: ").count(), 2, "once for each time:\n{said}");
    assert_eq!(said.matches("the database can be reached again").count(), 2, "{said}");
}

#[test]
fn connections_that_are_cut_are_opened_again() {
    let url = fresh_database();
    let (server, _folder) = serve(&url, &[]);
    let name = url.rsplit('/').next().unwrap();
    let cut = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{name}' and \
         pid <> pg_backend_pid()"
    );
    under_load(&server, &url, |load| {
        for _ in 0..20 {
            assert_ne!(psql(&url, &cut), "0");
            load.wait_for(&load.well, 20);
        }
    });
}

#[test]
fn a_slow_statement_ends_in_time_on_both_sides() {
    let url = fresh_database();
    let (server, _folder) = serve(&url, &["limits.query=300ms", "limits.action=300ms"]);
    for request in [Request::new("GET", "/slow"), Request::new("POST", "/slow").form(&[])] {
        let answer = server.client().send(&request).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        // Nobody waits any more, so nothing works any more.
        let name = url.rsplit('/').next().unwrap();
        let sql = format!(
            "select count(*) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid() and \
             state <> 'idle'"
        );
        let until = Instant::now() + LONG;
        while psql(&url, &sql) != "0" {
            assert!(Instant::now() < until, "the statement goes on");
        }
    }
    assert_eq!(psql(&url, "select count(*) from notes"), "0");
    answers_again(&mut server.client());
}

/// On a busy machine a page, too, may take longer than the limit; sooner or later one doesn't.
fn answers_again(client: &mut Client) {
    let until = Instant::now() + LONG;
    while client.get("/").status != 200 {
        assert!(Instant::now() < until, "the site stays down");
    }
}

#[test]
fn a_server_that_falls_silent_keeps_nobody_waiting() {
    let (proxy, url) = Proxy::before(&fresh_database());
    let (server, _folder) = serve(&url, &["limits.query=300ms", "limits.action=300ms"]);
    let mut client = server.client();
    assert_eq!(client.get("/").status, 200);
    proxy.cut(Cut::Silent);
    // What is kept is shown as long as this node may trust it; past that the page must be asked for.
    let past_caches = Request::new("GET", "/").header("Cache-Control", "no-cache");
    for _ in 0..3 {
        assert_eq!(client.send(&past_caches).unwrap().status, 503);
        assert_eq!(client.post("/", &[("note", "lost")]).status, 503);
        assert_eq!(server.client().get("/style.css").status, 200);
    }
    proxy.cut(Cut::Never);
    answers_again(&mut client);
    assert_eq!(client.post("/", &[("note", "kept")]).status, 303);
}

#[test]
fn a_full_disk_is_no_fault_of_the_site() {
    let url = fresh_database();
    let (server, _folder) = serve(&url, &[]);
    for request in [Request::new("GET", "/full"), Request::new("POST", "/full").form(&[])] {
        let answer = server.client().send(&request).unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
    }
    server.wait_for_log("the disk or the database is full");
    assert_eq!(server.client().get("/").status, 200);
}

#[test]
fn a_commit_without_an_answer_is_never_done_twice() {
    let real = fresh_database();
    let (proxy, url) = Proxy::before(&real);
    let (server, _folder) = serve(&url, &["limits.action=1s"]);
    let count = |note: &str| psql(&real, &format!("select count(*) from notes where note = '{note}'"));
    for (cut, note) in [(Cut::Before, "before"), (Cut::After, "after")] {
        proxy.cut(cut);
        let answer = server.client().post("/", &[("note", note)]);
        assert_eq!((answer.status, &*count(note)), (303, "1"), "{note}: {}", answer.text());
    }
    proxy.cut(Cut::ForGood);
    let answer = server.client().post("/", &[("note", "unknown")]);
    assert_eq!((answer.status, answer.header("retry-after")), (503, None), "{}", answer.text());
    assert!(answer.text().contains("It is not known whether this was done."), "{}", answer.text());
    assert_eq!(count("unknown"), "1");
}

#[test]
fn what_stops_finishes_its_actions() {
    let url = fresh_database();
    let folder = Folder::new(SITE);
    folder.write("pages/late.post.sql", "-- name: n :exec\ninsert into notes (note) select 'late' from pg_sleep(2);\n");
    let url_setting = format!("database.url={url}");
    let server = Server::start_with(folder.path(), "serve", &["--set", &url_setting]).unwrap();
    let mut client = server.client();
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || client.send(&Request::new("POST", "/late").form(&[])));
        let until = Instant::now() + LONG;
        while psql(
            &url,
            "select count(*) from pg_stat_activity where query like '%pg_sleep(2)%' and state = 'active' \
                          and pid <> pg_backend_pid()",
        ) == "0"
        {
            assert!(Instant::now() < until, "the action never began");
        }
        assert!(server.stop().status.success());
        assert_eq!(answer.join().unwrap().unwrap().status, 303);
    });
    assert_eq!(psql(&url, "select note from notes"), "late");
    let name = url.rsplit('/').next().unwrap();
    let left = format!("select count(*) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()");
    let until = Instant::now() + LONG;
    while psql(&url, &left) != "0" {
        assert!(Instant::now() < until, "connections are left");
    }
}

#[test]
fn a_site_waits_for_a_server_that_starts_later() {
    let mut cluster = Cluster::start();
    let url = cluster.fresh_database();
    cluster.stop();
    let folder = Folder::new(SITE);
    let mut command = tableside();
    command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0", "--set", &format!("database.url={url}")]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.next().unwrap();
    assert!(told.contains("the database server can't be reached") && told.ends_with("waiting for it"), "{told}");
    cluster.run();
    let then = lines.find(|line| !line.contains("waiting for it")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(then.starts_with("Serving "), "{then}");
}

#[test]
fn a_server_that_may_lose_what_it_acknowledged_is_refused() {
    let folder = Folder::new(SITE);
    let url = format!("database.url={}", quick_database());
    let folder = folder.path().to_str().unwrap();
    let refused = run(["serve", folder, "--set", &url]);
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("fsync=off"), "{}", refused.stderr);
    assert!(refused.stderr.contains("database.allow_unsafe_durability"), "{}", refused.stderr);
    let wrong = run(["serve", folder, "--set", "database.url=postgres://nobody@127.0.0.1:1/x?sslmode=no"]);
    assert_eq!(wrong.code(), Some(1));
    assert!(wrong.stderr.contains("sslmode"), "{}", wrong.stderr);
}
