//! What the standard library can't do safely.
#![expect(unsafe_code, reason = "adopting and waiting on a descriptor that the parent process left open")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
