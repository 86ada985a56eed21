//! Guessing passwords and codes, as fast as the server lets anybody.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;

use super::{Ground, PASSWORD, log_in, on_both};
use crate::harness::{Answer, Client, Request, Server};

on_both! {
    a_sixth_guess_waits_and_waits_longer
    many_accounts_from_one_address_are_one_attack
    guesses_that_come_at_once_are_all_counted
    codes_can_be_guessed_a_few_times_only
    a_code_opens_once_also_at_the_same_moment
    messages_about_attacks_have_an_end
}

/// A login from an address that a trusted proxy tells.
fn guess(client: &mut Client, from: &str, email: &str, password: &str) -> Answer {
    let request = Request::new("POST", "/login").header("X-Forwarded-For", from);
    client.send(&request.form(&[("email", email), ("password", password)])).unwrap()
}

fn retry_after(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    answer.header("retry-after").expect("Retry-After").parse().unwrap()
}

/// Lets time go by for all counts of tries.
fn pass(ground: &Ground, seconds: u32) {
    let then = match ground.is_postgres() {
        true => format!(
            "to_char(since::timestamptz at time zone 'utc' - interval '{seconds} seconds', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        ),
        false => format!("strftime('%Y-%m-%dT%H:%M:%fZ', since, '-{seconds} seconds')"),
    };
    ground.run(&format!("update _attempts set since = {then}"));
}

fn a_sixth_guess_waits_and_waits_longer(ground: &Ground) {
    let server = ground.serve(&["server.proxies=127.0.0.1"]);
    ground.user("ann@example.org");
    let mut client = server.client();
    let mut wrong = |from: &str| guess(&mut client, from, "ann@example.org", "a wrong password");
    for _ in 0..5 {
        assert_eq!(wrong("192.0.2.1").status, 422);
    }
    let mut waits = Vec::new();
    for _ in 0..6 {
        // The next one is tried; the one after it waits.
        let tried = wrong("192.0.2.1");
        assert_eq!(tried.status, 422, "{}", tried.text());
        let refused = wrong("192.0.2.1");
        let wait = retry_after(&refused);
        waits.push(wait);
        if waits.len() < 6 {
            pass(ground, u32::try_from(wait).unwrap() + 1);
        }
    }
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0]) && waits[5] >= 25, "{waits:?}");
    // The right password doesn't get in during the wait: the answer would tell that it is right.
    assert_eq!(guess(&mut client, "192.0.2.1", "ann@example.org", PASSWORD).status, 429);
    // Other spellings are the same account.
    assert_eq!(guess(&mut client, "192.0.2.1", " ANN@Example.org ", PASSWORD).status, 429);
    // What a client writes itself is left of what the proxy adds.
    assert_eq!(guess(&mut client, "203.0.113.9, 192.0.2.1", "ann@example.org", PASSWORD).status, 429);
    // An address that is somebody else's gets in.
    let owner = guess(&mut server.client(), "192.0.2.200", "ann@example.org", PASSWORD);
    assert_eq!(owner.status, 303, "{}", owner.text());
    pass(ground, 120);
    assert_eq!(guess(&mut client, "192.0.2.1", "ann@example.org", PASSWORD).status, 303);
    assert!(ground.number("select count(*) from _security_log where event = 'login_failed'") >= 11);
    assert!(
        ground.number("select count(*) from _security_log where event = 'login_delayed' and email = 'ann@example.org'")
            >= 6
    );
    assert_eq!(ground.number("select count(*) from outbox where recipient = 'boss@example.org'"), 1);
    assert_eq!(ground.number("select count(*) from outbox"), 1);
    // Nothing secret is written down.
    let log = ground.text("select coalesce(max(detail), '') from _security_log");
    assert!(!log.contains("wrong") && !log.contains(PASSWORD));

    // A header that no trusted proxy vouches for changes nothing.
    let open = ground.serve(&[]);
    ground.user("bob@example.org");
    let mut client = open.client();
    for number in 0..6 {
        assert_eq!(
            guess(&mut client, &format!("192.0.2.{number}"), "bob@example.org", "wrong wrong wrong").status,
            422
        );
    }
    assert_eq!(guess(&mut client, "192.0.2.99", "bob@example.org", PASSWORD).status, 429);
}

fn many_accounts_from_one_address_are_one_attack(ground: &Ground) {
    let server = ground.serve(&["server.proxies=127.0.0.1"]);
    ground.user("ann@example.org");
    let mut client = server.client();
    let mut refused = 0;
    for number in 0..36 {
        // IPv6: the whole network is one customer's.
        let from = format!("2001:db8:1:2::{number:x}");
        let answer = guess(&mut client, &from, &format!("somebody{number}@example.org"), "a wrong password");
        assert!(matches!(answer.status, 422 | 429));
        refused += usize::from(answer.status == 429);
    }
    assert!(refused >= 1, "36 accounts were tried from one network");
    ground.run("update _attempts set since = '2099-01-01T00:00:00.000Z' where count >= 31");
    assert_eq!(guess(&mut client, "2001:db8:1:2::ffff", "ann@example.org", PASSWORD).status, 429);
    assert_eq!(guess(&mut client, "2001:db8:1:3::1", "ann@example.org", PASSWORD).status, 303);
}

