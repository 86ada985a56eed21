//! What a cache is easily wrong about, one small test each.

use std::time::Instant;

use super::{cached, fresh, get, post};
use crate::attacks::Ground;
use crate::harness::{Answer, Client, LONG, Request, Server};

const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table items (id integer primary key, name text);
         insert into items values (1, 'oak tree'), (2, 'owl');
         create virtual table found using fts5(name, content='items', content_rowid='id');
         insert into found(found) values ('rebuild');
         create trigger items_in after insert on items begin
           insert into found (rowid, name) values (new.id, new.name);
         end;
         create trigger items_up after update on items begin
           insert into found (found, rowid, name) values ('delete', old.id, old.name);
           insert into found (rowid, name) values (new.id, new.name);
         end;
         create table flat (k text primary key, n integer) without rowid;
         insert into flat values ('a', 1), ('b', 2);
         create view flats as select count(*) as n from flat;
         create table many (n integer);
         insert into many values (1), (2), (3);
         create table uniq (id integer primary key, name text unique, n integer);
         insert into uniq values (1, 'one', 1), (2, 'two', 2);
         create table parents (id integer primary key, name text);
         create table children (id integer primary key, parent integer references parents (id) on delete cascade);
         insert into parents values (1, 'p'); insert into children values (1, 1), (2, 1);
         create table moments (t text); insert into moments values ('2026-01-01T00:00:00.000Z');
         create view timed as select current_timestamp as t;
         create view dice as select random() as r;
         create table events (id integer primary key, name text);
         create table noted (n integer);
         insert into noted values (0);
         create trigger events_in after insert on events begin update noted set n = n + 1; end;
         create table counted (id integer primary key autoincrement, a text);",
    ),
    ("pages/found.json.sql", "-- name: body :list\nselect name from found where found match 'o*' order by rowid"),
    ("pages/items.put.sql", "-- :name text\n-- name: a :exec\nupdate items set name = :name where id = 1"),
    ("pages/flat.json.sql", "-- name: body :list\nselect k || n from flat order by k"),
    ("pages/flats.json.sql", "-- name: body :value\nselect n from flats"),
    (
        "pages/flat.post.sql",
        "-- :name text\n-- name: a :exec\ninsert into flat values (:name, 1) on conflict (k) do update set n = flat.n + 10",
    ),
    ("pages/flat.delete.sql", "-- name: a :exec\ndelete from flat"),
    ("pages/many.json.sql", "-- name: body :value\nselect count(*) from many"),
    ("pages/many.delete.sql", "-- name: a :exec\ndelete from many"),
    ("pages/uniq.json.sql", "-- name: body :list\nselect id || name from uniq order by id"),
    (
        "pages/uniq.post.sql",
        "-- :name text\n-- name: a :exec\ninsert or replace into uniq (id, name, n) values (1, :name, 5)",
    ),
    ("pages/children.json.sql", "-- name: body :value\nselect count(*) from children"),
    ("pages/parents.post.sql", "-- name: a :exec\ninsert or replace into parents values (1, 'q')"),
    ("pages/moments.html", "{{ m.f }} {{ m.d }}"),
    ("pages/moments.sql", "-- name: m :one\nselect strftime('%f', t) as f, date(t) as d from moments"),
    ("pages/moments.post.sql", "-- :t text\n-- name: a :exec\nupdate moments set t = :t"),
    ("pages/timed.html", "{{ t }}"),
    ("pages/timed.sql", "-- name: t :value\nselect t from timed"),
    ("pages/dice.html", "{{ r }}"),
    ("pages/dice.sql", "-- name: r :value\nselect r from dice"),
    ("pages/noted.json.sql", "-- name: body :value\nselect n from noted"),
    ("pages/events.post.sql", "-- name: a :exec\ninsert into events (name) values ('x')"),
    ("pages/numbers.json.sql", "-- name: body :value\nselect coalesce(max(seq), 0) from sqlite_sequence"),
    ("pages/counted.post.sql", "-- name: a :exec\ninsert into counted (a) values ('x')"),
];

fn develop(ground: &Ground) -> Server {
    let mut command = ground.command_of("dev", &["server.proxies=127.0.0.1"]);
    Server::spawn(&mut command).unwrap_or_else(|said| panic!("{said}"))
}

