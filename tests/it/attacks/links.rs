//! Links of mails: guessed, used twice, used for something else, read from a copy of the database, kept for later.

use super::{Ground, PASSWORD, log_in, on_both};
use crate::harness::{Client, Server};

on_both! {
    a_reset_link_opens_once_and_ends_the_rest
    a_link_opens_once_also_at_the_same_moment
    a_link_is_good_for_its_own_purpose_alone
    a_link_ends
    only_the_message_holds_the_token
    the_log_holds_no_token
    a_link_to_an_address_of_before_opens_nothing
    nobody_invites_twice_by_one_link
}

const NEW: &str = "eleven brown lamps";

/// A link that was asked for by an e-mail address.
fn forgotten(ground: &Ground, server: &Server, email: &str) -> String {
    assert_eq!(server.client().post("/forgot", &[("email", email)]).status, 303);
    ground.link(email)
}

fn reset(client: &mut Client, link: &str, password: &str) -> u16 {
    client.post(link, &[("new_password", password)]).status
}

fn a_reset_link_opens_once_and_ends_the_rest(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let bob = ground.user("bob@example.org");
    let (mut thief, mut other) = (ground.logged_in(&server, ann), ground.logged_in(&server, bob));
    let (first, second) =
        (forgotten(ground, &server, "ann@example.org"), forgotten(ground, &server, "ann@example.org"));
    assert_ne!(first, second);
    let mut client = server.client();
    // Programs that look into mails open links, too.
    assert_eq!((client.get(&second).status, client.get(&second).status), (200, 200));
    // What doesn't pass uses nothing up.
    assert_eq!(reset(&mut client, &second, "short"), 422);
    assert_eq!(reset(&mut client, &second, NEW), 303);
    assert_eq!(reset(&mut client, &second, "yet another one here"), 422);
    assert_eq!(reset(&mut client, &first, "yet another one here"), 422, "an older link still counts");
    assert_eq!(thief.get("/notes").status, 401, "a session outlived the old password");
    assert_eq!(other.get("/notes").status, 200);
    assert_eq!(log_in(&mut client, "ann@example.org", PASSWORD).status, 422);
    assert_eq!(log_in(&mut client, "ann@example.org", NEW).status, 303);
    assert_eq!(log_in(&mut server.client(), "bob@example.org", PASSWORD).status, 303);
    assert!(
        ground
            .text("select template from outbox where recipient = 'ann@example.org' order by id desc limit 1")
            .contains("password_changed")
    );
}

fn a_link_opens_once_also_at_the_same_moment(ground: &Ground) {
    let one = ground.serve(&[]);
    let second = ground.is_postgres().then(|| ground.serve(&[]));
    let two: &Server = second.as_ref().unwrap_or(&one);
    ground.user("ann@example.org");
    let link = forgotten(ground, &one, "ann@example.org");
    let link = &link;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let mut client = if number % 2 == 0 { one.client() } else { two.client() };
                scope.spawn(move || reset(&mut client, link, &format!("lamps of number {number}")))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    let winner = statuses.iter().position(|status| *status == 303).unwrap();
    let right = log_in(&mut one.client(), "ann@example.org", &format!("lamps of number {winner}"));
    assert_eq!(right.status, 303);
    assert_eq!(ground.number("select count(*) from _security_log where event = 'password_reset'"), 1);
}

fn a_link_is_good_for_its_own_purpose_alone(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user_with("ann@example.org", false, Some(PASSWORD), &[]);
    for purpose in ["confirm", "reset", "email", "invite"] {
        let hash = tableside::accounts::token::hash(&format!("token-for-{purpose}"));
        ground.run(&format!(
            "insert into _links (token_hash, purpose, user_id, email, expires_at) values \
             ('{hash}', '{purpose}', {}, 'ann@example.org', '2099-01-01T00:00:00.000Z')",
            if purpose == "invite" { "null".to_string() } else { ann.to_string() }
        ));
    }
    let before = ground.dump(&["_attempts", "_security_log", "_sessions"]);
    let mut client = ground.logged_in(&server, ann);
    for purpose in ["confirm", "reset", "email", "invite", "none"] {
        let token = format!("token-for-{purpose}");
        for (place, for_this) in
            [("/confirm/", "confirm"), ("/reset/", "reset"), ("/account/email/", "email"), ("/invite/", "invite")]
        {
            if for_this != purpose {
                let answer = client.post(&format!("{place}{token}"), &[("new_password", NEW), ("password", NEW)]);
                assert!(matches!(answer.status, 404 | 422), "{purpose} at {place}: {}", answer.status);
            }
        }
    }
    for guess in ["", "/", "%25", "_", "*", "null", "%00", "' or 1=1 --"] {
        let path = format!("/reset/{}", guess.replace(' ', "%20"));
        let status = client.post(&path, &[("new_password", NEW)]).status;
        assert!(matches!(status, 308 | 400 | 404 | 405 | 422), "{path}: {status}");
    }
    assert_eq!(ground.dump(&["_attempts", "_security_log", "_sessions"]), before);
    // Of somebody else's change of address, the link alone is worth nothing.
    let bob = ground.user("bob@example.org");
    let mut attacker = ground.logged_in(&server, bob);
    assert!(matches!(attacker.post("/account/email/token-for-email", &[]).status, 404 | 422));
    // The id of an account in place of its token, and the hash in place of what it is of.
    let hash = ground.text("select token_hash from _links where purpose = 'reset'");
    assert_eq!(reset(&mut client, &format!("/reset/{hash}"), NEW), 422);
    assert_eq!(client.post("/confirm/token-for-confirm", &[]).status, 303);
    assert_eq!(reset(&mut client, "/reset/token-for-reset", NEW), 303);
}

