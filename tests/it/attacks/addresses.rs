//! Addresses of other sites: in `next`, in the way back from the login, in the links of mails.

use super::{Ground, PASSWORD, log_in};
use crate::harness::{Answer, Request};

/// Where somebody would send a visitor after the login.
fn evil() -> Vec<String> {
    let mut all: Vec<String> = [
        "https://evil.example",
        "http://evil.example/",
        "//evil.example",
        "///evil.example",
        "////evil.example//",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        "/\n/evil.example",
        "\n//evil.example",
        " //evil.example",
        "/ /evil.example",
        "https:evil.example",
        "https:/evil.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "//evil.example/%2f..",
        "%2f%2fevil.example",
        "/%2fevil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "/\u{2028}/evil.example",
        "\u{2028}//evil.example",
        "/\u{ad}/evil.example",
        "\u{ff0f}\u{ff0f}evil.example",
        "/\u{ff0f}evil.example",
        "/account\r\nSet-Cookie: session=x",
        "/account\r\nLocation: https://evil.example",
        "/\0/evil.example",
        "https://127.0.0.1@evil.example",
        "//127.0.0.1@evil.example",
        "@evil.example",
        ".evil.example",
        ":80",
        "evil.example",
        "?x=//evil.example",
        "#//evil.example",
        "",
        "/",
        "/\u{7f}/evil.example",
        "/.//evil.example",
        "/..//evil.example",
        "/;//evil.example",
        "/?//evil.example",
        "/\u{85}/evil.example",
        "/\u{feff}/evil.example",
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    all.push(format!("//{}", "e".repeat(1900)));
    all.push(format!("/{}", "e".repeat(1900)));
    all
}

/// The path that a browser goes to, by the rules of the URL standard: tabs and newlines go, `\` is `/`.
fn leads_to(location: &str) -> String {
    let text: String = location.trim_matches(|c: char| c <= ' ').chars().filter(|c| !"\t\n\r".contains(*c)).collect();
    text.replace('\\', "/")
}

fn stays(answer: &Answer, sent: &str) {
    for name in ["location", "hx-redirect", "refresh", "content-location"] {
        let Some(location) = answer.header(name) else { continue };
        let to = leads_to(location);
        assert!(to.starts_with('/') && !to.starts_with("//"), "{sent:?} leads to {location:?}");
        assert!(location.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{sent:?}: {location:?}");
    }
    let planted = answer.headers.iter().any(|(_, value)| value == "session=x" || value.starts_with("https://evil"));
    assert!(!planted, "{sent:?}: {:?}", answer.headers);
}

#[test]
fn after_a_login_nobody_leaves_the_site() {
    let ground = Ground::sqlite();
    let server = ground.serve(&[]);
    let ann = ground.user("ann@example.org");
    ground.run(&format!("insert into _recovery_codes (user_id, code_hash) values ({ann}, 'x')"));
    let mut client = server.client();
    for (number, next) in evil().iter().enumerate() {
        let query: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        // The form shows what the query says, and sends it on.
        let page = client.get(&format!("/login?next={query}"));
        assert!(page.status < 500, "{next:?}: {}", page.status);
        stays(&page, next);
        // One login each takes argon2's time; a part of them goes by a recovery code, too.
        let factor = number % 5 == 0;
        ground.run(&format!(
            "update _accounts set totp_at = {}",
            if factor { "'2026-01-01T00:00:00.000Z'" } else { "null" }
        ));
        let fields = [("email", "ann@example.org"), ("password", PASSWORD), ("next", next)];
        let target = if number % 2 == 0 { "/login".to_string() } else { format!("/login?next={query}") };
        let answer = client.post(&target, &fields);
        assert!(matches!(answer.status, 303 | 400 | 422), "{next:?}: {} {}", answer.status, answer.text());
        stays(&answer, next);
        if factor && answer.status == 303 {
            let page = client.get(answer.header("location").unwrap());
            assert_eq!(page.status, 200, "{next:?}: {:?}", answer.header("location"));
            let hash = tableside::accounts::totp::recovery_hash("aaaabbbbcccc");
            ground.run(&format!(
                "update _recovery_codes set code_hash = '{hash}'; \
                delete from _recovery_codes; insert into _recovery_codes (user_id, code_hash) values ({ann}, '{hash}')"
            ));
            let answer = client.post("/login/code", &[("code", "aaaabbbbcccc"), ("next", next)]);
            assert_eq!(answer.status, 303, "{next:?}: {}", answer.text());
            stays(&answer, next);
        }
        client.cookies.clear();
    }
    let good = [("email", "ann@example.org"), ("password", PASSWORD), ("next", "/notes?page=2&q=a%2fb")];
    ground.run("update _accounts set totp_at = null");
    assert_eq!(client.post("/login", &good).header("location"), Some("/notes?page=2&q=a%2fb"));
}

#[test]
fn the_way_to_the_login_and_back_stays_on_the_site() {
    let ground = Ground::sqlite();
    let server = ground.serve(&[]);
    let host = server.address().to_string();
    let mut client = server.client();
    for target in [
        "//evil.example/account",
        "/\\evil.example/account",
        "///account",
        "/account?next=//evil.example",
        "http://evil.example/account",
        "https://evil.example//account",
        "/account/../account",
        "/.//account",
        "/account?\\evil",
        "/account?x=https://evil.example",
        "/%2f%2fevil.example/account",
        "/notes//",
    ] {
        let request = Request::new("GET", target).header("Accept", "text/html");
        let answer = client.send(&request).unwrap();
        assert!(answer.status < 500, "{target}: {}", answer.status);
        stays(&answer, target);
        if let Some(location) = answer.header("location").filter(|to| to.starts_with("/login")) {
            let (_, query) = location.split_once('?').unwrap();
            let next =
                form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "next").unwrap().1.into_owned();
            let next = leads_to(&next);
            assert!(next.starts_with('/') && !next.starts_with("//"), "{target} comes back to {next:?}");
        }
    }
    for referer in [
        "https://evil.example/notes".to_string(),
        "//evil.example/".to_string(),
        format!("http://{host}@evil.example/notes"),
        format!("http://{host}.evil.example/notes"),
        format!("http://{host}//evil.example"),
        format!("http://{host}/\\evil.example"),
        "javascript:alert(1)".to_string(),
    ] {
        for htmx in [false, true] {
            let mut request = Request::new("POST", "/notes").header("Accept", "text/html").header("Referer", &referer);
            if htmx {
                request = request.header("HX-Request", "true");
            }
            let answer = client.send(&request.form(&[("note", "x")])).unwrap();
            stays(&answer, &referer);
            let to = answer.header("location").or(answer.header("hx-redirect")).unwrap_or("");
            assert!(!to.contains("next=%2F%2F") && !to.contains("next=%2F%5C"), "{referer} comes back to {to}");
        }
    }
}

/// What a client says of the site's name doesn't come into anybody's mail.
#[test]
fn nobody_changes_the_links_in_mails() {
    let ground = Ground::sqlite();
    drop(ground.serve(&[]));
    ground.user("ann@example.org");
    let forged = |server: &crate::harness::Server, host: &str| {
        ground.run("delete from _attempts; delete from outbox");
        let request = Request::new("POST", "/forgot")
            .header("Host", host)
            .header("X-Forwarded-Host", "evil.example")
            .header("X-Host", "evil.example")
            .header("Forwarded", "host=evil.example;proto=https")
            .header("X-Original-URL", "/evil.example")
            .header("X-Forwarded-Server", "evil.example")
            .header("X-Forwarded-Port", "666");
        let answer = server.client().send(&request.form(&[("email", "ann@example.org")])).unwrap();
        assert!(matches!(answer.status, 303 | 400), "{host}: {}", answer.status);
        if answer.status == 400 { String::new() } else { ground.mail("ann@example.org") }
    };
    let hosts = [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "localhost@evil.example",
        "localhost:80@evil.example",
        "evil.example#localhost",
        "evil.example/localhost",
        "evil.example?127.0.0.1",
        "localhost evil.example",
        "[::1].evil.example",
        "[::1]evil",
        "127.0.0.1:evil.example",
        "128.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "[::ffff:10.0.0.1]",
        "",
    ];
    // A site that knows its address.
    let server = ground.serve(&["site.url=https://shop.example"]);
    for host in hosts.iter().chain(&["localhost", "127.0.0.1:3000"]) {
        let mail = forged(&server, host);
        assert!(mail.is_empty() || mail.contains("\"https://shop.example/reset/"), "{host}: {mail}");
        assert!(!mail.contains("evil"), "{host}: {mail}");
    }
    drop(server);
    // A site that doesn't: only its own machine is believed.
    let server = ground.serve(&[]);
    let mut made = 0;
    for host in hosts {
        let mail = forged(&server, host);
        assert!(mail.is_empty() || mail.contains("\"http://127.0.0.1:0/reset/"), "{host}: {mail}");
        made += usize::from(!mail.is_empty());
    }
    assert!(made > 3);
    for host in ["localhost", "localhost:3000", "LOCALHOST:1", "127.0.0.1:3000", "127.8.9.1", "[::1]:3000", "[::1]"] {
        let mail = forged(&server, host);
        assert!(mail.contains(&format!("\"http://{host}/reset/")), "{host}: {mail}");
    }
    // An absolute address and a Host that say different things.
    let request = Request::new("POST", "http://evil.example/forgot").header("Host", "localhost");
    ground.run("delete from _attempts; delete from outbox");
    server.client().send(&request.form(&[("email", "ann@example.org")])).unwrap();
    assert!(!ground.mail("ann@example.org").contains("evil"));
    assert_eq!(log_in(&mut server.client(), "ann@example.org", PASSWORD).status, 303);
}
