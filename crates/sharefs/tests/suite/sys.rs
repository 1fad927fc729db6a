//! What the tests need of the system beyond the safe wrappers.
#![expect(
    unsafe_code,
    reason = "mapping files; locking ranges of them; taking a watcher's descriptor from it"
)]

use std::ffi::{c_int, c_short};
use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::{Gid, Uid};

/// Makes this thread another user's, without root's rights; root's it stays.
pub(crate) fn become_user(id: u32) {
    if id == 0 {
        return;
    }
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_gid(Gid::from_raw(id)).unwrap();
    rustix::thread::set_thread_uid(Uid::from_raw(id)).unwrap();
}

unsafe extern "C" {
    fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
}

/// `struct flock` of 64-bit Linux.
#[repr(C)]
pub(crate) struct Range {
    pub(crate) kind: c_short,
    whence: c_short,
    pub(crate) start: i64,
    pub(crate) length: i64,
    pub(crate) pid: i32,
}

pub(crate) const READ: c_short = 0;
pub(crate) const WRITE: c_short = 1;
pub(crate) const NONE: c_short = 2;

/// Which of `fcntl`'s commands about locks: of the process, or of the open file; with waiting.
#[derive(Clone, Copy)]
pub(crate) enum Locking {
    GetOfFile = 36,
    Process = 6,
    File = 37,
    FileAndWait = 38,
}

/// Locks a range (of length zero: to the end), or asks who does.
pub(crate) fn lock(
    file: &File,
    how: Locking,
    kind: c_short,
    (start, length): (i64, i64),
) -> io::Result<Range> {
    let mut range = Range { kind, whence: 0, start, length, pid: 0 };
    // SAFETY: these commands read and write one `struct flock`, which this is.
    let returned = unsafe { fcntl(file.as_raw_fd(), how as c_int, std::ptr::from_mut(&mut range)) };
    if returned == 0 { Ok(range) } else { Err(io::Error::last_os_error()) }
}

/// Writes bytes at the start of a file through a shared mapping.
pub(crate) fn write_mapped(file: &File, bytes: &[u8]) {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the mapping is private to this function, at least as long as `bytes`, and unmapped at its end; the file
    // is the test's own and isn't cut meanwhile.
    unsafe {
        let map = rustix::mm::mmap(
            std::ptr::null_mut(),
            bytes.len(),
            protection,
            MapFlags::SHARED,
            file.as_fd(),
            0,
        )
        .unwrap();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), map.cast(), bytes.len());
        rustix::mm::msync(map, bytes.len(), rustix::mm::MsyncFlags::SYNC).unwrap();
        rustix::mm::munmap(map, bytes.len()).unwrap();
    }
}

/// Ends the watch that somebody in this process has on a folder, as the host ends one.
pub(crate) fn end_watch(folder: &Path) {
    let (watcher, watch) = watch_of(folder);
    rustix::fs::inotify::remove_watch(&*watcher, watch).unwrap();
}

/// Has the watcher of a folder, which is somebody's in this process, fail as soon as he wakes from waiting.
pub(crate) fn break_watcher(folder: &Path) {
    let (mut watcher, _) = watch_of(folder);
    let unreadable = File::options().write(true).open("/dev/null").unwrap();
    rustix::io::dup2(&unreadable, &mut watcher).unwrap();
}

/// The descriptor and the number of the watch on a folder.
fn watch_of(folder: &Path) -> (ManuallyDrop<OwnedFd>, i32) {
    let wanted = format!("ino:{:x}", fs::metadata(folder).unwrap().ino());
    let descriptors = fs::read_dir("/proc/self/fdinfo").unwrap().map(Result::unwrap);
    let found = descriptors.filter_map(|entry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        let line = text.lines().find(|line| {
            line.starts_with("inotify ") && line.split(' ').any(|word| word == wanted.as_str())
        })?;
        let number = line.split(' ').find_map(|word| word.strip_prefix("wd:")).unwrap();
        let descriptor: RawFd = entry.file_name().to_str().unwrap().parse().unwrap();
        Some((descriptor, i32::from_str_radix(number, 16).unwrap()))
    });
    let (descriptor, watch) = found.last().expect("it is watched");
    // SAFETY: the descriptor is open, as long as its owner is, which outlives the test's use of it; it is never closed
    // by this value.
    (ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(descriptor) }), watch)
}
