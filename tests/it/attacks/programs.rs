//! Programs with API tokens: beyond their paths, beyond reading, after their end, with odd spellings.

use super::{Ground, on_both};
use crate::harness::{Answer, Request, Server};

on_both! {
    a_token_reaches_its_paths_and_nothing_else
    a_token_that_is_no_more_opens_nothing
    a_token_made_on_the_page_is_kept_as_a_hash
}

/// Puts a token of a user into the database.
fn token(ground: &Ground, user: i64, text: &str, access: &str, paths: &str) {
    let hash = tableside::accounts::token::hash(text);
    ground.run(&format!(
        "insert into _api_tokens (user_id, name, token_hash, access, paths, created_at, expires_at) values \
         ({user}, 'x', '{hash}', '{access}', '{paths}', '2026-01-01T00:00:00.000Z', '2099-01-01T00:00:00.000Z')"
    ));
}

fn ask(server: &Server, method: &str, path: &str, authorization: &str) -> Answer {
    let request = Request::new(method, path).header("Authorization", authorization);
    let request = if method == "GET" { request } else { request.form(&[("note", "by a program"), ("name", "x")]) };
    server.client().send(&request).unwrap()
}

fn a_token_reaches_its_paths_and_nothing_else(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user_with("ann@example.org", true, Some(super::PASSWORD), &["editor", "admin"]);
    ground.run(&format!("insert into notes (user_id, note) values ({ann}, 'a note')"));
    token(ground, ann, "read-api", "read", "/api/**");
    token(ground, ann, "write-api", "write", "/api/**");
    token(ground, ann, "write-all", "write", "/**");
    token(ground, ann, "nowhere", "write", "");
    let status = |method: &str, path: &str, token: &str| ask(&server, method, path, &format!("Bearer {token}")).status;
    assert_eq!(status("GET", "/api/notes", "read-api"), 200);
    assert_eq!(status("GET", "/%61pi/notes", "read-api"), 200, "decoded once, as the route");
    assert_eq!(status("POST", "/api/notes", "read-api"), 403);
    assert_eq!(status("POST", "/api/notes", "write-api"), 303);
    for path in [
        "/apix/notes",
        "/notes",
        "/notes/1",
        "/staff",
        "/",
        "/plain",
        "/account",
        "/api/../notes",
        "/api/%2e%2e/notes",
        "/api%2f..%2fnotes",
        "/api/..%2fnotes",
        "/API/notes",
        "/api;x/notes",
        "/reports/a.txt",
        "/cart",
        "/api/notes/../../notes",
    ] {
        let answer = ask(&server, "GET", path, "Bearer read-api");
        assert!(!answer.text().contains("note") && !answer.text().contains("secret"), "{path}: {}", answer.text());
        assert!(matches!(answer.status, 308 | 400 | 401 | 403 | 404), "{path}: {}", answer.status);
    }
    assert_eq!(status("GET", "/reports/a.txt", "write-all"), 200);
    assert_eq!(status("GET", "/reports/a.txt", "write-api"), 403);
    for path in ["/api/notes", "/notes", "/plain"] {
        assert_eq!(status("GET", path, "nowhere"), 403, "{path}");
    }
    // Where somebody looks after the account, a program never comes: it could make itself a longer life.
    let before = ground.dump(&["_attempts", "_security_log"]);
    for (method, path) in [
        ("GET", "/account"),
        ("GET", "/account/tokens"),
        ("POST", "/account/tokens"),
        ("POST", "/account/name"),
        ("POST", "/account/totp"),
        ("DELETE", "/account/sessions"),
        ("POST", "/logout"),
        ("POST", "/login"),
        ("GET", "/%61ccount/tokens"),
        ("POST", "/account/tokens/"),
    ] {
        let status = status(method, path, "write-all");
        assert!(matches!(status, 308 | 403 | 404), "{method} {path}: {status}");
    }
    let today = ground.dump(&["_attempts", "_security_log"]);
    assert_eq!(
        today.replace(&ground.text("select substr(cast(created_at as text), 1, 10) from users"), ""),
        before.replace(&ground.text("select substr(cast(created_at as text), 1, 10) from users"), "")
    );
    // Also not where the site has its own template in the place of the server's.
    drop(server);
    ground.folder.write("pages/account/tokens.html", "{% for t in tokens %}{{ t.name }}{% endfor %}");
    let server = ground.serve(&[]);
    for method in ["GET", "POST"] {
        let answer = ask(&server, method, "/account/tokens", "Bearer write-all");
        assert_eq!(answer.status, 403, "{method}: {}", answer.text());
    }
    assert_eq!(ground.number("select count(*) from _api_tokens"), 4);
}

