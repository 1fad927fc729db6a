//! The namespaces of a test's own thread.
#![expect(unsafe_code, reason = "rustix marks unshare as unsafe")]

use rustix::thread::UnshareFlags;

/// Moves the calling thread, and what it starts from now on, into new network and mount namespaces.
pub(crate) fn leave_the_machine() -> std::io::Result<()> {
    unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS)
}

/// Moves the calling thread into a new network namespace.
pub(crate) fn leave_the_network() -> std::io::Result<()> {
    unshare(UnshareFlags::NEWNET)
}

fn unshare(flags: UnshareFlags) -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a test's thread belongs to the test")]
    // SAFETY: namespaces leave the descriptor table shared; the thread's own file system context is what is wanted.
    let left = unsafe { rustix::thread::unshare_unsafe(flags) };
    Ok(left?)
}
