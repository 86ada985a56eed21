//! Several servers on one database that keep their pages: who has written something never sees the time before it, on
//! no node, and nobody does a second later, whatever becomes of the nodes, their lines and the database.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tableside::database::versions::MAX_LAG;

use crate::harness::{Answer, Client, Folder, LONG, Request, Server, tableside};
use crate::postgres::{Cluster, Cut, Proxy, fresh_database, psql};

/// Each browser has a row with a number that only grows, and writes it in every way there is.
const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table marks (browser text primary key, n integer not null);\n\
         insert into marks values ('b0', 0), ('b1', 0), ('b2', 0);\n\
         create table other (n integer not null);\ninsert into other values (7);\n",
    ),
    ("pages/index.html", "{% for m in marks %}{{ m.browser }}={{ m.n }} {% endfor %}"),
    ("pages/index.sql", "-- name: marks :many\nselect browser, n from marks order by browser"),
    ("pages/other.html", "{{ n }}"),
    ("pages/other.sql", "-- name: n :value\nselect n from other"),
    // A form that leads elsewhere.
    (
        "pages/mark.post.sql",
        "-- :browser text\n-- :n int\n-- redirect: /\n-- name: a :exec\nupdate marks set n = :n where browser = :browser",
    ),
    // One that shows its page at once.
    ("pages/here.html", "{% if done %}done{% endif %} <form {{ fields.attrs }}></form>"),
    (
        "pages/here.post.sql",
        "-- :browser text\n-- :n int\n-- redirect: none\n-- name: a :exec\nupdate marks set n = :n where browser = :browser",
    ),
    // A visit that is counted.
    ("pages/visited/[browser].html", "visited"),
    (
        "pages/visited/[browser].visit.sql",
        "-- :n int\n-- name: a :exec\nupdate marks set n = :n where browser = :browser",
    ),
];

const BROWSERS: usize = 3;

/// How long a browser keeps the cookie that a write gives it.
const BYPASS: Duration = tableside::database::postgres::BYPASS;

fn command(folder: &Folder, url: &str) -> std::process::Command {
    let mut command = tableside();
    command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0", "--set", "server.threads=2"]);
    command.env("DATABASE_URL", url);
    command
}

fn serve(folder: &Folder, url: &str) -> Server {
    Server::spawn(&mut command(folder, url)).unwrap_or_else(|said| panic!("{said}"))
}

/// What everybody knows.
struct World {
    nodes: Mutex<Vec<SocketAddr>>,
    /// What was acknowledged to each browser, and when.
    told: Mutex<Vec<(Instant, usize, i64)>>,
    ended: AtomicBool,
    looks: AtomicUsize,
}

impl World {
    fn new(nodes: &[&Server]) -> World {
        World {
            nodes: Mutex::new(nodes.iter().map(|server| server.address()).collect()),
            told: Mutex::default(),
            ended: AtomicBool::new(false),
            looks: AtomicUsize::new(0),
        }
    }

    /// What a browser was told at most before a moment.
    fn least(&self, browser: usize, before: Instant) -> i64 {
        let told = self.told.lock().unwrap();
        let of = told.iter().filter(|(at, whose, _)| *whose == browser && *at <= before);
        of.map(|(_, _, n)| *n).max().unwrap_or(0)
    }

    fn node(&self, turn: usize) -> SocketAddr {
        let nodes = self.nodes.lock().unwrap();
        nodes[turn % nodes.len()]
    }
}

/// A browser: it keeps its cookies as long as it is told, and speaks to any node.
struct Browser {
    client: Client,
    /// When it forgets the cookie that keeps caches out of the way.
    until: Option<Instant>,
}

impl Browser {
    fn new(world: &World) -> Browser {
        Browser { client: Client::new(world.node(0)), until: None }
    }

    /// Sends a request to a node; `None` when it can't be reached.
    fn send(&mut self, node: SocketAddr, request: &Request) -> Option<Answer> {
        let mut client = Client::new(node);
        client.cookies = std::mem::take(&mut self.client.cookies);
        if self.until.is_some_and(|until| until <= Instant::now()) {
            client.cookies.retain(|(name, _)| name != "fresh");
            self.until = None;
        }
        let answer = client.send(request).ok();
        self.client.cookies = client.cookies;
        let sets =
            |(name, value): &(String, String)| name.eq_ignore_ascii_case("set-cookie") && value.starts_with("fresh=");
        if answer.as_ref().is_some_and(|answer| answer.headers.iter().any(sets)) {
            self.until = Some(Instant::now() + BYPASS);
        }
        answer
    }
}

