//! Copies files between two roots: what COPY and ADD do to a file system.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::beneath::{self, Owner};
use crate::chmod::Chmod;
use crate::ignore::Ignore;
use crate::known::Known;

/// A folder with fewer entries isn't worth a thread.
const FEW: usize = 16;
/// More threads than this wait for the disk alone.
const MOST_THREADS: usize = 8;

/// Two folders: what is in one is copied into the other.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    /// The second as the layer itself has it, where files may be linked instead.
    layer: Option<BorrowedFd<'a>>,
    /// The second was made for this: nothing in it is in the way.
    is_new: bool,
}

impl<'a> Way<'a> {
    pub(crate) fn new(from: BorrowedFd<'a>, to: BorrowedFd<'a>) -> Self {
        Self { from, to, layer: None, is_new: false }
    }

    /// Files may be linked into `layer`, where it is to be had.
    pub(crate) fn linking(self, layer: Option<BorrowedFd<'a>>) -> Self {
        Self { layer, ..self }
    }

    /// Whether the second was made for this.
    pub(crate) fn into_new(self, is_new: bool) -> Self {
        Self { is_new, ..self }
    }
}

/// How files change on the way.
pub(crate) struct Transfer<'a> {
    /// Everything gets this owner; without, it keeps its own.
    pub(crate) owner: Option<Owner>,
    /// Everything gets these permissions.
    mode: Option<&'a Chmod>,
    /// Paths, relative to the source, that stay behind.
    ignore: &'a Ignore,
    /// What is known of the source's files, which a link changes in the kernel's eyes.
    known: Option<&'a Known>,
    /// Where inodes with several names went. Whoever copies one holds it until there is something to link to.
    first: Mutex<HashMap<(u64, u64), PathBuf>>,
    /// Threads that may still be started.
    spare: AtomicUsize,
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(owner: Option<Owner>, mode: Option<&'a Chmod>, ignore: &'a Ignore) -> Self {
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS));
        let (first, spare) = (Mutex::default(), AtomicUsize::new(threads - 1));
        Self { owner, mode, ignore, known: None, first, spare }
    }

    /// Files that stay as they are may be linked: nobody writes to those that are `known`, here or there.
    pub(crate) fn linking(self, known: &'a Known) -> Self {
        Self { known: Some(known), ..self }
    }

    /// Whether files may be linked.
    pub(crate) fn links(&self) -> bool {
        self.known.is_some()
    }
}

