//! Real servers on one database, seen by a node that keeps what it reads.

use rustix::process::Signal;

use super::{Node, database, run, until};
use crate::harness::{Folder, Server, tableside};

const SITE: &[(&str, &str)] = &[
    ("migrations/0001_start.sql", "create table orders (name text not null); create table items (name text);\n"),
    (
        "pages/order.post.sql",
        "-- :name text required\n-- status: 201\n-- name: placed :exec\ninsert into orders (name) values (:name);\n",
    ),
    ("pages/orders.json.sql", "-- name: body :list\nselect name from orders order by name;\n"),
];

fn serve(folder: &Folder, url: &str) -> Server {
    let mut command = tableside();
    command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0"]);
    Server::spawn(command.env("DATABASE_URL", url)).unwrap_or_else(|said| panic!("{said}"))
}

#[test]
fn what_one_server_writes_the_others_show() {
    let (folder, url) = (Folder::new(SITE), database(""));
    let (one, two) = (serve(&folder, &url), serve(&folder, &url));
    for (number, server) in [&one, &two, &one].into_iter().enumerate() {
        assert_eq!(server.client().post("/order", &[("name", &number.to_string())]).status, 303);
    }
    for server in [&one, &two] {
        assert_eq!(server.client().get("/orders").text(), r#"["0","1","2"]"#);
    }
    for server in [one, two] {
        let ended = server.stop();
        assert!(ended.status.success() && !ended.stdout.contains("nothing is kept"), "{}", ended.stdout);
    }
}

#[test]
fn a_server_tells_what_its_actions_write_and_how_it_ends() {
    run(async {
        let (folder, url) = (Folder::new(SITE), database(""));
        let server = serve(&folder, &url);
        let node = Node::join(&url).await;
        let order = || assert_eq!(server.client().post("/order", &[("name", "a")]).status, 303);
        // Its first word, if it wasn't heard yet, outdates all.
        let stamp = node.stamp("items");
        order();
        node.trusted().await;
        let orders = node.stamp("orders");
        order();
        node.outdated(&orders).await;
        let items = node.stamp("items");
        let is_kept = async |stamp| until("the old count", || node.versions().is_current(stamp)).await;
        drop(stamp);

        // Stopped, it tells nothing and may be in the middle of a commit; going on, it has left nothing out.
        server.signal(Signal::STOP);
        node.noted("is silent").await;
        assert!(!node.versions().trusted() && !node.versions().is_current(&items));
        server.signal(Signal::CONT);
        is_kept(&items).await;
        order();
        is_kept(&items).await;

        // It says goodbye: it has told all.
        assert!(server.stop().status.success());
        is_kept(&items).await;

        // Killed, it may have committed what it told nobody of.
        let server = serve(&folder, &url);
        until("its first word", || !node.versions().is_current(&items) || node.versions().trusted()).await;
        assert_eq!(server.client().post("/order", &[("name", "b")]).status, 303);
        node.trusted().await;
        let items = node.stamp("items");
        server.kill();
        node.outdated(&items).await;
    });
}
