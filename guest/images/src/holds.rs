//! Layers that stay without an image, for builds' caches: `holds/<name>.json`.
//!
//! A hold counts at once, and is written down once its layers are on the disk, which nobody waits for: a crash before
//! costs the steps whose layers it holds, and they are made again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::image::Layer;
use crate::manifest::Descriptor;
use crate::{Digest, Error, Result, Store, durable};

/// The format of a hold's record.
const VERSION: u32 = 1;

/// A hold's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HoldRecord {
    version: u32,
    pub(crate) layers: Vec<HeldLayer>,
}

/// A layer with the blob it is sent as.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HeldLayer {
    pub(crate) chain_id: Digest,
    pub(crate) blob: Descriptor,
}

impl Store {
    /// Keeps layers under a name, until [`Self::release`]; a crash in the next moments may lose them.
    ///
    /// # Errors
    /// When a layer isn't there.
    pub fn hold(&self, name: &str, layers: &[Layer]) -> Result<()> {
        let held = layers.iter().map(|layer| {
            let blob = self.blob_of_layer(&layer.chain_id).or_else(|| self.plain_blob(&layer.diff_id));
            let blob = blob.ok_or_else(|| Error::NoSuchContent(layer.chain_id.clone()))?;
            Ok((layer.chain_id.clone(), blob))
        });
        self.note_hold(name, held.collect::<Result<_>>()?);
        Ok(())
    }

    pub(crate) fn note_hold(&self, name: &str, layers: Vec<(Digest, Descriptor)>) {
        let layers = layers.into_iter().map(|(chain_id, blob)| HeldLayer { chain_id, blob }).collect();
        {
            let mut state = self.state();
            state.holds.insert(name.to_owned(), HoldRecord { version: VERSION, layers });
            state.unwritten_holds.insert(name.to_owned());
        }
        self.settle_soon();
    }

    /// Brings all content that is in its place to the disk, and then writes down the holds of it.
    pub(crate) fn settle(&self) -> Result<()> {
        self.settle_by(|| self.inner.unsynced.sync())
    }

    /// The same, by a thread that nobody waits for.
    fn settle_soon(&self) {
        if self.inner.is_settling.swap(true, Ordering::AcqRel) {
            return;
        }
        let store = self.clone();
        let work = move || {
            // Whoever holds something from here on starts the next one.
            store.inner.is_settling.store(false, Ordering::Release);
            if let Err(error) = store.settle_by(|| store.inner.unsynced.sync_unheard()) {
                tracing::warn!(%error, "steps of builds may be made again after the next start");
            }
        };
        if std::thread::Builder::new().name("settle".to_owned()).spawn(work).is_err() {
            self.inner.is_settling.store(false, Ordering::Release);
        }
    }

    fn settle_by(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        // Whoever waits here finds the holds of the one before written down.
        let _alone = self.inner.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let names = std::mem::take(&mut self.state().unwritten_holds);
        sync()?;
        for name in names {
            // The lock is kept so that no hold is written down that was given up meanwhile.
            let state = self.state();
            if let Some(record) = state.holds.get(&name) {
                durable::write_record_soon(&self.hold_path(&name), record)?;
            }
        }
        Ok(())
    }

    /// Gives up holds; what nobody else has goes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn release(&self, names: &[String]) -> Result<()> {
        for name in names {
            self.state().holds.remove(name);
            durable::discard(&self.hold_path(name))?;
        }
        durable::sync_folder(&self.inner.root.join("holds"))?;
        self.collect().map(drop)
    }

    /// Every name that holds something.
    pub fn holds(&self) -> Vec<String> {
        self.state().holds.keys().cloned().collect()
    }

    fn hold_path(&self, name: &str) -> PathBuf {
        self.inner.root.join("holds").join(format!("{name}.json"))
    }

    pub(crate) fn read_holds(&self) -> Result<BTreeMap<String, HoldRecord>> {
        let mut holds = BTreeMap::new();
        let folder = self.inner.root.join("holds");
        for file in durable::entries(&folder)? {
            let path = folder.join(&file);
            match (file.strip_suffix(".json"), durable::read_record::<HoldRecord>(&path)) {
                (Some(name), Some(record)) => drop(holds.insert(name.to_owned(), record)),
                // A power cut leaves halves.
                _ => durable::discard(&path)?,
            }
        }
        Ok(holds)
    }
}
