//! The index over real folders.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use http::HeaderName;
use http::header::CONTENT_ENCODING;

use super::*;
use crate::compress::Encoding;

/// A folder with these files, all changed a day ago.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(folder.path(), name, content, 86_400);
    }
    folder
}

fn write(folder: &Path, name: &str, content: &str, age: u64) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
}

fn open(folder: &tempfile::TempDir, options: Options) -> Statics {
    let (statics, faults) = Statics::open(folder.path(), options, None).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    statics
}

fn plain() -> Options {
    Options { mode: Mode::Plain, ..Options::default() }
}

/// What a path gives: the file's text, `status address`, or `-`.
fn get(statics: &Statics, path: &str) -> String {
    match statics.find(path, "") {
        Found::File(file) => match file.read(|| None).unwrap() {
            Reading::Kept(loaded) => String::from_utf8_lossy(loaded.plain().bytes()).into_owned(),
            Reading::Open(open) => format!("open, {} bytes", open.stamp.size),
            Reading::Gone => "gone".into(),
        },
        Found::Moved { to, status } => format!("{status} {to}"),
        Found::Listing(folder) => format!("list of {folder}"),
        Found::Nothing => "-".into(),
    }
}

#[test]
fn files_are_found_at_their_addresses() {
    let folder = folder(&[("index.html", "home"), ("a b/ü?.txt", "odd"), ("about.html", "about"), (".env", "secret")]);
    let statics = open(&folder, Options::default());
    assert_eq!(get(&statics, "/"), "home");
    assert_eq!(get(&statics, "/a b/ü?.txt"), "odd");
    assert_eq!(get(&statics, "/about.html"), "308 /about");
    assert_eq!(get(&statics, "/.env"), "-");
    let addresses: Vec<String> = statics.addresses().into_iter().map(|(address, _)| address).collect();
    assert_eq!(addresses, ["/", "/a b/ü?.txt", "/about"]);
    let url = statics.asset_url("a b/ü?.txt").unwrap();
    assert!(url.starts_with("/a%20b/%C3%BC%3F.txt?v="), "{url}");
    assert_eq!(statics.asset_url("nothing.css"), None);
}

#[test]
fn links_out_of_the_folder_lead_nowhere() {
    let outside = folder(&[("secret.txt", "secret")]);
    for options in [Options::default(), plain()] {
        let site = folder(&[("in.txt", "inside"), (".hidden", "hidden")]);
        let link = |target: &Path, name: &str| symlink(target, site.path().join(name)).unwrap();
        link(&outside.path().join("secret.txt"), "absolute.txt");
        link(outside.path(), "folder");
        link(Path::new("../../etc/passwd"), "relative.txt");
        link(Path::new("in.txt"), "fine.txt");
        link(Path::new(".hidden"), "unhidden.txt");
        link(Path::new("."), "ring");
        link(Path::new("loop"), "loop");
        let statics = open(&site, options);
        for path in ["/absolute.txt", "/folder/secret.txt", "/relative.txt", "/unhidden.txt", "/loop"] {
            assert_eq!(get(&statics, path), "-", "{path}");
        }
        assert_eq!(get(&statics, "/fine.txt"), "inside");
        // A link that is put in a file's place afterwards is not followed either.
        fs::remove_file(site.path().join("in.txt")).unwrap();
        link(&outside.path().join("secret.txt"), "in.txt");
        assert!(["gone", "-"].contains(&get(&statics, "/in.txt").as_str()));
    }
}

#[test]
fn a_plain_folder_hides_what_belongs_to_a_server() {
    let files =
        [("site.toml", "x"), ("data/site.db", "x"), ("a/q.sql", "x"), ("tests/a.hurl", "x"), ("a/data/x", "fine")];
    let folder = folder(&files);
    let statics = open(&folder, Options { listing: true, ..plain() });
    for path in ["/site.toml", "/data/site.db", "/data/", "/a/q.sql", "/tests/a.hurl"] {
        assert_eq!(get(&statics, path), "-", "{path}");
    }
    assert_eq!(get(&statics, "/a/data/x"), "fine");
    assert_eq!(get(&statics, "/a"), "308 /a/");
    let names: Vec<String> = statics.list("").unwrap().into_iter().map(|line| line.name).collect();
    assert_eq!(names, ["a"]);
    assert!(statics.list("data").is_err());
}

#[test]
fn a_replaced_file_is_never_served_stale_for_long() {
    let folder = folder(&[("a.txt", "one")]);
    let statics = open(&folder, Options { always_look: true, ..Options::default() });
    assert_eq!(get(&statics, "/a.txt"), "one");
    let first = statics.asset_url("a.txt").unwrap();
    // The same size, the same second: only the time of change in its fractions tells.
    for text in ["two", "six", "ten"] {
        write(folder.path(), "a.txt", text, 0);
        assert_eq!(get(&statics, "/a.txt"), text);
    }
    assert_ne!(statics.asset_url("a.txt").unwrap(), first);
    fs::remove_file(folder.path().join("a.txt")).unwrap();
    assert_eq!(get(&statics, "/a.txt"), "gone");
    write(folder.path(), "a.txt", "back", 10);
    assert_eq!(get(&statics, "/a.txt"), "back");
}

