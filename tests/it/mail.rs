//! What `dev` does with messages.

use std::fs;

use crate::harness::{Folder, Server};

fn site() -> Folder {
    Folder::new(&[
        ("mail/hello.txt", "Subject: Hello {{ name }}\nHello {{ name }}\n"),
        ("pages/index.html", "home"),
        (
            "pages/index.post.sql",
            "-- :template text required\n-- name: line :exec\ninsert into outbox (channel, recipient, template, data) \
             values ('email', 'ann@example.org', :template, '{\"name\": \"Ann\"}');\n",
        ),
    ])
}

#[test]
fn in_development_each_message_is_a_file() {
    let folder = site();
    let server = Server::start_with(folder.path(), "dev", &[]).unwrap();
    assert_eq!(server.client().post("/", &[("template", "hello")]).status, 303);
    server.wait_for_log("1-hello.eml");
    let kept = fs::read_to_string(folder.file("data/mail/1-hello.eml")).unwrap();
    assert!(kept.contains("To: ann@example.org\r\nSubject: Hello Ann\r\n"), "{kept}");
    assert!(kept.contains("\r\n\r\nHello Ann\r\n"), "{kept}");
    // What can't be made is told, and keeps no other from being made.
    assert_eq!(server.client().post("/", &[("template", "../../x")]).status, 303);
    server.wait_for_log("message 2 (`../../x`): there is no mail/../../x.html");
    folder.write("mail/later.html", "Subject: Later\n<p>Later</p>");
    server.wait_for_log("reloaded");
    assert_eq!(server.client().post("/", &[("template", "later")]).status, 303);
    server.wait_for_log("3-later.eml");
    assert_eq!(fs::read_dir(folder.file("data/mail")).unwrap().count(), 2);
}

#[test]
fn a_server_for_visitors_keeps_no_files() {
    let folder = site();
    let server = Server::start(&folder);
    assert_eq!(server.client().post("/", &[("template", "hello")]).status, 303);
    assert_eq!(server.client().get("/-/mail").status, 404);
    assert!(!folder.file("data/mail").exists());
}
