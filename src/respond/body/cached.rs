//! What of a file is in the system's cache, so that nobody who takes it waits for a disk (preadv2(2), `RWF_NOWAIT`).

use std::fs::File;

use bytes::Bytes;

/// Whether the first and the last byte of a stretch are there. The system reads and forgets neighbours together, so what
/// lies between is there, too, but for rare cases that cost a short wait.
pub(super) fn is_there(file: &File, from: u64, size: u64) -> bool {
    read_into(file, from, &mut [0]) && read_into(file, from + size - 1, &mut [0])
}

/// These bytes, if all of them are there.
pub(super) fn read(file: &File, from: u64, size: u64) -> Option<Bytes> {
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    read_into(file, from, &mut bytes).then(|| bytes.into())
}

#[cfg(target_os = "linux")]
fn read_into(file: &File, from: u64, bytes: &mut [u8]) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    let size = bytes.len();
    preadv2(file, &mut [std::io::IoSliceMut::new(bytes)], from, ReadWriteFlags::NOWAIT) == Ok(size)
}

/// Where the system doesn't say what is in its cache, files are read by the pool for blocking work.
#[cfg(not(target_os = "linux"))]
fn read_into(_: &File, _: u64, _: &mut [u8]) -> bool {
    false
}
