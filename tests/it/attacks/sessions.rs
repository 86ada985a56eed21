//! The session cookie: planted, made up, sent twice, changed, kept after it ended.

use super::{Ground, PASSWORD, log_in, on_both, secret, with_cookie};
use crate::harness::{Client, Request, Server};

on_both! {
    a_cookie_from_before_the_login_opens_nothing_after_it
    a_cookie_that_somebody_made_up_is_never_taken_on
    a_logout_ends_the_session_on_the_server
    another_user_in_the_same_browser_begins_anew
    a_new_password_ends_what_the_old_one_opened
    a_changed_cookie_is_nobodys
    a_key_of_another_visitor_tells_nothing
    behind_tls_only_the_cookie_of_the_host_counts
}

/// A visitor with something in the cart.
fn shopper(server: &Server, item: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.post("/cart", &[("item", item)]).status, 303);
    client
}

fn cart(client: &mut Client) -> String {
    let text = client.get("/cart").text();
    let (_, rest) = text.split_once("cart of ").unwrap();
    rest.split('.').next().unwrap().to_string()
}

fn a_cookie_from_before_the_login_opens_nothing_after_it(ground: &Ground) {
    let server = ground.serve(&[]);
    ground.user("ann@example.org");
    // The attacker has a session, and plants its cookie in the victim's browser.
    let mut attacker = shopper(&server, "bait");
    let planted = secret(&attacker);
    let mut victim = server.client();
    victim.cookies = attacker.cookies.clone();
    let id = "select session_id from _sessions";
    let before = ground.text(id);
    assert_eq!(log_in(&mut victim, "ann@example.org", PASSWORD).status, 303);
    assert_eq!(ground.text(id), before, "@session_id stays, so that the cart does");
    assert_ne!(secret(&victim), planted);
    assert_eq!(cart(&mut victim), "bait");
    assert!(victim.get("/notes").text().contains("ann@example.org"));
    let answer = attacker.get("/cart").text();
    assert!(answer.contains("cart of ."), "the old cookie still opens the session: {answer}");
    assert!(!attacker.get("/notes").text().contains("ann@example.org"));
    // A second login renews it again.
    let first = secret(&victim);
    assert_eq!(log_in(&mut victim, "ann@example.org", PASSWORD).status, 303);
    assert_ne!(secret(&victim), first);
    assert!(with_cookie(&server, "/cart", &format!("session={first}")).text().contains("cart of ."));
}