fn a_token_that_is_no_more_opens_nothing(ground: &Ground) {
    let server = ground.serve(&[]);
    let (ann, bob) = (ground.user("ann@example.org"), ground.user("bob@example.org"));
    ground.run(&format!("insert into notes (user_id, note) values ({ann}, 'of ann'), ({bob}, 'of bob')"));
    token(ground, ann, "t0ken", "read", "/**");
    for right in ["Bearer t0ken", "bearer t0ken", "BEARER t0ken", "Bearer   t0ken", "Bearer t0ken "] {
        assert!(ask(&server, "GET", "/api/notes", right).text().contains("of ann"), "{right}");
    }
    let cookie = format!("session={}", ground.session(bob));
    let wrong = [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer T0KEN",
        "Bearer t0ken,",
        "Bearer \"t0ken\"",
        "Bearer t0ken t0ken",
        "Bearer\tx",
        "Bearer t0ke",
        "Bearer \u{e9}",
        "bearer null",
        "Bearer ' or 1=1 --",
    ];
    for wrong in wrong {
        for path in ["/api/notes", "/plain", "/", "/notes", "/account"] {
            let request = Request::new("GET", path).header("Authorization", wrong).header("Accept", "text/html");
            let answer = server.client().send(&request.clone()).unwrap();
            assert_eq!(answer.status, 401, "{wrong} at {path}");
            // A cookie beside it doesn't count: who sends a token means to be known by that.
            let answer = server.client().send(&request.header("Cookie", &cookie)).unwrap();
            assert_eq!(answer.status, 401, "{wrong} with a cookie at {path}");
        }
    }
    let hash = tableside::accounts::token::hash("t0ken");
    assert_eq!(ask(&server, "GET", "/api/notes", &format!("Bearer {hash}")).status, 401);
    for other in ["Basic dDBrZW46", "t0ken", "Token t0ken", "Bearert0ken", "Digest t0ken"] {
        assert_eq!(ask(&server, "GET", "/api/notes", other).status, 401, "{other}");
    }
    let both = Request::new("GET", "/api/notes").header("Authorization", "Bearer t0ken").header("Cookie", &cookie);
    let answer = server.client().send(&both).unwrap();
    assert!(answer.text().contains("of ann") && !answer.text().contains("of bob"), "the token decides");
    let twice =
        Request::new("GET", "/api/notes").header("Authorization", "Bearer t0ken").header("Authorization", "Bearer x");
    assert_eq!(server.client().send(&twice).unwrap().status, 401);
    for query in ["?access_token=t0ken", "?token=t0ken"] {
        assert_eq!(server.client().get(&format!("/api/notes{query}")).status, 401);
    }
    // Its end, and its user's.
    ground.run("update _api_tokens set expires_at = '2026-01-01T00:00:00.000Z'");
    assert_eq!(ask(&server, "GET", "/api/notes", "Bearer t0ken").status, 401);
    ground.run("update _api_tokens set expires_at = null");
    assert_eq!(ask(&server, "GET", "/api/notes", "Bearer t0ken").status, 200);
    let id = ground.number("select id from _api_tokens");
    let mut client = ground.logged_in(&server, ann);
    assert_eq!(client.post(&format!("/account/tokens/{id}"), &[("_method", "DELETE")]).status, 303);
    assert_eq!(ask(&server, "GET", "/api/notes", "Bearer t0ken").status, 401, "revoked");
    token(ground, ann, "t0ken", "read", "/**");
    ground.run(&format!(
        "delete from notes where user_id = {ann}; delete from _sessions; delete from users where id = {ann}"
    ));
    assert_eq!(ask(&server, "GET", "/api/notes", "Bearer t0ken").status, 401, "its user is gone");
}

fn a_token_made_on_the_page_is_kept_as_a_hash(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let mut client = ground.logged_in(&server, ann);
    let password = ("password", super::PASSWORD);
    let fields = [("name", "x"), ("access", "write"), ("paths", "/api/**"), ("days", "30"), password];
    let request = Request::new("POST", "/account/tokens").header("Accept", "application/json").form(&fields);
    let answer = client.send(&request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("cache-control").is_some_and(|control| control.contains("no-store")));
    let made: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let token = made["token"].as_str().unwrap();
    assert!(!ground.dump(&[]).contains(token));
    assert!(ground.dump(&[]).contains(&tableside::accounts::token::hash(token)));
    assert_eq!(ask(&server, "POST", "/api/notes", &format!("Bearer {token}")).status, 303);
    let until = ground.text("select expires_at from _api_tokens");
    assert!(until.len() == 24 && until.ends_with('Z') && until.contains('T'), "{until}");
    // Never for longer than a year, nor for ever.
    for days in ["0", "-1", "9999", "", "1e9"] {
        let fields = [("name", "x"), ("access", "write"), ("paths", "/**"), ("days", days), password];
        let answer = client.post("/account/tokens", &fields);
        assert!(answer.status == 422 || days.is_empty(), "{days}: {}", answer.status);
    }
    for access in ["admin", "WRITE", "read,write"] {
        let fields = [("name", "x"), ("access", access), ("paths", "/**"), ("days", "1"), password];
        assert_eq!(client.post("/account/tokens", &fields).status, 422, "{access}");
    }
    assert_eq!(ground.number("select count(*) from _api_tokens where expires_at is null"), 0);
}
