//! Where a session begins and ends: the cookie, the cart that survives a login, and an end that every server knows at
//! once.

use super::{EMAIL, PASSWORD, Shop, is_known, log_in};
use crate::harness::Client;

fn secret(client: &Client) -> String {
    client.cookies.iter().find(|(name, _)| name == "session").map(|(_, value)| value.clone()).unwrap_or_default()
}

/// A visitor with nothing but this cookie.
fn thief(client: Client, secret: &str) -> Client {
    let mut thief = client;
    thief.cookies = vec![("session".to_string(), secret.to_string())];
    thief
}

#[test]
fn a_cart_survives_the_login_and_the_old_cookie_opens_nothing() {
    Shop::on_both(|shop| {
        let server = shop.serve();
        shop.add();
        let mut client = server.client();
        assert_eq!(client.post("/cart", &[("product", "boots")]).status, 303);
        let before = secret(&client);
        assert!(!before.is_empty());
        log_in(&mut client, false);
        assert_ne!(secret(&client), before);
        assert_eq!(client.get("/cart").text().trim(), "boots");
        // Somebody who had planted the cookie before the login.
        let mut planted = thief(server.client(), &before);
        assert!(!is_known(&mut planted));
        assert_eq!(planted.get("/cart").text().trim(), "");
        assert_eq!(planted.get("/mine").status, 401);
        // A cookie that the server never gave is nobody's, and isn't taken over.
        let mut invented = thief(server.client(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(invented.post("/cart", &[("product", "cap")]).status, 303);
        assert_ne!(secret(&invented), "AAAAAAAAAAAAAAAAAAAAAA");

        let last = secret(&client);
        assert_eq!(client.post("/logout", &[]).status, 303);
        assert!(!is_known(&mut client) && !is_known(&mut thief(server.client(), &last)));
        assert_eq!(client.get("/cart").text().trim(), "", "the cart was the user's");
    });
}

#[test]
fn staying_logged_in_is_a_cookie_that_stays() {
    Shop::on_both(|shop| {
        let server = shop.serve();
        shop.add();
        let kept = log_in(&mut server.client(), true);
        assert!(kept.contains("Max-Age=5184000"), "{kept}");
        let until_closed = log_in(&mut server.client(), false);
        assert!(!until_closed.contains("Max-Age") && !until_closed.contains("Expires"), "{until_closed}");
        for cookie in [kept, until_closed] {
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        }
    });
}

#[test]
fn sessions_end_when_they_rest_and_when_they_are_old() {
    Shop::on_both(|shop| {
        let server = shop.serve();
        shop.add();
        let back = |column: &str, seconds: i64| {
            let now = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
            shop.change(&format!("update _sessions set {column} = '{}'", now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")));
        };
        let (day, minute) = (86_400, 60);
        let mut client = server.client();
        log_in(&mut client, false);
        back("seen_at", day - minute);
        assert!(is_known(&mut client), "a day without a visit is not over");
        // That visit was noted, beside the answer.
        back("seen_at", day + minute);
        assert!(!is_known(&mut client));
        assert_eq!(client.get("/mine").status, 401);

        let mut client = server.client();
        log_in(&mut client, true);
        back("seen_at", 60 * day - minute);
        let answer = client.get("/mine");
        assert_eq!(answer.status, 200);
        assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=5184000")), "{answer:?}");
        back("seen_at", 60 * day + minute);
        assert!(!is_known(&mut client));

        // However often it is visited.
        let mut client = server.client();
        log_in(&mut client, true);
        assert!(is_known(&mut client));
        back("ends_at", 1);
        assert!(!is_known(&mut client));
    });
}

#[test]
fn an_end_counts_at_once_on_every_server() {
    let shop = Shop { folder: crate::harness::Folder::new(super::SITE), url: Some(crate::postgres::quick_database()) };
    let (one, two) = (shop.serve(), shop.serve());
    shop.add();
    let mut here = one.client();
    log_in(&mut here, false);
    let mut there = thief(two.client(), &secret(&here));
    for _ in 0..5 {
        assert!(is_known(&mut here) && is_known(&mut there));
    }
    // A role that the command line gives, on both, and one that it takes.
    assert_eq!((here.get("/edit").status, there.get("/edit").status), (403, 403));
    shop.done(&["role", EMAIL, "--add", "editor"], "");
    // Both ask at the same time with the same cookie: whoever comes second still has a minute with the old one.
    assert_eq!((here.get("/edit").status, there.get("/edit").status), (200, 200));
    shop.done(&["role", EMAIL, "--remove", "editor"], "");
    assert_eq!((here.get("/edit").status, there.get("/edit").status), (403, 403));

    let mut there = thief(two.client(), &secret(&here));
    assert!(is_known(&mut there));
    assert_eq!(here.post("/logout", &[]).status, 303);
    assert!(!is_known(&mut there), "the other server knows it at once");

    // A sign-in that another one of the same user ends.
    let (mut laptop, mut phone) = (one.client(), two.client());
    log_in(&mut laptop, false);
    log_in(&mut phone, true);
    let handle = shop.value("select handle from _sessions where remember = 1");
    let fields = [("_method", "DELETE"), ("password", PASSWORD)];
    assert_eq!(laptop.post(&format!("/account/sessions/{handle}"), &fields).status, 303);
    assert!(!is_known(&mut phone) && is_known(&mut laptop));
}
