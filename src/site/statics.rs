//! The index of a site's static files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::problem::{Fault, Problem};

/// How a folder's files are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `public/` of a site: one canonical URL, no trailing slash; what is not in the index may be a page.
    Site,
    /// A plain folder: as static hosts do, a folder's index lives at `/photos/`, `/photos` is redirected to it; files
    /// that appear later are found.
    Plain,
}

/// What the index is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Site or plain folder.
    pub mode: Mode,
    /// Whether a plain folder without an `index.html` shows the list of its files.
    pub listing: bool,
    /// Files are looked at on disk at each visit rather than at most once a second (`dev`).
    pub always_look: bool,
    /// Files up to this size are kept in memory; default 256 KiB.
    pub keep_file: u64,
    /// Text files, which compress well, are kept up to this size; default 2 MiB.
    pub keep_text: u64,
    /// All files in memory together, compressed forms included; default 64 MiB.
    pub keep_total: u64,
}

/// The static files of one snapshot of a site. Shared by all cores; reading it takes no exclusive lock.
#[derive(Debug)]
pub struct Statics {}

/// What stands at a path.
#[derive(Debug)]
pub enum Found {
    /// A file.
    File(Arc<StaticFile>),
    /// The path is another one (canonical form, or `_redirects`); the status is 301, 302, 303, 307 or 308.
    Moved {
        /// The address to go to, with the visitor's query text where the rule has none of its own.
        to: String,
        /// The status.
        status: u16,
    },
    /// A folder to be listed (plain folders with the listing switched on).
    Listing(Arc<Path>),
    /// Nothing static.
    Nothing,
}

/// One static file of the index.
#[derive(Debug)]
pub struct StaticFile {}

/// A small static file in memory with its ready headers.
#[derive(Debug)]
pub struct Loaded {
    headers: HeaderMap,
}

impl Statics {
    /// Reads the folder's index (names, sizes, times; file contents on first use). Unreadable folder: a problem; bad
    /// lines in `_redirects` or `_headers`, or two files at one address: faults. `before` is the snapshot that this
    /// one replaces, whose unchanged files are taken over.
    pub fn open(_root: &Path, _options: Options, _before: Option<&Statics>) -> Result<(Statics, Vec<Fault>), Problem> {
        todo!()
    }

    /// What stands at a decoded path. `query` is the raw query text, kept in redirects.
    pub fn find(&self, _path: &str, _query: &str) -> Found {
        todo!()
    }

    /// The fingerprinted address of a file (`/app.css?v=…`), for `asset("app.css")` with or without a leading slash;
    /// `None` when there is no such file.
    pub fn asset_url(&self, _path: &str) -> Option<String> {
        todo!()
    }

    /// The address of every file in the index, sorted (`/`, `/about`, `/app.css`), with its path in the folder.
    pub fn addresses(&self) -> Vec<(String, PathBuf)> {
        todo!()
    }
}

impl Loaded {
    /// Ready headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    /// Its `Content-Type`.
    pub fn content_type(&self) -> &HeaderValue {
        &self.headers[http::header::CONTENT_TYPE]
    }
}
