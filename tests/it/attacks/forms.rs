//! Forms of other sites, methods under a cover, values that are the server's to say.

use serde_json::Value as Json;

use super::{Ground, PASSWORD, on_both};
use crate::harness::{Client, Request, Server, run};

on_both! {
    no_other_site_makes_a_browser_act
    asking_changes_nothing
    nobody_is_who_they_say_they_are
    a_method_under_a_cover_is_the_method
    other_ways_to_a_page_obey_its_rules
}

/// What the server counts for itself.
const COUNTS: [&str; 2] = ["_attempts", "_once"];

/// Every route of the site as (route, method).
fn routes(ground: &Ground) -> Vec<(String, String)> {
    let told = run(["access", &ground.folder.path().to_string_lossy(), "--json", "--builtin"]);
    let told: Json = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    let text = |json: &Json| json.as_str().unwrap().to_string();
    told["routes"].as_array().unwrap().iter().map(|line| (text(&line["route"]), text(&line["method"]))).collect()
}

/// An address that a route has.
fn address(route: &str) -> String {
    let parts = route.split('/').map(|part| match part.starts_with('[') {
        true => "1",
        false => part,
    });
    parts.collect::<Vec<_>>().join("/").replace("**", "a.txt")
}

fn no_other_site_makes_a_browser_act(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user_with("ann@example.org", true, Some(PASSWORD), &["admin", "editor"]);
    ground.run(&format!("insert into notes (user_id, note) values ({ann}, 'a note')"));
    let mut client = ground.logged_in(&server, ann);
    let before = ground.dump(&[]);
    let host = server.address().to_string();
    let foreign = [
        ("Sec-Fetch-Site", "cross-site".to_string()),
        ("Sec-Fetch-Site", "same-site".to_string()),
        ("Sec-Fetch-Site", "Cross-Site".to_string()),
        ("Sec-Fetch-Site", String::new()),
        ("Origin", "https://evil.example".to_string()),
        ("Origin", "null".to_string()),
        ("Origin", String::new()),
        ("Origin", format!("http://{host}.evil.example")),
        ("Origin", format!("http://evil.example/{host}")),
        ("Origin", format!("http://{host}@evil.example")),
        ("Origin", format!("http://x.{host}")),
        ("Origin", host.clone()),
    ];
    let fields = [
        ("email", "eve@example.org"),
        ("password", PASSWORD),
        ("new_password", "eleven brown lamps"),
        ("name", "x"),
        ("note", "x"),
        ("item", "x"),
        ("code", "000000"),
    ];
    let mut tried = 0;
    for (route, method) in routes(ground).into_iter().filter(|(_, method)| method != "GET") {
        let path = address(&route);
        for (name, value) in &foreign {
            let json = Request::new(&method, &path).header(name, value);
            let json = json.body("application/json", "{\"password\": \"x\", \"note\": \"x\"}");
            let form = Request::new(&method, &path).header(name, value).form(&fields);
            let hidden = [("_method", method.as_str()), ("name", "x"), ("password", PASSWORD)];
            let hidden = Request::new("POST", &path).header(name, value).form(&hidden);
            let text = Request::new(&method, &path).header(name, value).body("text/plain", "note=x");
            for request in [json, form, hidden, text] {
                let answer = client.send(&request).unwrap();
                assert!(
                    answer.status == 403 || answer.status == 405,
                    "{method} {path} with {name}: {value} gives {} {}",
                    answer.status,
                    answer.text()
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 1000, "{tried} requests");
    assert_eq!(ground.dump(&[]), before);
    // The site's own forms pass.
    let own = Request::new("POST", "/notes").header("Origin", &format!("http://{host}"));
    assert_eq!(client.send(&own.form(&[("note", "own")])).unwrap().status, 303);
}

fn asking_changes_nothing(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user_with("ann@example.org", true, Some(PASSWORD), &["admin", "editor"]);
    ground.run(&format!("insert into notes (user_id, note) values ({ann}, 'a note')"));
    for (purpose, place) in [("confirm", "x"), ("reset", "y"), ("email", "z")] {
        let hash = tableside::accounts::token::hash(place);
        ground.run(&format!(
            "insert into _links (token_hash, purpose, user_id, email, expires_at) \
             values ('{hash}', '{purpose}', {ann}, 'ann@example.org', '2099-01-01T00:00:00.000Z')"
        ));
    }
    let mut client = ground.logged_in(&server, ann);
    let before = ground.dump(&COUNTS);
    let query =
        "?_method=DELETE&name=eve&email=eve@example.org&password=x&new_password=eleven+brown+lamps&note=x&item=x&id=1";
    let mut paths: Vec<String> = routes(ground).into_iter().map(|(route, _)| address(&route)).collect();
    paths.extend(["/confirm/x", "/reset/y", "/account/email/z", "/-/mail", "/-/"].map(String::from));
    paths.sort();
    paths.dedup();
    for path in paths {
        for method in ["GET", "HEAD", "OPTIONS"] {
            for more in ["", query] {
                for htmx in [false, true] {
                    let mut request = Request::new(method, &format!("{path}{more}")).header("Accept", "text/html");
                    if htmx {
                        request = request.header("HX-Request", "true").header("HX-Target", "list");
                    }
                    request = request.header("X-HTTP-Method-Override", "DELETE");
                    let answer = client.send(&request).unwrap();
                    assert!(answer.status < 500, "{method} {path}{more}: {}", answer.text());
                }
            }
        }
    }
    assert_eq!(ground.dump(&COUNTS), before);
}

/// Two users with a note each, and clients of them.
fn two(ground: &Ground, server: &Server) -> ((i64, Client), (i64, Client)) {
    let (ann, bob) = (ground.user("ann@example.org"), ground.user("bob@example.org"));
    ground.run(&format!("insert into notes (user_id, note) values ({ann}, 'secret of ann'), ({bob}, 'secret of bob')"));
    ((ann, ground.logged_in(server, ann)), (bob, ground.logged_in(server, bob)))
}

fn nobody_is_who_they_say_they_are(ground: &Ground) {
    let server = ground.serve(&[]);
    let ((ann, _), (bob, mut client)) = two(ground, &server);
    let note = ground.number(&format!("select id from notes where user_id = {ann}"));
    let anns = ann.to_string();
    let names = [
        "user_id",
        "@user_id",
        "session_id",
        "@session_id",
        "visitor",
        "@visitor",
        "roles",
        "@roles",
        "user.id",
        "_user",
    ];
    // In the body, in the query, in JSON, in headers and in cookies.
    for name in names {
        let query = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
        for path in ["/notes", "/api/notes", &format!("/notes/{note}")] {
            let request = Request::new("GET", &format!("{path}?{query}={ann}")).header("X-User-Id", &anns);
            let answer = client.send(&request.header("Remote-User", "ann@example.org")).unwrap();
            assert!(!answer.text().contains("secret of ann"), "{path}?{query}={ann}: {}", answer.text());
        }
        let answer = client.post(&format!("/notes?{query}={ann}"), &[(name, &anns), ("note", "planted")]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let json = serde_json::json!({ name: ann, "note": "planted" }).to_string();
        let answer = client.send(&Request::new("POST", "/api/notes").body("application/json", json)).unwrap();
        assert!(matches!(answer.status, 200 | 303 | 422), "{}", answer.text());
        let fields = [(name, anns.as_str()), ("name", "planted")];
        assert_eq!(client.post("/account/name", &fields).status, 303);
        let fields = [(name, anns.as_str()), ("note", "planted")];
        client.post(&format!("/notes/{note}"), &fields);
    }
    assert_eq!(ground.number(&format!("select count(*) from notes where user_id = {ann}")), 1);
    assert_eq!(ground.text(&format!("select note from notes where user_id = {ann}")), "secret of ann");
    assert_eq!(ground.text(&format!("select name from users where id = {ann}")), "Name of ann@example.org");
    assert_eq!(ground.text(&format!("select name from users where id = {bob}")), "planted");
    // Another's rows of the account pages.
    ground.run(&format!(
        "insert into _api_tokens (user_id, name, token_hash, access, paths, created_at) \
         values ({ann}, 'anns token', 'h', 'read', '/**', '2026-01-01T00:00:00.000Z'); \
         insert into _passkeys (credential_id, user_id, public_key, counter, name, created_at) \
         values ('key-of-ann', {ann}, 'p', 0, 'anns key', '2026-01-01T00:00:00.000Z')"
    ));
    let token = ground.number("select id from _api_tokens");
    for path in [format!("/account/tokens/{token}"), "/account/passkeys/key-of-ann".to_string()] {
        client.send(&Request::new("DELETE", &path)).unwrap();
        client.post(&path, &[("_method", "DELETE")]);
    }
    for path in ["/account/tokens", "/account/passkeys", "/account"] {
        let text = client.get(path).text();
        assert!(!text.contains("anns token") && !text.contains("anns key") && !text.contains("ann@"), "{path}: {text}");
    }
    assert_eq!(ground.number("select count(*) from _api_tokens") + ground.number("select count(*) from _passkeys"), 2);
    client.send(&Request::new("DELETE", "/account/sessions")).unwrap();
    assert_eq!(ground.number(&format!("select count(*) from _sessions where user_id = {ann}")), 1);
}

fn a_method_under_a_cover_is_the_method(ground: &Ground) {
    let server = ground.serve(&[]);
    let ((_, mut client), _) = two(ground, &server);
    let note = ground.number("select min(id) from notes");
    let path = format!("/notes/{note}");
    for name in ["DELETE", "delete", "Delete", " DELETE", "DELETE ", "dElEtE"] {
        let answer = client.post(&path, &[("_method", name), ("note", "changed")]);
        assert!(matches!(answer.status, 403 | 303 | 422), "{name}: {}", answer.status);
    }
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n\
                     --b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--b--\r\n";
    let answer = client.send(&Request::new("POST", &path).body("multipart/form-data; boundary=b", multipart)).unwrap();
    assert_eq!(answer.status, 403);
    let twice = client.post(&path, &[("_method", "PUT"), ("_method", "DELETE"), ("note", "changed")]);
    assert!(matches!(twice.status, 303 | 403 | 405), "{}", twice.status);
    for body in ["{\"_method\": \"DELETE\", \"note\": \"changed\"}", "{\"_method\": \"delete\", \"note\": \"changed\"}"]
    {
        let answer = client.send(&Request::new("POST", &path).body("application/json", body)).unwrap();
        assert!(matches!(answer.status, 200 | 403 | 422), "{}", answer.status);
    }
    for query in ["?_method=DELETE", "?_method=delete", "?method=DELETE"] {
        client.post(&format!("{path}{query}"), &[("note", "changed")]);
    }
    for header in ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"] {
        let request = Request::new("POST", &path).header(header, "DELETE").form(&[("note", "changed")]);
        client.send(&request).unwrap();
    }
    let plain = client.send(&Request::new("DELETE", &path)).unwrap();
    assert_eq!(plain.status, 403);
    for odd in ["delete", "Delete", "DELETE,POST", "PROPFIND", "TRACE", "CONNECT"] {
        if let Ok(answer) = client.send(&Request::new(odd, &path)) {
            assert!(answer.status >= 400, "{odd}: {}", answer.status);
        }
    }
    assert_eq!(ground.number("select count(*) from notes"), 2, "a user deleted what only an admin may");
    assert_eq!(ground.number("select count(*) from notes where note = 'secret of bob'"), 1);
}

fn other_ways_to_a_page_obey_its_rules(ground: &Ground) {
    let server = ground.serve(&[]);
    let ((ann, mut client), _) = two(ground, &server);
    ground.run("insert into notes (user_id, note) select id, 'secret report' from users");
    let mut nobody = server.client();
    let paths = [
        "/notes",
        "/notes/",
        "/notes.json",
        "/notes.csv",
        "/notes.html",
        "/notes/index",
        "/notes/index.html",
        "/notes/index.json",
        "/notes/1",
        "/%6eotes",
        "/notes%2f",
        "//notes",
        "/./notes",
        "/x/../notes",
        "/notes;a=b",
        "/notes%00",
        "/NOTES",
        "/api/notes",
        "/api/notes.json",
        "/api//notes",
        "/reports/a.txt",
        "/reports//a.txt",
        "/reports/%61.txt",
        "/reports/./a.txt",
        "/account",
        "/account/",
        "/account.json",
        "/account/tokens",
        "/%61ccount",
        "/account%2ftokens",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "OPTIONS"] {
            for (name, value) in [
                ("Accept", "text/html"),
                ("Accept", "application/json"),
                ("Accept", "text/csv"),
                ("HX-Target", "list"),
                ("HX-Target", "main"),
                ("X-Original-URL", "/"),
                ("X-Rewrite-URL", "/"),
                ("Range", "bytes=0-9"),
                ("If-None-Match", "*"),
                ("X-Forwarded-For", "127.0.0.1"),
                ("X-Forwarded-User", "ann@example.org"),
            ] {
                let answer = nobody.send(&Request::new(method, path).header(name, value)).unwrap();
                let text = answer.text();
                assert!(!text.contains("secret") && !text.contains("ann@"), "{method} {path} with {name}: {text}");
                let refused = matches!(answer.status, 303 | 308 | 400 | 401 | 403 | 404);
                assert!(refused, "{method} {path} with {name}: {value} gives {}", answer.status);
            }
        }
    }
    // The reverse: another address in a header leads nobody to it.
    for header in ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix"] {
        let answer = client.send(&Request::new("GET", "/plain").header(header, "/staff")).unwrap();
        assert_eq!(answer.text(), "the same for all");
    }
    // What is hidden is hidden on all ways.
    for path in ["/staff", "/staff/", "/staff.json", "/%73taff", "/staff/index.html"] {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
            let answer = client.send(&Request::new(method, path).header("HX-Target", "main")).unwrap();
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
    ground.run(&format!("insert into _roles (user_id, role) values ({ann}, 'editor')"));
    assert_eq!(client.get("/staff").status, 200, "a role counts at once");
    ground.run("delete from _roles");
    assert_eq!(client.get("/staff").status, 404, "a role that was taken counts no more");
}