fn a_cookie_that_somebody_made_up_is_never_taken_on(ground: &Ground) {
    let server = ground.serve(&[]);
    ground.user("ann@example.org");
    let mut victim = server.client();
    victim.cookies = vec![("session".into(), "AAAAAAAAAAAAAAAAAAAAAA".into())];
    assert_eq!(victim.post("/cart", &[("item", "own")]).status, 303);
    assert_ne!(secret(&victim), "AAAAAAAAAAAAAAAAAAAAAA");
    victim.cookies = vec![("session".into(), "AAAAAAAAAAAAAAAAAAAAAA".into())];
    assert_eq!(log_in(&mut victim, "ann@example.org", PASSWORD).status, 303);
    assert_ne!(secret(&victim), "AAAAAAAAAAAAAAAAAAAAAA");
    let made_up = with_cookie(&server, "/account", "session=AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(made_up.status, 401, "{}", made_up.text());
    // Neither the id nor the hash, which a copy of the database shows, opens anything.
    let hash = ground.text("select secret_hash from _sessions where user_id is not null").replace("\\x", "");
    for known in [ground.text("select session_id from _sessions where user_id is not null"), hash] {
        assert_eq!(with_cookie(&server, "/account", &format!("session={known}")).status, 401, "{known}");
    }
}

fn a_logout_ends_the_session_on_the_server(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let (mut client, mut other) = (ground.logged_in(&server, ann), ground.logged_in(&server, ann));
    let kept = client.cookies.clone();
    let answer = client.post("/logout", &[]);
    assert_eq!(answer.status, 303);
    assert!(answer.headers.iter().any(|(_, value)| value.starts_with("session=;") && value.contains("Max-Age=0")));
    client.cookies = kept;
    assert_eq!(client.get("/account").status, 401);
    assert!(!client.get("/").text().contains("ann@"));
    assert_eq!(other.get("/notes").status, 200, "other sign-ins stay");
    // What is revoked from the list of sign-ins ends at once.
    let mut third = ground.logged_in(&server, ann);
    let handle = format!("handle-{}", secret(&other));
    let ended = third.send(&Request::new("DELETE", &format!("/account/sessions/{handle}"))).unwrap();
    assert_eq!(ended.status, 303, "{}", ended.text());
    assert_eq!(other.get("/notes").status, 401);
    // Nobody ends another's.
    let bob = ground.user("bob@example.org");
    let handle = format!("handle-{}", secret(&third));
    let mut attacker = ground.logged_in(&server, bob);
    attacker.send(&Request::new("DELETE", &format!("/account/sessions/{handle}"))).unwrap();
    assert_eq!(third.get("/notes").status, 200);
}

fn another_user_in_the_same_browser_begins_anew(ground: &Ground) {
    let server = ground.serve(&[]);
    let (ann, _) = (ground.user("ann@example.org"), ground.user("bob@example.org"));
    let mut client = ground.logged_in(&server, ann);
    assert_eq!(client.post("/cart", &[("item", "anns")]).status, 303);
    let id = || ground.text("select session_id from _sessions order by login_at desc limit 1");
    let anns = id();
    assert_eq!(log_in(&mut client, "bob@example.org", PASSWORD).status, 303);
    assert_ne!(id(), anns);
    assert_eq!(cart(&mut client), "");
    assert!(client.get("/").text().contains("bob@example.org"));
    assert_eq!(ground.number("select count(*) from _sessions"), 1, "what ann did there is ended");
}

fn a_new_password_ends_what_the_old_one_opened(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let (mut own, mut thief) = (ground.logged_in(&server, ann), ground.logged_in(&server, ann));
    // Somebody has a copy of the very cookie that changes the password.
    let mut copy = server.client();
    copy.cookies = own.cookies.clone();
    // Somebody has told the old password, and is about to give a code.
    let mut waiting = shopper(&server, "x");
    let held = "select session_id from _sessions where user_id is null";
    ground.run(&format!(
        "update _sessions set waiting_user_id = {ann}, waiting_until = '2099-01-01T00:00:00.000Z' where session_id = '{}'",
        ground.text(held)
    ));
    assert_eq!(waiting.get("/login/code").status, 200);
    let answer = own.post("/account/password", &[("password", PASSWORD), ("new_password", "eleven brown lamps")]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(own.get("/notes").status, 200);
    assert_eq!(thief.get("/notes").status, 401);
    assert_eq!(waiting.get("/login/code").status, 404, "who told the old password still waits for a code");
    assert_eq!(copy.get("/notes").status, 401, "a copy of the cookie still opens the session");
    assert_eq!(own.get("/notes").status, 200, "the copy took the session over");
    assert_eq!(log_in(&mut server.client(), "ann@example.org", PASSWORD).status, 422);
}

fn a_changed_cookie_is_nobodys(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let mut client = ground.logged_in(&server, ann);
    assert_eq!(log_in(&mut client, "ann@example.org", PASSWORD).status, 303);
    let right = secret(&client);
    let mut visitor = server.client();
    let mut ask = |cookie: &str| {
        let answer = visitor.send(&Request::new("GET", "/notes").header("Cookie", cookie)).unwrap();
        assert!(!answer.text().contains("ann@example.org"), "{cookie} opens");
        assert!(answer.status < 500, "{cookie}: {}", answer.status);
        answer.status
    };
    for at in 0..right.len() {
        for bit in 0..7 {
            let mut bytes = right.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if text.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b';') {
                assert_eq!(ask(&format!("session={text}")), 401);
            }
        }
        assert_eq!(ask(&format!("session={}", &right[..at])), 401);
        assert_eq!(ask(&format!("session={}{}", &right[..at], &right[at + 1..])), 401);
    }
    let long = "a".repeat(8 * 1024);
    for value in [
        format!("\"{right}\""),
        format!("{right}="),
        format!("{right}\u{e9}"),
        format!("{right} x"),
        format!("%{right}"),
        right.to_uppercase(),
        right.to_lowercase(),
        format!("{right}{long}"),
        long,
    ] {
        ask(&format!("session={value}"));
    }
    for cookie in [
        format!("Session={right}"),
        format!("__Host-session={right}"),
        format!("__Secure-session={right}"),
        format!(" session ={right}"),
        format!("xsession={right}"),
        format!("$Version=1; $session={right}"),
        "session".to_string(),
        "=;=;;".to_string(),
    ] {
        ask(&cookie);
    }
    assert!(with_cookie(&server, "/notes", &format!("session={right}")).text().contains("ann@example.org"));
    assert!(with_cookie(&server, "/notes", &format!("a=b;session={right};c=d")).text().contains("ann@example.org"));
}

/// The answer that is kept for a form's key, or a program's, is told to nobody else.
fn a_key_of_another_visitor_tells_nothing(ground: &Ground) {
    let server = ground.serve(&[]);
    let (ann, bob) = (ground.user("ann@example.org"), ground.user("bob@example.org"));
    let with_key = |client: &mut Client, path: &str, note: &str| {
        let request = Request::new("POST", path).header("Idempotency-Key", "1").header("Accept", "application/json");
        client.send(&request.form(&[("note", note), ("item", note)])).unwrap().text()
    };
    let (mut anns, mut bobs) = (ground.logged_in(&server, ann), ground.logged_in(&server, bob));
    assert!(with_key(&mut anns, "/api/notes", "of ann").contains("of ann"));
    assert!(with_key(&mut anns, "/api/notes", "again").contains("of ann"));
    assert!(with_key(&mut bobs, "/api/notes", "of bob").contains("of bob"));
    // Programs bring no cookie; their tokens part them.
    for (user, token) in [(ann, "token-of-ann"), (bob, "token-of-bob")] {
        let hash = tableside::accounts::token::hash(token);
        ground.run(&format!(
            "insert into _api_tokens (user_id, name, token_hash, access, paths, created_at) \
             values ({user}, 'x', '{hash}', 'write', '/**', '2026-01-01T00:00:00.000Z')"
        ));
    }
    let by_token = |token: &str, note: &str| {
        let request = Request::new("POST", "/api/notes").header("Idempotency-Key", "1");
        let request = request.header("Authorization", &format!("Bearer {token}")).header("Accept", "application/json");
        server.client().send(&request.form(&[("note", note)])).unwrap().text()
    };
    assert!(by_token("token-of-ann", "first of ann").contains("first of ann"));
    assert!(by_token("token-of-bob", "first of bob").contains("first of bob"), "a token's answer is another's");
    assert!(by_token("token-of-ann", "more of ann").contains("first of ann"));
    assert_eq!(ground.number("select count(*) from notes"), 4);
}

fn behind_tls_only_the_cookie_of_the_host_counts(ground: &Ground) {
    let server = ground.serve(&["server.proxies=127.0.0.1"]);
    let ann = ground.user("ann@example.org");
    let secret = ground.session(ann);
    let ask = |proto: &str, cookie: String| {
        let request =
            Request::new("GET", "/notes").header("X-Forwarded-Proto", proto).header("X-Forwarded-For", "192.0.2.7");
        server.client().send(&request.header("Cookie", &cookie)).unwrap().status
    };
    assert_eq!(ask("http", format!("session={secret}")), 200);
    assert_eq!(ask("https", format!("session={secret}")), 401, "a neighbour of the domain could have set it");
    assert_eq!(ask("https", format!("__Host-session={secret}")), 200);
    assert_eq!(ask("https", format!("session=x; __Host-session={secret}")), 200);
    assert_eq!(ask("https", format!("__host-session={secret}")), 401);
    let login = Request::new("POST", "/login").header("X-Forwarded-Proto", "https");
    let answer = server.client().send(&login.form(&[("email", "ann@example.org"), ("password", PASSWORD)])).unwrap();
    let cookie = answer.headers.iter().find(|(_, value)| value.starts_with("__Host-session=")).expect("a cookie");
    for part in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.1.contains(part), "{cookie:?}");
    }
    assert!(!cookie.1.contains("Domain"));
    // Without the word of a trusted proxy there is no TLS.
    let plain = ground.serve(&[]);
    let request = Request::new("GET", "/notes").header("X-Forwarded-Proto", "https");
    let answer = plain.client().send(&request.header("Cookie", &format!("__Host-session={secret}"))).unwrap();
    assert_eq!(answer.status, 401);
}

