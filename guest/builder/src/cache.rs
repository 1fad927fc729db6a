//! The build cache: what a step made, under a key of everything that went into it.
//!
//! `builder/cache/<key>.json` is one record; the image store holds its layers under the same name. A record whose
//! layers are gone is no record. Nobody waits for the disk: a power cut may cost the last steps, which are made again.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use berth_images::{Digest, Kept, Layer, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::Files;
use crate::{Error, Result};

/// The format of a record.
const VERSION: u32 = 1;
/// What a step is that another build made.
pub(crate) const IMPORTED: &str = "step of an imported cache";

/// What a step made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) key: Digest,
    /// The key of what the step was run on.
    #[serde(default)]
    pub(crate) parent: Option<Digest>,
    /// Of a layer that doesn't depend on those below: the key of what went into it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    linked: Option<Digest>,
    /// All layers, lowest first.
    layers: Vec<LayerEntry>,
    /// Bytes of the layer that the step itself made.
    pub(crate) size: u64,
    /// The instruction.
    pub(crate) description: String,
    pub(crate) created: Timestamp,
    pub(crate) last_used: Timestamp,
    pub(crate) uses: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LayerEntry {
    diff_id: Digest,
    chain_id: Digest,
    size: u64,
}

/// All records of an engine.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    store: Store,
    records: Mutex<BTreeMap<Digest, Record>>,
}

impl Cache {
    /// Reads the records in `folder`, and gives up what the store holds for records that are gone. Those that a crash left
    /// half written, or before their layers were held, go.
    pub(crate) fn open(folder: &Path, store: &Store) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::file("make folder", folder))?;
        let holds: HashSet<String> = store.holds().into_iter().collect();
        let mut records = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(Error::file("read folder", folder))? {
            let path = entry.map_err(Error::file("read folder", folder))?.path();
            let record =
                std::fs::read(&path).ok().and_then(|json| serde_json::from_slice::<Record>(&json).ok());
            match record.filter(|record| record.version <= VERSION && holds.contains(record.key.hex())) {
                Some(record) => drop(records.insert(record.key.clone(), record)),
                None => drop(std::fs::remove_file(&path)),
            }
        }
        let orphans: Vec<String> = holds
            .into_iter()
            .filter(|name| Digest::from_hex(name).map_or(true, |key| !records.contains_key(&key)))
            .collect();
        if !orphans.is_empty() {
            store.release(&orphans)?;
        }
        Ok(Self { folder: folder.to_owned(), store: store.clone(), records: Mutex::new(records) })
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Digest, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the step with this key made on `below`, if it is still whole; and when.
    pub(crate) fn find(&self, key: &Digest, below: &Files) -> Option<(Files, Timestamp)> {
        let mut records = self.records();
        let record = records.get_mut(key)?;
        let layers: Vec<Layer> = record.layers.iter().map(LayerEntry::layer).collect();
        // Those of `below` are kept already: with each step looking for all, many steps would take long.
        let other: Vec<Digest> = layers[below.shared(&layers)..].iter().map(|l| l.chain_id.clone()).collect();
        let kept = self.store.keep_layers(&other);
        if !self.store.has_layers(&other) {
            records.remove(key);
            return None;
        }
        record.uses += 1;
        record.last_used = Timestamp::now();
        Some((below.replaced_by(layers, kept, key.clone()), record.created))
    }

    /// Whether a step was ever run on what has this key.
    pub(crate) fn has_step_on(&self, key: &Digest) -> bool {
        self.records().values().any(|record| record.parent.as_ref() == Some(key))
    }

    /// The layer that was made of what `linked` stands for, on whatever.
    pub(crate) fn find_linked(&self, linked: &Digest) -> Option<(Layer, Kept)> {
        let records = self.records();
        let record = records.values().find(|record| record.linked.as_ref() == Some(linked))?;
        let layer = record.layers.last()?.layer();
        let kept = self.store.keep_layers(std::slice::from_ref(&layer.chain_id));
        Some((layer, kept))
    }

    /// Notes what the step with the key of `files` made on `below`.
    pub(crate) fn put(&self, files: &Files, below: &Files, size: u64, text: &str) -> Result<Timestamp> {
        self.put_linked(files, below, size, text, None)
    }

    /// As [`Self::put`], of a step whose layer doesn't depend on `below` when `linked` stands for all that it is made of.
    pub(crate) fn put_linked(
        &self,
        files: &Files,
        below: &Files,
        size: u64,
        text: &str,
        linked: Option<Digest>,
    ) -> Result<Timestamp> {
        let now = Timestamp::now();
        self.store.hold(files.key.hex(), &files.layers)?;
        let record = Record { parent: Some(below.key.clone()), linked, ..Record::of(files, size, text, now) };
        self.note(record)?;
        Ok(now)
    }

    /// Notes what came from elsewhere, whose layers are held under its key, and what it is.
    pub(crate) fn adopt(&self, files: &Files, created: &str, text: &str) -> Result<()> {
        let created = created.parse().unwrap_or_else(|_| Timestamp::now());
        let size = files.layers.last().map_or(0, |layer| layer.size);
        self.note(Record::of(files, size, text, created))
    }

    /// Writes a record of layers that are held: a hold without one is given up at the next start.
    fn note(&self, record: Record) -> Result<()> {
        let path = self.path(&record.key);
        let json = serde_json::to_vec(&record).map_err(|error| Error::file("encode", &path)(error.into()))?;
        std::fs::write(&path, json).map_err(Error::file("write", path))?;
        self.records().insert(record.key.clone(), record);
        Ok(())
    }

    /// Every record.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.records().values().cloned().collect()
    }

    /// Forgets records; the layers that nobody else has go.
    pub(crate) fn forget(&self, keys: &[Digest]) -> Result<()> {
        for key in keys {
            self.records().remove(key);
            let path = self.path(key);
            std::fs::remove_file(&path).map_err(Error::file("remove", path))?;
        }
        Ok(self.store.release(&keys.iter().map(|key| key.hex().to_owned()).collect::<Vec<_>>())?)
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.folder.join(format!("{}.json", key.hex()))
    }
}

