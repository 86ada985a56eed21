//! The order of the house: modules use only what stands below them, steps never each other, and each thing that only
//! one place may touch is touched only there (ARCHITECTURE.md, "invariants").

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from top to bottom. A module uses those of lower layers, and within a layer of tools its fellows.
const LAYERS: [&[&str]; 6] = [
    &["cli"],
    &["serve", "app"],
    STEPS,
    &["flow"],
    &[
        "check", "site", "sqlfile", "render", "database", "uploads", "accounts", "outbox", "boxed", "builtin", "cache",
        "hurl", "compress", "fields", "hash", "octets", "parcel", "weighed",
    ],
    &["settings", "problem", "value", "trace", "clock", "parallel"],
];

/// The steps of a request, which know nothing of each other.
const STEPS: &[&str] = &["accept", "parse", "route", "access", "answer", "respond", "log"];

/// No file is longer; a screen shows a function, some screens a file.
const MOST_LINES: usize = 600;

/// A file of `src/`.
struct File {
    /// The path below `src/`.
    path: String,
    text: String,
}

impl File {
    /// The first folder or file of its path: the module that it belongs to.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or("")
    }

    /// The text without what only tests see.
    fn code(&self) -> &str {
        if self.path.ends_with("tests.rs") || self.path.contains("/tests/") {
            return "";
        }
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("")
    }

    /// Lines of code with their numbers; comments are left out.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code().lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let file = |path: PathBuf| File {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(),
    };
    let mut files: Vec<File> = paths.into_iter().map(file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The modules that a line names as `crate::module`, also in `use crate::{a, b}`.
fn named(line: &str) -> Vec<&str> {
    let mut modules = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or("");
                modules.extend(list.split(',').map(|name| word(name.trim())));
            }
            None => modules.push(word(rest)),
        }
    }
    modules
}

fn word(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("")
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files() {
        let Some(own) = layer(file.module()) else { continue };
        for (number, line) in file.lines() {
            for other in named(line).into_iter().filter(|other| *other != file.module()) {
                let Some(theirs) = layer(other) else { continue };
                seen += 1;
                let fellows = own == theirs && (LAYERS[own].contains(&"site") || own + 1 == LAYERS.len());
                if !(theirs > own || fellows || own == 1 && theirs == 1) {
                    wrong.push(format!("src/{}:{number}: {} may not use {other}", file.path, file.module()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A reading that finds hardly any use would find no wrong one either.
    assert!(seen > 200, "only {seen} uses were found");
}

#[test]
fn every_module_has_its_layer() {
    for file in files() {
        let known = layer(file.module()).is_some() || matches!(file.module(), "lib" | "main" | "allocator");
        assert!(known, "src/{}: the module `{}` stands in no layer", file.path, file.module());
    }
}

/// What only one place may name.
#[test]
fn each_thing_has_its_place() {
    let rules: [(&str, &[&str]); 7] = [
        ("object_store", &["uploads/"]),
        ("rusqlite", &["database/"]),
        ("minijinja", &["render/"]),
        ("env::var", &["settings.rs"]),
        ("Timestamp::now", &["clock.rs"]),
        ("SystemTime::now", &["clock.rs"]),
        // Time that passes is measured anywhere; the time of day is the clock's alone.
        ("Zoned::now", &["clock.rs"]),
    ];
    let mut wrong = Vec::new();
    for file in files() {
        for (name, places) in rules {
            if places.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            let lines = file.lines().filter(|(_, line)| line.contains(name));
            wrong.extend(lines.map(|(number, _)| format!("src/{}:{number}: only {places:?} names {name}", file.path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tools_know_no_http() {
    let mut wrong = Vec::new();
    for file in files() {
        // Heads of answers are made beforehand, a static file's when it is read; the client of the Hurl runner is a client.
        let spared =
            ["hurl/", "site/statics", "parcel.rs", "fields.rs"].iter().any(|place| file.path.starts_with(place));
        let Some(4..) = layer(file.module()).filter(|_| !spared) else { continue };
        let lines = file.lines().filter(|(_, line)| line.contains("use http::") || line.contains("hyper::"));
        wrong.extend(lines.map(|(number, line)| format!("src/{}:{number}: {}", file.path, line.trim())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for file in files() {
        let lines = file.text.lines().count();
        let tests = file.path.ends_with("tests.rs") || file.path.contains("/tests/");
        assert!(tests || lines <= MOST_LINES, "src/{} has {lines} lines, more than {MOST_LINES}", file.path);
        assert!(file.text.starts_with("//!"), "src/{} doesn't say what it is", file.path);
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME", "#[ignore]"];
    for file in files() {
        for word in words {
            assert!(!file.text.contains(word), "src/{} holds {word}", file.path);
        }
        let unsafe_blocks = file.text.matches("unsafe {").count();
        let reasons = file.text.matches("SAFETY:").count();
        assert!(reasons >= unsafe_blocks, "src/{}: an `unsafe` block without its reason", file.path);
    }
}
