//! Uploads that several processes share: a folder, and an S3 server that fails in all ways that servers fail in.

mod sending;

use crate::harness::{Folder, Server};
use sending::{Half, entries, picture, until};

/// A site that takes pictures and shows the address of the last one.
fn site() -> Folder {
    Folder::new(&[
        (
            "migrations/0001_start.sql",
            "create table pictures (id integer primary key, file text not null references uploads);",
        ),
        ("pages/index.sql", "-- name: last :one?\nselect file from pictures order by id desc limit 1;\n"),
        ("pages/index.html", "{% if last %}{{ upload(last.file) }}{% endif %}"),
        (
            "pages/send.post.sql",
            "-- :file file required max=64MiB\n-- redirect: /\n-- name: made :exec\ninsert into pictures (file) values (:file);\n",
        ),
        (
            "pages/refused.post.sql",
            "-- :file file required max=64MiB\n-- name: no :exec\ninsert into pictures (file) values (null);\n",
        ),
        ("pages/count.json.sql", "-- name: body :value\nselect count(*) from uploads;\n"),
        (
            "pages/mine.file.sql",
            "-- name: mine :one\nselect file from pictures where 1 = 1 order by id desc limit 1;\n",
        ),
    ])
}

#[test]
fn a_second_process_leaves_alone_what_the_first_is_receiving() {
    let folder = site();
    let first = Server::start(&folder);
    let bytes = picture(300_000);
    let mut half = Half::begin(first.address(), "/send", &bytes);
    until("the first process has the file under way", || entries(&folder.file("data/uploads/incoming")) > 0);
    let second = Server::start(&folder);
    assert_eq!(half.finish(), 303, "the upload goes on");
    let address = second.client().get("/").text();
    assert_eq!(second.client().get(&address).body, bytes, "both processes have the file");
    drop(first);
}
