//! Unpacked layers: `layers/<chain id>/fs`, each usable as a lower folder of overlayfs and shared by every image
//! with the same layers below and including it. They are [`Unsynced`] until a record speaks of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::unpack::Unpacked;
use crate::unsynced::Unsynced;
use crate::{Digest, Error, Result, digest, durable};

/// The format of `layer.json`.
const VERSION: u32 = 1;

/// What is known of an unpacked layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    version: u32,
    pub(crate) diff_id: Digest,
    pub(crate) chain_id: Digest,
    pub(crate) parent: Option<Digest>,
    pub(crate) size: u64,
    /// The folder elsewhere whose files it has by links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) linked_with: Option<String>,
}

/// The folder of a layer that has no place yet; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Unplaced(PathBuf);

impl Unplaced {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it the folder `fs`, which is empty.
    pub(crate) fn become_folder(self, fs: &Path) -> Result<()> {
        fs::rename(&self.0, fs).map_err(Error::file("rename to", fs))
    }
}

impl Drop for Unplaced {
    fn drop(&mut self) {
        // Of one that has got a place there is nothing left.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The folder of layers.
#[derive(Debug)]
pub(crate) struct Layers {
    folder: PathBuf,
    /// One lock per layer being unpacked, so that two pulls of it unpack it once.
    unpacking: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
    unsynced: Arc<Unsynced>,
}

impl Layers {
    pub(crate) fn open(root: &Path, unsynced: Arc<Unsynced>) -> Result<Self> {
        let folder = root.join("layers");
        durable::make_folder(&folder)?;
        durable::sweep(&folder)?;
        Ok(Self { folder, unpacking: Mutex::default(), unsynced })
    }

    /// The lower folder of a layer.
    pub(crate) fn path(&self, chain_id: &Digest) -> PathBuf {
        self.folder.join(chain_id.hex()).join("fs")
    }

    /// The layer's record, if it is unpacked.
    pub(crate) fn get(&self, chain_id: &Digest) -> Option<LayerRecord> {
        let record: LayerRecord = durable::read_record(&self.folder.join(chain_id.hex()).join("layer.json"))?;
        (record.version <= VERSION && record.chain_id == *chain_id).then_some(record)
    }

    /// Makes a layer on top of `parent` of what `unpack` puts into the folder that it is given, unless the layer is there.
    pub(crate) fn ensure(
        &self,
        parent: Option<&Digest>,
        diff_id: &Digest,
        unpack: impl FnOnce(&Path) -> Result<Unpacked>,
    ) -> Result<LayerRecord> {
        let chain_id = digest::chain_id(parent, diff_id);
        self.alone(&chain_id, || {
            if let Some(record) = self.get(&chain_id) {
                return Ok(record);
            }
            self.build(parent, None, |fs| {
                let unpacked = unpack(fs)?;
                if unpacked.diff_id != *diff_id {
                    let (expected, found) = (diff_id.clone(), unpacked.diff_id);
                    return Err(Error::WrongDigest { subject: "layer", expected, found });
                }
                Ok(unpacked)
            })
        })
    }

    /// Makes the folder `from` a layer on top of `parent`, unless the layer is there.
    pub(crate) fn adopt(
        &self,
        parent: Option<&Digest>,
        diff_id: &Digest,
        size: u64,
        from: &Path,
        linked_with: Option<&str>,
    ) -> Result<LayerRecord> {
        let chain_id = digest::chain_id(parent, diff_id);
        self.alone(&chain_id, || {
            if let Some(record) = self.get(&chain_id) {
                return Ok(record);
            }
            self.build(parent, linked_with, |fs| {
                fs::rename(from, fs).map_err(Error::file("rename to", fs))?;
                Ok(Unpacked { diff_id: diff_id.clone(), size })
            })
        })
    }

    /// A new folder for a layer of which isn't known yet what lies below it.
    pub(crate) fn unplaced(&self) -> Result<Unplaced> {
        let folder = durable::unfinished(&self.folder);
        durable::make_folder(&folder)?;
        Ok(Unplaced(folder))
    }

    /// Fills a new folder and puts it in its place; on failure nothing stays.
    fn build(
        &self,
        parent: Option<&Digest>,
        linked_with: Option<&str>,
        fill: impl FnOnce(&Path) -> Result<Unpacked>,
    ) -> Result<LayerRecord> {
        let folder = durable::unfinished(&self.folder);
        let fs = folder.join("fs");
        durable::make_folder(&fs)?;
        let built = fill(&fs).and_then(|Unpacked { diff_id, size }| {
            let chain_id = digest::chain_id(parent, &diff_id);
            let (parent, linked_with) = (parent.cloned(), linked_with.map(str::to_owned));
            let record = LayerRecord { version: VERSION, diff_id, chain_id, parent, size, linked_with };
            self.put_in_place(&folder, record)
        });
        if built.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        built
    }

    fn put_in_place(&self, folder: &Path, record: LayerRecord) -> Result<LayerRecord> {
        let path = folder.join("layer.json");
        let json = serde_json::to_vec(&record).map_err(|source| Error::Json { subject: "record", source })?;
        fs::write(&path, json).map_err(Error::file("write", path))?;
        let place = self.folder.join(record.chain_id.hex());
        if self.get(&record.chain_id).is_some() {
            let _ = fs::remove_dir_all(folder);
            return Ok(record);
        }
        // A folder without a readable record is damage from outside; it gives way.
        durable::remove_tree(&place)?;
        self.unsynced.rename(folder, &place)?;
        self.unsynced.wrote(record.size);
        Ok(record)
    }

    /// Runs `work` while nobody else works on this layer.
    fn alone<T>(&self, chain_id: &Digest, work: impl FnOnce() -> T) -> T {
        let lock = {
            let mut unpacking = self.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(unpacking.entry(chain_id.clone()).or_default())
        };
        let done = {
            let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
            work()
        };
        let mut unpacking = self.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
        // The map and this function hold it: nobody waits.
        if Arc::strong_count(&lock) == 2 {
            unpacking.remove(chain_id);
        }
        done
    }

    /// Takes a layer away; what is given back is deleted when nobody waits.
    pub(crate) fn detach(&self, chain_id: &Digest) -> Result<Option<PathBuf>> {
        durable::detach(&self.folder.join(chain_id.hex()))
    }

    /// Every layer there is.
    pub(crate) fn all(&self) -> Result<Vec<Digest>> {
        let names = durable::entries(&self.folder)?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }
}
