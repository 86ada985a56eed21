//! The upload store: files that visitors sent, by an unguessable id, in a folder or a bucket that several servers may
//! share. A file is whole, and synced or acknowledged, before its row commits.
//!
//! A file's type is read from its first bytes, not from what the client claims. Rows of the `uploads` table are written
//! by the action's own transaction. Until then the store keeps a mark of the file, by which a later sweep finds what a
//! crash left; a file without a mark is never removed.

mod folder;
mod objects;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};
use folder::Folder;
use objects::Objects;
pub use objects::{Bucket, Pieces, Remote};

/// How many bytes at the start of a file are looked at to tell its type.
const HEAD: usize = 1024;

/// Marks younger than this are left alone: their action may still commit. Longer than any action takes, and than clocks
/// of two machines differ.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// How many files are looked up at once in the database.
pub const BATCH: usize = 100;

/// Where files are kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket of an S3-compatible store.
    Bucket(Bucket),
}

/// The store. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Uploads {
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    Folder(Arc<Folder>),
    Objects(Arc<Objects>),
}

/// A file that is whole: the values of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id: a random UUID, so that it can't be guessed.
    pub id: Arc<str>,
    /// The name that it had on the visitor's machine, without folders.
    pub name: String,
    /// Its type as its bytes tell it.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// A file that can be read.
#[derive(Debug)]
pub enum Stored {
    /// From a folder.
    File(File),
    /// From a bucket.
    Remote(Remote),
}

/// A file on its way in. Dropped before it is finished, it is removed.
#[derive(Debug)]
pub struct Incoming {
    id: Arc<str>,
    name: String,
    claimed: String,
    half: Half,
    hash: Sha256,
    head: Vec<u8>,
    size: u64,
}

#[derive(Debug)]
enum Half {
    Folder(folder::Half),
    Objects(Box<objects::Half>),
}

impl Uploads {
    /// Opens the store. A folder is made on first use; a bucket is not asked for yet.
    ///
    /// # Errors
    /// The folder can't be made; the bucket's settings are wrong.
    pub fn open(place: &Place) -> Result<Uploads, Problem> {
        let store = match place {
            Place::Folder(path) => Folder::open(path)
                .map(|folder| Store::Folder(folder.into()))
                .map_err(|error| Problem::broken(format!("upload store `{}`: {error}", path.display())))?,
            Place::Bucket(bucket) => Objects::open(bucket)
                .map(|objects| Store::Objects(objects.into()))
                .map_err(|cause| Problem::broken(format!("upload store `{bucket:?}`: {cause}")))?,
        };
        Ok(Uploads { store })
    }

    /// Removes what crashes left: half files, and whole ones whose action never committed. `now` is in milliseconds
    /// since the epoch; `known` tells which of at most [`BATCH`] ids have a row. Blocks until it is done.
    ///
    /// # Errors
    /// The store or the database can't be reached; what is left is for the next sweep.
    pub fn sweep(
        &self,
        now: i64,
        mut known: impl FnMut(&[String]) -> Result<HashSet<String>, Problem>,
    ) -> Result<usize, Problem> {
        let before = now.saturating_sub(i64::try_from(OLD.as_millis()).unwrap_or(i64::MAX));
        match &self.store {
            Store::Folder(folder) => {
                let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(before).unwrap_or(0));
                let left = folder.left_over(time).map_err(broken)?;
                settle(&left, |one| one.id.as_ref(), &mut known, |one, row| folder.settle(one, row).map_err(broken))
            }
            Store::Objects(objects) => {
                let left = objects.left_over(before)?;
                settle(&left, |one| one.id.as_ref(), &mut known, |one, row| objects.settle(one, row))
            }
        }
    }

    /// Begins a file.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn begin(&self, name: &str, claimed: &str) -> Result<Incoming, Problem> {
        let id: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let half = match &self.store {
            Store::Folder(folder) => Half::Folder(folder.begin(&id).map_err(broken)?),
            Store::Objects(objects) => Half::Objects(objects.begin(&id).into()),
        };
        Ok(Incoming {
            id,
            name: name.to_string(),
            claimed: claimed.to_string(),
            half,
            hash: Sha256::new(),
            head: Vec::new(),
            size: 0,
        })
    }

    /// The row of a file is committed: it stays.
    pub fn keep(&self, id: &str) {
        match &self.store {
            _ if !is_id(id) => {}
            Store::Folder(folder) => folder.keep(id),
            Store::Objects(objects) => objects.keep(id),
        }
    }

    /// Removes a file whose action failed. One that stays is swept one day.
    pub fn remove(&self, id: &str) {
        match &self.store {
            _ if !is_id(id) => {}
            Store::Folder(folder) => folder.remove(id),
            Store::Objects(objects) => objects.remove(id),
        }
    }

    /// Opens a file of the size that its row says; `None` when there is no such upload. A file of a bucket is asked for
    /// only when it is read.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn read(&self, id: &str, size: u64) -> io::Result<Option<Stored>> {
        match &self.store {
            _ if !is_id(id) => Ok(None),
            Store::Folder(folder) => Ok(folder.read(id)?.map(Stored::File)),
            Store::Objects(objects) => Ok(Some(Stored::Remote(objects.read(id, size)))),
        }
    }

    /// Waits for what is still being tidied up, but not longer than `limit`.
    pub fn close(&self, limit: Duration) {
        if let Store::Objects(objects) = &self.store {
            objects.close(limit);
        }
    }
}

