//! Keeps the running program out of a container's reach (CVE-2019-5736).
//!
//! A process about to become a container's process is a copy of this program, and `/proc/<pid>/exe` leads from
//! inside the container to the program's file on the machine. Executed again from a read-only mount that belongs to
//! no namespace, that link can't be written through, and nobody can remount it.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::mount::OpenTreeFlags;

use crate::error::{Doing, Error};
use crate::sys;

/// The running program, by the link that containers see.
const SELF: &str = "/proc/self/exe";

/// Executes the program again from a read-only mount, unless it runs from one already. Call it first of all:
/// it returns only if there is nothing to do, or with why it failed.
pub fn run_from_readonly_mount() -> Result<(), Error> {
    let mount = rustix::fs::statvfs(SELF).on("stat the filesystem of", SELF)?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    execute_readonly().map(|never| match never {})
}

fn execute_readonly() -> Result<Infallible, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let program = rustix::mount::open_tree(CWD, SELF, flags).on("copy the mount of", SELF)?;
    sys::mount_setattr(program.as_fd(), false, libc::MOUNT_ATTR_RDONLY, 0, 0).on("make read-only", SELF)?;
    let terminated = |text: OsString| {
        CString::new(text.into_vec()).map_err(|_| Error::Spec("a NUL byte in this program's own arguments"))
    };
    let args = std::env::args_os().map(terminated).collect::<Result<Vec<_>, _>>()?;
    let env = std::env::vars_os().map(|(name, value)| {
        let mut text = name;
        text.push("=");
        text.push(value);
        terminated(text)
    });
    let env = env.collect::<Result<Vec<_>, _>>()?;
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let path = terminated(path.into())?;
    Err(sys::execve(&path, &args, &env)).on("execute again", SELF)
}
