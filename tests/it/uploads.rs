//! Uploads that several processes share: a folder, and an S3 server that fails in all ways that servers fail in.

mod bucket;
mod sending;

use std::fs;
use std::time::Duration;

use crate::harness::{Folder, Request, Server};
use bucket::{Bucket, Fault};
use sending::{Half, entries, picture, send, until};

/// A site that takes pictures and shows the address of the last one.
fn site() -> Folder {
    Folder::new(&[
        (
            "migrations/0001_start.sql",
            "create table pictures (id integer primary key, file text not null references uploads);",
        ),
        ("pages/index.sql", "-- name: last :maybe\nselect file from pictures order by id desc limit 1;\n"),
        ("pages/index.html", "{% if last %}{{ upload(last.file) }}{% endif %}"),
        (
            "pages/send.post.sql",
            "-- :file file required max=64MiB\n-- redirect: /\n-- name: made :exec\ninsert into pictures (file) values (:file);\n",
        ),
        (
            "pages/refused.post.sql",
            "-- :file file required max=64MiB\n-- name: no :exec\ninsert into pictures (file) values (nullif(:file, :file));\n",
        ),
        ("pages/count.json.sql", "-- name: body :value\nselect count(*) from uploads;\n"),
        ("pages/mine.file.sql", "-- name: mine :one\nselect file from pictures order by id desc limit 1;\n"),
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

/// A file that goes in parts.
const LARGE: usize = 20_000_000;

fn start(folder: &Folder, bucket: &Bucket) -> Server {
    start_with(folder, bucket, &[])
}

fn start_with(folder: &Folder, bucket: &Bucket, more: &[&str]) -> Server {
    let flags = bucket.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Server::start_with(folder.path(), "serve", &flags).unwrap_or_else(|said| panic!("the server didn't start:\n{said}"))
}

fn rows(server: &Server) -> String {
    server.client().get("/count").text()
}

#[test]
fn nodes_share_a_bucket() {
    let (folder, bucket) = (site(), Bucket::start());
    let (one, other) = (start(&folder, &bucket), start(&folder, &bucket));
    for size in [5_000, LARGE] {
        let bytes = picture(size);
        assert_eq!(send(&mut one.client(), "/send", &bytes).status, 303);
        let mut client = other.client();
        let address = client.get("/").text();
        let whole = client.get(&address);
        assert_eq!(whole.status, 200);
        assert!(whole.body == bytes, "{size} bytes");
        assert_eq!(whole.header("content-type"), Some("image/png"));
        assert!(whole.header("content-security-policy").unwrap().contains("sandbox"));
        let etag = whole.header("etag").unwrap().to_string();
        assert_eq!(etag.len(), 66, "a SHA-256 in quotes");
        let part = client.send(&Request::new("GET", &address).header("Range", "bytes=100-4099")).unwrap();
        assert_eq!((part.status, part.header("content-range")), (206, Some(&*format!("bytes 100-4099/{size}"))));
        assert!(part.body == bytes[100..4100]);
        let old = client.send(&Request::new("GET", &address).header("If-None-Match", &etag)).unwrap();
        assert_eq!(old.status, 304);
        let beyond = client.send(&Request::new("GET", &address).header("Range", "bytes=99999999-")).unwrap();
        assert_eq!(beyond.status, 416);
        let head = client.send(&Request::new("HEAD", &address)).unwrap();
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*size.to_string())));
        assert!(client.get("/mine").body == bytes, "a private file");
    }
    until("the marks are gone", || bucket.marks().is_empty());
    assert_eq!(bucket.names().len(), 2);
    assert_eq!(entries(&folder.file("data/uploads")), 0, "nothing is on the node itself");
}

#[test]
fn a_refused_action_leaves_nothing_in_the_bucket() {
    let (folder, bucket) = (site(), Bucket::start());
    let server = start(&folder, &bucket);
    for size in [5_000, LARGE] {
        assert_eq!(send(&mut server.client(), "/refused", &picture(size)).status, 422);
        until("the object is gone", || bucket.names().is_empty() && bucket.marks().is_empty());
    }
    assert_eq!(send(&mut server.client(), "/send", b"<html>").status, 303, "any type is taken here");
    assert_eq!(rows(&server), "1");
}

#[test]
fn a_bucket_that_is_down_is_told_and_nothing_is_recorded() {
    let (folder, bucket) = (site(), Bucket::start());
    let server = start(&folder, &bucket);
    assert_eq!(send(&mut server.client(), "/send", &picture(5_000)).status, 303);
    let address = server.client().get("/").text();
    for fault in [Fault::Down, Fault::Silent] {
        bucket.set(fault);
        for size in [5_000, LARGE] {
            assert_eq!(send(&mut server.client(), "/send", &picture(size)).status, 503, "{fault:?}, {size}");
        }
        assert_eq!(server.client().get(&address).status, 503, "{fault:?}");
        assert_eq!(server.client().get("/").status, 200, "what needs no file goes on");
        bucket.set(Fault::None);
        assert_eq!(rows(&server), "1");
        assert_eq!(server.client().get(&address).status, 200, "once it is back");
    }
    assert!(server.wait_for_log("upload store: get: ").contains("upload store: put: "));
}

