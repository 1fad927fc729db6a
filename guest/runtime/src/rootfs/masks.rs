//! Read-only and masked paths: what the kernel shows in `/proc` and `/sys` and a container may not touch.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::{attach, beneath, copy_mount};
use crate::error::{Doing, Error};
use crate::sys;

/// The machine's null device, proven to be it by its number (CVE-2025-31133).
pub(super) fn open_null() -> Result<OwnedFd, Error> {
    let path = Path::new("/dev/null");
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::open(path, flags, Mode::empty()).on("open", path)?;
    let stat = fstat(&null).on("look at", path)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if is_device && stat.st_rdev == rustix::fs::makedev(1, 3) {
        Ok(null)
    } else {
        Err(Error::Hostile { path: path.into(), problem: "isn't the null device" })
    }
}

/// Makes each path that exists read-only, with all below it.
pub(super) fn make_readonly(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), Error> {
    for path in paths.iter().map(Path::new) {
        let Some(target) = existing(root, path)? else { continue };
        let copy = copy_mount(target.as_fd(), true).on("copy the mount of", path)?;
        sys::mount_setattr(copy.as_fd(), true, libc::MOUNT_ATTR_RDONLY, 0, 0).on("make read-only", path)?;
        attach(copy.as_fd(), target.as_fd()).on("mount read-only at", path)?;
    }
    Ok(())
}

/// Covers each path that exists: a folder with an empty read-only tmpfs, a file with the null device.
pub(super) fn mask(root: BorrowedFd<'_>, paths: &[String], null: BorrowedFd<'_>) -> Result<(), Error> {
    for path in paths.iter().map(Path::new) {
        let Some(target) = existing(root, path)? else { continue };
        let stat = fstat(&target).on("look at", path)?;
        let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            empty_folder().on("make an empty filesystem for", path)?
        } else {
            copy_mount(null, false).on("copy the mount of", "/dev/null")?
        };
        attach(cover.as_fd(), target.as_fd()).on("mask", path)?;
    }
    Ok(())
}

fn existing(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>, Error> {
    match beneath::look_up(root, path) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).on("look up", path),
    }
}

fn empty_folder() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "nr_inodes", "2")?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
