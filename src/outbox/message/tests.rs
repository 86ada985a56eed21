//! Mails of rows, without a database.

use super::*;
use crate::render::{Options, Source};

fn mails(files: &[(&str, &str)]) -> Mails {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).into(),
        file: format!("mail/{name}").into(),
        text: (*text).into(),
    };
    let (mails, faults) = Mails::build(files.iter().map(source).collect(), Options::default());
    assert_eq!(faults, vec![]);
    mails
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.set("site.name", "Corner Shop").unwrap();
    settings.set("site.url", "https://shop.example").unwrap();
    settings
}

fn row(template: &str, data: &str) -> Row {
    Row {
        id: 7,
        recipient: "ann@example.org".into(),
        template: template.into(),
        data: data.into(),
        created_at: "2026-11-07T09:30:00.250Z".into(),
    }
}

fn made(files: &[(&str, &str)], data: &str) -> Message {
    message(&mails(files), &settings(), "", &row("welcome", data)).unwrap()
}

#[test]
fn a_mail_has_both_forms_and_says_when_and_by_whom() {
    let files = [
        (
            "welcome.html",
            "Subject: Hello {{ name }}\n{% extends \"_layout.html\" %}{% block main %}<p>{{ name }}</p>{% endblock %}",
        ),
        ("welcome.txt", "\n\nDear {{ name }},\n\n\n\n{{ site.url }}/cart  \n"),
    ];
    let message = made(&files, r#"{"name": "Ann & Zoë"}"#);
    assert_eq!(message.subject, "Hello Ann & Zoë");
    assert_eq!(message.text, "Dear Ann & Zoë,\n\nhttps://shop.example/cart\n");
    let html = message.html.as_deref().unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("<p>Ann &amp; Zoë</p>"), "{html}");
    assert!(html.contains("<title>Hello Ann &amp; Zoë</title>") && html.contains("Corner Shop"), "{html}");
    let eml = String::from_utf8(message.eml()).unwrap();
    for line in [
        "From: \"Corner Shop\" <noreply@shop.example>",
        "To: ann@example.org",
        "Date: Sat, 07 Nov 2026 09:30:00 +0000",
        "Message-ID: <7.1794043800250@shop.example>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: multipart/alternative;",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
    ] {
        assert!(eml.lines().any(|found| found.starts_with(line)), "{line}\n{eml}");
    }
    assert!(eml.contains("\r\n\r\n"));
}

#[test]
fn either_form_may_be_missing() {
    let message = made(&[("welcome.txt", "Subject: Hi\nHello")], "{}");
    assert_eq!((message.text.as_str(), message.html.is_none()), ("Hello\n", true));
    assert!(String::from_utf8(message.eml()).unwrap().contains("Content-Type: text/plain"));
    let message = made(&[("welcome.html", "Subject: Hi\n<p>Hello <a href=\"/x\">there</a>")], "{}");
    assert_eq!(message.text, "Hello there (/x)\n");
    assert!(message.html.is_some());
}

#[test]
fn nobody_adds_a_header_by_a_line_break() {
    let files = [("welcome.txt", "Subject: Hello {{ name }}\nHi")];
    let message = made(&files, r#"{"name": "x\r\nBcc: evil@example.org\n\n<b>\u0000\u2028"}"#);
    assert_eq!(message.subject, "Hello x Bcc: evil@example.org <b>");
    let eml = String::from_utf8(message.eml()).unwrap();
    assert!(!eml.lines().any(|line| line.starts_with("Bcc")), "{eml}");
    for recipient in [
        "ann@example.org\r\nBcc: evil@example.org",
        "ann@example.org\nX: y",
        "Ann\r\n <ann@example.org>",
        "ann@example.org, evil@example.org",
        "",
        "ann",
        "ann@",
        "<>",
    ] {
        let row = Row { recipient: recipient.into(), ..row("welcome", "{}") };
        let problem = message_problem(&files, &row);
        assert!(problem.contains("is not an e-mail address") && !problem.contains('\n'), "{problem}");
    }
}

fn message_problem(files: &[(&str, &str)], row: &Row) -> String {
    message(&mails(files), &settings(), "", row).unwrap_err().cause.unwrap()
}

#[test]
fn lists_and_objects_of_the_data_can_be_gone_through() {
    let files = [(
        "welcome.txt",
        "Subject: x\n{% for line in lines %}{{ line.qty }} x {{ line.product.name }}{% if line.note %} ({{ line.note }}){% endif %}\n\
         {% endfor %}{{ order.code }} {{ tags|join(\", \") }} {{ none }}{{ total }} {{ paid }}",
    )];
    let data = r#"{"lines": [{"qty": 2, "product": {"name": "Lamp"}}, {"qty": 1, "product": {"name": "Stool"}, "note": "red"}],
        "order": {"code": "A7"}, "tags": ["a", "b"], "none": null, "total": 12.5, "paid": true}"#;
    assert_eq!(made(&files, data).text, "2 x Lamp\n1 x Stool (red)\nA7 a, b 12.5 true\n");
}

