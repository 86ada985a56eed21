//! The static files of a site: what stands at which address, and the bytes of small files ready in memory.
//!
//! A tool of the site's snapshot. It makes no response: it hands out bytes with header values made once, and the
//! respond step decides about ranges, conditions and encodings.

mod defaults;
mod file;
mod folder;
mod headers;
mod pattern;
mod place;
mod press;
mod redirects;
mod types;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::clock::Clock;
use crate::hash::TextMap;
use crate::problem::{Fault, Problem};

pub use defaults::DefaultHeaders;
pub use file::{Loaded, OnDisk, Reading, StaticFile};
pub use folder::Stamp;
pub use types::{content_type, http_date};

use file::Shared;
use folder::{Folder, Kind};
use place::{Place, decide};
use redirects::Target;

/// How a folder's files are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `public/` of a site: no address but `/` ends in a slash; what is not in the index may be a page.
    #[default]
    Site,
    /// A plain folder, as static hosts serve it: `photos/index.html` is `/photos/` (and `/photos` leads there), so that
    /// its relative links work. Files that appear later are found. `site.toml`, `data/`, `migrations/`, `tests/` and
    /// `*.sql` are not served.
    Plain,
}

/// What the index is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Site or plain folder.
    pub mode: Mode,
    /// Whether a folder of a plain folder without an `index.html` shows the list of its files.
    pub listing: bool,
    /// Whether files are looked at on disk at each visit rather than at most once a second (`dev`).
    pub always_look: bool,
    /// Files up to this size in bytes are kept in memory; default 256 KiB.
    pub keep_file: u64,
    /// Files of types that compress well are kept up to this size; default 2 MiB.
    pub keep_text: u64,
    /// Bytes in memory over all files, compressed forms included; default 64 MiB.
    pub keep_total: u64,
    /// Files in the index; default 200,000. What is over it is not served, with a warning.
    pub files: usize,
    /// The headers that files carry unless `_headers` says otherwise.
    pub headers: Arc<DefaultHeaders>,
    /// The time of day, to tell files that are just being written.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            mode: Mode::Site,
            listing: false,
            always_look: false,
            keep_file: 256 * 1024,
            keep_text: 2 * 1024 * 1024,
            keep_total: 64 * 1024 * 1024,
            files: 200_000,
            headers: Arc::default(),
            clock: Clock::system(),
        }
    }
}

/// The static files of one snapshot of a site; shared by all cores.
#[derive(Debug)]
pub struct Statics {
    shared: Arc<Shared>,
    /// Files by their canonical address: the way of nearly every visit.
    by_address: TextMap<Box<str>, Arc<StaticFile>>,
    /// Files and folders by their relative path.
    by_name: TextMap<Box<str>, Entry>,
    redirects: redirects::Redirects,
}

#[derive(Debug)]
enum Entry {
    File(Arc<StaticFile>),
    Folder,
}

/// What stands at a path.
#[derive(Debug)]
pub enum Found {
    /// A file.
    File(Arc<StaticFile>),
    /// The address is another one (canonical form, or `_redirects`).
    Moved {
        /// The address to go to, encoded, with the visitor's query text where the rule has none of its own.
        to: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// A folder to be listed: its relative path (plain folders with the listing switched on).
    Listing(String),
    /// Nothing static.
    Nothing,
}

/// One line of a folder's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Size in bytes.
    pub size: u64,
    /// Time of change in seconds since the epoch.
    pub changed: Option<u64>,
}

impl Statics {
    /// Reads the folder's index: names only, contents on first use. `before` is the snapshot that this one replaces;
    /// files that have not changed since keep their bytes in memory.
    ///
    /// An unreadable folder is a problem. Bad lines in `_redirects` or `_headers` and two files at one address are
    /// faults; names that no address can reach are warnings.
    pub fn open(root: &Path, options: Options, before: Option<&Statics>) -> Result<(Statics, Vec<Fault>), Problem> {
        Ok(Statics::of(Folder::open(root)?, options, before))
    }

