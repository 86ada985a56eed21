//! SQL's `now`: a shim over SQLite's default VFS that takes the time from our [`Clock`] and notes that it was asked.
//!
//! Everything else goes to the default VFS. `datetime('now')`, `current_timestamp` and their kin ask the VFS of the
//! main database once for each run of a statement (<https://www.sqlite.org/c3ref/vfs.html>), so this is the one place
//! where a query's dependence on the time shows, also through views and triggers.

use std::cell::Cell;
use std::ffi::{CString, c_int};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::ffi;

use crate::clock::Clock;

/// Milliseconds from the beginning of Julian days to 1970-01-01T00:00:00Z.
const JULIAN_EPOCH: i64 = 210_866_760_000_000;

/// A VFS with its clock. The VFS stands first, so that a pointer to it is a pointer to the whole.
#[repr(C)]
struct ClockVfs {
    vfs: ffi::sqlite3_vfs,
    clock: Clock,
}

thread_local! {
    /// Whether a query on this thread asked for the time since the last [`take`].
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the time was asked on this thread since the last call.
pub(super) fn take_asked() -> bool {
    ASKED.with(|asked| asked.replace(false))
}

/// Registers a VFS that tells the time of `clock`, and gives its name. It stays for the rest of the process, because
/// connections of other threads may use it longer than their database is open; a process opens few databases.
pub(super) fn register(clock: &Clock) -> Result<CString, String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("tableside-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let name = CString::new(name).map_err(|error| error.to_string())?;
    // SAFETY: SQLite gives its default VFS, which lives as long as the process, or null.
    let default = unsafe { ffi::sqlite3_vfs_find(ptr::null()).as_ref() };
    let mut vfs = *default.ok_or("SQLite has no default VFS")?;
    vfs.pNext = ptr::null_mut();
    vfs.zName = name.clone().into_raw();
    vfs.xCurrentTime = Some(current_time);
    vfs.xCurrentTimeInt64 = Some(current_time_int64);
    let vfs = Box::leak(Box::new(ClockVfs { vfs, clock: clock.clone() }));
    // SAFETY: the VFS and its name live as long as the process. Its other methods are those of the default VFS, which
    // find their state in `pAppData`, copied with the rest.
    match unsafe { ffi::sqlite3_vfs_register(&raw mut vfs.vfs, 0) } {
        ffi::SQLITE_OK => Ok(name),
        code => Err(format!("SQLite takes no VFS (code {code})")),
    }
}

/// Julian milliseconds of the VFS's clock.
///
/// # Safety
/// `vfs` is the first field of a [`ClockVfs`].
unsafe fn julian_millis(vfs: *mut ffi::sqlite3_vfs) -> i64 {
    ASKED.with(|asked| asked.set(true));
    // SAFETY: as promised by the caller; nothing changes a registered `ClockVfs`.
    let clock = unsafe { &(*vfs.cast::<ClockVfs>()).clock };
    JULIAN_EPOCH.saturating_add(clock.millis())
}

/// SQLite's `xCurrentTimeInt64`.
unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, time: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls with the VFS that was registered and a place for the answer.
    unsafe { *time = julian_millis(vfs) };
    ffi::SQLITE_OK
}

/// SQLite's `xCurrentTime`, in days.
unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, time: *mut f64) -> c_int {
    // SAFETY: SQLite calls with the VFS that was registered and a place for the answer.
    unsafe { *time = julian_millis(vfs) as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}
