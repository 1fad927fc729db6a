//! The store as a whole: images, their names, layers and snapshots beneath one folder.
//!
//! ```text
//! format                     the store's format version
//! blobs/sha256/<hex>         configurations, manifests, layers as they came
//! partial/<hex>              downloads to be continued
//! layers/<chain id>/fs       layers unpacked, with layer.json beside
//! images/<id>.json           an image: its layers' blobs
//! names/<hash>.json          a name and the image it means
//! snapshots/<container>/     upper, work, snapshot.json; no record of a build's
//! holds/<name>.json          layers kept for builds' caches
//! ```
//!
//! A layer's blob stays beside its unpacked files: a push must send the very bytes whose digest registries and
//! manifests know, and compressing again doesn't give them back.
//!
//! Every record is a file that is whole or absent ([`durable`](crate::durable)), and the maps in memory are read from
//! them at start. What no record refers to is collected then: blobs, layers, whatever a crash left.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::blobs::{BlobWriter, Blobs};
use crate::compress::Packing;
use crate::holds::HoldRecord;
use crate::image::{self, ImageRecord, Layer, NameRecord};
use crate::layers::{LayerRecord, Layers};
use crate::manifest::Descriptor;
use crate::snapshot::SnapshotRecord;
use crate::trash::Trash;
use crate::unsynced::Unsynced;
use crate::{Digest, Error, Image, ImageConfig, Reference, Result, digest, durable};

/// The store's format on disk.
const FORMAT: u32 = 1;

/// The images of one engine. A clone is another handle on the same store; methods block on the disk.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) blobs: Blobs,
    pub(crate) layers: Layers,
    pub(crate) unsynced: Arc<Unsynced>,
    pub(crate) trash: Trash,
    /// Held while content is brought to the disk and holds are written down.
    pub(crate) settling: Mutex<()>,
    /// Whether a thread is about to do that.
    pub(crate) is_settling: AtomicBool,
    state: Mutex<State>,
}

/// What the records say.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) images: BTreeMap<Digest, Stored>,
    pub(crate) names: BTreeMap<Reference, Digest>,
    pub(crate) snapshots: BTreeMap<String, SnapshotRecord>,
    pub(crate) holds: BTreeMap<String, HoldRecord>,
    /// Those that wait for their layers to be on the disk.
    pub(crate) unwritten_holds: BTreeSet<String>,
    /// Blobs as they are sent, by the blobs that they were made of.
    pub(crate) packed: HashMap<(Digest, Packing), Descriptor>,
    /// Layers (by chain id) and blobs that somebody is about to refer to.
    pins: HashMap<Digest, usize>,
}

/// An image's record with its configuration read.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) record: ImageRecord,
    pub(crate) config_json: Arc<[u8]>,
    pub(crate) config: Arc<ImageConfig>,
    pub(crate) layers: Vec<Layer>,
}

impl Store {
    /// Opens the store beneath `root`, making it when it isn't there, and collects what a crash left.
    ///
    /// # Errors
    /// When the folders can't be used or a newer program wrote them. A damaged record costs its own image alone.
    pub fn open(root: &Path) -> Result<Self> {
        durable::make_folder(root)?;
        check_format(root)?;
        for folder in ["images", "names", "snapshots", "holds"] {
            durable::make_folder(&root.join(folder))?;
            durable::sweep(&root.join(folder))?;
        }
        let unsynced = Arc::new(Unsynced::open(root)?);
        let blobs = Blobs::open(root, Arc::clone(&unsynced))?;
        let layers = Layers::open(root, Arc::clone(&unsynced))?;
        let (root, trash) = (root.to_owned(), Trash::new(root));
        let inner = Inner {
            root,
            blobs,
            layers,
            unsynced,
            trash,
            settling: Mutex::default(),
            is_settling: AtomicBool::default(),
            state: Mutex::default(),
        };
        let store = Self { inner: Arc::new(inner) };
        let state = store.read_records()?;
        *store.state() = state;
        store.collect()?;
        Ok(store)
    }

