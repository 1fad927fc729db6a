//! Layers of an archive that are unpacked while the rest of it is still being read: only its end says what they belong
//! to. What can't be unpacked now is tried once more when it is needed, and fails then.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use crate::blobs::BlobWriter;
use crate::growth::Follower;
use crate::layers::{Layers, Unplaced};
use crate::unpack::{self, Limits, Unpacked};
use crate::{Digest, Result};

/// How much of a file's start tells whether it may be a layer.
pub(super) const START: u64 = 512;
/// Layers that may wait for their turn, each an open file.
const WAITING: usize = 32;

/// A layer that is unpacked, but has no place yet.
pub(super) struct Early {
    folder: Unplaced,
    /// None when it is that of the blob.
    diff_id: Option<Digest>,
    size: u64,
}

impl Early {
    /// Makes it what the empty folder `fs` holds; `blob` is what it was unpacked from.
    pub(super) fn put(self, blob: &Digest, fs: &Path) -> Result<Unpacked> {
        self.folder.become_folder(fs)?;
        Ok(Unpacked { diff_id: self.diff_id.unwrap_or_else(|| blob.clone()), size: self.size })
    }
}

/// Gets the layer; ends without one when it can't be unpacked.
pub(super) type Awaited = Receiver<Early>;

struct Job {
    blob: Follower,
    done: SyncSender<Early>,
}

/// The threads that unpack; they end when this is dropped and nothing waits any more.
pub(super) struct Ahead(SyncSender<Job>);

impl Ahead {
    /// Starts so many threads.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        threads: usize,
        layers: &'scope Layers,
    ) -> Self {
        let (sender, jobs) = sync_channel(WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            scope.spawn(move || work(&jobs, layers));
        }
        Self(sender)
    }

    /// Has a blob unpacked that starts like this; not when it is no layer, or too many wait.
    pub(super) fn begin(&self, start: &[u8], writer: &mut BlobWriter) -> Result<Option<Awaited>> {
        if !unpack::may_be_layer(start) {
            return Ok(None);
        }
        let (done, awaited) = sync_channel(1);
        let job = Job { blob: writer.follow()?, done };
        Ok(self.0.try_send(job).is_ok().then_some(awaited))
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, layers: &Layers) {
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(Job { blob, done }) = next() {
        match unpack_early(blob, layers) {
            // Nobody waiting for it any more is fine: then it goes.
            Ok(early) => drop(done.send(early)),
            Err(error) => tracing::debug!(%error, "a file of an archive isn't unpacked ahead"),
        }
    }
}

fn unpack_early(blob: Follower, layers: &Layers) -> Result<Early> {
    let folder = layers.unplaced()?;
    let (diff_id, size) = unpack::unpack_blob(blob, folder.path(), &Limits::default())?;
    Ok(Early { folder, diff_id, size })
}
