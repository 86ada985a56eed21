//! Who may see what: `tableside access` as a person and a program read it, and hidden pages beside missing ones.

use serde_json::{Value as Json, json};

use crate::harness::{Answer, Ended, Folder, Request, Server, run};

/// Pages for everyone, for users and for a role, and a file for confirmed users.
const SITE: &[(&str, &str)] = &[
    (
        "site.toml",
        "[users]\nregister = \"open\"\n\n[[access]]\npath = \"/staff/**\"\nallow = [\"editor\", \"admin\"]\nhide = true\n\n\
         [[access]]\npath = \"/reports/**\"\nallow = \"confirmed\"\n\n\
         [[access]]\npath = \"/notes\"\nmethods = [\"POST\"]\nallow = \"users\"\n",
    ),
    ("migrations/0001_start.sql", "create table notes (text text);\n"),
    ("pages/notes.html", "notes\n"),
    ("pages/notes.post.sql", "-- name: made :exec\ninsert into notes (text) values ('x');\n"),
    ("pages/staff/index.html", "a secret\n"),
    ("pages/staff/[id].post.sql", "-- name: made :exec\ninsert into notes (text) values (:id);\n"),
    ("public/app.css", "p {}\n"),
    ("public/staff/plan.txt", "a secret\n"),
    ("public/reports/a.txt", "a secret\n"),
    ("public/reports/b.txt", "a secret\n"),
];

fn access(folder: &Folder, arguments: &[&str]) -> Ended {
    let path = folder.path().to_string_lossy().into_owned();
    run(["access", &path].into_iter().chain(arguments.iter().copied()))
}

#[test]
fn the_table_shows_each_route_by_who_may() {
    let shown = access(&Folder::new(SITE), &[]);
    assert_eq!(shown.code(), Some(0), "{shown:?}");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "ROUTE                   METHOD  anonymous  users   confirmed  admin  editor",
            "/notes                  GET     yes        yes     yes        yes    yes",
            "/notes                  POST    no         yes     yes        yes    yes",
            "/staff                  GET     hidden     hidden  hidden     yes    yes",
            "/staff/[id]             POST    hidden     hidden  hidden     yes    yes",
            "/app.css (file)         GET     yes        yes     yes        yes    yes",
            "/staff/plan.txt (file)  GET     hidden     hidden  hidden     yes    yes",
            "/reports/** (2 files)   GET     no         no      yes        yes    yes",
        ]
    );
}

#[test]
fn programs_read_the_same_with_the_rules() {
    let told: Json = serde_json::from_str(&access(&Folder::new(SITE), &["--json"]).stdout).unwrap();
    assert_eq!(told["roles"], json!(["admin", "editor"]));
    let routes = told["routes"].as_array().unwrap();
    let of = |route: &str, method: &str| {
        routes.iter().find(|line| line["route"] == route && line["method"] == method).unwrap().clone()
    };
    assert_eq!(
        of("/notes", "POST"),
        json!({
            "route": "/notes", "method": "POST", "file": "pages/notes.post.sql", "who": "users",
            "rule": [{"path": "/notes", "methods": ["POST"], "allow": ["users"], "hide": false,
                      "file": "site.toml", "line": 14}],
            "allowed": {"anonymous": "login", "users": "yes", "confirmed": "yes", "admin": "yes", "editor": "yes"},
        })
    );
    let reports = of("/reports/**", "GET");
    assert_eq!(reports["addresses"], json!(["/reports/a.txt", "/reports/b.txt"]));
    assert_eq!(reports["allowed"]["users"], "confirm");
    assert_eq!(of("/staff", "GET")["allowed"]["anonymous"], "hidden");
}