impl Transfer<'_> {
    /// Copies the content of a folder.
    pub(crate) fn folder(&self, way: Way<'_>, path: &str) -> io::Result<()> {
        self.entries(&beneath::names(way.from)?, way, path)
    }

    /// Copies these entries of a folder, half of them by another thread where one is to be had.
    fn entries(&self, names: &[Vec<u8>], way: Way<'_>, path: &str) -> io::Result<()> {
        if names.len() >= FEW && self.takes_thread() {
            let (half, rest) = names.split_at(names.len() / 2);
            return thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let copied = self.entries(half, way, path);
                    self.spare.fetch_add(1, Ordering::Relaxed);
                    copied
                });
                let own = self.entries(rest, way, path);
                let other = other.join().unwrap_or_else(|_| Err(io::Error::other("a copy was interrupted")));
                other.and(own)
            });
        }
        for name in names {
            let shown = String::from_utf8_lossy(name);
            let path = if path.is_empty() { shown.into_owned() } else { format!("{path}/{shown}") };
            self.entry(way, name, name, &path)?;
        }
        Ok(())
    }

    fn takes_thread(&self) -> bool {
        let fewer = |spare: usize| spare.checked_sub(1);
        self.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    /// Copies `name` to `new_name`, replacing a file that is there. `path` is its path for the rules.
    pub(crate) fn entry(&self, way: Way<'_>, name: &[u8], new_name: &[u8], path: &str) -> io::Result<()> {
        let stat = rustix::fs::statat(way.from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.ignore.ignores(path) {
            if kind == FileType::Directory && self.ignore.has_exceptions() {
                return self.exceptions(way, name, new_name, path);
            }
            return Ok(());
        }
        if kind == FileType::Directory {
            return self.whole_folder(way, name, new_name, path, &stat);
        }
        if kind == FileType::RegularFile && self.link(way, name, new_name, &stat)? {
            return Ok(());
        }
        if stat.st_nlink == 1 {
            return self.other(way, name, new_name, &stat);
        }
        let mut known = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = known.get(&(stat.st_dev, stat.st_ino)) {
            make_room(way.to, new_name)?;
            return Ok(rustix::fs::linkat(CWD, first, way.to, new_name, AtFlags::empty())?);
        }
        self.other(way, name, new_name, &stat)?;
        if kind != FileType::Socket {
            let place = beneath::path_of(way.to)?.join(OsStr::from_bytes(new_name));
            known.insert((stat.st_dev, stat.st_ino), place);
        }
        Ok(())
    }

    /// Links a file into the layer, if it is there as it is to be here: making an inode takes most of a copy's time. Says
    /// whether that was possible.
    fn link(&self, way: Way<'_>, name: &[u8], new_name: &[u8], stat: &Stat) -> io::Result<bool> {
        let (Some(layer), Some(known)) = (way.layer, self.known) else { return Ok(false) };
        let is_same = self.owner_of(stat) == (stat.st_uid, stat.st_gid)
            && self.mode_of(stat, false) == stat.st_mode & 0o7777;
        if !is_same || (!way.is_new && is_folder(way.to, new_name)) {
            return Ok(false);
        }
        // Another file system, too many links, or something that has to go first.
        if rustix::fs::linkat(way.from, name, layer, new_name, AtFlags::empty()).is_err() {
            return Ok(false);
        }
        if let Some(content) = known.find(stat) {
            known.note(&rustix::fs::statat(layer, new_name, AtFlags::SYMLINK_NOFOLLOW)?, content);
        }
        Ok(true)
    }

    /// Copies what isn't a folder.
    fn other(&self, way: Way<'_>, name: &[u8], new_name: &[u8], stat: &Stat) -> io::Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::RegularFile {
            return self.file(way, name, new_name, stat);
        }
        make_room(way.to, new_name)?;
        match kind {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(way.from, name, Vec::new())?;
                rustix::fs::symlinkat(target.as_c_str(), way.to, new_name)?;
            }
            // Dead without its process.
            FileType::Socket => return Ok(()),
            kind => {
                rustix::fs::mknodat(way.to, new_name, kind, Mode::from_raw_mode(0o600), stat.st_rdev)?;
            }
        }
        self.dress(way, name, new_name, stat)
    }

    /// Copies a file, as [`Self::dress`] would have it: by descriptors, since a context has thousands and every look-up
    /// of a name takes its time.
    fn file(&self, way: Way<'_>, name: &[u8], new_name: &[u8], stat: &Stat) -> io::Result<()> {
        let source = beneath::open_file(way.from, name)?;
        let mode = self.mode_of(stat, false);
        let target = create(way.to, new_name, mode & 0o777)?;
        copy_content(&source, &target, stat)?;
        let (made, owner) = (rustix::fs::fstat(&target)?, self.owner_of(stat));
        if (made.st_uid, made.st_gid) != owner {
            let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
            rustix::fs::fchown(&target, Some(uid), Some(gid))?;
        }
        if made.st_mode & 0o7777 != mode {
            rustix::fs::fchmod(&target, Mode::from_raw_mode(mode))?;
        }
        copy_attributes(&source, &target)?;
        Ok(rustix::fs::futimens(&target, &times(stat))?)
    }

    fn owner_of(&self, stat: &Stat) -> Owner {
        self.owner.unwrap_or((stat.st_uid, stat.st_gid))
    }

    fn mode_of(&self, stat: &Stat, is_folder: bool) -> u32 {
        let kept = stat.st_mode & 0o7777;
        self.mode.map_or(kept, |mode| mode.apply(kept, is_folder))
    }

    fn whole_folder(
        &self,
        way: Way<'_>,
        name: &[u8],
        new_name: &[u8],
        path: &str,
        stat: &Stat,
    ) -> io::Result<()> {
        self.inner(way, name, new_name, path, 0o700)?;
        self.dress(way, name, new_name, stat)
    }

    /// Goes through an ignored folder for what isn't ignored in it; makes the folder only for that.
    fn exceptions(&self, way: Way<'_>, name: &[u8], new_name: &[u8], path: &str) -> io::Result<()> {
        if !self.keeps_any(beneath::open_folder(way.from, name)?.as_fd(), path)? {
            return Ok(());
        }
        self.inner(way, name, new_name, path, 0o755)
    }

    /// Makes a folder unless it is there, and copies what is in it.
    fn inner(&self, way: Way<'_>, name: &[u8], new_name: &[u8], path: &str, mode: u32) -> io::Result<()> {
        let is_new = match rustix::fs::mkdirat(way.to, new_name, Mode::from_raw_mode(mode)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let (from, to) = (beneath::open_folder(way.from, name)?, beneath::open_folder(way.to, new_name)?);
        // One of a layer below is in this one only once something of it changes.
        let layer = way.layer.and_then(|layer| beneath::open_folder(layer, new_name).ok());
        let inner = Way::new(from.as_fd(), to.as_fd()).linking(layer.as_ref().map(AsFd::as_fd));
        self.folder(inner.into_new(is_new), path)
    }

    fn keeps_any(&self, folder: BorrowedFd<'_>, path: &str) -> io::Result<bool> {
        for name in beneath::names(folder)? {
            let inner = format!("{path}/{}", String::from_utf8_lossy(&name));
            if !self.ignore.ignores(&inner) {
                return Ok(true);
            }
            let stat = rustix::fs::statat(folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                && self.keeps_any(beneath::open_folder(folder, &name)?.as_fd(), &inner)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Owner, permissions, attributes and time; in this order, since a change of owner clears some of the rest.
    pub(crate) fn dress(&self, way: Way<'_>, name: &[u8], new_name: &[u8], stat: &Stat) -> io::Result<()> {
        let Way { from, to, .. } = way;
        beneath::own(to, new_name, self.owner_of(stat))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Symlink {
            let mode = self.mode_of(stat, kind == FileType::Directory);
            rustix::fs::chmodat(to, new_name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        if kind == FileType::Directory {
            copy_attributes(beneath::open_folder(from, name)?, beneath::open_folder(to, new_name)?)?;
        }
        Ok(rustix::fs::utimensat(to, new_name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: time, last_modification: time }
}

fn is_folder(folder: BorrowedFd<'_>, name: &[u8]) -> bool {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

/// Makes a new file in the place of another or of none.
fn create(folder: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<File> {
    match beneath::create_file(folder, name, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            make_room(folder, name)?;
            beneath::create_file(folder, name, mode)
        }
        made => made,
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

/// What a file may have to be copied by hand: for so little it is faster than to ask the kernel.
const SMALL: i64 = 256 << 10;

fn copy_content(mut source: &File, mut target: &File, stat: &Stat) -> io::Result<()> {
    if stat.st_size > SMALL {
        // std copies within the kernel where it can.
        return io::copy(&mut source, &mut target).map(drop);
    }
    let mut buffer = [0; 16 << 10];
    let mut rest = usize::try_from(stat.st_size).unwrap_or(0);
    while rest > 0 {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        target.write_all(&buffer[..count])?;
        rest = rest.saturating_sub(count);
    }
    Ok(())
}

/// Extended attributes, capabilities among them.
fn copy_attributes(source: impl AsFd, target: impl AsFd) -> io::Result<()> {
    // Most have none, and room for all of them takes longer than to ask.
    let mut names = match rustix::fs::flistxattr_query(&source) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        _ => vec![0; 64 << 10],
    };
    let length = match rustix::fs::flistxattr(&source, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for key in names[..length].split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        if key.starts_with(b"trusted.overlay.") || key == b"security.selinux" {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let Ok(length) = rustix::fs::fgetxattr(&source, key, &mut value[..]) else { continue };
        match rustix::fs::fsetxattr(&target, key, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
