//! Keeps the handbook true: its table of settings is made from the code, every word of the language occurs in it, its
//! links lead somewhere, and its examples are sites that pass `check` and their own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use tableside::cli::Cli;
use tableside::render::Templates;
use tableside::settings::{Setting, Settings};
use tableside::sqlfile;

use crate::harness::{Folder, run};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// The chapters' texts by their names.
fn chapters() -> BTreeMap<String, String> {
    let folder = docs().join("pages/_text");
    let entries = fs::read_dir(&folder).expect("the chapters");
    let files = entries.map(|entry| entry.expect("a chapter").path());
    files
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a chapter's text"))
        })
        .collect()
}

/// The address of a section, as `_chapter.html` makes it.
fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

#[test]
fn settings_are_those_of_the_code() {
    let path = docs().join("pages/_settings.html");
    let made = settings_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &made).expect("the settings page");
    }
    let found = fs::read_to_string(&path).expect("the settings page");
    assert!(found == made, "{} is not what the code says; run the tests with UPDATE=1", path.display());
}

/// The settings as a list of the template language, which the chapter and the search go through.
fn settings_page() -> String {
    let mut list = String::from(
        "{#- Made from `src/settings.rs` by `tests/it/handbook.rs`: `UPDATE=1 cargo test --test it handbook`. -#}\n\
         {%- set settings = [\n",
    );
    Settings::table().iter().for_each(|setting| list.push_str(&entry(setting)));
    list.push_str("] -%}\n");
    list
}

fn entry(setting: &Setting) -> String {
    let doc = setting.doc.split_whitespace().collect::<Vec<_>>().join(" ");
    // A text of the template language is written as one of JSON.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "  {{\"name\": {}, \"default\": {}, \"env\": {}, \"form\": {},\n   \"doc\": {}}},\n",
        text(setting.name),
        text(setting.default),
        text(&setting.env_name()),
        text(setting.form),
        text(&doc),
    )
}

/// What stands in code: between backticks, or in a block.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut fence: Option<String> = None;
    for line in text.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(opening) if *opening == ticks => fence = None,
            Some(_) => code.push_str(line),
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => line.split('`').skip(1).step_by(2).for_each(|piece| {
                code.push_str(piece);
                code.push('\n');
            }),
        }
        code.push('\n');
    }
    code
}

/// Whether a word stands in a text and is not a part of a longer one.
fn occurs(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(joins);
        let after = text[at + word.len()..].chars().next().is_some_and(joins);
        let (first, last) = (word.starts_with(joins), word.ends_with(joins));
        !(before && first || after && last)
    })
}

#[test]
fn every_word_is_explained() {
    let code: String = chapters().values().map(|text| code_of(text)).collect();
    let commands = Cli::command();
    let verbs = commands.get_subcommands().map(|verb| format!("tableside {}", verb.get_name()));
    let options = commands.get_subcommands().flat_map(|verb| {
        verb.get_arguments().filter_map(|argument| argument.get_long().map(|name| format!("--{name}")))
    });
    let words = sqlfile::vocabulary().into_iter().chain(Templates::vocabulary().into_iter().map(String::from));
    let wanted: BTreeSet<String> = words.filter(|word| word.starts_with(|c: char| !"=!<>".contains(c))).collect();
    let missing: Vec<String> =
        wanted.into_iter().chain(verbs).chain(options).filter(|word| !occurs(&code, word)).collect();
    assert!(missing.is_empty(), "the handbook doesn't mention {}", missing.join(", "));
}

#[test]
fn links_lead_to_sections() {
    let chapters = chapters();
    let sections: BTreeMap<&str, BTreeSet<String>> = chapters
        .iter()
        .map(|(name, text)| (name.as_str(), text.split("\n## ").skip(1).map(|part| anchor(first_line(part))).collect()))
        .collect();
    let mut lost = Vec::new();
    for (name, text) in &chapters {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some(path) = link.strip_prefix('/') else { continue };
            let (chapter, place) = path.split_once('#').unwrap_or((path, ""));
            let is_picture = || Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/public").join(chapter).is_file();
            let leads = |places: &BTreeSet<String>| place.is_empty() || places.contains(place);
            let there = sections.get(chapter).map_or_else(is_picture, leads);
            if !there {
                lost.push(format!("{name}: /{path}"));
            }
        }
    }
    assert!(lost.is_empty(), "links that lead nowhere: {}", lost.join(", "));
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

/// The files that a chapter shows in full: a block under a line with the file's path alone, in bold.
fn files_of(text: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let path = line.strip_prefix("**`").and_then(|rest| rest.strip_suffix("`**"));
        let Some(path) = path else { continue };
        let mut block = lines.by_ref().skip_while(|line| line.is_empty());
        let opening = block.next().unwrap_or("");
        assert!(opening.starts_with("```"), "no block under {path}");
        let body: Vec<&str> = block.take_while(|line| *line != "```").collect();
        files.insert(path.to_string(), body.join("\n") + "\n");
    }
    files
}

#[test]
fn examples_are_sound_sites() {
    for (name, text) in chapters() {
        let files = files_of(&text);
        if files.is_empty() {
            continue;
        }
        let folder = Folder::new(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
        passes("check", &folder, &name);
        if files.keys().any(|path| path.starts_with("tests/")) {
            passes("test", &folder, &name);
        }
    }
}

/// Runs a command over an example; it must find nothing, no warning either.
fn passes(verb: &str, folder: &Folder, chapter: &str) {
    let ended = run([std::ffi::OsStr::new(verb), folder.path().as_os_str()]);
    let silent = !ended.stderr.contains("warning: ");
    let well = ended.code() == Some(0) && silent;
    assert!(well, "{verb} of the example in the chapter `{chapter}`:\n{}{}", ended.stdout, ended.stderr);
}
