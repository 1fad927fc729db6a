//! The folder a layer is unpacked into. Every name is resolved beneath it by `openat2`, as if it were the root: an
//! absolute symbolic link starts at it and `..` stops at it, so nothing an archive says reaches outside.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// The open root and the folder used last: archives list a folder's content together.
pub(crate) struct Tree {
    root: OwnedFd,
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::at(rustix::fs::open(root, flags, Mode::empty())?))
    }

    /// The tree whose root is open.
    pub(crate) fn at(root: OwnedFd) -> Self {
        Self { root, last: None }
    }

    /// The folder at `path`, opened for `*at` calls; with `make`, missing parts are made.
    pub(crate) fn folder(&mut self, path: &[u8], make: bool) -> io::Result<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if self.last.as_ref().is_none_or(|(cached, _)| cached != path) {
            let folder = match self.resolve(path, OFlags::DIRECTORY) {
                Err(Errno::NOENT) if make => self.make_folders(path)?,
                other => other?,
            };
            self.last = Some((path.to_vec(), folder));
        }
        match &self.last {
            Some((_, folder)) => Ok(folder.as_fd()),
            None => Ok(self.root.as_fd()),
        }
    }

    /// Forgets the folder used last: something it may lead through was replaced.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
        loop {
            // EAGAIN is the kernel's word for a rename that raced with `..`.
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn make_folders(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut current = self.resolve(b".", OFlags::DIRECTORY)?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut start = 0;
        for end in ends.chain([path.len()]) {
            let next = match self.resolve(&path[..end], OFlags::DIRECTORY) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&current, &path[start..end], Mode::from_raw_mode(0o755))?;
                    self.resolve(&path[..end], OFlags::DIRECTORY)?
                }
                other => other?,
            };
            current = next;
            start = end + 1;
        }
        Ok(current)
    }
}

/// Removes whatever is at `name`, and all in it.
pub(crate) fn remove(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Depth is bounded by the longest path that an entry may have, so recursion is too.
    let inner = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&inner)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    for name in names {
        remove(inner.as_fd(), &name)?;
    }
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}

/// What is at `name` itself, if anything.
pub(crate) fn kind(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<(FileType, u64)>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some((FileType::from_raw_mode(stat.st_mode), stat.st_rdev))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Gives `name` an owner, itself and not what it points to.
pub(crate) fn own(folder: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets the modification time of `name` itself; the access time becomes the same.
pub(crate) fn touch(folder: BorrowedFd<'_>, name: &[u8], mtime: (i64, u32)) -> io::Result<()> {
    Ok(rustix::fs::utimensat(folder, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(crate) fn timestamps((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Sets an attribute of `name` itself. There is no `setxattrat` before Linux 6.13, so the path goes through the
/// folder's descriptor, whose link in /proc leads straight to the folder.
pub(crate) fn set_xattr(folder: BorrowedFd<'_>, name: &[u8], key: &str, value: &[u8]) -> io::Result<()> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(if name.is_empty() { b"." } else { name });
    let path = CString::new(path)?;
    match rustix::fs::lsetxattr(&path, key, value, XattrFlags::empty()) {
        // What the file system can't hold (SELinux labels, ACLs) or the kind of file can't have is left out.
        Err(Errno::NOTSUP) => Ok(()),
        Err(Errno::PERM) if key.starts_with("user.") => Ok(()),
        other => Ok(other?),
    }
}

/// Splits a cleaned path into folder and last name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// A path for messages.
pub(crate) fn shown(path: &[u8]) -> String {
    OsStr::from_bytes(path).to_string_lossy().into_owned()
}