#[test]
fn what_breaks_off_in_parts_is_never_seen() {
    let (folder, bucket) = (site(), Bucket::start());
    let server = start(&folder, &bucket);
    bucket.set(Fault::CutParts);
    assert_eq!(send(&mut server.client(), "/send", &picture(LARGE)).status, 503);
    until("the parts are gone", || bucket.parts().is_empty());
    until("the mark is gone", || bucket.marks().is_empty());
    bucket.set(Fault::None);
    // The visitor hangs up.
    let half = Half::begin(server.address(), "/send", &picture(2 * LARGE));
    until("parts were sent", || !bucket.parts().is_empty() && !bucket.marks().is_empty());
    drop(half);
    until("the parts are gone", || bucket.parts().is_empty() && bucket.marks().is_empty());
    // Nobody knows whether it is whole.
    bucket.set(Fault::Unknown);
    assert_eq!(send(&mut server.client(), "/send", &picture(LARGE)).status, 503);
    until("the object is gone", || bucket.names().is_empty());
    assert_eq!(bucket.marks().len(), 1, "a sweep will look again");
    assert_eq!(rows(&server), "0");
}

#[test]
fn a_sweep_of_a_bucket_takes_only_what_has_a_mark_and_no_row() {
    let (folder, bucket) = (site(), Bucket::start());
    let server = start(&folder, &bucket);
    assert_eq!(send(&mut server.client(), "/send", &picture(5_000)).status, 303);
    until("the mark is gone", || bucket.marks().is_empty());
    let kept = bucket.names().remove(0);
    let _half = Half::begin(server.address(), "/send", &picture(2 * LARGE));
    until("parts were sent", || !bucket.parts().is_empty() && !bucket.marks().is_empty());
    server.kill();
    let (lost, foreign, young) = (
        "0d9b4bb7-6a52-4f0b-9f16-0a1f0b6fae01",
        "0d9b4bb7-6a52-4f0b-9f16-0a1f0b6fae02",
        "0d9b4bb7-6a52-4f0b-9f16-0a1f0b6fae03",
    );
    let pending = bucket.objects().join("pending");
    for name in [&*kept, lost] {
        fs::write(pending.join(name), "").unwrap();
    }
    for name in [lost, foreign, young] {
        fs::write(bucket.objects().join(name), "bytes").unwrap();
    }
    for entry in fs::read_dir(&pending).unwrap().flatten() {
        age(&entry.path());
    }
    fs::write(pending.join(young), "").unwrap();
    let server = start(&folder, &bucket);
    server.wait_for_log("3 left-over files of uploads were swept");
    assert_eq!(bucket.marks(), [young]);
    let mut names = bucket.names();
    names.sort();
    let mut expected = vec![foreign.to_string(), young.into(), kept];
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(bucket.parts(), [""; 0], "the multipart upload was aborted");
}

#[test]
fn uploads_take_no_more_memory_than_they_may() {
    let (folder, bucket) = (site(), Bucket::start());
    let server = start_with(&folder, &bucket, &["--set", "uploads.memory=8MiB"]);
    // Half of it waits for its visitor, who holds what there is.
    let mut slow = Half::begin(server.address(), "/send", &picture(15_000_000));
    until("it is held", || send(&mut server.client(), "/send", &picture(5_000_000)).status == 503);
    server.wait_for_log("uploads.memory");
    assert_eq!(slow.finish(), 303);
    assert_eq!(send(&mut server.client(), "/send", &picture(LARGE)).status, 303, "a part at a time");
}

#[test]
fn nodes_share_a_folder_and_a_database() {
    let (one, other, shared) = (site(), site(), tempfile::tempdir().unwrap());
    let database = format!("database.url={}", crate::postgres::fresh_database());
    let store = format!("uploads.store={}", shared.path().display());
    let flags = ["--set", &database, "--set", &store];
    let start =
        |folder: &Folder| Server::start_with(folder.path(), "serve", &flags).unwrap_or_else(|said| panic!("{said}"));
    let (first, second) = (start(&one), start(&other));
    let bytes = picture(300_000);
    assert_eq!(send(&mut first.client(), "/send", &bytes).status, 303);
    let address = second.client().get("/").text();
    assert!(second.client().get(&address).body == bytes);
    let incoming = shared.path().join("incoming");
    assert_eq!(entries(&incoming), 0);
    let mut living = Half::begin(second.address(), "/send", &bytes);
    let _dead = Half::begin(first.address(), "/send", &bytes);
    until("both are under way", || entries(&incoming) == 2);
    first.kill();
    // What the dead process left: a half file, a whole one without a row, and the mark of one that has a row.
    let kept = address.rsplit('/').next().unwrap();
    let lost = "0d9b4bb7-6a52-4f0b-9f16-0a1f0b6fae01";
    fs::write(shared.path().join(lost), "bytes").unwrap();
    for id in [kept, lost] {
        fs::hard_link(shared.path().join(id), incoming.join(format!("gone.{id}"))).unwrap();
    }
    for entry in fs::read_dir(&incoming).unwrap().flatten() {
        age(&entry.path());
    }
    let third = start(&one);
    // The half file and its process's lock, and two marks.
    third.wait_for_log("4 left-over files of uploads were swept");
    assert_eq!(entries(&incoming), 1, "the living process goes on");
    assert!(!shared.path().join(lost).exists());
    assert!(third.client().get(&address).body == bytes);
    assert_eq!(living.finish(), 303);
}

/// Makes a file three days older.
fn age(file: &std::path::Path) {
    let long_ago = fs::metadata(file).unwrap().modified().unwrap() - Duration::from_secs(3 * 24 * 60 * 60);
    fs::File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
}

#[test]
fn a_store_that_makes_no_sense_is_refused_at_the_start() {
    let folder = site();
    for store in ["s3://", "ftp://pictures"] {
        let flag = format!("uploads.store={store}");
        let said = Server::start_with(folder.path(), "serve", &["--set", &flag]).expect_err("it must not start");
        assert!(said.contains("must be a folder or s3://BUCKET/PREFIX"), "{said}");
    }
}