    /// A site without any static file.
    pub fn none() -> Statics {
        Statics::of(Folder::none(), Options::default(), None).0
    }

    fn of(folder: Folder, options: Options, before: Option<&Statics>) -> (Statics, Vec<Fault>) {
        let mut faults = Vec::new();
        let redirects = redirects::read(&folder, &mut faults);
        let headers = headers::read(&folder, &mut faults);
        let held = before.map_or_else(|| Arc::new(AtomicU64::new(0)), |before| before.shared.held.clone());
        let shared = Arc::new(Shared { folder, options, headers, held });
        let mut statics = Statics { shared, by_address: TextMap::default(), by_name: TextMap::default(), redirects };
        statics.fill(before, &mut faults);
        (statics, faults)
    }

    /// What stands at a decoded path. `query` is the raw query text, kept in redirects.
    pub fn find(&self, path: &str, query: &str) -> Found {
        if self.redirects.has_forced()
            && let Some(target) = self.redirects.find(path, query, true)
        {
            return self.follow(target);
        }
        if let Some(file) = self.by_address.get(path)
            && !(self.shared.options.mode == Mode::Plain && file.is_gone())
        {
            return Found::File(file.clone());
        }
        if self.knows_nothing_near(path) {
            return self.redirected(path, query);
        }
        match self.place(path) {
            Place::File(name) => self.by_relative(&name).map_or(Found::Nothing, Found::File),
            Place::Moved(to) => Found::Moved { to: with_query(encode_path(&to), query), status: 308 },
            Place::Listing(folder) => Found::Listing(folder),
            Place::Nothing => self.redirected(path, query),
        }
    }

    /// Whether a path that is no file's address can't be another writing of one either. In a site all addresses are
    /// known, so only an ending could be too much: most paths of pages are done with here.
    fn knows_nothing_near(&self, path: &str) -> bool {
        self.shared.options.mode == Mode::Site && !path.ends_with('/') && !path.ends_with(".html")
    }

    /// Where `_redirects` sends a path at which there is nothing.
    fn redirected(&self, path: &str, query: &str) -> Found {
        self.redirects.find(path, query, false).map_or(Found::Nothing, |target| self.follow(target))
    }

    /// The fingerprinted address of a file (`/app.css?v=…`), for `asset("app.css")` with or without a leading slash;
    /// `None` when there is no such file, or it can't be read.
    pub fn asset_url(&self, path: &str) -> Option<String> {
        let file = self.by_relative(path.trim_start_matches('/'))?;
        Some(format!("{}?v={}", encode_path(file.address()), file.fingerprint()?))
    }

    /// The page for what is not found: `404.html` of the folder.
    pub fn not_found_page(&self) -> Option<Arc<StaticFile>> {
        self.by_relative("404.html")
    }

    /// The path in the folder of the file at a decoded address.
    pub fn at(&self, address: &str) -> Option<&Path> {
        self.by_address.get(address).map(|file| file.relative())
    }

    /// The decoded address of every file in the index, sorted.
    pub fn sorted(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.by_address.keys().map(|address| &**address).collect();
        all.sort_unstable();
        all
    }

    /// The decoded address of every file in the index with its path in the folder, sorted by address.
    pub fn addresses(&self) -> Vec<(String, PathBuf)> {
        let pair = |file: &Arc<StaticFile>| (file.address().to_string(), file.relative().to_path_buf());
        let mut all: Vec<_> = self.by_address.values().map(pair).collect();
        all.sort();
        all
    }

    /// The header lines of `_headers` that apply to a path, for answers that are no static files.
    pub fn headers_for(&self, path: &str) -> crate::fields::Fields {
        self.shared.headers.of(path)
    }

    /// What is in a folder that [`Found::Listing`] named, folders first, then by name; at most 10,000 lines.
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>, Problem> {
        walk::list(&self.shared, folder)
    }