/// Waits until a page is kept: what was done at the start is taken for another program's doing.
fn settled(client: &mut Client, path: &str) {
    let until = Instant::now() + LONG;
    while cached(&get(client, path)) != "hit" {
        assert!(Instant::now() < until, "{path} is never kept");
    }
}

/// The page was kept, and is another one after the action.
fn follows(client: &mut Client, path: &str, (method, action, body): (&str, &str, &[(&str, &str)])) {
    settled(client, path);
    let before = get(client, path).text();
    let answer = client.send(&Request::new(method, action).form(body)).unwrap();
    assert_eq!(answer.status, 303, "{method} {action}: {}", answer.text());
    let after = get(client, path).text();
    assert_ne!(before, after, "{path} after {method} {action}");
    assert_eq!(after, fresh(client, path).text());
    assert_eq!(cached(&get(client, path)), "hit", "{path}");
}

#[test]
fn every_way_to_change_a_table_is_noticed() {
    let ground = Ground::of(SITE, false);
    let server = develop(&ground);
    let mut client = server.client();
    post(&mut client, "/counted", "");
    let none: &[(&str, &str)] = &[];
    // The index of a search changes by triggers alone.
    follows(&mut client, "/found", ("PUT", "/items", &[("name", "olive")]));
    follows(&mut client, "/flat", ("POST", "/flat", &[("name", "a")]));
    follows(&mut client, "/flats", ("POST", "/flat", &[("name", "c")]));
    follows(&mut client, "/uniq", ("POST", "/uniq", &[("name", "two")]));
    follows(&mut client, "/children", ("POST", "/parents", none));
    follows(&mut client, "/noted", ("POST", "/events", none));
    follows(&mut client, "/numbers", ("POST", "/counted", none));
    // All rows at once, without a look at one of them.
    follows(&mut client, "/many", ("DELETE", "/many", none));
    follows(&mut client, "/flats", ("DELETE", "/flat", none));
}

