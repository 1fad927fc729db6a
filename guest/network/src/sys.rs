//! The calls that can't be made safely: leaving a network namespace for a new one, its cookie, programs for the kernel.
#![expect(
    unsafe_code,
    reason = "rustix marks unshare as unsafe, and has neither bpf nor cookies of namespaces"
)]

pub(crate) mod bpf;

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketType};
use rustix::thread::UnshareFlags;

unsafe extern "C" {
    /// getsockopt(2) of the C library that the standard library brings along.
    fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut u64, length: *mut u32) -> c_int;
}

/// The number by which programs in the kernel tell the network namespace of the calling thread from others (Linux 5.14).
pub(crate) fn network_cookie() -> io::Result<u64> {
    const SOL_SOCKET: c_int = 1;
    const SO_NETNS_COOKIE: c_int = 71;
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    let (mut cookie, mut length) = (0, size_of::<u64>() as u32);
    // SAFETY: the value has room for as many bytes as its length says, and both outlive the call.
    let told = unsafe {
        getsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_NETNS_COOKIE, &raw mut cookie, &raw mut length)
    };
    if told < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}

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
