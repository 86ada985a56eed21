//! A cache in front of the site: what it may keep must be the same for everybody.

use std::collections::HashMap;

use super::{Ground, on_both};
use crate::harness::{Answer, Client, Request, Server};

on_both! {
    pages_of_one_visitor_are_kept_by_nobody
    a_shared_cache_never_gives_one_users_page_to_another
}

fn control(answer: &Answer) -> String {
    answer.header("cache-control").unwrap_or("").to_string()
}

fn pages_of_one_visitor_are_kept_by_nobody(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user_with("ann@example.org", true, Some(super::PASSWORD), &["editor"]);
    ground.run(&format!("insert into notes (user_id, note) values ({ann}, 'a secret')"));
    let mut client = ground.logged_in(&server, ann);
    client.post("/cart", &[("item", "x")]);
    for path in [
        "/",
        "/notes",
        "/cart",
        "/account",
        "/account/tokens",
        "/staff",
        "/nowhere",
        "/notes/1",
        "/api/notes",
        "/login",
    ] {
        for (name, value) in [("Accept", "text/html"), ("Accept", "application/json"), ("HX-Target", "list")] {
            let answer = client.send(&Request::new("GET", path).header(name, value)).unwrap();
            let shows = answer.text().contains("ann@") || answer.text().contains("secret");
            let sets = answer.header("set-cookie").is_some();
            let control = control(&answer);
            if shows || sets || path.starts_with("/account") {
                assert!(control.contains("no-store") || control == "private, no-cache", "{path}: {control}");
            }
            assert!(!control.contains("public") && !control.contains("s-maxage"), "{path}: {control}");
            if shows {
                assert!(control.contains("private") || control == "no-store", "{path}: {control}");
            }
        }
    }
    // The answer to somebody who isn't logged in is not for those who are.
    let mut nobody = server.client();
    for path in ["/", "/notes", "/account", "/reports/a.txt", "/cart"] {
        let answer = nobody.send(&Request::new("GET", path).header("Accept", "text/html")).unwrap();
        let control = control(&answer);
        assert!(control.contains("private") || control.contains("no-store"), "{path}: {} {control}", answer.status);
    }
    assert_eq!(control(&client.get("/reports/a.txt")), "private, no-cache");
    let answer = client.send(&Request::new("GET", "/reports/a.txt").header("Range", "bytes=0-3")).unwrap();
    assert!(control(&answer).contains("private"), "{:?}", answer.headers);
    assert!(
        control(&client.get("/app.css")).contains("no-cache") || control(&client.get("/app.css")).contains("public")
    );
    for (path, fields) in [("/login", vec![("email", "ann@example.org"), ("password", "x")]), ("/logout", vec![])] {
        assert!(control(&client.post(path, &fields)).contains("no-store"), "{path}");
    }
}

/// An answer with the headers of the request that it was chosen by.
type Kept = (Vec<(String, String)>, Answer);

/// A shared cache by RFC 9111: keeps what it may, for as long as it is told, or until it is asked for and unchanged.
#[derive(Default)]
struct Cache {
    kept: HashMap<String, Vec<Kept>>,
    hits: usize,
}

impl Cache {
    fn get(&mut self, client: &mut Client, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut asked: Vec<(String, String)> =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
        if let Some(cookies) = client.cookies.first() {
            asked.push(("cookie".into(), format!("{}={}", cookies.0, cookies.1)));
        }
        let of = |name: &str| {
            asked.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, value)| value.clone())
        };
        let mut request = Request::new("GET", path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let kept = self.kept.get(path).and_then(|all| {
            all.iter()
                .rev()
                .find(|(by, _)| by.iter().all(|(name, value)| of(name) == *value))
                .map(|(_, answer)| answer.clone())
        });
        if let Some(kept) = &kept {
            let lives = control(kept).split(',').any(|word| {
                let word = word.trim();
                word.strip_prefix("max-age=").or(word.strip_prefix("s-maxage=")).is_some_and(|age| age != "0")
            });
            if lives && !control(kept).contains("no-cache") {
                self.hits += 1;
                return kept.clone();
            }
            if let Some(etag) = kept.header("etag") {
                request = request.header("If-None-Match", etag);
            }
        }
        let answer = client.send(&request).unwrap();
        if let (304, Some(kept)) = (answer.status, kept) {
            self.hits += 1;
            return kept;
        }
        let control = control(&answer);
        let vary: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("vary"))
            .flat_map(|(_, value)| value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>())
            .collect();
        // 404 and the like may be kept as well, by what a cache guesses (RFC 9111, 4.2.2).
        let may = !control.contains("private") && !control.contains("no-store") && !vary.contains(&"*".to_string());
        if may && matches!(answer.status, 200 | 301 | 308 | 404 | 405 | 410 | 414) {
            let by = vary.iter().map(|name| (name.clone(), of(name))).collect();
            self.kept.entry(path.to_string()).or_default().push((by, answer.clone()));
        }
        answer
    }
}

fn a_shared_cache_never_gives_one_users_page_to_another(ground: &Ground) {
    let server: Server = ground.serve(&[]);
    let mut clients: Vec<(String, Client)> = vec![("nobody@example.org".into(), server.client())];
    for name in ["ann", "bob", "eve"] {
        let email = format!("{name}@example.org");
        let id = ground.user_with(&email, true, None, if name == "eve" { &["editor"] } else { &[] });
        ground.run(&format!("insert into notes (user_id, note) values ({id}, 'word of {email}')"));
        clients.push((email, ground.logged_in(&server, id)));
    }
    let mut cache = Cache::default();
    let paths = [
        "/",
        "/plain",
        "/app.css",
        "/notes",
        "/notes.json",
        "/api/notes",
        "/account",
        "/staff",
        "/reports/a.txt",
        "/cart",
        "/nowhere",
        "/notes/1",
        "/notes/",
        "/login",
        "/login?next=/notes",
        "/account/tokens",
    ];
    for round in 0..4 {
        for path in paths {
            for turn in 0..clients.len() {
                let count = clients.len();
                let (email, client) = &mut clients[(turn + round) % count];
                for headers in [
                    &[("Accept", "text/html")][..],
                    &[("Accept", "application/json")],
                    &[("HX-Target", "list")],
                    &[("HX-Target", "main")],
                ] {
                    let answer = cache.get(client, path, headers);
                    let text = format!("{}\n{:?}", answer.text(), answer.headers);
                    for (at, _) in text.match_indices("@example.org") {
                        let (shown, _) = text.split_at(at + "@example.org".len());
                        assert!(shown.ends_with(email.as_str()), "{email} sees {path} of another: {text}");
                    }
                    let nobody = email.starts_with("nobody");
                    let secret = path == "/reports/a.txt" && answer.text().contains("secret");
                    assert!(!(nobody && secret), "a report of a cache");
                    let staff = answer.text().contains("for the staff");
                    assert!(!staff || email.starts_with("eve"), "{email} sees the staff's page");
                }
            }
        }
    }
    assert!(cache.hits > 20, "the cache kept nothing: {}", cache.hits);
}
