//! A file is an `O_PATH` descriptor. What needs more than that goes through `/proc/self/fd`, which leads to the very
//! same file whatever its names have become.

mod attribute;
mod case;
mod lock;
mod watcher;

use std::collections::VecDeque;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub(crate) use rustix::fs::SeekFrom;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, Statx,
    StatxFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags,
};
use rustix::io::ReadWriteFlags;
use rustix::time::{ClockId, clock_gettime};

use super::{FileSystem, FolderEntry, Moment, Status, mode};

pub(crate) use attribute::get_attribute_of_name;
pub(crate) use case::minds_case;
pub(crate) use lock::{conflict, flock, lock};
pub(crate) use rustix::io::Errno;
pub(crate) use watcher::Watcher;

type Result<T> = std::result::Result<T, Errno>;

/// A name beneath a folder: never through a link, never out of it.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
/// Of what the guest opens a file with, what counts here. Appending is each write's own wish.
const OPEN: OFlags = OFlags::RDWR.union(OFlags::WRONLY).union(OFlags::TRUNC).union(OFlags::SYNC);
/// Never a controlling terminal, never waiting for a FIFO's other end.
const ALWAYS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// What is asked of a file.
const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// What [`reopen`] takes for writing only.
pub(crate) const WRITE_ONLY: u32 = OFlags::WRONLY.bits();

/// What it takes for reading only, and for both.
pub(crate) const READ_ONLY: u32 = OFlags::RDONLY.bits();
pub(crate) const READ_WRITE: u32 = OFlags::RDWR.bits();

/// What [`reopen`] takes for an empty file.
pub(crate) const TRUNCATE: u32 = OFlags::TRUNC.bits();

/// A time to set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Time {
    Keep,
    Now,
    At(Moment),
}

