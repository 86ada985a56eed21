//! The files of a site's folder that become templates and scripts, as they were read, with the server's own pages under
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{Piece, Role, piece};
use super::{Event, Override};
use crate::builtin;
use crate::problem::Fault;
use crate::settings::Settings;
use crate::sqlfile::{Dialect, without_dialect};

/// The largest file of `pages/` that is read, in bytes: larger ones are there by mistake.
const LARGEST: u64 = 512 * 1024 * 1024;

/// A file of `pages/` that was read.
pub(super) struct Item {
    /// What it is.
    pub(super) piece: Piece,
    /// Below `pages/`.
    pub(super) path: String,
    /// The file as messages name it: `pages/cart.sql`, `builtin/pages/login.html`.
    pub(super) file: String,
    /// Its text.
    pub(super) text: Arc<str>,
}

/// The files of a site that are read into templates and scripts.
pub(super) struct Sources {
    folder: PathBuf,
    dialect: Dialect,
    /// Those of `pages/`, by the path without the dialect, sorted.
    pub(super) items: BTreeMap<String, Item>,
    /// Those of `events/`.
    pub(super) events: Vec<(Event, Item)>,
    /// Those that are for one database only.
    pub(super) overrides: Vec<Override>,
    /// What was found wrong on the way.
    pub(super) faults: Vec<Fault>,
}

impl Sources {
    /// None yet, of the site in a folder.
    pub(super) fn of(folder: &Path, dialect: Dialect) -> Sources {
        Sources {
            folder: folder.to_path_buf(),
            dialect,
            items: BTreeMap::new(),
            events: Vec::new(),
            overrides: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Reads `pages/` and `events/`.
    pub(super) fn read(&mut self) {
        for path in self.paths("pages") {
            self.read_page(path);
        }
        for path in self.paths("events") {
            self.read_event(path);
        }
    }

    /// Lays the server's own pages under the site's: a file of the site at the same path wins.
    pub(super) fn lay_under(&mut self, settings: &Settings) {
        for (path, text) in builtin::pages(settings) {
            let Some(piece) = piece(path) else { continue };
            if piece.dialect.is_some_and(|dialect| dialect != self.dialect) {
                continue;
            }
            let file = format!("{}pages/{path}", builtin::ROOT);
            let text = match path == builtin::OWN_DATA {
                true => format!("{text}{}", builtin::queries_of_owners(settings, &mut self.faults)).into(),
                false => text.into(),
            };
            let item = Item { path: path.to_string(), file, text, piece };
            self.items.entry(item.piece.name.clone()).or_insert(item);
        }
    }

    fn paths(&mut self, below: &str) -> Vec<String> {
        let mut paths = Vec::new();
        walk(&self.folder.join(below), "", &mut paths, &mut self.faults);
        paths
    }

    fn read_event(&mut self, path: String) {
        let (name, dialect) = without_dialect(&path);
        let Some(event) = Event::ALL.into_iter().find(|event| name.strip_suffix(".sql") == Some(event.name())) else {
            let known = Event::ALL.map(Event::name).join(".sql, ");
            let fault = Fault::everywhere(format!("`events/{path}` is no event"));
            return self.faults.push(fault.help(format!("there are {known}.sql")));
        };
        self.overrides.extend(Override::of(&format!("events/{path}")));
        let is_known = self.events.iter().any(|(known, _)| *known == event);
        if dialect.is_some_and(|dialect| dialect != self.dialect) || is_known && dialect.is_none() {
            return;
        }
        let file = format!("events/{path}");
        let Some(text) = self.text(&file) else { return };
        let piece = Piece { role: Role::Private, route: String::new(), dialect, name };
        self.events.retain(|(known, _)| *known != event);
        self.events.push((event, Item { piece, path, file, text }));
    }

    /// A file's text.
    fn text(&mut self, path: &str) -> Option<Arc<str>> {
        let file = self.folder.join(path);
        let read = fs::metadata(&file).and_then(|metadata| match metadata.len() > LARGEST {
            true => Err(std::io::Error::other("it is too large for a page")),
            false => fs::read_to_string(&file),
        });
        match read {
            Ok(text) => Some(text.into()),
            Err(error) => {
                self.faults.push(Fault::everywhere(format!("can't read `{path}`: {error}")));
                None
            }
        }
    }

    fn read_page(&mut self, path: String) {
        let Some(piece) = piece(&path) else { return };
        self.overrides.extend(Override::of(&format!("pages/{path}")));
        // The other database's version of a query file.
        if piece.dialect.is_some_and(|dialect| dialect != self.dialect) {
            return;
        }
        let file = format!("pages/{path}");
        let Some(text) = self.text(&file) else { return };
        let key = piece.name.clone();
        // `x.postgres.sql` replaces `x.sql`, whichever is met first.
        if piece.dialect.is_none() && self.items.get(&key).is_some_and(|item| item.piece.dialect.is_some()) {
            return;
        }
        self.items.insert(key, Item { piece, path, file, text });
    }
}

/// All files below a folder, sorted, with `/` between folders. Hidden ones are left out.
pub(super) fn walk(root: &Path, below: &str, paths: &mut Vec<String>, faults: &mut Vec<Fault>) {
    let folder = root.join(below);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if below.is_empty() && error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => return faults.push(Fault::everywhere(format!("can't read `{}`: {error}", folder.display()))),
    };
    let mut names: Vec<(String, bool)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().is_dir())))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    names.sort();
    for (name, is_folder) in names {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        match is_folder {
            true => walk(root, &path, paths, faults),
            false => paths.push(path),
        }
    }
}
