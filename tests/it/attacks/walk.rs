//! Every route of every example and of the site here, as every kind of visitor: the server does what
//! `tableside access --json` says.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{Ground, SITE};
use crate::harness::{Client, Folder, Request, Server, run};

#[test]
fn the_site_here_lets_in_whom_the_rules_do() {
    let ground = Ground::of(SITE, false);
    assert!(walk(&ground) > 200);
}

#[test]
fn a_site_of_all_kinds_of_rules_lets_in_whom_they_do() {
    let rules = [
        ("/a", "\"users\"", ""),
        ("/b", "\"confirmed\"", ""),
        ("/c", "[\"editor\", \"admin\"]", ""),
        ("/d", "\"editor\"", "hide = true\n"),
        ("/e", "\"confirmed\"", "methods = [\"POST\"]\n"),
        ("/f", "\"editor\"", "hide = true\nmethods = [\"DELETE\"]\n"),
        ("/g/**", "[\"confirmed\", \"clerk\"]", ""),
        ("/g/x", "\"admin\"", ""),
        ("/h", "[\"nobody-has-this\"]", ""),
        ("/files/**", "\"confirmed\"", "hide = true\n"),
    ];
    let mut toml = "[site]\nname = \"Walk\"\n\n[users]\nregister = \"open\"\n".to_string();
    for (path, allow, more) in rules {
        toml.push_str(&format!("\n[[access]]\npath = \"{path}\"\nallow = {allow}\n{more}"));
    }
    let folder = Folder::new(&[
        ("site.toml", toml.as_str()),
        ("migrations/0001_start.sql", "create table t (a text);\n"),
        ("public/files/a.txt", "a"),
        ("public/files/b.txt", "b"),
        ("public/open.txt", "o"),
        ("pages/g/[id].html", "g"),
        ("pages/g/x.html", "x"),
        ("pages/g/[id].patch.sql", "-- redirect: /\n-- name: a :exec\ninsert into t (a) values ('x');\n"),
    ]);
    for page in ["a", "b", "c", "d", "e", "f", "h", "i"] {
        folder.write(&format!("pages/{page}.html"), "a page");
        folder.write(&format!("pages/{page}.json.sql"), "-- name: n :value\nselect count(*) from t;\n");
        for method in ["post", "put", "delete"] {
            let sql = "-- redirect: /\n-- name: a :exec\ninsert into t (a) values ('x');\n";
            folder.write(&format!("pages/{page}.{method}.sql"), sql);
        }
    }
    let ground = Ground { folder, ..Ground::of(&[], false) };
    let ground = Ground { store: super::Store::Sqlite(ground.folder.file("data/site.db")), ..ground };
    assert!(walk(&ground) > 400);
}

#[test]
fn the_examples_let_in_whom_their_rules_do() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for example in fs::read_dir(examples).unwrap() {
        let example = example.unwrap().path();
        if !example.join("pages").is_dir() {
            continue;
        }
        let folder = Folder::new(&[]);
        copy(&example, folder.path());
        let store = super::Store::Sqlite(folder.file("data/site.db"));
        let asked = walk(&Ground { folder, store, sqlite: std::cell::OnceCell::new() });
        assert!(asked > 0, "{}", example.display());
    }
}

/// Copies a site without its data.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry: PathBuf = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            if entry.file_name().is_some_and(|name| name != "data") {
                fs::create_dir_all(&target).unwrap();
                copy(&entry, &target);
            }
        } else {
            fs::copy(&entry, &target).unwrap();
        }
    }
}

/// Asks for everything as everyone; tells how many requests that took.
fn walk(ground: &Ground) -> usize {
    let path = ground.folder.path().to_string_lossy().into_owned();
    let told = run(["access", &path, "--json", "--builtin"]);
    assert_eq!(told.code(), Some(0), "{told:?}");
    let told: Json = serde_json::from_str(&told.stdout).unwrap();
    let server = ground.serve(&["log.requests=false"]);
    let has_users = ground.number("select count(*) from sqlite_schema where name = '_accounts'") == 1;
    let roles = told["roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap().to_string());
    let kinds = ["anonymous", "users", "confirmed"].map(String::from).into_iter().chain(roles);
    let mut asked = 0;
    for kind in kinds.filter(|kind| has_users || kind == "anonymous") {
        let user = (kind != "anonymous").then(|| person(ground, &kind));
        for line in told["routes"].as_array().unwrap() {
            let method = line["method"].as_str().unwrap().replace("VISIT", "GET");
            let expected = line["allowed"][&kind].as_str().unwrap();
            for address in addresses(line) {
                let mut client = visitor(ground, &server, user);
                let answer = client.send(&Request::new(&method, &address)).unwrap();
                let place = format!("{method} {address} as {kind}: {} {}", answer.status, answer.text());
                // Such a row may not be there; what is hidden must always look so.
                let is_so = match expected {
                    "yes" => !matches!(answer.status, 401 | 403) && answer.status < 500,
                    "login" => answer.status == 401,
                    "confirm" | "no" => answer.status == 403,
                    "hidden" => answer.status == 404,
                    other => panic!("{other} is no verdict"),
                };
                assert!(is_so, "{place}\nthe rules say {expected}");
                asked += 1;
            }
        }
    }
    asked
}

/// A user of a kind: unconfirmed without a role, confirmed, or confirmed with one role.
fn person(ground: &Ground, kind: &str) -> i64 {
    let email = format!("{}@example.org", kind.to_lowercase());
    let roles: &[&str] = if matches!(kind, "users" | "confirmed") { &[] } else { &[kind] };
    ground.user_with(&email, kind != "users", None, roles)
}

/// A client with a session of its own: what it asks for may end it.
fn visitor(ground: &Ground, server: &Server, user: Option<i64>) -> Client {
    match user {
        Some(user) => ground.logged_in(server, user),
        None => server.client(),
    }
}

/// The addresses of a line: its files, or one that its pattern matches.
fn addresses(line: &Json) -> Vec<String> {
    if let Some(files) = line["addresses"].as_array() {
        return files.iter().map(|file| file.as_str().unwrap().replace(' ', "%20")).take(5).collect();
    }
    let route = line["route"].as_str().unwrap();
    let part = |part: &str| match part.find('[') {
        Some(_) if part.starts_with("[...") || part.starts_with("[[") => "x/y".to_string(),
        Some(at) => format!("{}1{}", &part[..at], part.split_once(']').map_or("", |(_, rest)| rest)),
        None => part.replace("**", "x"),
    };
    vec![route.split('/').map(part).collect::<Vec<_>>().join("/")]
}