impl Record {
    fn of(files: &Files, size: u64, text: &str, created: Timestamp) -> Self {
        Self {
            version: VERSION,
            key: files.key.clone(),
            parent: None,
            linked: None,
            layers: files.layers.iter().map(LayerEntry::of).collect(),
            size,
            description: text.to_owned(),
            created,
            last_used: Timestamp::now(),
            uses: 1,
        }
    }

    /// The uppermost layer.
    pub(crate) fn top(&self) -> Option<&Digest> {
        self.layers.last().map(|layer| &layer.chain_id)
    }
}

impl LayerEntry {
    fn of(layer: &Layer) -> Self {
        let Layer { diff_id, chain_id, size } = layer.clone();
        Self { diff_id, chain_id, size }
    }

    fn layer(&self) -> Layer {
        Layer { diff_id: self.diff_id.clone(), chain_id: self.chain_id.clone(), size: self.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_power_cut_leaves_of_a_step_is_no_step() {
        let folder = tempfile::tempdir().unwrap();
        let (store, records) =
            (Store::open(&folder.path().join("store")).unwrap(), folder.path().join("cache"));
        let cache = Cache::open(&records, &store).unwrap();
        let step = |name: &str| Files::empty().lower(0, Digest::of(name.as_bytes()));
        for name in ["whole", "half", "not held"] {
            cache.put(&step(name), &Files::empty(), 0, "RUN true").unwrap();
        }
        let path = cache.path(&step("half").key);
        let json = std::fs::read(&path).unwrap();
        std::fs::write(&path, &json[..json.len() / 2]).unwrap();
        store.release(&[step("not held").key.hex().to_owned()]).unwrap();
        let cache = Cache::open(&records, &store).unwrap();
        assert_eq!(cache.all().into_iter().map(|record| record.key).collect::<Vec<_>>(), [step("whole").key]);
        assert_eq!(store.holds(), [step("whole").key.hex()]);
        assert_eq!(std::fs::read_dir(&records).unwrap().count(), 1);
    }
}