    /// How the folder is served.
    pub fn mode(&self) -> Mode {
        self.shared.options.mode
    }

    fn fill(&mut self, before: Option<&Statics>, faults: &mut Vec<Fault>) {
        self.by_name.insert("".into(), Entry::Folder);
        for found in walk::all(&self.shared, before.is_some(), faults) {
            if found.kind == Kind::Folder {
                self.by_name.insert(found.name.into(), Entry::Folder);
                continue;
            }
            let address = self.address_of(&found.name);
            let known = before.zip(found.stamp).and_then(|(before, stamp)| before.taken_over(&found.name, &stamp));
            let file = Arc::new(StaticFile::new(&self.shared, &found.name, &address, known));
            self.by_name.insert(found.name.into(), Entry::File(file));
        }
        self.fill_addresses(faults);
    }

    fn fill_addresses(&mut self, faults: &mut Vec<Fault>) {
        let files = self.by_name.values().filter_map(Entry::file);
        for file in files.cloned().collect::<Vec<_>>() {
            let address = if self.beside_its_stem(&file) { format!("/{}", file.name()) } else { file.address().into() };
            if let Some(other) = self.by_address.insert(address.as_str().into(), file.clone()) {
                let message = format!("`{}` and `{}` both claim the address {address}", other.name(), file.name());
                faults.push(Fault::everywhere(message).help("Rename one of them."));
            }
        }
    }

    /// Whether a file `about` stands beside this `about.html`: then the first has the address `/about`.
    fn beside_its_stem(&self, file: &StaticFile) -> bool {
        let address = file.address();
        *address != format!("/{}", file.name()) && matches!(self.by_name.get(&address[1..]), Some(Entry::File(_)))
    }

    fn address_of(&self, name: &str) -> String {
        place::canonical(name, self.shared.options.mode).unwrap_or_else(|| format!("/{name}"))
    }

    /// The bytes in memory of a file that has not changed.
    fn taken_over(&self, name: &str, stamp: &Stamp) -> Option<Arc<Loaded>> {
        self.by_name.get(name)?.file()?.kept_at(stamp)
    }

    fn place(&self, path: &str) -> Place {
        let options = &self.shared.options;
        match options.mode {
            Mode::Site => decide(path, options, &|name| self.by_name.get(name).map(Entry::kind)),
            // The index of a plain folder may be older than the folder.
            Mode::Plain => decide(path, options, &|name| self.shared.kind(name)),
        }
    }

    fn by_relative(&self, name: &str) -> Option<Arc<StaticFile>> {
        if let Some(file) = self.by_name.get(name).and_then(Entry::file) {
            return Some(file.clone());
        }
        let appeared = self.shared.options.mode == Mode::Plain && self.shared.kind(name) == Some(Kind::File);
        appeared.then(|| Arc::new(StaticFile::new(&self.shared, name, &self.address_of(name), None)))
    }

    /// Where a line of `_redirects` leads.
    fn follow(&self, target: Target) -> Found {
        match target {
            Target::Elsewhere { to, status } => Found::Moved { to, status },
            Target::Instead(path) => match self.place(&path) {
                Place::File(name) => self.by_relative(&name).map_or(Found::Nothing, Found::File),
                _ => Found::Nothing,
            },
        }
    }
}

impl Entry {
    fn file(&self) -> Option<&Arc<StaticFile>> {
        match self {
            Entry::File(file) => Some(file),
            Entry::Folder => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Entry::File(_) => Kind::File,
            Entry::Folder => Kind::Folder,
        }
    }
}

/// A path with everything encoded that an address can't carry as it is (RFC 3986, 3.3).
pub fn encode_path(path: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const KEPT: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b'\\')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(path, KEPT).to_string()
}

/// An address with the visitor's query text.
fn with_query(to: String, query: &str) -> String {
    if query.is_empty() { to } else { format!("{to}?{query}") }
}

#[cfg(test)]
mod tests;