fn a_link_ends(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user_with("ann@example.org", false, Some(PASSWORD), &[]);
    let link = forgotten(ground, &server, "ann@example.org");
    let now = ground.text(&format!("select {}", ground.now()));
    let until = ground.text("select expires_at from _links where purpose = 'reset'");
    assert!(
        until > now && until[..11] <= *"2099-01-01T" && until.ends_with('Z') && until.len() == now.len(),
        "{until}"
    );
    let mut client = ground.logged_in(&server, ann);
    assert_eq!(client.post("/account/confirm", &[]).status, 303);
    let confirm = ground.link("ann@example.org");
    ground.run("update _links set expires_at = '2026-01-01T00:00:00.000Z'");
    assert!(client.get(&link).text().contains("Too old") || !client.get(&link).text().contains("new_password"));
    assert_eq!(reset(&mut client, &link, NEW), 422);
    assert_eq!(client.post(&confirm, &[]).status, 422);
    assert_eq!(ground.text("select confirmed_at from _accounts"), "");
    assert_eq!(log_in(&mut client, "ann@example.org", PASSWORD).status, 303);
}

fn only_the_message_holds_the_token(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let fields = [("email", "new@example.org"), ("password", NEW), ("name", "New")];
    assert_eq!(server.client().post("/register", &fields).status, 303);
    let mut client = ground.logged_in(&server, ann);
    let change = [("email", "later@example.org"), ("password", PASSWORD)];
    assert_eq!(client.post("/account/email", &change).status, 303);
    let reset = forgotten(ground, &server, "ann@example.org");
    let rest = ground.dump(&["outbox"]);
    let mut tokens = Vec::new();
    for link in [ground.link("new@example.org"), ground.link("later@example.org"), reset] {
        let token = link.rsplit('/').next().unwrap().to_string();
        assert!(token.len() >= 32, "{token}");
        assert!(!rest.contains(&token), "{link} stands in the database");
        assert!(rest.contains(&tableside::accounts::token::hash(&token)));
        tokens.push(token);
    }
    assert!(!rest.contains(NEW) && !rest.contains(PASSWORD));
    tokens.dedup();
    assert_eq!(tokens.len(), 3);
}

fn the_log_holds_no_token(ground: &Ground) {
    let server = ground.serve(&[]);
    ground.user("ann@example.org");
    let link = forgotten(ground, &server, "ann@example.org");
    let token = link.rsplit('/').next().unwrap().to_string();
    let mut client = server.client();
    client.get(&link);
    client.get(&format!("{link}?x={token}"));
    client.get(&format!("/reset/%{:02x}{}", token.as_bytes()[0], &token[1..]));
    client.get("/plain");
    let log = server.wait_for_log("GET /plain");
    assert!(log.contains("GET /reset/… 200") && !log.contains(&token[1..]), "{log}");
}

/// Whoever reads the mail of an address that is the user's no more must not get in by what waits there.
fn a_link_to_an_address_of_before_opens_nothing(ground: &Ground) {
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    let old = forgotten(ground, &server, "ann@example.org");
    let mut client = ground.logged_in(&server, ann);
    let change = [("email", "later@example.org"), ("password", PASSWORD)];
    assert_eq!(client.post("/account/email", &change).status, 303);
    let link = ground.link("later@example.org");
    assert_eq!(ground.text("select email from users"), "ann@example.org", "not before the link was used");
    let answer = client.post(&link, &[]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(ground.text("select email from users"), "later@example.org");
    assert_eq!(reset(&mut server.client(), &old, NEW), 422);
    // Also when the address was changed by other means.
    let old = forgotten(ground, &server, "later@example.org");
    ground.run("update users set email = 'third@example.org'");
    assert_eq!(reset(&mut server.client(), &old, NEW), 422);
    assert_eq!(log_in(&mut server.client(), "third@example.org", PASSWORD).status, 303);
}

fn nobody_invites_twice_by_one_link(ground: &Ground) {
    let server = ground.serve(&["users.register=invited"]);
    assert_eq!(server.client().get("/register").status, 404);
    assert_eq!(server.client().post("/register", &[("email", "x@example.org"), ("password", NEW)]).status, 404);
    let hash = tableside::accounts::token::hash("an-invitation");
    ground.run(&format!(
        "insert into _links (token_hash, purpose, email, expires_at) values \
         ('{hash}', 'invite', 'ann@example.org', '2099-01-01T00:00:00.000Z'); \
         insert into _invited_roles (token_hash, role) values ('{hash}', 'editor')"
    ));
    let mut first = server.client();
    // What a visitor sends of a role, an address or an id counts for nothing.
    let fields =
        [("password", NEW), ("role", "admin"), ("roles", "admin"), ("email", "eve@example.org"), ("user_id", "1")];
    let answer = first.post("/invite/an-invitation", &fields);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(ground.text("select email from users"), "ann@example.org");
    assert_eq!(ground.text("select role from _roles"), "editor");
    assert_eq!(first.get("/staff").status, 200);
    assert_eq!(server.client().post("/invite/an-invitation", &fields).status, 422);
    assert_eq!(ground.number("select count(*) from users"), 1);
    // Somebody else's invitation for an address that has an account doesn't get into it.
    let hash = tableside::accounts::token::hash("another");
    ground.run(&format!(
        "insert into _links (token_hash, purpose, email, expires_at) values \
         ('{hash}', 'invite', 'ann@example.org', '2099-01-01T00:00:00.000Z')"
    ));
    assert_eq!(server.client().post("/invite/another", &[("password", "a brand new one")]).status, 422);
    assert_eq!(log_in(&mut server.client(), "ann@example.org", NEW).status, 303);
}
