//! Visitors never share: many of them, interleaved over the same connections, each with a word of its own that no
//! other's page may ever show.

use crate::harness::{Answer, Client, Folder, Request, Server};
use crate::postgres::{psql, quick_database};

/// Connections; over each go the requests of several visitors, as through a proxy.
const CONNECTIONS: usize = 4;

/// Visitors of one connection.
const VISITORS: usize = 3;

/// Requests over one connection.
const REQUESTS: usize = 1000;

const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table notes (id integer primary key, session_id text not null, note text not null, file text);\n\
         create index notes_by_session on notes (session_id);\n\
         create table seen (session_id text primary key, count integer not null);\n",
    ),
    (
        "pages/_layout.html",
        "<title>{{ latest.note }}</title>{% if flash %}<p>{{ flash }}</p>{% endif %}{% block main %}{% endblock %}\n",
    ),
    (
        "pages/_layout.sql",
        "-- name: latest :maybe\n\
         select note from notes where session_id = @session_id order by id desc limit 1;\n",
    ),
    (
        "pages/index.html",
        "{% extends \"_layout.html\" %}{% block main %}<form {{ fields.attrs }}>{{ fields.hidden }}\
         <input {{ fields.note.attrs }}>{{ fields.note.error }}<input {{ fields.n.attrs }}>{{ fields.n.error }}\
         <input {{ fields.file.attrs }}></form>\
         {% block list %}{% for n in notes %}<i>{{ n.note }} {{ upload(n.file) }}</i>{% endfor %}{% endblock %}\
         {{ params.q }}{% endblock %}\n",
    ),
    (
        "pages/index.sql",
        "-- :q text\n-- name: notes :many more=5\n\
         select note, file from notes where session_id = @session_id order by id desc;\n",
    ),
    (
        "pages/index.post.sql",
        "-- :note text required maxlength=60\n-- :n int max=100\n-- :file file accept=text/plain\n-- once: 1h\n\
         -- flash: Kept {{ params.note }}\n-- name: kept :exec\n\
         insert into notes (session_id, note, file) values (@session_id, :note, :file);\n",
    ),
    ("pages/mine.json.sql", "-- name: notes :list\nselect note from notes where session_id = @session_id limit 5;\n"),
    (
        "pages/file.file.sql",
        "-- name: file :one\nselect file from notes where session_id = @session_id and file is not null \
         order by id desc limit 1;\n",
    ),
    (
        "pages/seen.visit.sql",
        "-- name: seen :exec\ninsert into seen (session_id, count) values (@session_id, 1)\n\
         on conflict (session_id) do update set count = seen.count + 1;\n",
    ),
    ("pages/seen.html", "{% extends \"_layout.html\" %}{% block main %}{{ n }}{% endblock %}\n"),
    ("pages/seen.sql", "-- name: n :value\nselect count from seen where session_id = @session_id;\n"),
    ("pages/_404.html", "{% extends \"_layout.html\" %}{% block main %}{{ request.path }}{% endblock %}\n"),
];

/// One visitor.
struct Visitor {
    /// The word that only this visitor's pages may show.
    word: String,
    cookies: Vec<(String, String)>,
    /// Notes that were acknowledged.
    notes: usize,
    /// Visits that were counted.
    visits: i64,
    /// Whether the next page should carry the message of the last action.
    flash: Option<String>,
}

#[test]
fn no_visitor_ever_sees_anothers_values() {
    let folder = Folder::new(SITE);
    interleave(&folder, &[]);
    let database = folder.database();
    judge(|sql| database.query_row(sql, [], |row| row.get(0)).unwrap());
}

#[test]
fn no_visitor_ever_sees_anothers_values_on_postgres() {
    let url = quick_database();
    let setting = format!("database.url={url}");
    interleave(&Folder::new(SITE), &["--set", &setting, "--set", "database.allow_unsafe_durability=true"]);
    judge(|sql| psql(&url, sql).parse().unwrap());
}

/// All visitors ask at once.
fn interleave(folder: &Folder, settings: &[&str]) {
    let arguments = [&["--set", "server.threads=2"], settings].concat();
    let server = Server::start_with(folder.path(), "serve", &arguments).unwrap();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let server = &server;
            scope.spawn(move || run(server, connection));
        }
    });
}

