//! The kernel's interface to agents of system call filters (seccomp_unotify(2)), which no crate here has.
#![expect(unsafe_code, reason = "ioctl(2) has no safe form for these")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)`.
const RECEIVE: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;

/// Waits for a call that the filter asks about and lets it fail with `errno`; the calling process.
pub(crate) fn refuse_next(listener: BorrowedFd<'_>, errno: i32) -> std::io::Result<u32> {
    // SAFETY: zeroes are values of all its fields.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `seccomp_notif`.
    if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut asked) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let mut answer = libc::seccomp_notif_resp { id: asked.id, val: 0, error: -errno, flags: 0 };
    // SAFETY: the kernel reads one `seccomp_notif_resp`.
    if unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw mut answer) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(asked.pid)
}
