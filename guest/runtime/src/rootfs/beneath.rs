//! Paths inside the root: looked up and made without ever leaving it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Doing, Error};

/// Folders made for mounts, as runc makes them.
const FOLDER: Mode = Mode::from_raw_mode(0o755);
/// Symlinks to what doesn't exist yet are followed so often; the kernel allows 40 in a lookup.
const MOST_LINKS: u32 = 40;

/// Opens `path` (`O_PATH`), following symlinks inside the root.
///
/// # Errors
/// The kernel's, when it isn't there.
pub fn look_up(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    open(root, path, OFlags::empty())
}

/// Opens `path` (`O_PATH`) if its last part isn't a symlink.
pub(super) fn look_up_itself(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    open(root, path, OFlags::NOFOLLOW)
}

fn open(root: BorrowedFd<'_>, path: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = relative(path);
    let flags = OFlags::PATH | OFlags::CLOEXEC | more;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, &path, flags, Mode::empty(), how) {
            // A rename raced with a `..` of the lookup (openat2(2)): look again.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
}

/// Opens the folder (`O_PATH`), making what is missing.
///
/// # Errors
/// When something on the way is no folder, or the disk refuses.
pub fn make_folders(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Error> {
    let mut links = MOST_LINKS;
    make(root, path, &mut links).on("make the folder", path)
}

fn make(root: BorrowedFd<'_>, path: &Path, links: &mut u32) -> rustix::io::Result<OwnedFd> {
    match look_up(root, path) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let path = relative(path);
    let mut done = PathBuf::from(".");
    let mut folder = look_up(root, &done)?;
    for part in path.components().filter(|part| matches!(part, Component::Normal(_))) {
        let next = done.join(part);
        folder = match look_up(root, &next) {
            Err(Errno::NOENT) => make_one(root, &folder, part.as_os_str().as_ref(), &done, links)?,
            other => other?,
        };
        done = next;
    }
    Ok(folder)
}

/// Makes `name` in `folder`, or what a dangling symlink of that name points to.
fn make_one(
    root: BorrowedFd<'_>,
    folder: &OwnedFd,
    name: &Path,
    folder_path: &Path,
    links: &mut u32,
) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::mkdirat(folder, name, FOLDER) {
        Ok(()) => {
            let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY;
            rustix::fs::openat(folder, name, flags, Mode::empty())
        }
        Err(Errno::EXIST) => {
            *links = links.checked_sub(1).ok_or(Errno::LOOP)?;
            let link = rustix::fs::readlinkat(folder, name, Vec::new())?;
            let target =
                Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(link.to_bytes()));
            make(root, &folder_path.join(target), links)
        }
        Err(errno) => Err(errno),
    }
}

/// Opens the file (`O_PATH`), making an empty one if nothing is there.
///
/// # Errors
/// When it can't be made.
pub fn make_file(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Error> {
    match look_up(root, path) {
        Err(Errno::NOENT) => {}
        other => return other.on("look up", path),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::Hostile { path: path.into(), problem: "isn't the path of a file" });
    };
    let folder = make_folders(root, parent)?;
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644)).on("make the file", path)
}

/// `path` without its root and without `..`, which then can't climb.
fn relative(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from(".");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir if clean.as_os_str() != "." => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn folder() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(folder.path(), flags, Mode::empty()).unwrap();
        (folder, fd)
    }

    #[test]
    fn dots_do_not_climb() {
        assert_eq!(relative(Path::new("/a/../../b/./c")), Path::new("./b/c"));
    }

    #[test]
    fn a_symlink_upwards_ends_at_the_root() {
        let (folder, root) = folder();
        std::os::unix::fs::symlink("../../../../../..", folder.path().join("up")).unwrap();
        make_folders(root.as_fd(), Path::new("/up/berth-test/x")).unwrap();
        assert!(folder.path().join("berth-test/x").is_dir());
    }

    #[test]
    fn an_absolute_dangling_symlink_is_followed_inside() {
        let (folder, root) = folder();
        std::os::unix::fs::symlink("/run/berth-test", folder.path().join("var")).unwrap();
        make_folders(root.as_fd(), Path::new("/var/x")).unwrap();
        assert!(folder.path().join("run/berth-test/x").is_dir());
    }

    #[test]
    fn a_loop_of_symlinks_is_refused() {
        let (folder, root) = folder();
        std::os::unix::fs::symlink("/b", folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("/a", folder.path().join("b")).unwrap();
        assert!(make_folders(root.as_fd(), Path::new("/a/x")).is_err());
    }
}
