//! What is being downloaded, so that two pulls of one blob fetch it once, and how much of it at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Digest, Error, Result};

/// Who holds it downloads the blob.
pub(super) type Lock = Arc<tokio::sync::Mutex<()>>;

/// The blobs that a client and its clones download.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<Digest, Lock>>>);

impl InFlight {
    /// A blob's lock. Those that nobody has any more are forgotten.
    pub(super) fn lock_of(&self, blob: &Digest) -> Lock {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(blob.clone()).or_default())
    }
}

/// One's turn among so many at a time; `waits` is called when it isn't at once.
pub(super) async fn turn<'a>(
    permits: &'a Semaphore,
    what: &'static str,
    waits: impl FnOnce(),
) -> Result<SemaphorePermit<'a>> {
    if let Ok(permit) = permits.try_acquire() {
        return Ok(permit);
    }
    waits();
    permits.acquire().await.map_err(|_| Error::Interrupted(what))
}