/// Of two cookies of one name, one planted by a neighbour, neither can be told to be the visitor's own.
#[test]
fn two_cookies_of_one_name_are_none() {
    let ground = Ground::sqlite();
    let server = ground.serve(&[]);
    let (ann, bob) = (ground.user("ann@example.org"), ground.user("bob@example.org"));
    let (anns, bobs) = (ground.session(ann), ground.session(bob));
    let ask = |cookie: String| with_cookie(&server, "/notes", &cookie);
    assert_eq!(ask(format!("session={anns}; session={bobs}")).status, 401);
    assert_eq!(ask(format!("session={anns}; x=y; session={anns}")).status, 200, "the same twice is no question");
    let twice = Request::new("GET", "/notes").header("Cookie", &format!("session={anns}"));
    let answer = server.client().send(&twice.header("Cookie", &format!("session={bobs}"))).unwrap();
    assert_eq!(answer.status, 401);
}

/// A message that somebody put into the cookie is shown as text, and no more of it than a message may be.
#[test]
fn a_forged_message_is_only_text() {
    let ground = Ground::sqlite();
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let mut client = ground.logged_in(&server, ann);
    let session = secret(&client);
    for (forged, shown) in [
        ("%3Cscript%3Ealert(1)%3C/script%3E", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<img/src=x/onerror=alert(1)>", "&lt;img"),
        ("%22%3E%7B%7B7*7%7D%7D", "{{7*7}}"),
        ("%00%0d%0aSet-Cookie:%20session=x", "Set-Cookie: session=x"),
    ] {
        let request = Request::new("GET", "/").header("Cookie", &format!("session={session}; flash={forged}"));
        let answer = client.send(&request).unwrap();
        let text = answer.text();
        assert_eq!(answer.status, 200);
        assert!(text.contains(shown), "{forged}: {text}");
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
        let cookies = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        assert!(cookies.clone().all(|(_, value)| value.starts_with("flash=;")), "{:?}", answer.headers);
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    }
    let long = "x".repeat(8 * 1024);
    let request = Request::new("GET", "/").header("Cookie", &format!("session={session}; flash={long}"));
    let answer = client.send(&request).unwrap();
    assert!(answer.status < 500 && answer.body.len() < 2000, "{} {}", answer.status, answer.body.len());
}
