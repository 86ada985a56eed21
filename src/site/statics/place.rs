//! Decides what stands at a path by the rules of canonical addresses. Pure: it asks what exists, and touches no disk.

use super::folder::Kind;
use super::{Mode, Options};

/// What a path means. All paths are decoded; `relative` ones are those in the folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// This file.
    File(String),
    /// The address is another one.
    Moved(String),
    /// The list of this folder.
    Listing(String),
    /// Nothing.
    Nothing,
}

/// Decides.
///
/// Site: `about.html` is `/about`, `photos/index.html` is `/photos`, no address but `/` ends in a slash.
/// Plain folder: `about.html` is `/about`, `photos/index.html` is `/photos/`, so that its relative links work.
pub(super) fn decide(path: &str, options: &Options, exists: &dyn Fn(&str) -> Option<Kind>) -> Place {
    let inner = path.strip_prefix('/').unwrap_or(path);
    match inner.strip_suffix('/') {
        _ if inner.is_empty() => folder("", options, exists),
        Some(name) if options.mode == Mode::Plain => folder(name, options, exists),
        Some(name) => without_slash(name, options, exists),
        None => named(inner, options, exists),
    }
}

/// An address that ends in a slash: a folder's index or its listing.
fn folder(name: &str, options: &Options, exists: &dyn Fn(&str) -> Option<Kind>) -> Place {
    let index = within(name, "index.html");
    if exists(&index) == Some(Kind::File) {
        return Place::File(index);
    }
    match exists(name) {
        Some(Kind::Folder) if options.listing => return Place::Listing(name.to_string()),
        Some(Kind::File) => return without_slash(name, options, exists),
        _ => {}
    }
    match !name.is_empty() && exists(&format!("{name}.html")) == Some(Kind::File) {
        true => Place::Moved(format!("/{name}")),
        false => Place::Nothing,
    }
}

/// Where the address without its slash leads.
fn without_slash(name: &str, options: &Options, exists: &dyn Fn(&str) -> Option<Kind>) -> Place {
    match named(name, options, exists) {
        Place::File(_) => Place::Moved(format!("/{name}")),
        other => other,
    }
}

/// An address that doesn't end in a slash.
fn named(name: &str, options: &Options, exists: &dyn Fn(&str) -> Option<Kind>) -> Place {
    let is_file = |name: &str| exists(name) == Some(Kind::File);
    if is_file(name) {
        return match canonical(name, options.mode) {
            // Where a file `about` stands beside `about.html`, only the full name leads to the second.
            Some(other) if !is_file(&other[1..]) => Place::Moved(other),
            _ => Place::File(name.to_string()),
        };
    }
    let page = format!("{name}.html");
    // `/index` is not another name of `/`.
    if is_file(&page) && name.rsplit('/').next() != Some("index") {
        return Place::File(page);
    }
    let index = within(name, "index.html");
    match options.mode {
        Mode::Site if is_file(&index) => Place::File(index),
        Mode::Plain if is_file(&index) => Place::Moved(format!("/{name}/")),
        Mode::Plain if options.listing && exists(name) == Some(Kind::Folder) => Place::Moved(format!("/{name}/")),
        _ => Place::Nothing,
    }
}

/// The address of an HTML file, which has no `.html`; `None` for other files.
pub(super) fn canonical(name: &str, mode: Mode) -> Option<String> {
    let stem = name.strip_suffix(".html")?;
    if stem == "index" {
        return Some("/".to_string());
    }
    Some(match (stem.strip_suffix("/index"), mode) {
        (Some(folder), Mode::Site) => format!("/{folder}"),
        (Some(folder), Mode::Plain) => format!("/{folder}/"),
        (None, _) => format!("/{stem}"),
    })
}

fn within(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 9] = [
        "index.html",
        "app.css",
        "about.html",
        "photos/index.html",
        "photos/a.jpg",
        "both",
        "both.html",
        "deep/er/page.html",
        "team.html",
    ];
    const FOLDERS: [&str; 5] = ["", "photos", "deep", "deep/er", "team"];

    fn at(path: &str, mode: Mode, listing: bool) -> Place {
        decide(path, &Options { mode, listing, ..Options::default() }, &|name| {
            let folder = FOLDERS.contains(&name).then_some(Kind::Folder);
            FILES.contains(&name).then_some(Kind::File).or(folder)
        })
    }

    fn file(name: &str) -> Place {
        Place::File(name.into())
    }

    fn moved(to: &str) -> Place {
        Place::Moved(to.into())
    }

    #[test]
    fn a_site_has_one_address_for_each_file() {
        let cases = [
            ("/", file("index.html")),
            ("/index.html", moved("/")),
            ("/index", Place::Nothing),
            ("/app.css", file("app.css")),
            ("/app.css/", moved("/app.css")),
            ("/about", file("about.html")),
            ("/about.html", moved("/about")),
            ("/about/", moved("/about")),
            ("/photos", file("photos/index.html")),
            ("/photos/", moved("/photos")),
            ("/photos/index.html", moved("/photos")),
            ("/photos/a.jpg", file("photos/a.jpg")),
            ("/both", file("both")),
            ("/both.html", file("both.html")),
            ("/deep", Place::Nothing),
            ("/deep/er/page", file("deep/er/page.html")),
            ("/team", file("team.html")),
            ("/nothing", Place::Nothing),
        ];
        for (path, expected) in cases {
            assert_eq!(at(path, Mode::Site, false), expected, "{path}");
        }
    }

    #[test]
    fn a_plain_folder_keeps_the_slash_of_folders() {
        let cases = [
            ("/", file("index.html")),
            ("/about", file("about.html")),
            ("/about.html", moved("/about")),
            ("/about/", moved("/about")),
            ("/photos", moved("/photos/")),
            ("/photos/", file("photos/index.html")),
            ("/photos/index.html", moved("/photos/")),
            ("/app.css/", moved("/app.css")),
            ("/deep", Place::Nothing),
            ("/deep/", Place::Nothing),
        ];
        for (path, expected) in cases {
            assert_eq!(at(path, Mode::Plain, false), expected, "{path}");
        }
    }

    #[test]
    fn folders_are_listed_where_it_is_switched_on() {
        assert_eq!(at("/deep", Mode::Plain, true), moved("/deep/"));
        assert_eq!(at("/deep/", Mode::Plain, true), Place::Listing("deep".into()));
        assert_eq!(at("/team/", Mode::Plain, true), Place::Listing("team".into()));
        assert_eq!(at("/photos/", Mode::Plain, true), file("photos/index.html"));
    }

    #[test]
    fn no_address_moves_to_one_that_moves_again() {
        for mode in [Mode::Site, Mode::Plain] {
            for name in FILES.iter().chain(&FOLDERS) {
                for path in [format!("/{name}"), format!("/{name}/")] {
                    if let Place::Moved(to) = at(&path, mode, true) {
                        assert!(!matches!(at(&to, mode, true), Place::Moved(_)), "{path} to {to}");
                    }
                }
            }
        }
    }
}