/// Requests that are under way together must not all find the count of before; over two nodes where there are two.
fn guesses_that_come_at_once_are_all_counted(ground: &Ground) {
    let one = ground.serve(&[]);
    let second = ground.is_postgres().then(|| ground.serve(&[]));
    let two: &Server = second.as_ref().unwrap_or(&one);
    ground.user("ann@example.org");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let server = if number % 2 == 0 { &one } else { two };
                scope.spawn(move || log_in(&mut server.client(), "ann@example.org", "a wrong password").status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 422 | 429 | 503)), "{statuses:?}");
    let tried = statuses.iter().filter(|status| **status == 422).count();
    assert!(tried <= 8, "{tried} of 16 guesses at once were tried: {statuses:?}");
    let counted = ground.number("select max(count) from _attempts");
    assert!(counted >= i64::try_from(tried).unwrap(), "{tried} were tried, {counted} counted");
    // The wait is a moment so far; what was counted holds on both nodes.
    ground.run("update _attempts set since = '2099-01-01T00:00:00.000Z'");
    assert_eq!(log_in(&mut two.client(), "ann@example.org", PASSWORD).status, 429);
    assert_eq!(log_in(&mut one.client(), "ann@example.org", PASSWORD).status, 429);
}

/// The code of an authenticator app for the time step `ahead` of now (RFC 6238).
fn code(ahead: i64) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345678901234567890");
    let tag = hmac::sign(&key, &(seconds / 30 + ahead).to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// An account with a second factor and two recovery codes.
fn with_second_factor(ground: &Ground) -> i64 {
    let ann = ground.user("ann@example.org");
    ground.run(
        "update _accounts set totp_secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ', totp_at = '2026-01-01T00:00:00.000Z'",
    );
    for recovery in ["k7m02x1d9hfp", "aaaabbbbcccc"] {
        let hash = tableside::accounts::totp::recovery_hash(recovery);
        ground.run(&format!("insert into _recovery_codes (user_id, code_hash) values ({ann}, '{hash}')"));
    }
    ann
}

/// A client that has told the password.
fn waiting(server: &Server) -> Client {
    let mut client = server.client();
    let answer = log_in(&mut client, "ann@example.org", PASSWORD);
    assert!(answer.header("location").is_some_and(|to| to.starts_with("/login/code")), "{answer:?}");
    assert_eq!(client.get("/notes").status, 401, "the password alone is not enough");
    assert_eq!(client.get("/account").status, 401);
    client
}

fn codes_can_be_guessed_a_few_times_only(ground: &Ground) {
    let server = ground.serve(&[]);
    with_second_factor(ground);
    let mut client = waiting(&server);
    let right = [code(-1), code(0), code(1), code(2)];
    let wrong = (0..1_000_000).map(|n| format!("{n:06}")).filter(|code| !right.contains(code));
    let mut statuses = Vec::new();
    for guess in wrong.take(8) {
        statuses.push(client.post("/login/code", &[("code", &guess)]).status);
    }
    assert_eq!(&statuses[..6], &[422; 6]);
    assert!(statuses[6..].contains(&429), "{statuses:?}");
    // Another session of the same attacker counts on.
    ground.run("update _attempts set since = '2099-01-01T00:00:00.000Z' where count > 5");
    let mut again = waiting(&server);
    assert_eq!(again.post("/login/code", &[("code", &code(0))]).status, 429);
    ground.run("delete from _attempts");
    // A recovery code opens once, however it is typed.
    assert_eq!(again.post("/login/code", &[("code", "K7M0-2x1d 9HFP")]).status, 303);
    assert_eq!(again.get("/notes").status, 200);
    let mut third = waiting(&server);
    assert_eq!(third.post("/login/code", &[("code", "k7m02x1d9hfp")]).status, 422);
    assert_eq!(ground.number("select count(*) from _recovery_codes"), 1);
    // Nobody gives a code without having told a password.
    assert!(matches!(server.client().post("/login/code", &[("code", &code(0))]).status, 404 | 422));
}

fn a_code_opens_once_also_at_the_same_moment(ground: &Ground) {
    let one = ground.serve(&[]);
    let second = ground.is_postgres().then(|| ground.serve(&[]));
    let two: &Server = second.as_ref().unwrap_or(&one);
    with_second_factor(ground);
    for code in [code(0), "aaaa-bbbb-cccc".to_string()] {
        let mut clients: Vec<Client> = (0..4).map(|at| waiting(if at % 2 == 0 { &one } else { two })).collect();
        let code = &code;
        let opened: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(|| client.post("/login/code", &[("code", code)]).status))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(opened.iter().filter(|status| **status == 303).count(), 1, "{opened:?}");
        assert!(opened.iter().all(|status| matches!(status, 303 | 409 | 422)), "{opened:?}");
        assert_eq!(
            clients.iter_mut().map(|client| client.get("/notes").status).filter(|status| *status == 200).count(),
            1
        );
        ground.run("delete from _attempts");
        let mut late = waiting(&one);
        assert_eq!(late.post("/login/code", &[("code", code)]).status, 422);
        ground.run("delete from _attempts; delete from _sessions");
    }
}

/// Whoever tries many accounts doesn't fill the operator's mailbox.
fn messages_about_attacks_have_an_end(ground: &Ground) {
    let server = ground.serve(&[]);
    let began = Instant::now();
    let mut client = server.client();
    assert_eq!(guess(&mut client, "", "first@example.org", "a wrong password").status, 422);
    ground.run("update _attempts set count = 1000, since = '2099-01-01T00:00:00.000Z'");
    for number in 0..30 {
        let email = format!("somebody{number}@example.org");
        assert_eq!(guess(&mut client, "", &email, "a wrong password").status, 429);
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    let told = ground.number("select count(*) from outbox where recipient = 'boss@example.org'");
    assert!((1..=10).contains(&told), "{told} messages");
}
