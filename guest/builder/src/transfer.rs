//! Copies files between two roots: what COPY and ADD do to a file system.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::beneath::{self, Owner};
use crate::chmod::Chmod;
use crate::ignore::Ignore;

/// How files change on the way.
pub(crate) struct Transfer<'a> {
    /// Everything gets this owner; without, it keeps its own.
    pub(crate) owner: Option<Owner>,
    /// Everything gets these permissions.
    pub(crate) mode: Option<&'a Chmod>,
    /// Paths, relative to the source, that stay behind.
    pub(crate) ignore: &'a Ignore,
    /// Where inodes with several names went.
    pub(crate) links: HashMap<(u64, u64), (OwnedFd, Vec<u8>)>,
}

impl Transfer<'_> {
    /// Copies the content of the folder `from` into the folder `to`.
    pub(crate) fn folder(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &str) -> io::Result<()> {
        for name in beneath::names(from)? {
            let shown = String::from_utf8_lossy(&name);
            let path = if path.is_empty() { shown.into_owned() } else { format!("{path}/{shown}") };
            self.entry(from, &name, to, &name, &path)?;
        }
        Ok(())
    }

    /// Copies `name` in `from` to `new_name` in `to`, replacing a file that is there. `path` is its path for the rules.
    pub(crate) fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        new_name: &[u8],
        path: &str,
    ) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.ignore.ignores(path) {
            if kind == FileType::Directory && self.ignore.has_exceptions() {
                return self.exceptions(from, name, to, new_name, path);
            }
            return Ok(());
        }
        if kind == FileType::Directory {
            return self.whole_folder(from, name, to, new_name, path, &stat);
        }
        make_room(to, new_name)?;
        if stat.st_nlink > 1
            && let Some((folder, first)) = self.links.get(&(stat.st_dev, stat.st_ino))
        {
            return Ok(rustix::fs::linkat(folder, first.as_slice(), to, new_name, AtFlags::empty())?);
        }
        match kind {
            FileType::RegularFile => copy_content(from, name, to, new_name)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target.as_c_str(), to, new_name)?;
            }
            // Dead without its process.
            FileType::Socket => return Ok(()),
            kind => rustix::fs::mknodat(to, new_name, kind, Mode::from_raw_mode(0o600), stat.st_rdev)?,
        }
        if stat.st_nlink > 1 {
            let folder = to.try_clone_to_owned()?;
            self.links.insert((stat.st_dev, stat.st_ino), (folder, new_name.to_vec()));
        }
        self.dress(from, name, to, new_name, &stat)
    }

    fn whole_folder(
        &mut self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        new_name: &[u8],
        path: &str,
        stat: &Stat,
    ) -> io::Result<()> {
        match rustix::fs::mkdirat(to, new_name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let (source, target) = (open_folder(from, name)?, open_folder(to, new_name)?);
        self.folder(source.as_fd(), target.as_fd(), path)?;
        self.dress(from, name, to, new_name, stat)
    }

    /// Goes through an ignored folder for what isn't ignored in it; makes the folder only for that.
    fn exceptions(
        &mut self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        new_name: &[u8],
        path: &str,
    ) -> io::Result<()> {
        let source = open_folder(from, name)?;
        if !self.keeps_any(source.as_fd(), path)? {
            return Ok(());
        }
        match rustix::fs::mkdirat(to, new_name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let target = open_folder(to, new_name)?;
        self.folder(source.as_fd(), target.as_fd(), path)
    }

    fn keeps_any(&self, folder: BorrowedFd<'_>, path: &str) -> io::Result<bool> {
        for name in beneath::names(folder)? {
            let inner = format!("{path}/{}", String::from_utf8_lossy(&name));
            if !self.ignore.ignores(&inner) {
                return Ok(true);
            }
            let stat = rustix::fs::statat(folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                && self.keeps_any(open_folder(folder, &name)?.as_fd(), &inner)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Owner, permissions, attributes and time; in this order, since a change of owner clears some of the rest.
    pub(crate) fn dress(
        &self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        new_name: &[u8],
        stat: &Stat,
    ) -> io::Result<()> {
        beneath::own(to, new_name, self.owner.unwrap_or((stat.st_uid, stat.st_gid)))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Symlink {
            let kept = stat.st_mode & 0o7777;
            let mode = self.mode.map_or(kept, |mode| mode.apply(kept, kind == FileType::Directory));
            rustix::fs::chmodat(to, new_name, Mode::from_raw_mode(mode), AtFlags::empty())?;
            copy_attributes(from, name, to, new_name)?;
        }
        let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(to, new_name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Removes a file that is in the way; a folder is an error.
pub(crate) fn make_room(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => {
            let name = String::from_utf8_lossy(name);
            Err(io::Error::other(format!("cannot replace to directory {name} with file")))
        }
        Err(error) => Err(error.into()),
    }
}

fn open_folder(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

fn copy_content(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new_name: &[u8]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut target = File::from(rustix::fs::openat(to, new_name, flags, Mode::from_raw_mode(0o600))?);
    // std copies within the kernel where it can.
    io::copy(&mut source, &mut target).map(drop)
}

/// Extended attributes, capabilities among them.
fn copy_attributes(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new_name: &[u8]) -> io::Result<()> {
    let (source, target) = (by_descriptor(from, name), by_descriptor(to, new_name));
    // Most have none, and room for all of them takes longer than to ask.
    let mut names = match rustix::fs::llistxattr(source.as_slice(), &mut [0; 0][..]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        _ => vec![0; 64 << 10],
    };
    let length = match rustix::fs::llistxattr(source.as_slice(), &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for key in names[..length].split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        if key.starts_with(b"trusted.overlay.") || key == b"security.selinux" {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let Ok(length) = rustix::fs::lgetxattr(source.as_slice(), key, &mut value[..]) else { continue };
        match rustix::fs::lsetxattr(target.as_slice(), key, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A path to a name in an open folder, for calls that have no `*at` form.
fn by_descriptor(folder: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat()
}
