//! Goes through the folder: everything for the index, one folder for its list. Decides which names are never served.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use super::file::Shared;
use super::folder::{Kind, Stamp};
use super::{Listed, Mode};
use crate::problem::{Fault, Level, Problem};

/// Lines of a folder's list; more help nobody.
const LISTED: usize = 10_000;

/// How deep folders may nest; links could nest them without end.
const DEPTH: usize = 64;

/// A file or folder that may be served.
pub(super) struct Walked {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Only where it was asked for: it is a call to the system for each file.
    pub(super) stamp: Option<Stamp>,
}

/// Whether a relative path may be served at all.
pub(super) fn allows(mode: Mode, relative: &Path) -> bool {
    let names = relative.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let mut first = true;
    for name in names {
        let Some(name) = name else { return false };
        let hidden = name.starts_with('.') && !(first && name == ".well-known");
        let rules = first && matches!(name, "_redirects" | "_headers");
        if hidden || rules || (mode == Mode::Plain && is_of_the_server(name, first)) {
            return false;
        }
        first = false;
    }
    true
}

/// The names that a site's folder has for the server; in a plain folder they are somebody's mistake to be caught.
fn is_of_the_server(name: &str, top: bool) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.eq_ignore_ascii_case("sql") || top && matches!(name, "site.toml" | "data" | "migrations" | "tests")
}

/// Everything in the folder that may be served, each folder before what is in it, with stamps or without.
pub(super) fn all(shared: &Shared, stamps: bool, faults: &mut Vec<Fault>) -> Vec<Walked> {
    let mut walk = Walk { shared, stamps, faults, found: Vec::new(), files: 0, seen: HashSet::new() };
    if !shared.folder.is_none() {
        walk.folder("", 0);
    }
    if walk.files > shared.options.files {
        let message = format!("the folder has more than {} files; the others are not served", shared.options.files);
        walk.warn(message);
    }
    walk.found
}

struct Walk<'a> {
    shared: &'a Shared,
    stamps: bool,
    faults: &'a mut Vec<Fault>,
    found: Vec<Walked>,
    files: usize,
    /// Device and inode of the folders gone through, against rings of links.
    seen: HashSet<(u64, u64)>,
}

impl Walk<'_> {
    fn folder(&mut self, name: &str, depth: usize) {
        let path = self.shared.folder.path().join(name);
        let is_new = fs::metadata(&path).is_ok_and(|facts| self.seen.insert((facts.dev(), facts.ino())));
        if !is_new || depth > DEPTH || self.files > self.shared.options.files {
            return;
        }
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) => return self.warn(format!("the folder `{name}` can't be read: {error}")),
        };
        for entry in entries.flatten() {
            self.entry(name, &entry, depth);
        }
    }

    fn entry(&mut self, folder: &str, entry: &fs::DirEntry, depth: usize) {
        let name = match entry.file_name().into_string() {
            Ok(last) if folder.is_empty() => last,
            Ok(last) => format!("{folder}/{last}"),
            Err(last) => return self.warn(format!("the name of {last:?} is not UTF-8; it is not served")),
        };
        if !allows(self.shared.options.mode, Path::new(&name)) {
            return;
        }
        if name.contains(|c: char| c == '\\' || c.is_control()) {
            return self.warn(format!("no address can name {name:?}; it is not served"));
        }
        // A link is followed by the careful way only, everything else by what the folder says of it.
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let kind = if is_link { self.shared.kind(&name) } else { kind_of(entry) };
        let Some(kind) = kind else { return };
        let stamp = if self.stamps { self.shared.folder.stamp(Path::new(&name)).ok() } else { None };
        if kind == Kind::File {
            self.files += 1;
            if self.files > self.shared.options.files {
                return;
            }
        }
        self.found.push(Walked { name: name.clone(), kind, stamp });
        if kind == Kind::Folder {
            self.folder(&name, depth + 1);
        }
    }

    fn warn(&mut self, message: String) {
        self.faults.push(Fault { level: Level::Warning, ..Fault::everywhere(message) });
    }
}

fn kind_of(entry: &fs::DirEntry) -> Option<Kind> {
    let kind = entry.file_type().ok()?;
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => Some(Kind::File),
        (_, true) => Some(Kind::Folder),
        _ => None,
    }
}

/// The list of one folder, as it is on disk now.
pub(super) fn list(shared: &Shared, folder: &str) -> Result<Vec<Listed>, Problem> {
    if shared.kind(folder) != Some(Kind::Folder) {
        return Err(Problem::not_found());
    }
    let broken = |error| Problem::broken(format!("the folder `{folder}` can't be read: {error}"));
    let mut listed = Vec::new();
    for entry in fs::read_dir(shared.folder.path().join(folder)).map_err(broken)?.flatten().take(LISTED) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let relative = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let (Some(kind), Ok(stamp)) = (shared.kind(&relative), shared.folder.stamp(Path::new(&relative))) else {
            continue;
        };
        listed.push(Listed { name, folder: kind == Kind::Folder, size: stamp.size, changed: stamp.seconds() });
    }
    listed.sort_by_cached_key(|line| (!line.folder, line.name.to_lowercase(), line.name.clone()));
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_served() {
        for path in [".env", ".git/config", "a/.hidden", ".well-known/.x", "a/.well-known/x", "_redirects", "_headers"]
        {
            assert!(!allows(Mode::Site, Path::new(path)), "{path}");
        }
        for path in ["site.toml", "data/site.db", "migrations/1.sql", "tests/a.hurl", "a/x.SQL"] {
            assert!(!allows(Mode::Plain, Path::new(path)), "{path}");
            assert!(allows(Mode::Site, Path::new(path)), "{path}");
        }
        for path in ["a/data/x", "site.toml.html", ".well-known/security.txt", "a/_headers", "_layout.css"] {
            assert!(allows(Mode::Plain, Path::new(path)), "{path}");
        }
    }
}
