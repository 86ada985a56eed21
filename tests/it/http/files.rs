//! Static files: their headers, forms, parts, conditions, and what is never served.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use tableside::site::statics::{Mode, Options};

use super::server::{Server, Wish};

/// Writes a file that was changed an hour ago.
fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "index.html", "<h1>Home</h1>");
    write(folder.path(), "digits.txt", "0123456789");
    write(folder.path(), "app.css", "body { color: teal }\n".repeat(200));
    write(folder.path(), "large.bin", (0..3_000_000_u32).map(|index| (index % 251) as u8).collect::<Vec<_>>());
    folder
}

fn plain(listing: bool) -> Wish {
    Wish { files: Options { mode: Mode::Plain, listing, ..Options::default() }, ..Wish::default() }
}

#[test]
fn a_file_is_served_with_all_its_headers() {
    let folder = folder();
    let server = Server::of(folder.path(), Wish::default());
    let reply = server.get("/", "");
    assert_eq!((reply.status, reply.text()), (200, "<h1>Home</h1>"));
    let expected = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "13"),
        ("cache-control", "no-cache"),
        ("accept-ranges", "bytes"),
        ("vary", "accept-encoding"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("x-frame-options", "SAMEORIGIN"),
    ];
    for (name, value) in expected {
        assert_eq!(reply.header(name), Some(value));
    }
    assert!(
        reply.header("etag").is_some() && reply.header("last-modified").is_some() && reply.header("date").is_some()
    );
    assert_eq!(reply.header("server"), None);
}

