//! The folder under which static files stand: opens files beneath it and nowhere else.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode as Permissions, OFlags};

use crate::problem::Problem;

/// NONBLOCK: opening a named pipe must not wait for its writer.
const TO_READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// What tells one state of a file from another: size, time of change, and which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Time of change in nanoseconds since the epoch.
    pub changed: i64,
    inode: u64,
}

/// What stands at a path in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
}

/// The open folder. Files are opened relative to it, so it may be renamed while it is served.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// `None` for the folder of a site that has no static files.
    handle: Option<OwnedFd>,
}

impl Stamp {
    /// The stamp of an open file.
    pub fn of(file: &File) -> io::Result<Stamp> {
        let facts = file.metadata()?;
        let changed = nanos(facts.mtime(), facts.mtime_nsec());
        Ok(Stamp { size: facts.len(), changed, inode: facts.ino() })
    }

    /// Whole seconds since the epoch; `None` for a time before it.
    pub fn seconds(&self) -> Option<u64> {
        u64::try_from(self.changed / 1_000_000_000).ok()
    }

    /// Whether the last change is so young that another one could carry the same time.
    pub(super) fn is_young(&self, now_millis: i64) -> bool {
        now_millis.saturating_mul(1_000_000).abs_diff(self.changed) < 2_000_000_000
    }
}

/// Nanoseconds of seconds and a rest; of a time that is further away than 292 years, the furthest.
fn nanos(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

impl Folder {
    /// Opens a folder.
    pub(super) fn open(path: &Path) -> Result<Folder, Problem> {
        let complain = |error: io::Error| {
            Problem::broken(format!("the folder {} can't be read: {}", path.display(), plain(&error)))
        };
        let path = path.canonicalize().map_err(complain)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(CWD, &path, flags, Permissions::empty()).map_err(|e| complain(e.into()))?;
        Ok(Folder { path, handle: Some(handle) })
    }

    /// No folder: nothing is in it.
    pub(super) fn none() -> Folder {
        Folder { path: PathBuf::new(), handle: None }
    }

    /// Whether this is no folder.
    pub(super) fn is_none(&self) -> bool {
        self.handle.is_none()
    }

    fn handle(&self) -> io::Result<&OwnedFd> {
        self.handle.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Its path without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file for reading. `NotFound` for everything that may not be served: what leaves the folder, by
    /// `..` or a link, and what is no regular file. A link whose target is excluded counts as its target.
    pub(super) fn file(&self, relative: &Path, allows: impl Fn(&Path) -> bool) -> io::Result<File> {
        let (file, real) = self.beneath(relative)?;
        if !file.metadata()?.is_file() || !allows(&real) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(file)
    }

    /// What stands at a relative path; links are followed as long as they stay in the folder.
    pub(super) fn kind(&self, relative: &Path, allows: impl Fn(&Path) -> bool) -> Option<Kind> {
        let (file, real) = self.beneath(relative).ok()?;
        let kind = file.metadata().ok()?.file_type();
        match (kind.is_file(), kind.is_dir()) {
            _ if !allows(&real) => None,
            (true, _) => Some(Kind::File),
            (_, true) => Some(Kind::Folder),
            _ => None,
        }
    }

    /// The stamp of a file without opening it.
    pub(super) fn stamp(&self, relative: &Path) -> io::Result<Stamp> {
        let facts = rustix::fs::statat(self.handle()?, relative, AtFlags::empty())?;
        #[allow(clippy::unnecessary_cast, reason = "the widths of these fields differ between platforms")]
        Ok(Stamp {
            size: facts.st_size as u64,
            changed: nanos(facts.st_mtime as i64, facts.st_mtime_nsec as i64),
            inode: facts.st_ino as u64,
        })
    }

    /// Opens what is at a relative path, wherever links lead within the folder, and tells its real relative path.
    fn beneath(&self, relative: &Path) -> io::Result<(File, PathBuf)> {
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let handle = self.handle()?;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::ResolveFlags;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let path = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
            match rustix::fs::openat2(handle, path, TO_READ, Permissions::empty(), resolve) {
                // Kernels before 5.6, and sandboxes that forbid the call.
                Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
                Err(error) => return Err(error.into()),
                Ok(opened) => {
                    let file = File::from(opened);
                    let real = self.real_path(&file, relative);
                    return Ok((file, real));
                }
            }
        }
        let _ = handle;
        self.beneath_by_path(relative)
    }

    /// Where an open file really stands. Without `/proc` the name it was opened by must do.
    #[cfg(target_os = "linux")]
    fn real_path(&self, file: &File, relative: &Path) -> PathBuf {
        use std::os::fd::AsRawFd;
        let Ok(real) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) else {
            return relative.to_path_buf();
        };
        // After a rename of the folder the prefix differs; then too the opened name must do.
        real.strip_prefix(&self.path).map_or_else(|_| relative.to_path_buf(), Path::to_path_buf)
    }

    /// The same without the kernel's help: resolve, compare, open.
    fn beneath_by_path(&self, relative: &Path) -> io::Result<(File, PathBuf)> {
        let real = self.path.join(relative).canonicalize()?;
        let inside = real.strip_prefix(&self.path).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        let handle = rustix::fs::openat(CWD, &real, TO_READ | OFlags::NOFOLLOW, Permissions::empty())?;
        Ok((File::from(handle), inside.to_path_buf()))
    }
}

/// Reads a file whole by position; an error when it is shorter than `size`.
pub(super) fn read_whole(file: &File, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// An I/O error in words that fit a sentence.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        io::ErrorKind::NotADirectory => "it is not a folder".to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_kernels_help_links_lead_nowhere_else_either() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        std::fs::write(root.path().join("a.txt"), "a").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("out")).unwrap();
        std::os::unix::fs::symlink("a.txt", root.path().join("in")).unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert!(folder.beneath_by_path(Path::new("out")).is_err());
        assert_eq!(folder.beneath_by_path(Path::new("in")).unwrap().1, Path::new("a.txt"));
        assert!(folder.beneath_by_path(Path::new("missing")).is_err());
    }

    #[test]
    fn a_named_pipe_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Permissions::RWXU, 0).unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert!(folder.file(Path::new("pipe"), |_| true).is_err());
    }
}
