//! The calls that can't be made safely: leaving a network namespace for a new one, programs for the kernel.
#![expect(unsafe_code, reason = "rustix marks unshare as unsafe, and has no bpf")]

pub(crate) mod bpf;

use std::io;

use rustix::thread::UnshareFlags;

/// Moves the calling thread into a new network namespace.
pub(crate) fn unshare_network() -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "called from namespace.rs alone, in a thread that ends with it"
    )]
    // SAFETY: a new network namespace leaves the descriptor table and the file system context shared, which is
    // what makes other flags of this call unsafe.
    let made = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
    Ok(made?)
}