#[test]
fn within_a_second_the_disk_is_not_asked() {
    let folder = folder(&[("a.txt", "one")]);
    let statics = open(&folder, Options::default());
    assert_eq!(get(&statics, "/a.txt"), "one");
    let Found::File(file) = statics.find("/a.txt", "") else { panic!() };
    let Reading::Kept(first) = file.read(|| None).unwrap() else { panic!() };
    let Reading::Kept(second) = file.read(|| None).unwrap() else { panic!() };
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn new_files_of_a_plain_folder_are_found() {
    let folder = folder(&[("index.html", "home")]);
    let statics = open(&folder, plain());
    assert_eq!(get(&statics, "/new/"), "-");
    write(folder.path(), "new/index.html", "new", 10);
    write(folder.path(), "late.txt", "late", 10);
    assert_eq!(get(&statics, "/new/"), "new");
    assert_eq!(get(&statics, "/new"), "308 /new/");
    assert_eq!(get(&statics, "/late.txt"), "late");
    fs::remove_file(folder.path().join("index.html")).unwrap();
    fs::create_dir(folder.path().join("index.html")).unwrap();
    assert_ne!(get(&statics, "/index.html"), "home");
}

#[test]
fn memory_is_bounded() {
    let folder = folder(&[("a.bin", "aaaa"), ("b.bin", "bbbb"), ("large.bin", "0123456789")]);
    let options = Options { keep_file: 8, keep_total: 6, ..Options::default() };
    let statics = open(&folder, options);
    assert_eq!(get(&statics, "/large.bin"), "open, 10 bytes");
    assert_eq!(get(&statics, "/a.bin"), "aaaa");
    assert_eq!(get(&statics, "/b.bin"), "open, 4 bytes");
    drop(statics);
}

#[test]
fn a_new_snapshot_takes_over_what_has_not_changed() {
    let folder = folder(&[("a.txt", "same"), ("b.txt", "one")]);
    let before = open(&folder, Options::default());
    let kept = |statics: &Statics, path: &str| {
        let Found::File(file) = statics.find(path, "") else { panic!() };
        let Reading::Kept(kept) = file.read(|| None).unwrap() else { panic!() };
        kept
    };
    let (a, b) = (kept(&before, "/a.txt"), kept(&before, "/b.txt"));
    write(folder.path(), "b.txt", "two", 10);
    let (after, _) = Statics::open(folder.path(), Options::default(), Some(&before)).unwrap();
    assert!(Arc::ptr_eq(&a, &kept(&after, "/a.txt")));
    assert!(!Arc::ptr_eq(&b, &kept(&after, "/b.txt")));
    // With other header lines nothing is taken over.
    write(folder.path(), "_headers", "/*\n  X-New: yes\n", 10);
    let (third, _) = Statics::open(folder.path(), Options::default(), Some(&after)).unwrap();
    assert_eq!(kept(&third, "/a.txt").plain().headers().get(&HeaderName::from_static("x-new")).unwrap(), "yes");
}

#[test]
fn forms_compressed_beforehand_are_used_unless_they_are_older() {
    let long = "long enough to be worth it ".repeat(10);
    let folder = folder(&[("a.css", &long), ("b.css", &long)]);
    write(folder.path(), "a.css.br", "packed", 86_000);
    write(folder.path(), "b.css.br", "packed", 90_000);
    let statics = open(&folder, Options::default());
    for (path, expected) in [("/a.css", Some("packed")), ("/b.css", None)] {
        let Found::File(file) = statics.find(path, "") else { panic!() };
        let Reading::Kept(kept) = file.read(|| None).unwrap() else { panic!() };
        let packed = kept.packed(Encoding::Brotli).map(|variant| String::from_utf8_lossy(variant.bytes()).into_owned());
        assert_eq!(packed.as_deref(), expected, "{path}");
    }
}

#[test]
fn other_forms_are_made_in_the_background() {
    let folder = folder(&[("a.css", &"body { color: red }\n".repeat(100))]);
    let statics = open(&folder, Options::default());
    let Found::File(file) = statics.find("/a.css", "") else { panic!() };
    let Reading::Kept(kept) = file.read(|| None).unwrap() else { panic!() };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while kept.packed(Encoding::Gzip).is_none() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let variant = kept.packed(Encoding::Gzip).unwrap();
    assert_eq!(variant.headers().get(&CONTENT_ENCODING).unwrap(), "gzip");
    assert_ne!(variant.etag(), kept.plain().etag());
}

#[test]
fn two_files_at_one_address_are_a_fault() {
    let folder = folder(&[("a.html", ""), ("a/index.html", "")]);
    let (_, faults) = Statics::open(folder.path(), Options::default(), None).unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let (_, faults) = Statics::open(folder.path(), plain(), None).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn an_unreadable_folder_is_one_clear_problem() {
    let problem = Statics::open(Path::new("/nowhere/at/all"), Options::default(), None).unwrap_err();
    assert_eq!(problem.to_string(), "the folder /nowhere/at/all can't be read: there is no such folder");
    assert_eq!(get(&Statics::none(), "/"), "-");
}