#[test]
fn what_shows_the_time_or_chance_is_never_kept() {
    let ground = Ground::of(SITE, false);
    let server = develop(&ground);
    let mut client = server.client();
    settled(&mut client, "/moments");
    // It is no word of the query, but of a row.
    post(&mut client, "/moments", "t=now");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6 {
        let answer = get(&mut client, "/moments");
        assert_ne!(cached(&answer), "hit");
        seen.insert(answer.text());
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    assert!(seen.len() > 1, "{seen:?}");
    post(&mut client, "/moments", "t=2026-02-02");
    settled(&mut client, "/moments");
    for path in ["/timed", "/dice"] {
        for _ in 0..3 {
            assert_ne!(cached(&get(&mut client, path)), "hit", "{path}");
        }
    }
}

/// The same on PostgreSQL, where the statement's parsed tree tells.
#[test]
fn what_shows_the_time_or_chance_is_never_kept_on_postgres() {
    let site = [
        (
            "migrations/0001_start.sql",
            "create table moments (t text); insert into moments values ('now');
             create table times (t timestamptz); insert into times values (now());
             create view timed as select current_timestamp as t;
             create view dice as select random() as r;",
        ),
        ("pages/moments.json.sql", "-- name: body :value\nselect cast(t as timestamptz) from moments"),
        ("pages/timed.json.sql", "-- name: body :value\nselect t from timed"),
        ("pages/dice.json.sql", "-- name: body :value\nselect r from dice"),
        ("pages/age.json.sql", "-- name: body :value\nselect age(t) from times"),
        ("pages/still.json.sql", "-- name: body :value\nselect t from times"),
    ];
    let ground = Ground::of(&site, true);
    let server = develop(&ground);
    let mut client = server.client();
    for path in ["/moments", "/timed", "/dice", "/age"] {
        for _ in 0..3 {
            assert_ne!(cached(&get(&mut client, path)), "hit", "{path}");
        }
    }
    settled(&mut client, "/still");
}

/// Pages that show in every way who asks.
const VISITORS: &[(&str, &str)] = &[
    ("site.toml", "[users]\nregister = \"closed\"\n\n[[access]]\npath = \"/say\"\nallow = \"everyone\"\n"),
    ("migrations/0001_start.sql", "create table notes (owner text, text text)"),
    (
        "pages/_layout.html",
        "{% if user %}<b>{{ user.email }}</b>{% endif %}{{ latest }}|{% block main %}{% endblock %}",
    ),
    ("pages/_layout.sql", "-- name: latest :value\nselect max(text) from notes where owner = @session_id"),
    ("pages/_part.html", "{{ site.url }}"),
    ("pages/layout.html", "{% extends \"_layout.html\" %}{% block main %}x{% endblock %}"),
    ("pages/include.html", "<p>{% include \"_part.html\" %}</p>"),
    ("pages/address.html", "{{ a }}"),
    ("pages/address.sql", "-- name: a :value\nselect @client_ip"),
    ("pages/locale.html", "{{ l }} {{ site.locale }}"),
    ("pages/locale.sql", "-- name: l :value\nselect @locale"),
    ("pages/sometimes.html", "{% if params.who %}{{ user.email }}{% endif %}."),
    ("pages/sometimes.sql", "-- :who text\n-- name: one :value\nselect 1"),
    ("pages/block.html", "<h1>whole {{ n }}</h1>{% block part %}<i>{{ n }} {{ user.email }}</i>{% endblock %}"),
    ("pages/block.sql", "-- name: n :value\nselect count(*) from notes"),
    ("pages/block.json.sql", "-- name: n :value\nselect count(*) from notes"),
    ("pages/told.html", "{{ flash }}:{{ n }}"),
    ("pages/told.sql", "-- name: n :value\nselect count(*) from notes"),
    ("pages/plain.html", "{{ n }}"),
    ("pages/plain.sql", "-- name: n :value\nselect count(*) from notes"),
    (
        "pages/say.post.sql",
        "-- :text text\n-- redirect: /told\n-- flash: Said {{ params.text }}\n-- name: a :exec\n\
         insert into notes values (@session_id, :text)",
    ),
    ("pages/long.html", "{% for w in words %}{{ w.text }} {{ w.n }} lorem ipsum dolor {% endfor %}"),
    (
        "pages/long.sql",
        "-- name: words :many\nwith recursive w(n) as (select 1 union all select n + 1 from w where n < 200) \
         select n, 'word' as text from w order by n",
    ),
];

/// Two users and two strangers, each with an address and a host of its own.
fn visitors(ground: &Ground, server: &Server) -> Vec<(Client, [(&'static str, String); 2])> {
    let users = ["ann", "bob"].map(|name| ground.user_with(&format!("{name}@example.org"), true, None, &[]));
    let mut clients: Vec<Client> = users.iter().map(|user| ground.logged_in(server, *user)).collect();
    clients.extend([server.client(), server.client()]);
    let own = |number| [("Host", format!("localhost:{number}")), ("X-Forwarded-For", format!("10.0.0.{number}"))];
    clients.into_iter().enumerate().map(|(number, client)| (client, own(number + 1))).collect()
}

fn ask(client: &mut Client, own: &[(&str, String)], request: Request) -> Answer {
    let request = own.iter().fold(request, |request, (name, value)| request.header(name, value));
    client.send(&request).unwrap()
}

#[test]
fn nobody_gets_what_was_made_for_another() {
    for on_postgres in [false, true] {
        let ground = Ground::of(VISITORS, on_postgres);
        let server = develop(&ground);
        let mut visitors = visitors(&ground, &server);
        for (number, (client, own)) in visitors.iter_mut().enumerate() {
            let say = Request::new("POST", "/say").form(&[("text", &format!("said by {number}"))]);
            assert_eq!(ask(client, own, say).status, 303);
            ask(client, own, Request::new("GET", "/told"));
            client.cookies.retain(|(name, _)| name != "fresh");
        }
        for round in 0..4 {
            for (number, (client, own)) in visitors.iter_mut().enumerate() {
                let mut text = |path: &str| ask(client, own, Request::new("GET", path)).text();
                let name = ["ann@example.org", "bob@example.org", "", ""][number];
                let layout = text("/layout");
                assert!(layout.contains(&format!("said by {number}|")), "{round} {number}: {layout}");
                assert_eq!(layout.contains("@example.org"), number < 2, "{layout}");
                assert!(layout.contains(name), "{layout}");
                assert!(text("/include").contains(&format!("localhost:{}", number + 1)));
                assert!(text("/address").contains(&format!("10.0.0.{}", number + 1)));
                assert!(text("/locale").contains("en en"));
                // Whether it reads the user, its parameter says.
                assert!(text("/sometimes").starts_with('.'));
                assert!(text("/sometimes?who=1").starts_with(&format!("{name}.")));
                let mut block = |target: &str| {
                    let asked = Request::new("GET", "/block").header("HX-Target", target);
                    ask(client, own, asked).text()
                };
                let (part, whole, other) = (block("part"), block("whole"), block("elsewhere"));
                assert!(part.starts_with("<i>4") && part.contains(name), "{part}");
                assert!(whole.starts_with("<h1>") && other.starts_with("<h1>") && whole.contains(name), "{whole}");
            }
        }
    }
}

#[test]
fn each_form_of_an_answer_is_its_own() {
    let ground = Ground::of(VISITORS, false);
    let server = develop(&ground);
    let mut client = server.client();
    post(&mut client, "/say", "text=a");
    let mut send = |request: Request| client.send(&request).unwrap();
    let mut asked =
        |method: &str, path: &str, header: (&str, &str)| send(Request::new(method, path).header(header.0, header.1));
    let any = ("X", "y");
    // HEAD after GET, and GET after HEAD.
    for (first, second, path) in [("GET", "HEAD", "/plain"), ("HEAD", "GET", "/plain?x=1")] {
        let (first, second) = (asked(first, path, any), asked(second, path, any));
        assert_eq!(
            (first.header("etag"), first.header("content-type")),
            (second.header("etag"), second.header("content-type"))
        );
        assert_eq!(first.header("content-length"), second.header("content-length"), "{path}");
    }
    // A parameter that the page doesn't take is none of its business.
    assert_eq!(cached(&asked("GET", "/plain?utm=1", any)), "hit");
    // JSON and HTML at one address.
    for _ in 0..2 {
        assert!(asked("GET", "/block", ("Accept", "application/json")).text().starts_with("{\"n\""));
        assert!(asked("GET", "/block", ("Accept", "text/html")).text().starts_with("<h1>"));
        assert!(asked("GET", "/block.json", any).text().starts_with("{\"n\""));
    }
    // A kept page knows no ranges, as one that is made.
    let whole = asked("GET", "/long", any);
    let part = asked("GET", "/long", ("Range", "bytes=0-3"));
    assert_eq!((part.status, cached(&part).as_str(), part.body), (200, "hit", whole.body.clone()));
    // Compressed forms.
    for _ in 0..2 {
        for encoding in ["gzip", "br", "zstd"] {
            let packed = asked("GET", "/long", ("Accept-Encoding", encoding));
            assert_eq!((cached(&packed).as_str(), packed.header("content-encoding")), ("hit", Some(encoding)));
            assert!(packed.body.len() < whole.body.len() / 2);
            let tag = packed.header("etag").unwrap().to_string();
            assert_ne!(Some(&*tag), whole.header("etag"));
            let same = asked("GET", "/long", ("If-None-Match", &tag));
            assert_eq!((same.status, cached(&same).as_str()), (304, "hit"));
        }
        assert_eq!(asked("GET", "/long", ("Accept-Encoding", "identity")).body, whole.body);
    }
    let tag = whole.header("etag").unwrap().to_string();
    assert_eq!(asked("GET", "/long", ("If-None-Match", &tag)).status, 304);
    assert_eq!(asked("GET", "/long", ("If-None-Match", "\"other\"")).status, 200);
}

#[test]
fn a_message_is_shown_once_and_never_kept() {
    let ground = Ground::of(VISITORS, false);
    let server = develop(&ground);
    let (mut one, mut two) = (server.client(), server.client());
    for number in 1..4 {
        post(&mut one, "/say", &format!("text=secret{number}"));
        let other = get(&mut two, "/told").text();
        assert!(other.starts_with(&format!(":{number}")), "{other}");
        let told = get(&mut one, "/told");
        assert!(told.text().starts_with(&format!("Said secret{number}:{number}")), "{}", told.text());
        assert!(cached(&told).starts_with("off"));
        for client in [&mut one, &mut two] {
            let after = get(client, "/told");
            assert!(after.text().starts_with(&format!(":{number}")), "{}", after.text());
            assert_eq!(cached(&after), "hit");
        }
    }
}
