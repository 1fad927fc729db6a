//! Paths resolved beneath a folder by the kernel, as if the folder were the root: links of an image or a context
//! lead nowhere else.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

/// Links that may follow each other, as in the kernel.
const LINKS: usize = 40;

/// An owner: user and group.
pub(crate) type Owner = (u32, u32);

/// A folder that paths can't leave.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = match path.trim_matches('/') {
            "" => ".",
            path => path,
        };
        loop {
            match rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                // The kernel's word for a rename that raced with `..`.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// What a path leads to, links followed, for `*at` calls.
    pub(crate) fn entry(&self, path: &str) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::PATH)
    }

    /// A folder, opened for reading.
    pub(crate) fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Whether the path leads to a folder.
    pub(crate) fn is_folder(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY).is_ok()
    }

    /// Whether something is there, be it a link that leads nowhere.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW).is_ok()
    }

    /// A regular file, opened for reading.
    pub(crate) fn file(&self, path: &str) -> io::Result<File> {
        let file = File::from(self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(file)
    }

    /// A small text file's content; none when there is none.
    pub(crate) fn text(&self, path: &str, longest: u64) -> Option<String> {
        let mut bytes = Vec::new();
        self.file(path).ok()?.take(longest).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The folder at `path`, with those above it; new ones get the owner. Says whether the last was made.
    pub(crate) fn make_folders(
        &self,
        path: &str,
        mode: u32,
        owner: Option<Owner>,
    ) -> io::Result<(OwnedFd, bool)> {
        self.make_linked(path, mode, owner, LINKS)
    }

    /// As [`Self::make_folders`]; a link that leads nowhere gets the folder that it leads to, as in Docker.
    fn make_linked(
        &self,
        path: &str,
        mode: u32,
        owner: Option<Owner>,
        links: usize,
    ) -> io::Result<(OwnedFd, bool)> {
        let mut so_far = String::new();
        let mut folder = self.resolve(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut made = false;
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            let before = so_far.clone();
            so_far = if so_far.is_empty() { part.to_owned() } else { format!("{so_far}/{part}") };
            made = false;
            folder = match self.folder(&so_far) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let parent = self.folder(&before)?;
                    if let Ok(target) = rustix::fs::readlinkat(&parent, part, Vec::new()) {
                        let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
                        let target =
                            if target.starts_with('/') { target } else { format!("{before}/{target}") };
                        let links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                        self.make_linked(&clean(&target), mode, owner, links)?;
                    } else {
                        make_folder(parent.as_fd(), part, mode, owner)?;
                        made = true;
                    }
                    self.folder(&so_far)?
                }
                other => other?,
            };
        }
        Ok((folder, made))
    }
}

fn make_folder(parent: BorrowedFd<'_>, name: &str, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode))?;
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    match owner {
        Some(owner) => own(parent, name.as_bytes(), owner),
        None => Ok(()),
    }
}

/// Gives `name` an owner, itself and not what it points to.
pub(crate) fn own(folder: BorrowedFd<'_>, name: &[u8], (uid, gid): Owner) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Where a folder is.
pub(crate) fn path_of(folder: BorrowedFd<'_>) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// Opens a folder in another for reading, unless it is a link.
pub(crate) fn open_folder(folder: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

/// Opens a file in a folder for reading, unless it is a link. Never waits for a FIFO's other end.
pub(crate) fn open_file(folder: impl AsFd, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?.into())
}

/// Makes a file in a folder, where nothing is of its name.
pub(crate) fn create_file(folder: impl AsFd, name: &[u8], mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(mode))?.into())
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort();
    Ok(names)
}

/// `a` and `b` as one path without empty parts, `.` and `..`, which never climbs over the top.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