/// The user that this process acts as, and the group.
pub(crate) fn user() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// A folder by its path, which the user has named.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// What `name` in `folder` is; a link is itself.
pub(crate) fn look_up(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A rename elsewhere may have come in between: the kernel asks to try again.
    for _ in 0..8 {
        match rustix::fs::openat2(folder, name, flags, Mode::empty(), BENEATH) {
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// Attributes of a file.
pub(crate) fn status(file: BorrowedFd<'_>) -> Result<Status> {
    Ok(told(&rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, WANTED)?))
}

/// Whether changes of a file are given the times of this machine's clock, and not whole seconds: those of servers aren't.
pub(crate) fn has_our_times(file: BorrowedFd<'_>) -> bool {
    /// ext2 to ext4, XFS, btrfs, F2FS, tmpfs (statfs(2)).
    const OURS: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
    let is_ours = rustix::fs::fstatfs(file).is_ok_and(|found| OURS.contains(&found.f_type));
    // Of ext4's, those with small inodes know neither births nor parts of seconds.
    is_ours && status(file).is_ok_and(|status| status.birth.is_some())
}

/// The clock's last tick: no change that is made from now on is given an earlier time.
pub(crate) fn last_tick() -> Moment {
    moment(ClockId::RealtimeCoarse)
}

/// No change that was made is given a later time.
pub(crate) fn now() -> Moment {
    moment(ClockId::Realtime)
}

fn moment(clock: ClockId) -> Moment {
    let time = clock_gettime(clock);
    (time.tv_sec, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Attributes of what `name` in `folder` is; a link's are its own. The name is a single component that leads nowhere else.
pub(crate) fn status_of_name(folder: BorrowedFd<'_>, name: &CStr) -> Result<Status> {
    Ok(told(&rustix::fs::statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, WANTED)?))
}

fn told(found: &Statx) -> Status {
    let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, time.tv_nsec);
    let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    let (major, minor) = (found.stx_rdev_major, found.stx_rdev_minor);
    Status {
        device: u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor),
        ino: found.stx_ino,
        mode: found.stx_mode.into(),
        links: found.stx_nlink,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: found.stx_size,
        blocks: found.stx_blocks,
        block_size: found.stx_blksize,
        device_number: (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12),
        atime: time(found.stx_atime),
        mtime: time(found.stx_mtime),
        ctime: time(found.stx_ctime),
        birth: has_birth.then(|| time(found.stx_btime)),
    }
}

/// A path that leads to an open file, for calls that take no `O_PATH` descriptor.
fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Opens a file for reading and writing as `flags`, Linux's, say. The caller knows that it is a regular one or a
/// folder.
pub(crate) fn reopen(file: BorrowedFd<'_>, flags: u32) -> Result<OwnedFd> {
    let flags = OFlags::from_bits_truncate(flags) & OPEN | (ALWAYS - OFlags::NOFOLLOW);
    rustix::fs::open(path_of(file), flags, Mode::empty())
}

/// A second descriptor of an open file, for everything but its content.
pub(crate) fn same_file(file: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::fs::open(path_of(file), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Makes a regular file that isn't there yet and opens it; returns its attributes, too.
pub(crate) fn create(
    folder: BorrowedFd<'_>,
    name: &CStr,
    flags: u32,
    permissions: u32,
) -> Result<(OwnedFd, Status)> {
    let flags = OFlags::from_bits_truncate(flags) & OPEN | ALWAYS | OFlags::CREATE | OFlags::EXCL;
    let made = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(permissions))?;
    let status = insist_on_mode(made.as_fd(), mode::REGULAR | permissions)?;
    Ok((made, status))
}

/// Makes a regular file without a name.
pub(crate) fn make_nameless(folder: BorrowedFd<'_>, flags: u32, permissions: u32) -> Result<OwnedFd> {
    // With EXCL it never gets a name.
    let flags = OFlags::from_bits_truncate(flags) & (OPEN | OFlags::EXCL) | OFlags::TMPFILE | OFlags::CLOEXEC;
    let made = rustix::fs::open(path_of(folder), flags, Mode::from_raw_mode(permissions))?;
    insist_on_mode(made.as_fd(), mode::REGULAR | permissions)?;
    Ok(made)
}

/// The guest has applied its own mask already: this process's is not wanted. What has come by that name meanwhile and is
/// of another kind is left alone. Returns the attributes that it has then.
fn insist_on_mode(file: BorrowedFd<'_>, mode: u32) -> Result<Status> {
    let found = status(file)?;
    let is_meant = found.mode & mode::KIND == mode & mode::KIND;
    if !is_meant || found.mode & mode::PERMISSIONS == mode & mode::PERMISSIONS {
        return Ok(found);
    }
    set_mode(file, mode & !mode::KIND)?;
    status(file)
}

/// The same by a name, which may be gone again: whoever looks it up next will tell.
fn insist_on_mode_of(folder: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    match look_up(folder, name) {
        Err(Errno::NOENT) => Ok(()),
        made => insist_on_mode(made?.as_fd(), mode).map(drop),
    }
}

/// Makes a folder.
pub(crate) fn make_folder(folder: BorrowedFd<'_>, name: &CStr, permissions: u32) -> Result<()> {
    rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(permissions))?;
    insist_on_mode_of(folder, name, mode::FOLDER | permissions)
}

/// Makes a regular file, a FIFO or a socket, as `mode` says.
pub(crate) fn make_node(folder: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    let kind = FileType::from_raw_mode(mode);
    rustix::fs::mknodat(folder, name, kind, Mode::from_raw_mode(mode), 0)?;
    insist_on_mode_of(folder, name, mode)
}

/// Makes a symbolic link.
pub(crate) fn make_symlink(folder: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<()> {
    rustix::fs::symlinkat(target, folder, name)
}

/// Gives a file one more name.
pub(crate) fn hard_link(file: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::linkat(CWD, path_of(file), folder, name, AtFlags::SYMLINK_FOLLOW)
}

/// Where a symbolic link leads.
pub(crate) fn link_target(file: BorrowedFd<'_>) -> Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(file, c"", Vec::new())?.into_bytes())
}

/// Takes a name away: a folder's, or any other's.
pub(crate) fn remove(folder: BorrowedFd<'_>, name: &CStr, is_folder: bool) -> Result<()> {
    let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(folder, name, flags)
}

/// Moves a name; `flags` are Linux's.
pub(crate) fn rename(
    (folder, name): (BorrowedFd<'_>, &CStr),
    (new_folder, new_name): (BorrowedFd<'_>, &CStr),
    flags: u32,
) -> Result<()> {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
    if flags.contains(RenameFlags::WHITEOUT) {
        // It would leave a device node.
        return Err(Errno::INVAL);
    }
    rustix::fs::renameat_with(folder, name, new_folder, new_name, flags)
}

/// Sets permissions.
pub(crate) fn set_mode(file: BorrowedFd<'_>, permissions: u32) -> Result<()> {
    rustix::fs::chmod(path_of(file), Mode::from_raw_mode(permissions))
}

/// Sets times; a link's are its own.
pub(crate) fn set_times(file: BorrowedFd<'_>, atime: Time, mtime: Time) -> Result<()> {
    let spec = |time| match time {
        Time::Keep => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Time::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Time::At((seconds, nanos)) => Timespec { tv_sec: seconds, tv_nsec: nanos.min(999_999_999).into() },
    };
    let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
    match rustix::fs::utimensat(file, c"", &times, AtFlags::EMPTY_PATH) {
        // Before Linux 5.8; a link's times stay as they are there.
        Err(Errno::INVAL) => rustix::fs::utimensat(CWD, path_of(file), &times, AtFlags::empty()),
        set => set,
    }
}

/// Cuts or extends a file that is open for writing.
pub(crate) fn truncate(file: BorrowedFd<'_>, size: u64) -> Result<()> {
    rustix::fs::ftruncate(file, size)
}

/// Appends to `into` what lies at `offset`, at most `size` bytes.
pub(crate) fn read(file: BorrowedFd<'_>, offset: u64, size: usize, into: &mut Vec<u8>) -> Result<()> {
    let (mut filled, end) = (into.len(), into.len() + size);
    let mut at = offset;
    into.resize(end, 0);
    while filled < end {
        match rustix::io::pread(file, &mut into[filled..], at) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                at = at.saturating_add(count as u64);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    into.truncate(filled);
    Ok(())
}

/// Writes everything at `offset`, or at the end.
pub(crate) fn write(file: BorrowedFd<'_>, data: &[u8], offset: Option<u64>) -> Result<usize> {
    let mut written = 0;
    while written < data.len() {
        let rest = &data[written..];
        let moved = match offset {
            Some(offset) => rustix::io::pwrite(file, rest, offset.saturating_add(written as u64)),
            None => rustix::io::pwritev2(file, &[std::io::IoSlice::new(rest)], 0, ReadWriteFlags::APPEND),
        };
        match moved {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(_) if written > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Goes to a place in a file, or in a folder one that an entry has named; says where that is.
pub(crate) fn seek(file: BorrowedFd<'_>, place: SeekFrom) -> Result<u64> {
    rustix::fs::seek(file, place)
}

/// Reserves or frees room; `mode` is Linux's.
pub(crate) fn allocate(file: BorrowedFd<'_>, mode: u32, offset: u64, length: u64) -> Result<()> {
    let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
    rustix::fs::fallocate(file, mode, offset, length)
}

/// Copies bytes between files without bringing them here.
pub(crate) fn copy_range(
    (from, from_offset): (BorrowedFd<'_>, u64),
    (to, to_offset): (BorrowedFd<'_>, u64),
    length: usize,
) -> Result<usize> {
    let (mut from_offset, mut to_offset) = (from_offset, to_offset);
    rustix::fs::copy_file_range(from, Some(&mut from_offset), to, Some(&mut to_offset), length)
}

/// Returns when the file's content is on the disk, its attributes too unless `data_only`.
pub(crate) fn sync(file: BorrowedFd<'_>, data_only: bool) -> Result<()> {
    if data_only { rustix::fs::fdatasync(file) } else { rustix::fs::fsync(file) }
}

/// Returns when everything of the file's file system is on the disk.
pub(crate) fn sync_file_system(file: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::syncfs(reopen(file, 0)?)
}

/// How full the file's file system is.
pub(crate) fn file_system(file: BorrowedFd<'_>) -> Result<FileSystem> {
    let found = rustix::fs::fstatvfs(file)?;
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(FileSystem {
        blocks: found.f_blocks,
        free: found.f_bfree,
        available: found.f_bavail,
        files: found.f_files,
        free_files: found.f_ffree,
        block_size: narrow(found.f_frsize),
        longest_name: narrow(found.f_namemax),
    })
}

/// An extended attribute's value, at most as long as `into`.
pub(crate) fn get_attribute(file: BorrowedFd<'_>, name: &CStr, into: &mut [u8]) -> Result<usize> {
    rustix::fs::getxattr(path_of(file), name, into)
}

/// Sets an extended attribute; `flags` are Linux's.
pub(crate) fn set_attribute(file: BorrowedFd<'_>, name: &CStr, value: &[u8], flags: u32) -> Result<()> {
    rustix::fs::setxattr(path_of(file), name, value, XattrFlags::from_bits_truncate(flags))
}

/// The names of extended attributes, each with a zero byte.
pub(crate) fn list_attributes(file: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize> {
    rustix::fs::listxattr(path_of(file), into)
}

/// Removes an extended attribute.
pub(crate) fn remove_attribute(file: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::removexattr(path_of(file), name)
}

/// The next entries of a folder, as many as take so many bytes; none at its end.
pub(crate) fn read_folder(folder: BorrowedFd<'_>, bytes: usize) -> Result<VecDeque<FolderEntry>> {
    // The longest name fits.
    let mut buffer = Vec::with_capacity(bytes.clamp(512, 64 << 10));
    let mut raw = RawDir::new(folder, buffer.spare_capacity_mut());
    let mut entries = VecDeque::new();
    while let Some(entry) = raw.next() {
        let entry = entry?;
        entries.push_back(FolderEntry {
            number: entry.ino(),
            next: entry.next_entry_cookie(),
            kind: entry.file_type().as_raw_mode() >> 12,
            name: entry.file_name().to_owned(),
        });
        if raw.is_buffer_empty() {
            break;
        }
    }
    Ok(entries)
}