#[test]
fn the_rule_that_decides_is_named() {
    let folder = Folder::new(SITE);
    let explained = |arguments: &[&str]| {
        let ended = access(&folder, arguments);
        (ended.code(), ended.stdout.lines().map(str::to_string).collect::<Vec<_>>().join("\n"))
    };
    let (code, text) = explained(&["--explain", "/notes", "--method", "post"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        text,
        "POST /notes as anonymous\nleads to /notes (pages/notes.html, pages/notes.post.sql)\n  \
         site.toml:14  /notes POST: users  refuses, and decides\nlogin: refused until somebody logs in"
    );
    let (_, text) = explained(&["--explain", "/reports/%61.txt", "--as", "users"]);
    assert!(text.contains("leads to the file public/reports/a.txt"), "{text}");
    assert!(text.ends_with("confirm: refused until the e-mail address is confirmed"), "{text}");
    let (_, text) = explained(&["--explain", "/staff/", "--as", "editor"]);
    assert!(text.contains("by a redirect") && text.ends_with("yes: the rules let in"), "{text}");
    let (_, text) = explained(&["--explain", "/staff", "--as", "clerk", "--as", "confirmed"]);
    assert!(text.ends_with("hidden: answered as if nothing were there"), "{text}");
    let (_, text) = explained(&["--explain", "/notes"]);
    assert!(text.contains("no rule is about it"), "{text}");
    assert_eq!(explained(&["--explain", "/nowhere"]).0, Some(1));
    assert_eq!(explained(&["--explain", "no path"]).0, Some(1));
    assert_eq!(explained(&["--lock", "--json"]).0, Some(2));
    assert_eq!(explained(&["--as", "editor"]).0, Some(2));
}

#[test]
fn a_lock_is_written_and_holds_until_it_is_written_again() {
    let folder = Folder::new(SITE);
    let check = || run(["check", &folder.path().to_string_lossy()]);
    assert_eq!(check().code(), Some(0));
    assert_eq!(access(&folder, &["--lock"]).code(), Some(0));
    let text = std::fs::read_to_string(folder.file("access.lock")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            "GET /notes  everyone",
            "POST /notes  users",
            "GET /reports/a.txt  confirmed",
            "GET /reports/b.txt  confirmed",
            "GET /staff  admin or editor",
            "POST /staff/[id]  admin or editor",
            "GET /staff/plan.txt  admin or editor",
        ]
    );
    assert_eq!(check().code(), Some(0));

    let rules = std::fs::read_to_string(folder.file("site.toml")).unwrap();
    folder.write("site.toml", rules.replace("\"confirmed\"", "\"users\""));
    let ended = check();
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.stderr.contains("`GET /reports/a.txt` now lets in all users; access.lock says: confirmed"),
        "{ended:?}"
    );
    assert!(Server::start_with(folder.path(), "serve", &[]).is_err(), "a site that opened must not be served");

    folder.write("site.toml", rules.replace("\"confirmed\"", "\"nobody here\""));
    assert_eq!(access(&folder, &["--lock"]).code(), Some(1), "rules with a slip are not locked");
    assert_eq!(std::fs::read_to_string(folder.file("access.lock")).unwrap(), text);

    folder.write("site.toml", rules.replace("\"confirmed\"", "\"users\""));
    assert_eq!(access(&folder, &["--lock"]).code(), Some(0));
    assert_eq!(check().code(), Some(0));
    folder.write("site.toml", &rules);
    assert_eq!(check().code(), Some(0), "what became stricter is no fault");
}

#[test]
fn a_hidden_page_answers_as_a_missing_one() {
    let folder = Folder::new(SITE);
    let server = Server::start(&folder);
    let mut visitor = server.client();
    let hidden = ["/staff", "/staff/", "/staff.html", "/staff/index.html", "/staff/plan.txt", "/staff/7"];
    let missing = ["/stuff", "/stuff/", "/stuff.html", "/stuff/index.html", "/stuff/plan.txt", "/stuff/7"];
    let told = |answer: Answer| {
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        (answer.status, headers, answer.text())
    };
    for (hidden, missing) in hidden.into_iter().zip(missing) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            for accept in ["text/html", "application/json"] {
                let mut ask = |path: &str| {
                    let request = Request::new(method, path).header("Accept", accept).header("If-None-Match", "*");
                    told(visitor.send(&request).unwrap())
                };
                assert_eq!(ask(hidden), ask(missing), "{method} {hidden} as {accept}");
            }
        }
    }
}
