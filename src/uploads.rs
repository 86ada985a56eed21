//! The upload store: files that visitors sent, by an unguessable id. A file is whole and synced before its row commits.
//!
//! A file's type is read from its first bytes, not from what the client claims. Rows of the `uploads` table are written
//! by the action's own transaction; a file without a row is left over from a crash and swept at the next start.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};

/// How many bytes at the start of a file are looked at to tell its type.
const HEAD: usize = 1024;

/// The folder of uploads. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Uploads {
    folder: Arc<Path>,
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

/// A file on its way in. Dropped before it is finished, it is removed.
#[derive(Debug)]
pub struct Incoming {
    id: Arc<str>,
    name: String,
    claimed: String,
    path: PathBuf,
    whole: PathBuf,
    file: File,
    hash: Sha256,
    head: Vec<u8>,
    size: u64,
    kept: bool,
}

impl Uploads {
    /// Opens the store, making its folder on first use.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn open(folder: &Path) -> io::Result<Uploads> {
        fs::create_dir_all(folder.join("incoming"))?;
        Ok(Uploads { folder: folder.into() })
    }

    /// Removes what a crash left: half files, and whole ones whose action never committed. Only those of such an `age`:
    /// where several servers share the store, younger ones may belong to an action that runs elsewhere.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn sweep(&self, known: &HashSet<String>, age: Duration) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(self.folder.join("incoming"))? {
            let entry = entry?;
            removed += usize::from(is_old(&entry, age) && fs::remove_file(entry.path()).is_ok());
        }
        for entry in fs::read_dir(&*self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && is_id(&name) && !known.contains(&name) && is_old(&entry, age) {
                removed += usize::from(fs::remove_file(entry.path()).is_ok());
            }
        }
        Ok(removed)
    }

    /// Begins a file.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn begin(&self, name: &str, claimed: &str) -> Result<Incoming, Problem> {
        let id: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let path = self.folder.join("incoming").join(&*id);
        let whole = self.folder.join(&*id);
        let file = File::create_new(&path).map_err(broken)?;
        Ok(Incoming {
            id,
            name: name.to_string(),
            claimed: claimed.to_string(),
            path,
            whole,
            file,
            hash: Sha256::new(),
            head: Vec::new(),
            size: 0,
            kept: false,
        })
    }

    /// Removes a file whose action failed.
    pub fn remove(&self, id: &str) {
        if is_id(id) {
            // A file that stays is swept at the next start.
            let _ = fs::remove_file(self.folder.join(id));
        }
    }

    /// Opens a file for reading; `None` when there is no such upload.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn read(&self, id: &str) -> io::Result<Option<File>> {
        if !is_id(id) {
            return Ok(None);
        }
        match File::open(self.folder.join(id)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Incoming {
    /// Adds a piece; gives the size so far.
    ///
    /// # Errors
    /// The disk is full, or can't be written.
    pub fn write(&mut self, piece: &[u8]) -> Result<u64, Problem> {
        self.file.write_all(piece).map_err(broken)?;
        self.hash.update(piece);
        if self.head.len() < HEAD {
            let room = HEAD - self.head.len();
            self.head.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        self.size += piece.len() as u64;
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

    /// Syncs the file and puts it in its place. Blocks until the disk has it.
    ///
    /// # Errors
    /// The disk can't take it.
    pub fn finish(mut self) -> Result<Upload, Problem> {
        self.file.sync_all().map_err(broken)?;
        fs::rename(&self.path, &self.whole).map_err(broken)?;
        // The rename itself is durable only once the folder is synced.
        if let Some(folder) = self.whole.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(broken)?;
        }
        self.kept = true;
        Ok(Upload {
            id: self.id.clone(),
            name: std::mem::take(&mut self.name),
            content_type: self.content_type(),
            size: self.size,
            sha256: hex(&std::mem::take(&mut self.hash).finalize()),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
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

/// Whether nobody has written to the file for so long. One that is gone, or of the future, is not old.
fn is_old(entry: &fs::DirEntry, age: Duration) -> bool {
    if age.is_zero() {
        return true;
    }
    let modified = entry.metadata().and_then(|file| file.modified()).ok();
    modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|passed| passed >= age)
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
    use super::*;

    #[test]
    fn a_file_is_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path()).unwrap();
        let mut half = uploads.begin("half.png", "image/png").unwrap();
        half.write(b"\x89PNG\r\n\x1a\n").unwrap();
        drop(half);
        let mut whole = uploads.begin("cat.png", "text/html").unwrap();
        whole.write(b"\x89PNG\r\n\x1a\n").unwrap();
        let upload = whole.finish().unwrap();
        assert_eq!((upload.content_type.as_str(), upload.size), ("image/png", 8));
        assert!(uploads.read(&upload.id).unwrap().is_some());
        assert!(uploads.read("../site.db").unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
        assert_eq!(uploads.sweep(&HashSet::from([upload.id.to_string()]), Duration::ZERO).unwrap(), 0);
        assert_eq!(uploads.sweep(&HashSet::new(), Duration::from_secs(3600)).unwrap(), 0);
        assert_eq!(uploads.sweep(&HashSet::new(), Duration::ZERO).unwrap(), 1);
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