    /// The folder it lies in.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.inner.layers
    }

    fn read_records(&self) -> Result<State> {
        let mut state = State::default();
        let root = &self.inner.root;
        for name in durable::entries(&root.join("images"))? {
            let path = root.join("images").join(&name);
            let Some(record) = durable::read_record::<ImageRecord>(&path) else { continue };
            match self.stored(record) {
                Ok(stored) => drop(state.images.insert(stored.record.id.clone(), stored)),
                Err(error) => tracing::warn!(%name, %error, "image is damaged and left out"),
            }
        }
        for name in durable::entries(&root.join("names"))? {
            let path = root.join("names").join(&name);
            match durable::read_record::<NameRecord>(&path) {
                Some(record) if state.images.contains_key(&record.image) => {
                    drop(state.names.insert(record.reference, record.image));
                }
                // Its image went before it; with the same image pulled again it would be back.
                Some(_) => durable::discard(&path)?,
                None => {}
            }
        }
        for name in durable::entries(&root.join("snapshots"))? {
            let path = root.join("snapshots").join(&name).join("snapshot.json");
            if let Some(record) = durable::read_record::<SnapshotRecord>(&path) {
                state.snapshots.insert(name, record);
            }
        }
        state.holds = self.read_holds()?;
        Ok(state)
    }

    /// Reads what belongs to an image's record: all must be there.
    fn stored(&self, record: ImageRecord) -> Result<Stored> {
        let config_json: Arc<[u8]> = self.blobs().read(&record.id)?.into();
        let config = ImageConfig::parse(&config_json)?;
        let chain = digest::chain_ids(&config.rootfs.diff_ids);
        let mut layers = Vec::with_capacity(chain.len());
        for (chain_id, diff_id) in chain.into_iter().zip(config.rootfs.diff_ids.clone()) {
            let Some(LayerRecord { size, .. }) = self.layers().get(&chain_id) else {
                return Err(Error::NoSuchContent(chain_id));
            };
            layers.push(Layer { diff_id, chain_id, size });
        }
        Ok(Stored { record, config_json, config: Arc::new(config), layers })
    }

    /// Records an image whose configuration and layers are in place. Again is fine.
    pub(crate) fn add_image(
        &self,
        config_json: &[u8],
        blobs: Vec<Descriptor>,
        parent: Option<Digest>,
    ) -> Result<Digest> {
        let id = self.blobs().put(config_json)?;
        self.settle()?;
        let mut record = ImageRecord { version: image::VERSION, id: id.clone(), parent, blobs, tagged_at: 0 };
        let mut state = self.state();
        if let Some(present) = state.images.get(&id) {
            record.tagged_at = present.record.tagged_at;
            record.parent = record.parent.or_else(|| present.record.parent.clone());
        }
        let stored = self.stored(record)?;
        self.write_image(&stored.record)?;
        state.images.insert(id.clone(), stored);
        Ok(id)
    }

    pub(crate) fn write_image(&self, record: &ImageRecord) -> Result<()> {
        durable::write_record(&self.image_path(&record.id), record)
    }

    pub(crate) fn image_path(&self, id: &Digest) -> PathBuf {
        self.inner.root.join("images").join(format!("{}.json", id.hex()))
    }

    /// Makes a name mean an image, taking it from the image that had it.
    pub(crate) fn set_name(&self, state: &mut State, reference: Reference, image: &Digest) -> Result<()> {
        if let Some(stored) = state.images.get_mut(image)
            && reference.tag().is_some()
        {
            stored.record.tagged_at =
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            self.write_image(&stored.record)?;
        }
        if state.names.get(&reference) != Some(image) {
            // The manifest that a digest names.
            self.inner.unsynced.sync()?;
            let record =
                NameRecord { version: image::VERSION, reference: reference.clone(), image: image.clone() };
            durable::write_record(&self.name_path(&reference), &record)?;
            state.names.insert(reference, image.clone());
        }
        Ok(())
    }

    pub(crate) fn name_path(&self, reference: &Reference) -> PathBuf {
        let hash = Digest::of(reference.canonical().as_bytes());
        self.inner.root.join("names").join(format!("{}.json", hash.hex()))
    }

    /// Keeps these layers and blobs from being collected while the result lives.
    pub(crate) fn pin(&self, digests: impl IntoIterator<Item = Digest>) -> Pin {
        let digests: Vec<Digest> = digests.into_iter().collect();
        let mut state = self.state();
        for digest in &digests {
            *state.pins.entry(digest.clone()).or_default() += 1;
        }
        drop(state);
        Pin { store: self.clone(), digests }
    }

    /// Puts a written blob in its place, pinned from the moment it is there.
    pub(crate) fn keep(&self, writer: BlobWriter) -> Result<(Descriptor, Pin)> {
        let mut state = self.state();
        let (digest, size) = self.blobs().finish(writer)?;
        *state.pins.entry(digest.clone()).or_default() += 1;
        drop(state);
        let pin = Pin { store: self.clone(), digests: vec![digest.clone()] };
        Ok((Descriptor::new(self.blobs().layer_type(&digest)?, digest, size), pin))
    }

    /// Removes the layers and blobs that nothing refers to; says which layers went.
    pub(crate) fn collect(&self) -> Result<Vec<Digest>> {
        // Held until all is decided: a pull pins what it uses before it looks whether that is there.
        let state = self.state();
        let (mut layers, mut blobs): (HashSet<&Digest>, HashSet<&Digest>) = Default::default();
        for stored in state.images.values() {
            layers.extend(stored.layers.iter().map(|layer| &layer.chain_id));
            blobs.insert(&stored.record.id);
            blobs.extend(stored.record.blobs.iter().map(|blob| &blob.digest));
        }
        blobs.extend(state.names.keys().filter_map(Reference::digest));
        layers.extend(state.snapshots.values().flat_map(|snapshot| &snapshot.layers));
        for held in state.holds.values().flat_map(|hold| &hold.layers) {
            layers.insert(&held.chain_id);
            blobs.insert(&held.blob.digest);
        }
        layers.extend(state.pins.keys());
        blobs.extend(state.pins.keys());
        let packed = state.packed.iter().filter(|((source, _), _)| blobs.contains(source));
        blobs.extend(packed.map(|(_, packed)| &packed.digest).collect::<Vec<_>>());
        let mut trash = Vec::new();
        for blob in self.blobs().all()?.iter().filter(|blob| !blobs.contains(blob)) {
            trash.extend(self.blobs().detach(blob)?);
        }
        let doomed: Vec<Digest> =
            self.layers().all()?.into_iter().filter(|layer| !layers.contains(layer)).collect();
        if !doomed.is_empty() {
            // A snapshot that came back after a power cut would speak of them.
            durable::sync_folder(&self.inner.root.join("snapshots"))?;
        }
        for layer in &doomed {
            trash.extend(self.layers().detach(layer)?);
        }
        drop(state);
        self.inner.trash.throw(trash)?;
        Ok(doomed)
    }

    /// The blob that an unpacked layer came in, if it is still here.
    pub(crate) fn blob_of_layer(&self, chain_id: &Digest) -> Option<Descriptor> {
        let state = self.state();
        let pairs = state.images.values().flat_map(|stored| stored.layers.iter().zip(&stored.record.blobs));
        let of_images = pairs.filter(|(layer, _)| layer.chain_id == *chain_id).map(|(_, blob)| blob);
        let held = state.holds.values().flat_map(|hold| &hold.layers);
        let held = held.filter(|layer| layer.chain_id == *chain_id).map(|layer| &layer.blob);
        let mut blobs = of_images.chain(held);
        blobs.find(|blob| self.blobs().size(&blob.digest).is_some()).cloned()
    }

    /// Paths of other repositories of the same registry that are known to have a blob.
    pub(crate) fn repositories_with(&self, blob: &Digest, target: &Reference) -> Vec<String> {
        let state = self.state();
        let made_of = state.packed.iter().filter(|(_, packed)| packed.digest == *blob);
        let same: Vec<&Digest> = made_of.map(|((source, _), _)| source).chain([blob]).collect();
        let has = |id: &Digest| {
            let stored = state.images.get(id);
            stored.is_some_and(|stored| stored.record.blobs.iter().any(|b| same.contains(&&b.digest)))
        };
        let known = state.names.iter().filter(|(name, id)| {
            let elsewhere = name.domain() == target.domain() && name.path() != target.path();
            name.digest().is_some() && elsewhere && has(id)
        });
        known.map(|(name, _)| name.path().to_owned()).collect()
    }

    /// The image as callers see it.
    pub(crate) fn view(state: &State, stored: &Stored) -> Image {
        let named = |with_tag: bool| -> Vec<Reference> {
            let of_image = state.names.iter().filter(|(_, id)| **id == stored.record.id);
            of_image.map(|(name, _)| name).filter(|name| name.tag().is_some() == with_tag).cloned().collect()
        };
        Image {
            id: stored.record.id.clone(),
            names: named(true),
            digests: named(false),
            parent: stored.record.parent.clone(),
            config_json: Arc::clone(&stored.config_json),
            config: Arc::clone(&stored.config),
            layers: stored.layers.clone(),
            tagged_at: stored.record.tagged_at,
        }
    }
}

/// See [`Store::pin`].
#[derive(Debug)]
pub(crate) struct Pin {
    store: Store,
    digests: Vec<Digest>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.store.state();
        for digest in &self.digests {
            if let Some(count) = state.pins.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    state.pins.remove(digest);
                }
            }
        }
    }
}

fn check_format(root: &Path) -> Result<()> {
    let path = root.join("format");
    let found = match std::fs::read_to_string(&path) {
        // An unreadable number is damage, and every record has its own version.
        Ok(text) => text.trim().parse().unwrap_or(FORMAT),
        Err(_) => return durable::write(&path, format!("{FORMAT}\n").as_bytes()),
    };
    if found > FORMAT {
        return Err(Error::NewerStore { path: root.to_owned(), found, known: FORMAT });
    }
    Ok(())
}