#[test]
fn what_is_wrong_with_a_row_is_told() {
    let files = [("welcome.txt", "Subject: x\nHi")];
    let problem = message_problem(&files, &row("welcom", "{}"));
    assert_eq!(
        problem,
        "message 7 (`welcom`): there is no mail/welcom.html and no mail/welcom.txt did you mean `welcome`?"
    );
    assert!(message_problem(&files, &row("welcome", "[1]")).contains("no object"));
    assert!(message_problem(&files, &row("welcome", "{")).contains("no JSON"));
}

#[test]
fn the_sender_comes_from_the_settings_or_the_site() {
    let files = mails(&[("welcome.txt", "Subject: x\nHi")]);
    let from = |settings: &Settings, base: &str| {
        message(&files, settings, base, &row("welcome", "{}"))
            .map_or_else(|problem| problem.to_string(), |made| made.from)
    };
    let mut set = settings();
    set.set("mail.from", "Shop <hello@shop.example>").unwrap();
    assert_eq!(from(&set, ""), "Shop <hello@shop.example>");
    set.set("mail.from", "nonsense").unwrap();
    assert!(from(&set, "").contains("mail.from"));
    let bare = Settings::default();
    assert_eq!(from(&bare, "http://127.0.0.1:3000"), "noreply@localhost");
    assert_eq!(from(&bare, "http://[::1]:3000"), "noreply@localhost");
    assert_eq!(from(&bare, "http://localhost:3000"), "noreply@localhost");
    assert_eq!(from(&bare, ""), "noreply@localhost");
}

/// Each built-in mail with all that it can be told.
#[test]
fn the_built_in_mails_say_what_they_are_about() {
    let data = r#"{"link": "https://shop.example/do?token=a&b=c", "reset_link": "https://shop.example/forgot",
        "email": "new@example.org", "name": "Kim", "device": "Firefox on Linux", "address": "203.0.113.9",
        "at": "2026-11-07T09:30:00.000Z", "count": 50}"#;
    let mails = Mails::default();
    let names: Vec<&Arc<str>> = mails.names().collect();
    assert_eq!(names.len(), 11);
    for name in names {
        let message = message(&mails, &settings(), "", &row(name, data)).unwrap();
        let html = message.html.as_deref().unwrap();
        assert!(message.subject.contains("Corner Shop"), "{name}: {}", message.subject);
        assert!(message.text.contains("Corner Shop") && !message.text.contains("{{"), "{}", message.text);
        // Both forms hold the same facts.
        for fact in
            ["do?token=a", "/forgot", "new@example.org", "Kim", "Firefox", "203.0.113.9", "7 November 2026", "50"]
        {
            assert_eq!(message.text.contains(fact), html.contains(fact), "{name}: {fact}");
        }
        // And nothing is missing where less is known.
        let bare = super::message(&mails, &settings(), "", &row(name, "{}")).unwrap();
        assert!(!bare.text.contains("Time:") && !bare.text.contains("\n\n\n"), "{}", bare.text);
    }
    let message = message(&mails, &settings(), "", &row("confirm", data)).unwrap();
    assert!(message.text.contains("\nhttps://shop.example/do?token=a&b=c\n"), "{}", message.text);
}

#[test]
fn a_site_has_its_own_mail_in_place_of_a_built_in_one() {
    let mails = mails(&[("reset.txt", "Subject: Mine\nMine")]);
    let message = message(&mails, &settings(), "", &row("reset", "{}")).unwrap();
    assert_eq!((message.subject.as_str(), message.html.is_none()), ("Mine", true));
}

#[test]
fn faults_of_mails_are_told_where_they_stand() {
    let source =
        |name: &str, text: &str| Source { name: name.into(), file: format!("mail/{name}").into(), text: text.into() };
    let faults = Mails::build(
        vec![
            source("a.html", "<p>no subject"),
            source("b.html", "Subject: {{ x \n<p>"),
            source("c.txt", "Subject: x\n\n{% endif %}"),
            source("d.md", "# no"),
        ],
        Options::default(),
    )
    .1;
    let places: Vec<(String, u32)> = faults
        .iter()
        .filter_map(|fault| fault.place.as_ref())
        .map(|place| (place.file.to_string(), place.line))
        .collect();
    assert_eq!(faults.len(), 4, "{faults:?}");
    for expected in [("mail/a.html", 1), ("mail/b.html", 1), ("mail/c.txt", 3)] {
        assert!(places.iter().any(|(file, line)| (file.as_str(), *line) == expected), "{places:?}");
    }
}
