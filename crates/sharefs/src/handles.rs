//! Open files and folders, by the number that the guest's kernel has for each.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use crate::folders::OpenFolder;
use crate::sys::Errno;

/// An open file or folder.
pub(crate) enum Handle {
    /// A regular file.
    File {
        file: Arc<OwnedFd>,
        node: u64,
        is_writable: bool,
        /// It is open for writing where changes have the times of this machine's clock.
        has_our_times: bool,
    },
    /// A folder, for one reader at a time.
    Folder { folder: Mutex<OpenFolder>, node: u64 },
    /// The folder of the shares.
    Root,
}

/// All of them, up to a bound.
pub(crate) struct Handles {
    open: HashMap<u64, Arc<Handle>>,
    next: u64,
    most: usize,
}

impl Handles {
    pub(crate) fn new(most: usize) -> Self {
        Self { open: HashMap::new(), next: 1, most }
    }

    /// Refuses one more when there are too many with those that locks need, before anything is opened for it.
    pub(crate) fn have_room(&self, for_locks: usize) -> Result<(), Errno> {
        if self.open.len() + for_locks < self.most { Ok(()) } else { Err(Errno::NFILE) }
    }

    /// Keeps a handle; returns its number.
    pub(crate) fn keep(&mut self, handle: Handle) -> u64 {
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Arc::new(handle));
        id
    }

    pub(crate) fn get(&self, id: u64) -> Result<Arc<Handle>, Errno> {
        self.open.get(&id).cloned().ok_or(Errno::BADF)
    }

    /// Takes a handle out; it is closed when nobody uses it any more.
    pub(crate) fn close(&mut self, id: u64) -> Option<Arc<Handle>> {
        self.open.remove(&id)
    }
}