/// The numbers of the page, by browser.
fn numbers(answer: &Answer) -> Option<Vec<i64>> {
    (answer.status == 200).then(|| {
        let text = answer.text();
        let number = |part: &str| part.split_once('=').and_then(|(_, n)| n.parse().ok());
        let found: Vec<i64> = text.split_whitespace().filter_map(number).collect();
        assert_eq!(found.len(), BROWSERS, "{text}");
        found
    })
}

/// Writes, and looks at what it wrote on all nodes.
fn browse(world: &World, browser: usize) {
    let mut me = Browser::new(world);
    let name = format!("b{browser}");
    let mut acknowledged = 0;
    for n in 1_i64.. {
        if world.ended.load(SeqCst) {
            return;
        }
        let turn = usize::try_from(n).unwrap() + browser;
        let fields = [("browser", name.as_str()), ("n", &n.to_string())];
        let write = match n % 4 {
            0 => Request::new("POST", "/mark").form(&fields),
            1 => Request::new("POST", "/here").form(&fields),
            2 => Request::new("GET", &format!("/visited/{name}?n={n}")),
            // A script in the page.
            _ => Request::new("POST", "/mark")
                .header("Accept", "application/json")
                .header("Sec-Fetch-Site", "same-origin")
                .form(&fields),
        };
        if let Some(answer) = me.send(world.node(turn), &write)
            && matches!(answer.status, 200 | 303)
        {
            acknowledged = n;
            world.told.lock().unwrap().push((Instant::now(), browser, n));
        }
        for look in 0..8 + n % 5 {
            let node = world.node(turn + usize::try_from(look).unwrap() * 2 + 1);
            let Some(seen) = me.send(node, &Request::new("GET", "/")).as_ref().and_then(numbers) else { continue };
            assert!(seen[browser] >= acknowledged, "{name} wrote {acknowledged}, {node} shows {seen:?} (look {look})");
            // Some looks are later than the cookie lives.
            std::thread::sleep(Duration::from_millis(if n % 7 == 6 { 300 } else { 15 }));
        }
    }
}

/// Looks at all nodes as somebody who has written nothing.
fn look_on(world: &World, reader: usize) {
    let mut turn = reader;
    let mut clients: Vec<Client> = Vec::new();
    while !world.ended.load(SeqCst) {
        turn += 1;
        let node = world.node(turn);
        if clients.len() < 3 || clients.len() > 6 {
            clients = (0..3).map(|index| Client::new(world.node(index))).collect();
        }
        let began = Instant::now();
        let before = began.checked_sub(MAX_LAG).unwrap_or(began);
        let least: Vec<i64> = (0..BROWSERS).map(|browser| world.least(browser, before)).collect();
        let Ok(answer) = Client::new(node).send(&Request::new("GET", "/")) else { continue };
        let Some(seen) = numbers(&answer) else { continue };
        let old = seen.iter().zip(&least).any(|(seen, least)| seen < least);
        assert!(!old, "{node} shows {seen:?} more than a second after {least:?} was told");
        world.looks.fetch_add(1, SeqCst);
    }
}

struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Runs something while browsers write and others look on.
fn under_load(world: &World, happens: impl FnOnce()) {
    std::thread::scope(|scope| {
        for browser in 0..BROWSERS {
            scope.spawn(move || browse(world, browser));
        }
        for reader in 0..3 {
            scope.spawn(move || look_on(world, reader));
        }
        let _end = AtEnd(&world.ended);
        happens();
    });
    let told = world.told.lock().unwrap().len();
    let looks = world.looks.load(SeqCst);
    assert!(told > 8 && looks > 50, "{told} writes and {looks} looks show nothing");
}

