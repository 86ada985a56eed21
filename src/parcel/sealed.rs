//! Bytes in memory that are a file as well, so that the system sends them without a copy through this process
//! (memfd_create(2), sendfile(2)).

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

/// From so many bytes on a copy costs more than a further call of the system.
pub(super) const SEALED_FROM: usize = 32 * 1024;

/// The same bytes in a file of memory that nobody can change any more. `None` where the system has no room for it, or no
/// such files.
#[cfg(target_os = "linux")]
pub(super) fn sealed(bytes: &[u8]) -> Option<(Bytes, Arc<File>)> {
    use std::io::Write;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let mut file: File = memfd_create("tableside", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).ok()?.into();
    file.write_all(bytes).ok()?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL).ok()?;
    let mapping = mapping::Mapping::of(&file, bytes.len())?;
    Some((Bytes::from_owner(mapping), Arc::new(file)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn sealed(_: &[u8]) -> Option<(Bytes, Arc<File>)> {
    None
}

#[cfg(target_os = "linux")]
mod mapping {
    use std::fs::File;
    use std::ptr::NonNull;

    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

    /// A sealed file in this process's memory.
    pub(super) struct Mapping {
        start: NonNull<u8>,
        size: usize,
    }

    impl Mapping {
        /// All of a file of `size` bytes, which is sealed against writing and shrinking.
        pub(super) fn of(file: &File, size: usize) -> Option<Mapping> {
            // SAFETY: the kernel chooses the place, so nothing else is there.
            let start = unsafe { mmap(std::ptr::null_mut(), size, ProtFlags::READ, MapFlags::SHARED, file, 0) };
            Some(Mapping { start: NonNull::new(start.ok()?.cast())?, size })
        }
    }

    impl AsRef<[u8]> for Mapping {
        fn as_ref(&self) -> &[u8] {
            // SAFETY: so many bytes are mapped there until this value is dropped, and the seals see to it that nobody
            // changes or cuts them.
            unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.size) }
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: it was mapped by `of`, and nobody looks at it any more.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.size) };
        }
    }

    // SAFETY: the bytes never change, whichever thread looks at them.
    unsafe impl Send for Mapping {}
    // SAFETY: as above.
    unsafe impl Sync for Mapping {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn what_is_sealed_stays_as_it_is() {
        let bytes: Vec<u8> = (0..100_000).map(|at| (at % 251) as u8).collect();
        let (mapped, file) = sealed(&bytes).unwrap();
        assert_eq!(mapped, bytes);
        assert!((&*file).write_all(b"x").is_err() && file.set_len(0).is_err() && file.set_len(200_000).is_err());
        let part = mapped.slice(7..70_007);
        drop(mapped);
        assert_eq!(part, bytes[7..70_007]);
        let mut read = Vec::new();
        (&*file).rewind().unwrap();
        (&*file).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}
