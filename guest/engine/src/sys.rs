//! Changing a thread's view of the file system, and waiting on a descriptor. Each call of the first kind is for a
//! thread that ends with its work: the engine's others keep theirs.
#![expect(unsafe_code, reason = "rustix marks unshare as unsafe, tokio the registration of descriptors")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that the async runtime waits on.
pub(crate) fn awaitable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the `AsyncFd` from here on and nothing takes it out of there, so it stays
    // open and the same for as long as it is registered.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

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