/// Waits until a node gives what it kept: it is sure again of what others write.
fn keeps_again(server: &Server) {
    let until = Instant::now() + LONG;
    let mut client = server.client();
    loop {
        let tag = format!("/other?try={:?}", Instant::now()).replace(['{', '}', ' ', ':', ','], "");
        (0..3).for_each(|_| drop(client.get(&tag)));
        let log = server.wait_for_log(&tag);
        if log.lines().any(|line| line.contains(&tag) && line.contains("cache=\"hit\"")) {
            return;
        }
        assert!(Instant::now() < until, "it never kept anything again:\n{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What follows after a fault, and how long its traces may last.
fn go_on() {
    std::thread::sleep(Duration::from_millis(1200));
}

const LINES: &str = "from pg_stat_activity where datname = current_database() and query like '%pg_notify%' \
                     and pid <> pg_backend_pid()";

#[test]
fn who_wrote_sees_it_on_every_node_and_others_within_a_second() {
    let (folder, url) = (Folder::new(SITE), fresh_database());
    let (proxy, by_proxy) = Proxy::before(&url);
    let (one, two) = (serve(&folder, &url), serve(&folder, &by_proxy));
    let three = Mutex::new(Some(serve(&folder, &url)));
    let world = World::new(&[&one, &two, three.lock().unwrap().as_ref().unwrap()]);
    under_load(&world, || {
        go_on();
        // One line is cut, then all.
        psql(&url, &format!("select count(pg_terminate_backend(pid)) from (select pid {LINES} limit 1) one"));
        go_on();
        psql(&url, &format!("select count(pg_terminate_backend(pid)) {LINES}"));
        go_on();
        // A node is stopped, for less than it takes to be noticed and for longer.
        for time in [300, 1800] {
            one.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(time));
            one.signal(Signal::CONT);
            go_on();
        }
        // Nothing comes through to a node, and nothing from it.
        proxy.cut(Cut::Silent);
        go_on();
        proxy.cut(Cut::Never);
        // A number is left out, as if a message had been lost.
        let node = "select split_part(split_part(application_name, '#', 2), '.', 2) as node, \
                    split_part(split_part(application_name, '#', 2), '.', 1) as channel from pg_stat_activity \
                    where datname = current_database() and application_name like '%#%' limit 1";
        psql(&url, &format!("select pg_notify(channel, '[\"' || node || '\", 1000000, []]') from ({node}) one"));
        go_on();
        // A node dies, and another one takes its place.
        three.lock().unwrap().take().unwrap().kill();
        go_on();
        let again = serve(&folder, &url);
        world.nodes.lock().unwrap()[2] = again.address();
        *three.lock().unwrap() = Some(again);
        go_on();
    });
    for server in [&one, &two, three.lock().unwrap().as_ref().unwrap()] {
        keeps_again(server);
    }
    let hits = one.wait_for_log("cache=").matches("GET / 200").count();
    assert!(hits > 0, "nothing was asked");
    assert!(one.wait_for_log("cache=").contains("cache=\"hit\""), "nothing was ever kept");
}

#[test]
fn a_database_that_crashes_and_comes_back_makes_nothing_old() {
    let mut cluster = Cluster::start();
    let (folder, url) = (Folder::new(SITE), cluster.fresh_database());
    let (one, two) = (serve(&folder, &url), serve(&folder, &url));
    let world = World::new(&[&one, &two]);
    under_load(&world, || {
        go_on();
        cluster.stop();
        std::thread::sleep(Duration::from_millis(300));
        cluster.run();
        go_on();
        go_on();
    });
    keeps_again(&one);
    keeps_again(&two);
}

/// The node's commit is done, and it dies before it could tell anybody.
#[test]
fn a_node_that_dies_between_its_commit_and_its_word_leaves_nothing_old_behind() {
    let (folder, url) = (Folder::new(SITE), fresh_database());
    let (proxy, by_proxy) = Proxy::before(&url);
    let (one, two) = (serve(&folder, &by_proxy), serve(&folder, &url));
    keeps_again(&one);
    keeps_again(&two);
    for _ in 0..2 {
        assert_eq!(numbers(&two.client().get("/")), Some(vec![0, 0, 0]));
    }
    proxy.cut(Cut::Lost);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let write = Request::new("POST", "/mark").form(&[("browser", "b0"), ("n", "1")]);
            assert!(one.client().send(&write).is_err(), "nobody may be told");
        });
        let until = Instant::now() + LONG;
        while !proxy.is_held() || psql(&url, "select n from marks where browser = 'b0'") != "1" {
            assert!(Instant::now() < until, "the commit never came");
        }
        one.signal(Signal::KILL);
    });
    let killed = Instant::now();
    // Until it is known that the node is silent the old page may be shown; then never again.
    let until = killed + MAX_LAG * 3;
    let mut client = two.client();
    let mut seen_new = false;
    while Instant::now() < until {
        let began = Instant::now();
        let seen = numbers(&client.get("/")).unwrap()[0];
        assert!(seen == 1 || began < killed + MAX_LAG, "the old page is shown {:?} after", began - killed);
        seen_new |= seen == 1;
        assert!(!seen_new || seen == 1, "the old page came back");
    }
    assert!(seen_new);
    keeps_again(&two);
    assert_eq!(numbers(&two.client().get("/")), Some(vec![1, 0, 0]));
}
