//! Who has an account? No answer may tell, neither by its bytes nor by its time.

use std::time::{Duration, Instant};

use super::{Ground, PASSWORD, on_both};
use crate::harness::{Answer, Client};

on_both! {
    answers_are_the_same_for_all_addresses
    the_time_tells_nothing
}

const KNOWN: &str = "known@example.org";
const UNKNOWN: &str = "never@example.org";

fn people(ground: &Ground) {
    ground.user(KNOWN);
    ground.user_with("unconfirmed@example.org", false, Some(PASSWORD), &[]);
    ground.user_with("nopassword@example.org", true, None, &[]);
    ground.user_with("second@example.org", true, Some(PASSWORD), &[]);
    ground.run(
        "update _accounts set totp_at = '2026-01-01T00:00:00.000Z', totp_secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ' \
         where user_id = (select id from users where email = 'second@example.org')",
    );
}

/// All that somebody sees of an answer; what differs by chance is blotted out.
fn seen(answer: &Answer, email: &str) -> String {
    let headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| {
            !matches!(name.to_ascii_lowercase().as_str(), "date" | "etag" | "x-request-id" | "content-length")
        })
        .map(|(name, value)| match name.eq_ignore_ascii_case("set-cookie") {
            true => format!("{name}: {}", blotted(value)),
            false => format!("{name}: {value}"),
        })
        .collect();
    format!("{}\n{}\n{}", answer.status, headers.join("\n"), answer.text().replace(email, "EMAIL"))
}

/// A cookie without its value.
fn blotted(cookie: &str) -> String {
    let (name, rest) = cookie.split_once('=').unwrap();
    format!("{name}=…{}", &rest[rest.find(';').unwrap_or(rest.len())..])
}

fn answers_are_the_same_for_all_addresses(ground: &Ground) {
    let server = ground.serve(&["server.proxies=127.0.0.1"]);
    people(ground);
    let addresses = [
        KNOWN,
        "xxxxx@example.org",
        "unconfirmed@example.org",
        "nopassword@example.org",
        "second@example.org",
        UNKNOWN,
    ];
    for (path, more) in [
        ("/login", vec![("password", "a wrong password")]),
        ("/forgot", vec![]),
        ("/register", vec![("password", "orchard lantern fifty"), ("name", "X")]),
    ] {
        let mut answers = Vec::new();
        for (number, email) in addresses.iter().enumerate() {
            let messages = ground.number("select count(*) from outbox");
            let mut fields = vec![("email", *email)];
            fields.extend(more.iter().copied());
            let request =
                crate::harness::Request::new("POST", path).header("X-Forwarded-For", &format!("192.0.2.{number}"));
            let mut client = server.client();
            let answer = client.send(&request.form(&fields)).unwrap();
            let written = ground.number("select count(*) from outbox") - messages;
            assert_eq!(written, i64::from(path != "/login"), "{path} for {email}");
            answers.push((email, seen(&answer, email), answer));
        }
        let expected = if path == "/login" { 422 } else { 303 };
        for (email, text, answer) in &answers {
            assert_eq!(answer.status, expected, "{path} for {email}: {text}");
            assert_eq!(text, &answers[0].1, "{path} for {email}");
        }
        // As a program reads it.
        let mut told: Vec<String> = Vec::new();
        for (number, email) in [KNOWN, "yyyyy@example.org"].iter().enumerate() {
            let mut fields = vec![("email", *email)];
            fields.extend(more.iter().copied());
            let request = crate::harness::Request::new("POST", path).header("Accept", "application/json");
            let request = request.header("X-Forwarded-For", &format!("198.51.100.{number}"));
            told.push(seen(&server.client().send(&request.form(&fields)).unwrap(), email));
        }
        assert_eq!(told[0], told[1], "{path}");
    }
    // Where they lead tells nothing, either.
    for path in ["/forgot/sent", "/register/sent"] {
        assert_eq!(server.client().get(path).status, 200);
    }
}

/// How long a request takes.
fn took(client: &mut Client, path: &str, from: usize, fields: &[(&str, &str)]) -> Duration {
    let address = format!("10.{}.{}.{}", from >> 16 & 255, from >> 8 & 255, from & 255);
    let request = crate::harness::Request::new("POST", path).header("X-Forwarded-For", &address).form(fields);
    let began = Instant::now();
    let answer = client.send(&request).unwrap();
    let time = began.elapsed();
    assert!(matches!(answer.status, 422 | 303), "{path}: {} {}", answer.status, answer.text());
    time
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Times of known and unknown addresses, taken in turn so that what else the machine does falls on both.
fn the_time_tells_nothing(ground: &Ground) {
    let server = ground.serve(&["server.proxies=127.0.0.1"]);
    // More attempts than one: what differs by chance differs otherwise each time, a secret always the same way.
    let (attempts, rounds) = (6, 14);
    let accounts: Vec<String> = (0..attempts * rounds).map(|number| format!("known{number}@example.org")).collect();
    let made = if ground.is_postgres() { &accounts[..1] } else { &accounts[..] };
    for email in made {
        ground.user(email);
    }
    if ground.is_postgres() {
        // A process a statement would take long: one for all of them.
        ground.run(
            "insert into users (email, name) select 'known' || n || '@example.org', 'x' from generate_series(1, 100) n; \
             insert into _accounts (user_id, password_hash, password_at) select u.id, a.password_hash, a.password_at \
             from users u, _accounts a on conflict do nothing",
        );
    }
    let mut next = 0;
    for (path, allowed, password) in [("/login", 0.15, "a wrong password"), ("/forgot", 0.35, "")] {
        let mut ratio = f64::MAX;
        for attempt in 0..attempts {
            let mut client = server.client();
            let (mut known, mut unknown) = (Vec::new(), Vec::new());
            for round in 0..rounds {
                let exists = &accounts[attempt * rounds + round];
                let missing = exists.replace("known", if path == "/login" { "nobod" } else { "nemos" });
                let mut ask = |email: &str, times: &mut Vec<Duration>| {
                    next += 1;
                    let fields = [("email", email), ("password", password)];
                    times.push(took(&mut client, path, next, &fields));
                };
                // The order alternates, or the second would always find the machine warmer.
                if round % 2 == 0 {
                    ask(exists, &mut known);
                    ask(&missing, &mut unknown);
                } else {
                    ask(&missing, &mut unknown);
                    ask(exists, &mut known);
                }
            }
            let (known, unknown) = (median(known), median(unknown));
            ratio = (known / unknown - 1.0).abs();
            if ratio <= allowed {
                break;
            }
        }
        assert!(ratio <= allowed, "{path}: known and unknown addresses differ by {:.0} %", ratio * 100.0);
    }
}
