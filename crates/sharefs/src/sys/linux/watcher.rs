//! inotify.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{Errno, Result, path_of};
use crate::sys::HostEvent;

const WANTED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// Watches folders.
pub(crate) struct Watcher(OwnedFd);

impl Watcher {
    pub(crate) fn new() -> Result<Self> {
        inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map(Self)
    }

    /// Watches a folder; returns the watch's number.
    pub(crate) fn add(&self, folder: BorrowedFd<'_>) -> Result<i32> {
        inotify::add_watch(&self.0, path_of(folder), WANTED)
    }

    /// Ends a watch; one that is gone already doesn't matter.
    pub(crate) fn remove(&self, watch: i32) {
        let _ = inotify::remove_watch(&self.0, watch);
    }

    /// Waits for events; false when `peer`, who only listens, is gone.
    pub(crate) fn wait(&self, peer: BorrowedFd<'_>) -> Result<bool> {
        let mut both = [PollFd::new(&self.0, PollFlags::IN), PollFd::from_borrowed_fd(peer, PollFlags::IN)];
        match poll(&mut both, None) {
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error),
            Ok(_) => Ok(both[1].revents().is_empty()),
        }
    }

    /// Everything that has happened. What comes in a burst is given the time to be told at once.
    pub(crate) fn events(&self, settle: Duration) -> Result<Vec<HostEvent>> {
        let mut events = Vec::new();
        self.take(&mut events)?;
        if !events.is_empty() {
            // Not by waiting at the queue, where each event would wake it.
            std::thread::sleep(settle);
            self.take(&mut events)?;
        }
        Ok(events)
    }

    fn take(&self, into: &mut Vec<HostEvent>) -> Result<()> {
        /// Events of one round: more wait for the next one.
        const MOST: usize = 16 << 10;
        let mut buffer = Vec::with_capacity(64 << 10);
        let mut reader = inotify::Reader::new(&self.0, buffer.spare_capacity_mut());
        while into.len() < MOST {
            match reader.next() {
                Ok(event) => into.push(HostEvent {
                    watch: event.wd(),
                    mask: event.events().bits(),
                    cookie: event.cookie(),
                    name: event.file_name().map(CString::from).unwrap_or_default(),
                }),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