/// What the database holds must not be mixed, either.
fn judge(number: impl Fn(&str) -> i64) {
    let mixed = "select count(*) from (select session_id from notes group by session_id \
                 having count(distinct substr(note, 1, 10)) > 1) as mixed";
    assert_eq!(number(mixed), 0, "a session holds two visitors' notes");
    assert_eq!(number("select count(*) from _sessions"), (CONNECTIONS * VISITORS) as i64);
}

fn run(server: &Server, connection: usize) {
    let mut client = server.client();
    let mut visitors: Vec<Visitor> = (0..VISITORS)
        .map(|number| Visitor {
            word: format!("canary{connection}{number}yx"),
            cookies: Vec::new(),
            notes: 0,
            visits: 0,
            flash: None,
        })
        .collect();
    // A fixed order that looks like chance (a linear congruence), so that a failure comes again.
    let mut state = connection as u64 + 1;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for number in 0..REQUESTS {
        let visitor = &mut visitors[next(VISITORS)];
        std::mem::swap(&mut client.cookies, &mut visitor.cookies);
        step(&mut client, visitor, next(10), number);
        std::mem::swap(&mut client.cookies, &mut visitor.cookies);
    }
}

/// One request of a visitor, and what its answer must be.
fn step(client: &mut Client, visitor: &mut Visitor, kind: usize, number: usize) {
    let word = visitor.word.clone();
    let note = format!("{word} {number}");
    match kind {
        0 | 1 => {
            let answer = sent(client, &Request::new("POST", "/").form(&[("note", &note)]), &word);
            assert_eq!(answer.status, 303, "{}", answer.text());
            visitor.notes += 1;
            visitor.flash = Some(note);
        }
        2 => {
            // Too large a number: the form comes again with what this visitor sent.
            let answer = sent(client, &Request::new("POST", "/").form(&[("note", &note), ("n", "101")]), &word);
            assert_eq!(answer.status, 422);
            visitor.flash = None;
            assert!(answer.text().contains(&format!("value=\"{note}\"")), "{}", answer.text());
        }
        3 => {
            let answer = sent(client, &upload(&note), &word);
            assert_eq!(answer.status, 303, "{}", answer.text());
            (visitor.notes, visitor.flash) = (visitor.notes + 1, Some(note));
            let file = sent(client, &Request::new("GET", "/file"), &word);
            assert_eq!(file.text(), format!("file of {word} {number}"));
        }
        4 => {
            let answer = sent(client, &Request::new("GET", "/mine"), &word);
            assert_eq!(answer.text().matches(&word).count(), visitor.notes.min(5));
        }
        5 => {
            let block = Request::new("GET", "/").header("HX-Request", "true").header("HX-Target", "list");
            let answer = sent(client, &block, &word);
            assert_eq!(answer.text().matches(&word).count(), visitor.notes.min(5), "{}", answer.text());
        }
        6 => {
            let answer = sent(client, &Request::new("GET", "/seen"), &word);
            visitor.visits += 1;
            let flash = visitor.flash.take().map_or(String::new(), |flash| format!("<p>Kept {flash}</p>"));
            let body = answer.text();
            assert!(body.contains(&flash) && body.trim_end().ends_with(&format!("{}", visitor.visits)), "{body}");
        }
        7 => {
            visitor.flash = None;
            assert_eq!(sent(client, &Request::new("GET", &format!("/{word}/nowhere")), &word).status, 404);
        }
        _ => {
            let answer = sent(client, &Request::new("GET", &format!("/?q={word}")), &word);
            let flash = usize::from(visitor.flash.take().is_some());
            let title = usize::from(visitor.notes > 0);
            let expected = visitor.notes.min(5) + title + flash + 1;
            assert_eq!(answer.text().matches(&word).count(), expected, "{}", answer.text());
        }
    }
}

fn upload(note: &str) -> Request {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{note}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nfile of {note}\r\n--b--\r\n"
    );
    Request::new("POST", "/").body("multipart/form-data; boundary=b", body)
}

/// Sends a request; every canary word in the answer, headers included, must be this visitor's own.
fn sent(client: &mut Client, request: &Request, word: &str) -> Answer {
    let answer = client.send(request).unwrap();
    let whole = format!("{:?}\n{}", answer.headers, answer.text());
    for (at, _) in whole.match_indices("canary") {
        assert!(whole[at..].starts_with(word), "{word} got a page with {}:\n{whole}", &whole[at..at + word.len()]);
    }
    answer
}
