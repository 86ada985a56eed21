//! The commands as a person types them: what they print, how they end, and how a running server takes signals.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::harness::{Ended, Folder, LONG, Request, Server, finished, run, tableside};

/// One page, one action.
const SHOP: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table products (id integer primary key, name text not null);\n\
         create table orders (id integer primary key, product_id integer not null references products (id));\n",
    ),
    ("pages/index.html", "{% for p in products %}{{ p.name }} {% endfor %}old\n"),
    (
        "pages/index.sql",
        "-- :q text\n-- name: products :many\nselect name from products where :q is null or name = :q;\n",
    ),
    (
        "pages/order.post.sql",
        "-- :product int required\n-- redirect: /\n-- name: placed :exec\n\
         insert into orders (product_id) select id from products where id = :product;\n",
    ),
];

fn path(folder: &Folder) -> String {
    folder.path().display().to_string()
}

/// The one line that a command complained with.
fn complaint(ended: &Ended) -> &str {
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(matches!(lines[..], [line] if line.starts_with("tableside: ")), "{ended:?}");
    assert_ne!(ended.code(), Some(0), "{ended:?}");
    lines[0]
}

#[test]
fn a_new_site_is_sound_and_passes_its_tests() {
    let folder = Folder::new(&[]);
    let site = folder.file("guestbook").display().to_string();
    let made = run(["new", &site]);
    assert_eq!(made.code(), Some(0), "{made:?}");
    let checked = run(["check", &site]);
    assert_eq!((checked.code(), checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    assert!(checked.stdout.contains("is sound"), "{checked:?}");
    let tested = run(["test", &site]);
    assert_eq!(tested.code(), Some(0), "{tested:?}");
    assert!(tested.stdout.contains("0 failed"), "{tested:?}");
    // The tests ran on a database of their own.
    assert!(!folder.file("guestbook/data/site.db").exists());
    let again = run(["new", &site]);
    assert!(complaint(&again).contains("not empty"), "{again:?}");
    let server = Server::start_with(&folder.file("guestbook"), "serve", &[]).unwrap();
    assert_eq!(server.client().get("/").status, 200);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_failing_test_of_a_site_is_told() {
    let folder = Folder::new(SHOP);
    folder.write("tests/home.hurl", "GET {{host}}/\nHTTP 200\n[Asserts]\nbody contains \"new\"\n");
    let tested = run(["test", &path(&folder)]);
    assert_eq!(tested.code(), Some(1), "{tested:?}");
    assert!(tested.stdout.contains("1 failed") && tested.stderr.contains("home.hurl:4"), "{tested:?}");
}

#[test]
fn a_port_in_use_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new(SHOP);
    let ended = run(["serve", &path(&folder), "--listen", &address]);
    assert!(complaint(&ended).contains("already in use"), "{ended:?}");
}

#[test]
fn what_can_not_be_read_is_one_line() {
    let missing = run(["serve", "/nowhere/at/all"]);
    assert!(complaint(&missing).contains("/nowhere/at/all"), "{missing:?}");
    let folder = Folder::new(&[("file", "")]);
    let file = run(["check", &folder.file("file").display().to_string()]);
    assert!(complaint(&file).contains("is not a folder"), "{file:?}");
}

#[test]
fn bad_settings_are_one_line() {
    let folder = Folder::new(SHOP);
    let site = path(&folder);
    for (flag, expected) in [
        ("limits.body=many", "must be a size"),
        ("limits.bdy=1MB", "did you mean `limits.body`?"),
        ("limits.body", "NAME=VALUE"),
        ("server.listen=here", "must be an address"),
    ] {
        let ended = run(["serve", &site, "--set", flag]);
        assert!(complaint(&ended).contains(expected), "{flag}: {ended:?}");
    }
    for (name, value) in [("TABLESIDE_LIMITS_BODY", "many"), ("PORT", "high")] {
        let ended = finished(tableside().args(["serve", &site]).env(name, value));
        assert!(complaint(&ended).contains(name), "{ended:?}");
    }
    let wrong_use = run(["serve", &site, "--no-such-flag"]);
    assert_eq!(wrong_use.code(), Some(2), "{wrong_use:?}");
}

#[test]
fn settings_come_from_the_environment_and_flags_win() {
    let folder = Folder::new(SHOP);
    folder.write("site.toml", "[limits]\nurl = \"50\"\n");
    let long = format!("/?q={}", "x".repeat(60));
    let in_file = Server::start(&folder);
    assert_eq!(in_file.client().get(&long).status, 414);
    in_file.stop();
    let mut command = tableside();
    command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0"]).env("TABLESIDE_LIMITS_URL", "200");
    let in_env = Server::spawn(&mut command).unwrap();
    assert_eq!(in_env.client().get(&long).status, 200);
    in_env.stop();
    let mut command = tableside();
    command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0", "--set", "limits.url=50"]);
    let by_flag = Server::spawn(command.env("TABLESIDE_LIMITS_URL", "200")).unwrap();
    assert_eq!(by_flag.client().get(&long).status, 414);
}

#[test]
fn a_site_with_faults_is_not_served() {
    let folder = Folder::new(SHOP);
    folder.write("pages/index.html", "{{ nothing }}\n");
    let ended = run(["serve", &path(&folder), "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("pages/index.html:1:4") && ended.stderr.contains("1 error"), "{ended:?}");
    // Nothing was migrated for a site that is not served.
    folder.write("pages/index.html", "sound\n");
    let status = run(["migrate", "status", "--site", &path(&folder)]);
    assert!(status.stdout.contains("pending"), "{status:?}");
}

#[test]
fn a_hangup_reloads_and_a_broken_site_leaves_the_old_one() {
    let folder = Folder::new(SHOP);
    let server = Server::start(&folder);
    let mut visitor = server.client();
    assert_eq!(visitor.get("/").text(), "old");
    folder.write("pages/index.html", "{{ products.nmae }}\n");
    server.signal(Signal::HUP);
    let log = server.wait_for_log("not reloaded");
    assert!(log.contains("1 error"), "{log}");
    assert!(server.complaints().contains("pages/index.html:1:"), "{}", server.complaints());
    assert_eq!(visitor.get("/").text(), "old");
    folder.write("pages/index.html", "new {{ products|length }}\n");
    folder.write("migrations/0002_more.sql", "insert into products (name) values ('cat');\n");
    server.signal(Signal::HUP);
    server.wait_for_log("info: reloaded");
    assert_eq!(visitor.get("/").text(), "new 1");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_stop_finishes_what_runs() {
    let folder = Folder::new(SHOP);
    let server = Server::start(&folder);
    let address = server.address();
    // The head of a request has come, its body is on the way: the request runs.
    let mut half = TcpStream::connect(address).unwrap();
    half.set_read_timeout(Some(LONG)).unwrap();
    let head =
        format!("POST /order HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    half.write_all(format!("{head}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n").as_bytes()).unwrap();
    let mut told = [0; 25];
    half.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.signal(Signal::TERM);
    half.write_all(b"product=1").unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let ended = server.wait();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(TcpStream::connect(address).is_err(), "the port is still open");
}

#[test]
fn an_interrupt_ends_with_success() {
    let folder = Folder::new(SHOP);
    let server = Server::start(&folder);
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn routes_tell_who_may_and_which_tables() {
    let folder = Folder::new(SHOP);
    folder.write("site.toml", "[users]\nregister = \"open\"\n\n[[access]]\npath = \"/order\"\nallow = \"users\"\n");
    let shown = run(["routes", &path(&folder)]);
    assert_eq!(shown.code(), Some(0), "{shown:?}");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "ROUTE   METHOD  WHO       READS     WRITES  PARAMETERS",
            "/       GET     everyone  products          :q text",
            "/order  POST    users     products  orders  :product int",
        ]
    );
    let listed: Json = serde_json::from_str(&run(["routes", &path(&folder), "--json"]).stdout).unwrap();
    let expected = json!([
        {"route": "/", "method": "GET", "who": "everyone", "file": "pages/index.html",
         "reads": ["products"], "writes": [], "parameters": [":q text"]},
        {"route": "/order", "method": "POST", "who": "users", "file": "pages/order.post.sql",
         "reads": ["products"], "writes": ["orders"], "parameters": [":product int"]},
    ]);
    assert_eq!(listed, expected);
}

#[test]
fn check_prints_json_for_editors() {
    let folder = Folder::new(SHOP);
    folder.write("pages/index.html", "<p>\n  {{ prodcts }}\n");
    let ended = run(["check", &path(&folder), "--json"]);
    assert_eq!(ended.code(), Some(1));
    let faults: Json = serde_json::from_str(&ended.stdout).unwrap();
    let fault = &faults[0];
    assert_eq!(fault["file"], "pages/index.html");
    assert_eq!((&fault["line"], &fault["column"], &fault["width"]), (&json!(2), &json!(6), &json!(7)));
    assert_eq!(fault["text"], "  {{ prodcts }}");
    // For people the same with the line and what is meant in it.
    let shown = run(["check", &path(&folder)]).stderr;
    assert!(shown.contains("--> pages/index.html:2:6") && shown.contains("^^^^^^^"), "{shown}");
    assert!(shown.contains("did you mean `products`?"), "{shown}");
}

#[test]
fn migrations_are_applied_once_and_told() {
    let folder = Folder::new(SHOP);
    let migrate = |verb| run(["migrate", verb, "--site", &path(&folder)]);
    assert_eq!(migrate("status").stdout, "pending  migrations/0001_start.sql\n");
    assert_eq!(migrate("apply").code(), Some(0));
    assert_eq!(migrate("status").stdout, "applied  migrations/0001_start.sql\n");
    // An edited comment changes nothing.
    let text = format!("-- The shop.\n{}  /* end */\n", SHOP[0].1.replace("create table", "create\n  table"));
    folder.write("migrations/0001_start.sql", &text);
    assert_eq!((migrate("status").code(), migrate("apply").code()), (Some(0), Some(0)));
    // Edited SQL is told, by status, apply and serve.
    folder.write("migrations/0001_start.sql", text.replace("name text not null", "name text"));
    let status = migrate("status");
    assert_eq!((status.code(), status.stdout.as_str()), (Some(1), "edited   migrations/0001_start.sql\n"));
    let applied = migrate("apply");
    assert_eq!(applied.code(), Some(1));
    assert!(applied.stderr.contains("migrations/0001_start.sql"), "{applied:?}");
    let served = run(["serve", &path(&folder), "--listen", "127.0.0.1:0"]);
    assert_eq!(served.code(), Some(1), "{served:?}");
    assert!(served.stderr.contains("migrations/0001_start.sql"), "{served:?}");
    // A removed one, too.
    folder.write("migrations/0001_start.sql", SHOP[0].1);
    folder.write("migrations/0002_more.sql", "create table more (id integer primary key);\n");
    assert_eq!(migrate("apply").code(), Some(0));
    folder.remove("migrations/0002_more.sql");
    let status = migrate("status");
    assert_eq!(status.code(), Some(1));
    assert!(status.stdout.contains("missing  migrations/0002_more.sql"), "{status:?}");
}

#[test]
fn a_table_is_filled_from_csv() {
    let folder = Folder::new(SHOP);
    folder.write("migrations/0002_products.csv", "id,name\n1,\"cat, small\"\n2,dog\n");
    folder.write("pages/all.json.sql", "-- name: names :list\nselect name from products order by id;\n");
    let server = Server::start(&folder);
    assert_eq!(server.client().get("/all").text(), "{\"names\":[\"cat, small\",\"dog\"]}");
}

#[test]
fn of_two_processes_one_migrates_and_the_other_waits() {
    let folder = Folder::new(SHOP);
    let mut slow = "create table numbers (n integer);\n".to_string();
    slow.push_str(
        "insert into numbers with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000) ",
    );
    slow.push_str("select i from n;\n");
    folder.write("migrations/0002_slow.sql", slow);
    let site = path(&folder);
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..4).map(|_| scope.spawn(|| run(["migrate", "apply", "--site", &site]))).collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(ended.iter().all(|one| one.code() == Some(0)), "{ended:?}");
    let numbers: i64 = folder.database().query_row("select count(*) from numbers", [], |row| row.get(0)).unwrap();
    assert_eq!(numbers, 200_000);
    let applied = ended.iter().filter(|one| one.stdout.contains("0002_slow.sql")).count();
    assert_eq!(applied, 1, "{ended:?}");
}

#[test]
fn sessions_are_kept_as_hashes() {
    let folder = Folder::new(&[
        ("migrations/0001_start.sql", "create table t (session_id text);\n"),
        ("pages/t.post.sql", "-- name: a :exec\ninsert into t (session_id) values (@session_id);\n"),
    ]);
    let server = Server::start(&folder);
    let mut visitor = server.client();
    visitor.post("/t", &[]);
    let secret = visitor.cookies.iter().find(|(name, _)| name == "session").unwrap().1.clone();
    server.stop();
    let bytes = std::fs::read(folder.file("data/site.db")).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let id: String = folder.database().query_row("select session_id from t", [], |row| row.get(0)).unwrap();
    assert!(holds(&id), "the id stands in the database");
    assert!(!holds(&secret), "a copy of the database opens no session");
}

#[test]
fn every_request_is_logged_once() {
    let folder = Folder::new(SHOP);
    let arguments = ["--set", "log.format=json"];
    let server = Server::start_with(folder.path(), "serve", &arguments).unwrap();
    let mut visitor = server.client();
    visitor.get("/?q=a%22%0a");
    visitor.get("/nowhere");
    visitor.send(&Request::new("POST", "/order").form(&[("product", "1")])).unwrap();
    let ended = server.stop();
    let lines: Vec<Json> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &Json| (line["method"].clone(), line["path"].clone(), line["status"].clone());
    let visits: Vec<_> = lines.iter().filter(|line| line.get("method").is_some()).map(told).collect();
    let expected = [("GET", "/?q=a%22%0a", 200), ("GET", "/nowhere", 404), ("POST", "/order", 303)];
    assert_eq!(visits, expected.map(|(method, path, status)| (json!(method), json!(path), json!(status))));
}
