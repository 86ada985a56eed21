//! Uploads in a folder, which processes on several machines may share.
//!
//! A file comes in as `incoming/PROCESS.ID`. Whole and synced it gets its place as a second name, `ID`; the first stays
//! until the row is committed and marks what a crash may have left. Each process holds a lock on `incoming/PROCESS.lock`
//! as long as it lives, so that another one leaves its files alone.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::is_id;

/// The folder, and this process in it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The name of this process, which no other has anywhere.
    process: String,
    /// Held as long as the process lives.
    _lock: File,
}

/// A file on its way in. Dropped before it is finished, it is removed.
#[derive(Debug)]
pub(super) struct Half {
    folder: Arc<Folder>,
    id: Arc<str>,
    file: File,
    whole: bool,
}

/// What a process that is gone left in `incoming/`.
#[derive(Debug)]
pub(super) struct LeftOver {
    /// The file that it may be of.
    pub(super) id: Option<String>,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder, making it on first use.
    pub(super) fn open(path: &Path) -> io::Result<Folder> {
        let incoming = path.join("incoming");
        fs::create_dir_all(&incoming)?;
        let process = uuid::Uuid::new_v4().to_string();
        let (fresh, named) = (incoming.join(format!("{process}.new")), incoming.join(format!("{process}.lock")));
        let lock = File::create_new(&fresh)?;
        // Where there are no locks, the age of a file alone protects it.
        let _ = lock.try_lock();
        // Under its name nobody ever finds it unlocked.
        fs::rename(&fresh, &named)?;
        Ok(Folder { path: path.to_path_buf(), process, _lock: lock })
    }

    /// Begins a file.
    pub(super) fn begin(self: &Arc<Folder>, id: &Arc<str>) -> io::Result<Half> {
        let file = File::create_new(self.mark(id))?;
        Ok(Half { folder: self.clone(), id: id.clone(), file, whole: false })
    }

    /// The row of a file is committed.
    pub(super) fn keep(&self, id: &str) {
        // A mark that stays goes when a later process finds it and the row.
        let _ = fs::remove_file(self.mark(id));
    }

    /// Removes a file.
    pub(super) fn remove(&self, id: &str) {
        if absent_is_fine(fs::remove_file(self.place(id))).is_ok() {
            let _ = fs::remove_file(self.mark(id));
        }
    }

    /// Opens a file; `None` when there is none.
    pub(super) fn read(&self, id: &str) -> io::Result<Option<File>> {
        match File::open(self.place(id)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What was left by processes that are gone and is older than `before`.
    pub(super) fn left_over(&self, before: SystemTime) -> io::Result<Vec<LeftOver>> {
        let (mut found, mut living) = (Vec::new(), HashMap::from([(self.process.clone(), true)]));
        for entry in fs::read_dir(self.path.join("incoming"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Another process may just remove it, too.
            let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
            let (process, rest) = name.split_once('.').unwrap_or(("", &name));
            if modified < before && !*living.entry(process.into()).or_insert_with(|| self.lives(process)) {
                found.push(LeftOver { id: is_id(rest).then(|| rest.to_string()), path: entry.path() });
            }
        }
        Ok(found)
    }

    /// Removes what was left: the mark alone of a file that has its row.
    pub(super) fn settle(&self, left: &LeftOver, has_row: bool) -> io::Result<()> {
        if let (Some(id), false) = (&left.id, has_row) {
            absent_is_fine(fs::remove_file(self.place(id)))?;
        }
        absent_is_fine(fs::remove_file(&left.path))
    }

    /// Whether a process holds its lock.
    fn lives(&self, process: &str) -> bool {
        let lock = File::open(self.path.join("incoming").join(format!("{process}.lock")));
        lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    fn place(&self, id: &str) -> PathBuf {
        self.path.join(id)
    }

    fn mark(&self, id: &str) -> PathBuf {
        self.path.join("incoming").join(format!("{}.{id}", self.process))
    }
}

impl Half {
    /// Lets go of the process's lock, as its death would.
    #[cfg(test)]
    pub(super) fn release(&self) {
        self.folder._lock.unlock().unwrap();
    }

    /// Adds a piece.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)
    }

    /// Syncs the file and gives it its place. Blocks until the disk has it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let (mark, place) = (self.folder.mark(&self.id), self.folder.place(&self.id));
        // A file system without second names leaves no mark.
        fs::hard_link(&mark, &place).or_else(|_| fs::rename(&mark, &place))?;
        self.whole = true;
        // The new name itself is durable only once the folder is synced.
        File::open(&self.folder.path).and_then(|folder| folder.sync_all()).inspect_err(|_| self.folder.remove(&self.id))
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if !self.whole {
            let _ = fs::remove_file(self.folder.mark(&self.id));
        }
    }
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
