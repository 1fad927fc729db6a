//! Layers of an archive that are unpacked while the rest of it is still being read: only its end says what they belong
//! to. That something can't be unpacked is said when it is needed.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use crate::blobs::BlobWriter;
use crate::growth::Follower;
use crate::layers::{Layers, Unplaced};
use crate::unpack::{self, Limits, Unpacked, UnpackedBlob};
use crate::{Digest, Result};

/// How much of a file's start tells whether it may be a layer.
pub(super) const START: u64 = 512;
/// Layers that may wait for their turn, each an open file.
const WAITING: usize = 32;

/// A layer that is unpacked, but has no place yet.
pub(super) struct Early {
    folder: Unplaced,
    unpacked: UnpackedBlob,
}

impl Early {
    /// Makes it what the empty folder `fs` holds; `blob` is what it was unpacked from.
    pub(super) fn put(self, blob: &Digest, fs: &Path) -> Result<Unpacked> {
        self.folder.become_folder(fs)?;
        Ok(self.unpacked.of(blob))
    }
}

/// Gets the layer, or why it can't be unpacked.
pub(super) type Awaited = Receiver<Result<Early>>;

struct Job {
    blob: Follower,
    done: SyncSender<Result<Early>>,
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
        // Nobody waiting for it any more is fine: then it goes.
        drop(done.send(unpack_early(blob, layers)));
    }
}

fn unpack_early(blob: Follower, layers: &Layers) -> Result<Early> {
    let folder = layers.unplaced()?;
    let unpacked = unpack::unpack_blob(blob, folder.path(), &Limits::default())?;
    Ok(Early { folder, unpacked })
}
