//! What the standard library can't do safely.
#![expect(
    unsafe_code,
    reason = "adopting and waiting on a descriptor that the parent process left open, and settings of the allocator"
)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the allocator give memory back that a pull or a build no longer needs. As it comes, each of many threads keeps what it
/// had in a heap of its own, and blocks of megabytes are kept among them once one was given back (mallopt(3)). Of what is free
/// at a heap's end some stays: it would come back page by page, each cleared, for every buffer. To be called before there are
/// threads.
pub(crate) fn keep_heap_small() {
    #[cfg(target_env = "gnu")]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(setting: c_int, value: c_int) -> c_int;
        }
        const TRIM_THRESHOLD: c_int = -1;
        const MMAP_THRESHOLD: c_int = -3;
        const ARENA_MAX: c_int = -8;
        for (setting, value) in [(ARENA_MAX, 2), (MMAP_THRESHOLD, 1 << 20), (TRIM_THRESHOLD, 2 << 20)] {
            // SAFETY: it takes two numbers, touches the allocator's own settings alone, and refuses what it doesn't know.
            unsafe { mallopt(setting, value) };
        }
    }
}

/// Takes a descriptor that PID 1 left open for this process, and closes it for programs that this one starts.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::other(format!("descriptor {number} isn't one to inherit")));
    }
    // SAFETY: the borrow ends before the descriptor is adopted; a number that isn't open is an error of the call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as the call above found, and named on the command line for this process alone; each
    // name is adopted once, before any other descriptor is opened.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A listening socket that the async runtime waits on.
pub(crate) fn awaitable(listener: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the `AsyncFd` from here on and nothing takes it out of there, so it stays
    // open and the same for as long as it is registered.
    let registered = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
    registered.map_err(io::Error::from)
}
