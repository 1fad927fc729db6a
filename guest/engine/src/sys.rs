//! Changing a thread's view of the file system. Each call is for a thread that ends with its work: the engine's others
//! keep theirs.
#![expect(unsafe_code, reason = "rustix marks unshare as unsafe")]

use std::io;
use std::os::fd::BorrowedFd;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Gives the calling thread a copy of the engine's mounts, and a root and a working folder of its own.
pub(crate) fn own_mounts() -> io::Result<()> {
    unshare(UnshareFlags::NEWNS | UnshareFlags::FS)
}

/// Moves the calling thread to the root of another mount namespace.
#[expect(clippy::disallowed_methods, reason = "called in a thread that ends with its work")]
pub(crate) fn join_mounts(namespace: BorrowedFd<'_>) -> io::Result<()> {
    unshare(UnshareFlags::FS)?;
    Ok(rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Mount))?)
}

#[expect(clippy::disallowed_methods, reason = "called in a thread that ends with its work")]
fn unshare(what: UnshareFlags) -> io::Result<()> {
    // SAFETY: neither flag touches the descriptor table, which is what makes this call unsafe; a root and a working
    // folder of its own are what the thread wants.
    Ok(unsafe { rustix::thread::unshare_unsafe(what) }?)
}