#[test]
fn head_and_options_come_free() {
    let folder = folder();
    let server = Server::of(folder.path(), Wish::default());
    for path in ["/", "/large.bin", "/missing"] {
        let mut client = server.connect();
        client.write(format!(
            "HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        let head = client.head().unwrap();
        // Anything of a body would be read as the second head.
        assert_eq!(client.head().unwrap().status, 200);
        assert!(client.is_closed());
        let get = server.get(path, "");
        let known = |reply: &super::server::Reply| {
            reply.headers.iter().filter(|(name, _)| name != "date").cloned().collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!((head.status, known(&head)), (get.status, known(&get)), "{path}");
    }
    let reply = server.send("OPTIONS /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((reply.status, reply.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(reply.header("content-length"), None);
    let reply = server.send("POST /digits.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn parts_are_sent() {
    let folder = folder();
    let server = Server::of(folder.path(), Wish::default());
    let cases = [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("bytes=5-2", 200, "0123456789", None),
    ];
    for (range, status, body, content_range) in cases {
        let reply = server.get("/digits.txt", &format!("Range: {range}\r\nAccept-Encoding: gzip\r\n"));
        assert_eq!(
            (reply.status, reply.text(), reply.header("content-range")),
            (status, body, content_range),
            "{range}"
        );
    }
    let whole = server.get("/large.bin", "").body;
    let part = server.get("/large.bin", "Range: bytes=1000000-2000000\r\n");
    assert_eq!((part.status, part.header("content-length")), (206, Some("1000001")));
    assert!(part.body == whole[1_000_000..=2_000_000]);
}

#[test]
fn conditions_hold() {
    let folder = folder();
    let server = Server::of(folder.path(), Wish::default());
    for path in ["/digits.txt", "/large.bin"] {
        let reply = server.get(path, "");
        let (etag, date) = (reply.header("etag").unwrap(), reply.header("last-modified").unwrap());
        let cases = [
            (format!("If-None-Match: {etag}\r\n"), 304),
            (format!("If-None-Match: W/{etag}, \"x\"\r\n"), 304),
            ("If-None-Match: \"x\"\r\n".into(), 200),
            (format!("If-Modified-Since: {date}\r\n"), 304),
            ("If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n".into(), 200),
            (format!("If-Match: {etag}\r\n"), 200),
            ("If-Match: \"x\"\r\n".into(), 412),
            ("If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n".into(), 412),
            (format!("Range: bytes=0-0\r\nIf-Range: {etag}\r\n"), 206),
            (format!("Range: bytes=0-0\r\nIf-Range: {date}\r\n"), 206),
            ("Range: bytes=0-0\r\nIf-Range: \"x\"\r\n".into(), 200),
        ];
        for (lines, status) in cases {
            let reply = server.get(path, &lines);
            assert_eq!(reply.status, status, "{path} {lines}");
            assert!(status != 304 || (reply.header("etag").is_some() && reply.header("content-length").is_none()));
        }
    }
}

#[test]
fn compressed_forms_are_made_and_kept() {
    let folder = folder();
    write(folder.path(), "ready.css", "x".repeat(1000));
    write(folder.path(), "ready.css.br", "packed beforehand");
    let server = Server::of(folder.path(), Wish::default());
    let reply = server.get("/ready.css", "Accept-Encoding: gzip, br\r\n");
    assert_eq!((reply.header("content-encoding"), reply.text()), (Some("br"), "packed beforehand"));
    let plain = server.get("/app.css", "");
    assert_eq!(plain.header("content-encoding"), None);
    let deadline = Instant::now() + Duration::from_secs(20);
    let packed = loop {
        let reply = server.get("/app.css", "Accept-Encoding: gzip\r\n");
        if reply.header("content-encoding") == Some("gzip") {
            break reply;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);
    assert_ne!(packed.header("etag"), plain.header("etag"));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    // Whoever has any form has the file.
    for etag in [packed.header("etag").unwrap(), plain.header("etag").unwrap()] {
        let again = server.get("/app.css", &format!("Accept-Encoding: br\r\nIf-None-Match: {etag}\r\n"));
        assert_eq!((again.status, again.header("etag")), (304, Some(etag)));
    }
    let images = server.get("/large.bin", "Accept-Encoding: gzip\r\n");
    assert_eq!((images.header("content-encoding"), images.header("vary")), (None, None));
}

#[test]
fn a_fingerprinted_address_is_kept_for_a_year() {
    let folder = folder();
    let server = Server::of(folder.path(), Wish::default());
    let etag = server.get("/app.css", "").header("etag").unwrap().trim_matches('"').to_string();
    let cached = |query: &str| server.get(&format!("/app.css{query}"), "").header("cache-control").map(str::to_string);
    assert_eq!(cached(&format!("?v={etag}")).as_deref(), Some("public, max-age=31536000, immutable"));
    assert_eq!(cached("?v=old").as_deref(), Some("no-cache"));
}

#[test]
fn what_lies_outside_is_never_served() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret", "secret");
    let folder = folder();
    let root = folder.path();
    for name in [".env", ".git/config", "data/site.db", "site.toml", "x.sql", "migrations/0001.sql", "tests/a.hurl"] {
        write(root, name, "secret");
    }
    write(root, ".well-known/security.txt", "Contact: us");
    symlink(outside.path(), root.join("out")).unwrap();
    symlink(outside.path().join("secret"), root.join("link")).unwrap();
    symlink(root.join("data/site.db"), root.join("db")).unwrap();
    symlink("data/site.db", root.join("db2")).unwrap();
    let server = Server::of(root, plain(true));
    let paths = [
        "/.env",
        "/.git/config",
        "/.git/",
        "/data/site.db",
        "/data/",
        "/data",
        "/site.toml",
        "/x.sql",
        "/migrations/0001.sql",
        "/tests/a.hurl",
        "/out/secret",
        "/out/",
        "/link",
        "/db",
        "/db2",
        "/%2eenv",
        "/./.env",
        "/x/../.env",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/..%5c..%5cetc/passwd",
        "/../etc/passwd",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/etc/passwd",
        "/digits.txt%00.html",
        "/digits.txt/",
        "/digits.txt/x",
        "/.well-known/../.env",
        "/DATA/site.db",
        "/site.toml/",
        "/.well-known/.env",
    ];
    for path in paths {
        let reply = server.get(path, "");
        assert!(matches!(reply.status, 308 | 400 | 404), "{path} gave {}", reply.status);
        assert!(!reply.text().contains("secret"), "{path}");
        if let Some(to) = reply.header("location") {
            assert!(!server.get(to, "").text().contains("secret"), "{path} to {to}");
        }
    }
    assert_eq!(server.get("/.well-known/security.txt", "").text(), "Contact: us");
    let list = server.get("/.well-known/", "").status;
    assert!(matches!(list, 200 | 404));
}

#[test]
fn a_plain_folder_shows_its_list() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "b.txt", "b");
    write(folder.path(), "A <1>.txt", "a");
    write(folder.path(), "photos/x.jpg", "x");
    let server = Server::of(folder.path(), plain(true));
    let reply = server.get("/", "");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    let places =
        ["href=\"./photos/\"", "href=\"./A%20%3C1%3E.txt\"", "href=\"./b.txt\""].map(|link| reply.text().find(link));
    assert!(places.is_sorted() && places[0].is_some(), "{}", reply.text());
    assert_eq!(server.get("/photos?a=b", "").header("location"), Some("/photos/?a=b"));
    drop(server);
    let server = Server::of(folder.path(), plain(false));
    assert_eq!(server.get("/", "").status, 404);
}

#[test]
fn redirects_and_header_lines_of_the_folder() {
    let folder = folder();
    write(folder.path(), "about.html", "about");
    write(folder.path(), "_redirects", "/old/* /new/:splat 302\n/digits.txt /elsewhere\n/spa/* / 200\n");
    write(
        folder.path(),
        "_headers",
        "/*.x\n".replace("*.x", "app.css") + "  X-Test: yes\n  Cache-Control: max-age=7\n",
    );
    let server = Server::of(folder.path(), Wish::default());
    let to = |path: &str| {
        let reply = server.get(path, "");
        format!("{} {}", reply.status, reply.header("location").unwrap_or(reply.text()))
    };
    assert_eq!(to("/old/a%20b/c?q=1"), "302 /new/a%20b/c?q=1");
    assert_eq!(to("/digits.txt"), "200 0123456789", "a file goes before a rule");
    assert_eq!(to("/spa/x/y"), "200 <h1>Home</h1>");
    assert_eq!(to("/about.html?q=1"), "308 /about?q=1");
    assert_eq!(to("/about/"), "308 /about");
    assert_eq!(to("/index.html"), "308 /");
    assert_eq!(to("/_redirects"), "404 ".to_string() + server.get("/missing", "").text());
    let css = server.get("/app.css", "");
    assert_eq!((css.header("x-test"), css.header("cache-control")), (Some("yes"), Some("max-age=7")));
    assert_eq!(server.get("/", "").header("x-test"), None);
}

#[test]
fn a_file_cut_short_while_it_is_sent_breaks_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.bin");
    // More than the buffers of both sockets hold.
    fs::File::create(&path).unwrap().set_len(200_000_000).unwrap();
    let server = Server::of(folder.path(), Wish::default());
    let mut client = server.connect();
    client.write("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().unwrap().header("content-length"), Some("200000000"));
    fs::File::options().write(true).open(&path).unwrap().set_len(1_000).unwrap();
    assert!(client.rest().len() < 200_000_000);
    server.log.with(" cut-off");
}

#[test]
fn a_replaced_file_is_served_anew() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.txt", "before");
    let wish = Wish { files: Options { always_look: true, ..Options::default() }, ..Wish::default() };
    let server = Server::of(folder.path(), wish);
    assert_eq!(server.get("/a.txt", "").text(), "before");
    fs::write(folder.path().join("new"), "after").unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("a.txt")).unwrap();
    assert_eq!(server.get("/a.txt", "").text(), "after");
    fs::remove_file(folder.path().join("a.txt")).unwrap();
    assert_eq!(server.get("/a.txt", "").status, 404);
}

#[test]
fn every_visit_is_logged() {
    let folder = folder();
    let server = Server::of(folder.path(), Wish::default());
    assert_eq!(server.get("/digits.txt?q=1", "User-Agent: a\"b\r\n").status, 200);
    assert_eq!(server.get("/missing", "").status, 404);
    assert_eq!(server.get("/%00", "").status, 400);
    server.log.with(" GET /missing 404 ");
    server.log.with(" GET /%00 400 ");
    let log = server.log.with(" GET /digits.txt?q=1 200 10B ");
    assert!(log.contains(" 127.0.0.1 \"a\\\"b\" "), "{log}");
}

#[test]
fn a_file_that_changes_while_it_is_sent_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "huge.bin", vec![b'a'; 30_000_000]);
    let server = Server::of(folder.path(), Wish::default());
    let mut client = server.connect();
    client.write("GET /huge.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!(head.header("content-length"), Some("30000000"));
    // The client takes no more until the file is another one: what its socket holds is far less than the file.
    fs::write(folder.path().join("huge.bin"), vec![b'b'; 30_000_000]).unwrap();
    assert!(client.rest().len() < 30_000_000);
}

#[test]
fn a_large_file_is_sent_whole_and_in_parts() {
    let folder = folder();
    let bytes = fs::read(folder.path().join("large.bin")).unwrap();
    let server = Server::of(folder.path(), Wish::default());
    let mut client = server.connect();
    for (range, from, to) in [("", 0, bytes.len()), ("Range: bytes=1000-2500000\r\n", 1000, 2_500_001)] {
        client.write(format!("GET /large.bin HTTP/1.1\r\nHost: x\r\n{range}\r\n"));
        assert!(client.reply().body == bytes[from..to], "{range:?}");
    }
    client.write("GET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.reply().text(), "0123456789");
}
