//! What was put in its place and perhaps isn't on the disk yet.
//!
//! Content that no record speaks of is collected when the store opens, so a power cut may leave it half there. Once a
//! record speaks of it, it must be whole: whoever writes one syncs before, and once for all that came until then.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// So many bytes are sent on their way to the disk at a time, while more come: whoever makes files waits for each such way
/// a moment.
const LOAD: u64 = 32 << 20;

/// Content without a sync of its own.
#[derive(Debug)]
pub(crate) struct Unsynced {
    root: PathBuf,
    /// Open since before the first write, so that the kernel tells of each that failed.
    folder: File,
    /// How much was put in its place, and how much of that is on the disk.
    placed: Mutex<u64>,
    synced: Mutex<u64>,
    /// Bytes since the last way to the disk.
    waiting: AtomicU64,
    /// Whether a thread brings to the disk what is there.
    is_started: AtomicBool,
}

impl Unsynced {
    /// For what lies beneath `root`.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let folder = File::open(root).map_err(Error::file("open", root))?;
        let (placed, synced, waiting) = Default::default();
        Ok(Self { root: root.to_owned(), folder, placed, synced, waiting, is_started: AtomicBool::default() })
    }

    /// Moves finished content to its place.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        // Whoever finds it there finds it counted, too.
        let mut placed = lock(&self.placed);
        std::fs::rename(from, to).map_err(Error::file("rename to", to))?;
        *placed += 1;
        Ok(())
    }

    /// So much was written, in its place or not yet.
    pub(crate) fn wrote(self: &Arc<Self>, size: u64) {
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size >= LOAD {
            self.waiting.store(0, Ordering::Relaxed);
            self.start();
        }
    }

    /// Begins to bring to the disk what is written, while whoever writes goes on: [`Self::sync`] has less to wait for.
    fn start(self: &Arc<Self>) {
        if self.is_started.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        let work = move || {
            drop(this.sync_unheard());
            this.is_started.store(false, Ordering::Release);
        };
        if std::thread::Builder::new().name("sync".to_owned()).spawn(work).is_err() {
            self.is_started.store(false, Ordering::Release);
        }
    }

    /// As [`Self::sync`], for somebody who may lose what he speaks of: those who mustn't hear of a failed write, too.
    pub(crate) fn sync_unheard(&self) -> Result<()> {
        // A descriptor of its own, since each hears of a failed write once, and `sync` must.
        let synced = File::open(&self.root).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        synced.map_err(Error::file("sync", &self.root))
    }

    /// Brings all that is in its place to the disk; nothing to do is quick.
    pub(crate) fn sync(&self) -> Result<()> {
        let wanted = *lock(&self.placed);
        let mut synced = lock(&self.synced);
        // Whoever had the lock may have done it.
        if *synced < wanted {
            let placed = *lock(&self.placed);
            rustix::fs::syncfs(&self.folder)
                .map_err(|error| Error::file("sync", &self.root)(error.into()))?;
            *synced = placed;
        }
        Ok(())
    }
}

fn lock(count: &Mutex<u64>) -> MutexGuard<'_, u64> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}
