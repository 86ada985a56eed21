//! A hundred users at once, each with a word that no other's page may ever show, while they come and go and their
//! roles change.

use std::time::{Duration, Instant};

use super::{Ground, on_both, secret};
use crate::harness::{Answer, Client, Request, Server};

on_both! {
    ten_thousand_requests_of_a_hundred_users_are_never_mixed_up
}

const CONNECTIONS: usize = 4;
const USERS: usize = 25;
const REQUESTS: usize = 2500;

/// One user.
struct Person {
    id: i64,
    /// The word that only this user's pages may show.
    word: String,
    cookies: Vec<(String, String)>,
    /// A session that was put into the database, for when this user comes again.
    spare: Vec<String>,
    is_in: bool,
    is_editor: bool,
    notes: usize,
}

fn ten_thousand_requests_of_a_hundred_users_are_never_mixed_up(ground: &Ground) {
    let server = ground.serve(&["log.requests=false"]);
    for user in 1..=CONNECTIONS * USERS {
        let word = word(user);
        let mut sql = format!(
            "insert into users (email, name) values ('{word}@example.org', 'Name {word}'); \
             insert into _accounts (user_id, confirmed_at) values ({user}, '2026-01-01T00:00:00.000Z'); \
             insert into notes (user_id, note) values ({user}, 'note {word}');"
        );
        for session in 0..8 {
            sql.push_str(&ground.session_row(user as i64, &format!("{word}-session-{session}")));
        }
        ground.run(&format!("begin; {sql} commit;"));
    }
    let change = ground.apart();
    let began = Instant::now();

    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (server, change) = (&server, &change);
            scope.spawn(move || interleave(server, connection, change));
        }
    });
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    let mixed = "select count(*) from notes n join users u on u.id = n.user_id \
        where n.note not like '%' || substr(u.email, 1, 11) || '%'";
    assert_eq!(ground.number(mixed), 0, "a user has another's note");
    let carts = "select count(*) from _sessions s join carts c on c.session_id = s.session_id join users u on u.id = s.user_id \
        where c.item <> substr(u.email, 1, 11)";
    assert_eq!(ground.number(carts), 0, "a session has another's cart");
}

/// Eleven letters.
fn word(user: usize) -> String {
    format!("canary{user:03}yx")
}

fn interleave(server: &Server, connection: usize, change: &(dyn Fn(&str) + Sync)) {
    let mut client = server.client();
    let mut people: Vec<Person> = (0..USERS)
        .map(|number| {
            let user = connection * USERS + number + 1;
            let word = word(user);
            let spare = (0..8).map(|session| format!("{word}-session-{session}")).collect();
            Person { id: user as i64, word, cookies: Vec::new(), spare, is_in: false, is_editor: false, notes: 1 }
        })
        .collect();
    // A fixed order that looks like chance, so that a failure comes again.
    let mut state = connection as u64 + 1;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for number in 0..REQUESTS {
        let person = &mut people[next(USERS)];
        std::mem::swap(&mut client.cookies, &mut person.cookies);
        if !person.is_in && next(3) > 0 && !person.spare.is_empty() {
            let session = person.spare.pop().unwrap();
            client.cookies = vec![("session".into(), session)];
            person.is_in = true;
        }
        let kind = next(12);
        if kind == 10 && number.is_multiple_of(3) {
            // The role counts from the very next request on.
            let id = person.id;
            person.is_editor = !person.is_editor;
            change(&match person.is_editor {
                true => format!("insert into _roles (user_id, role) values ({id}, 'editor')"),
                false => format!(
                    "delete from _roles where user_id = {id}; update _sessions set renew = 1 where user_id = {id}"
                ),
            });
        }
        step(&mut client, person, kind, number);
        std::mem::swap(&mut client.cookies, &mut person.cookies);
    }
}

/// One request of a user, and what its answer must be.
fn step(client: &mut Client, person: &mut Person, kind: usize, number: usize) {
    let word = person.word.clone();
    let get = |path: &str| Request::new("GET", path);
    let refused = if person.is_in { 200 } else { 401 };
    match kind {
        0 => {
            let note = format!("{word} {number}");
            let answer = sent(client, &Request::new("POST", "/notes").form(&[("note", &note)]), &word);
            assert_eq!(answer.status, if person.is_in { 303 } else { 401 }, "{}", answer.text());
            person.notes += usize::from(person.is_in);
        }
        1 | 2 => {
            let answer = sent(client, &get("/notes"), &word);
            assert_eq!(answer.status, refused, "{}", answer.text());
            let expected = if person.is_in { person.notes.min(20) + 1 } else { 0 };
            assert_eq!(answer.text().matches(&word).count(), expected, "{}", answer.text());
        }
        3 => {
            let answer = sent(client, &get("/notes").header("HX-Target", "list"), &word);
            let expected = if person.is_in { person.notes.min(20) } else { 0 };
            assert_eq!(answer.text().matches(&word).count(), expected, "{}", answer.text());
        }
        4 => {
            let answer = sent(client, &get("/api/notes"), &word);
            let expected = if person.is_in { person.notes.min(20) } else { 0 };
            assert_eq!(answer.text().matches(&word).count(), expected, "{}", answer.text());
        }
        5 => {
            let answer = sent(client, &get("/account"), &word);
            assert_eq!((answer.status, answer.text().contains(&word)), (refused, person.is_in));
        }
        6 => {
            let answer = sent(client, &Request::new("POST", "/account/name").form(&[("name", &word)]), &word);
            assert_eq!(answer.status, if person.is_in { 303 } else { 401 });
        }
        7 => {
            let answer = sent(client, &Request::new("POST", "/cart").form(&[("item", &word)]), &word);
            assert_eq!(answer.status, 303, "{}", answer.text());
            let answer = sent(client, &get("/cart"), &word);
            assert!(answer.text().contains(&format!("cart of {word}.")), "{}", answer.text());
        }
        8 if person.is_in && number.is_multiple_of(3) => {
            let kept = secret(client);
            assert_eq!(sent(client, &Request::new("POST", "/logout"), &word).status, 303);
            person.is_in = false;
            let again = get("/notes").header("Cookie", &format!("session={kept}"));
            assert_eq!(sent(client, &again, &word).status, 401);
            client.cookies.clear();
        }
        9 => {
            let answer = sent(client, &get(&format!("/notes/{}", 1 + (person.id + 1) % 100)), &word);
            assert!(matches!(answer.status, 404 | 401), "another's row: {} {}", answer.status, answer.text());
        }
        10 => {
            let answer = sent(client, &get("/staff"), &word);
            assert_eq!(answer.status, if person.is_in && person.is_editor { 200 } else { 404 });
        }
        _ => {
            let answer = sent(client, &get("/"), &word);
            let shown = answer.text().contains(&format!("{word}@example.org"));
            assert_eq!(shown, person.is_in, "{}", answer.text());
        }
    }
}

/// Sends a request; every canary word in the answer, headers included, must be this user's own.
fn sent(client: &mut Client, request: &Request, word: &str) -> Answer {
    let answer = client.send(request).unwrap();
    let whole = format!("{:?}\n{}", answer.headers, answer.text());
    for (at, _) in whole.match_indices("canary") {
        assert!(whole[at..].starts_with(word), "{word} got a page with {}:\n{whole}", &whole[at..at + word.len()]);
    }
    answer
}