/// Settles what was left, a batch at a time: what has its row stays.
fn settle<L>(
    left: &[L],
    id: impl Fn(&L) -> Option<&String>,
    known: &mut impl FnMut(&[String]) -> Result<HashSet<String>, Problem>,
    mut one: impl FnMut(&L, bool) -> Result<(), Problem>,
) -> Result<usize, Problem> {
    for batch in left.chunks(BATCH) {
        let ids: Vec<String> = batch.iter().filter_map(&id).cloned().collect();
        let rows = if ids.is_empty() { HashSet::new() } else { known(&ids)? };
        for left in batch {
            one(left, id(left).is_some_and(|id| rows.contains(id)))?;
        }
    }
    Ok(left.len())
}

impl Incoming {
    /// Adds a piece; gives the size so far.
    ///
    /// # Errors
    /// The disk is full, or the store can't be written.
    pub async fn write(&mut self, piece: &[u8]) -> Result<u64, Problem> {
        self.hash.update(piece);
        if self.head.len() < HEAD {
            let room = HEAD - self.head.len();
            self.head.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        self.size += piece.len() as u64;
        match &mut self.half {
            Half::Folder(half) => half.write(piece).map_err(broken)?,
            Half::Objects(half) => half.write(piece).await?,
        }
        Ok(self.size)
    }

    /// The name on the visitor's machine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type, as the bytes so far tell it.
    pub fn content_type(&self) -> String {
        content_type(&self.head, &self.claimed)
    }

    /// Makes the file whole. It is on the disk, or acknowledged, when this ends well.
    ///
    /// # Errors
    /// The store can't take it.
    pub async fn finish(self) -> Result<Upload, Problem> {
        let content_type = self.content_type();
        match self.half {
            // Waiting for the disk must not hold up the other visitors of this core.
            Half::Folder(half) => tokio::task::spawn_blocking(move || half.finish())
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map_err(broken)?,
            Half::Objects(half) => half.finish().await?,
        }
        Ok(Upload { id: self.id, name: self.name, content_type, size: self.size, sha256: hex(&self.hash.finalize()) })
    }
}

/// The type of a file. What a browser would run (HTML, scripts) is never believed from the client's word.
fn content_type(head: &[u8], claimed: &str) -> String {
    if let Some(kind) = infer::get(head) {
        return kind.mime_type().to_string();
    }
    let Ok(text) = std::str::from_utf8(&head[..head.len() - partial_character(head)]) else {
        return "application/octet-stream".into();
    };
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with("<svg") || (start.starts_with("<?xml") || start.starts_with("<!--")) && start.contains("<svg")
    {
        return "image/svg+xml".into();
    }
    match claimed.split(';').next().unwrap_or("").trim() {
        known @ ("text/csv" | "application/json") => known.into(),
        _ if text.contains('\0') => "application/octet-stream".into(),
        _ => "text/plain".into(),
    }
}

/// How many bytes at the end belong to a character that was cut.
fn partial_character(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        _ => 0,
    }
}

