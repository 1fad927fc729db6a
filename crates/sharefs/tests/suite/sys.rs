//! What the tests need of the system beyond the safe wrappers.
#![expect(unsafe_code, reason = "mapping files; changing one thread's user")]

use std::fs::File;
use std::os::fd::AsFd;

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
