//! Locks. POSIX's belong to an open file here, not to the process: then each of the guest's owners has its own, and they
//! end with it. They and the other kind exclude those of other programs alike.
#![expect(unsafe_code, reason = "rustix has no locks of open files")]

use std::ffi::{c_int, c_short};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::FlockOperation;

use super::{Errno, Result};
use crate::wire::lock;
use crate::wire::request::Lock;

/// `struct flock` of every 64-bit Linux.
#[repr(C)]
struct Range {
    kind: c_short,
    whence: c_short,
    start: i64,
    length: i64,
    pid: i32,
}

// Commands of `fcntl` (linux/fcntl.h).
const OFD_GETLK: c_int = 36;
const OFD_SETLK: c_int = 37;

unsafe extern "C" {
    fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
}

/// Takes or gives back a lock of a range.
///
/// # Errors
/// `AGAIN` when somebody else has one that excludes it.
pub(crate) fn lock(file: BorrowedFd<'_>, lock: &Lock) -> Result<()> {
    match command(file, OFD_SETLK, &mut range(lock)?) {
        Err(Errno::ACCESS) => Err(Errno::AGAIN),
        set => set,
    }
}

/// A lock that excludes this one, if there is any. Its process is zero when it belongs to an open file.
pub(crate) fn conflict(file: BorrowedFd<'_>, lock: &Lock) -> Result<Option<Lock>> {
    let mut range = range(lock)?;
    command(file, OFD_GETLK, &mut range)?;
    let kind = u32::try_from(range.kind).unwrap_or(lock::NONE);
    if kind == lock::NONE {
        return Ok(None);
    }
    let last = match range.length {
        0 => i64::MAX,
        length => range.start.saturating_add(length - 1),
    };
    let [start, end] = [range.start, last].map(|at| u64::try_from(at).unwrap_or_default());
    Ok(Some(Lock { start, end, kind, pid: u32::try_from(range.pid).unwrap_or_default() }))
}

/// Takes or gives back the lock of an open file as a whole.
///
/// # Errors
/// `AGAIN` when somebody else has one that excludes it.
pub(crate) fn flock(file: BorrowedFd<'_>, kind: u32) -> Result<()> {
    let operation = match kind {
        lock::READ => FlockOperation::NonBlockingLockShared,
        lock::WRITE => FlockOperation::NonBlockingLockExclusive,
        lock::NONE => FlockOperation::NonBlockingUnlock,
        _ => return Err(Errno::INVAL),
    };
    rustix::fs::flock(file, operation)
}

fn range(lock: &Lock) -> Result<Range> {
    let at = |at: u64| i64::try_from(at).map_err(|_| Errno::INVAL);
    let (start, end) = (at(lock.start)?, at(lock.end)?);
    let kind = c_short::try_from(lock.kind).map_err(|_| Errno::INVAL)?;
    let length = if end == i64::MAX { 0 } else { end - start + 1 };
    Ok(Range { kind, whence: 0, start, length, pid: 0 })
}

fn command(file: BorrowedFd<'_>, command: c_int, range: &mut Range) -> Result<()> {
    // SAFETY: both commands read and write one `struct flock`, which this is and which outlives the call.
    let returned = unsafe { fcntl(file.as_raw_fd(), command, std::ptr::from_mut(range)) };
    if returned == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