/// Whether a name is an id of this store; nothing else ever reaches the file system.
fn is_id(name: &str) -> bool {
    uuid::Uuid::try_parse(name).is_ok_and(|id| id.hyphenated().to_string() == name)
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn broken(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Problem::new(Kind::Busy, "There is no room for files right now.")
                .caused_by(format!("upload store: {error}"))
        }
        _ => Problem::broken(format!("upload store: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn now() -> i64 {
        crate::clock::Clock::system().millis()
    }

    fn open(folder: &Path) -> Uploads {
        Uploads::open(&Place::Folder(folder.to_path_buf())).unwrap()
    }

    /// What stands in `incoming/` beside locks.
    fn marks(folder: &Path) -> usize {
        let entries = fs::read_dir(folder.join("incoming")).unwrap();
        entries.filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".lock")).count()
    }

    async fn stored(uploads: &Uploads) -> Upload {
        let mut whole = uploads.begin("cat.png", "text/html").unwrap();
        whole.write(b"\x89PNG\r\n\x1a\n").await.unwrap();
        whole.finish().await.unwrap()
    }

    #[tokio::test]
    async fn a_file_is_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = open(folder.path());
        let mut half = uploads.begin("half.png", "image/png").unwrap();
        half.write(b"\x89PNG\r\n\x1a\n").await.unwrap();
        assert_eq!(marks(folder.path()), 1);
        drop(half);
        assert_eq!(marks(folder.path()), 0);
        let upload = stored(&uploads).await;
        assert_eq!((upload.content_type.as_str(), upload.size), ("image/png", 8));
        assert!(uploads.read(&upload.id, 8).unwrap().is_some());
        assert!(uploads.read("../site.db", 8).unwrap().is_none());
        assert_eq!(marks(folder.path()), 1, "until its row is committed");
        uploads.keep(&upload.id);
        assert_eq!(marks(folder.path()), 0);
        uploads.remove(&upload.id);
        assert!(uploads.read(&upload.id, 8).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_sweep_takes_only_what_the_dead_left_long_ago() {
        let folder = tempfile::tempdir().unwrap();
        let dead = open(folder.path());
        let (kept, committed, lost) = (stored(&dead).await, stored(&dead).await, stored(&dead).await);
        let half = std::mem::ManuallyDrop::new(dead.begin("half", "").unwrap());
        dead.keep(&kept.id);
        let living = open(folder.path());
        let rows = |_: &[String]| Ok(HashSet::from([committed.id.to_string()]));
        assert_eq!(living.sweep(now() + 2 * DAY, rows).unwrap(), 0, "a process that lives still needs it");
        let Half::Folder(alive) = &half.half else { panic!("a folder") };
        alive.release();
        assert_eq!(living.sweep(now(), rows).unwrap(), 0, "what is young may still be committed");
        // Two files that were kept or lost, a half one, and the lock.
        assert_eq!(living.sweep(now() + 2 * DAY, rows).unwrap(), 4);
        assert_eq!(marks(folder.path()), 0);
        assert!(living.read(&kept.id, 8).unwrap().is_some(), "without a mark nothing is removed");
        assert!(living.read(&committed.id, 8).unwrap().is_some());
        assert!(living.read(&lost.id, 8).unwrap().is_none());
    }

    #[test]
    fn bytes_tell_the_type() {
        assert_eq!(content_type(b"<svg xmlns='http://www.w3.org/2000/svg'>", "text/html"), "image/svg+xml");
        assert_eq!(content_type(b"<!doctype html><script>", "image/png"), "text/html");
        assert_eq!(content_type(b"plain words", "image/png"), "text/plain");
        assert_eq!(content_type(b"a,b\n1,2", "text/csv; charset=utf-8"), "text/csv");
        assert_eq!(content_type(&[0xff, 0xfe, 0, 1], "image/png"), "application/octet-stream");
    }
}
