//! What builds need: writable snapshots on any layers, layers made of them, and images composed of layers.

use crate::image::Layer;
use crate::manifest::Descriptor;
use crate::snapshot::Snapshot;
use crate::store::Pin;
use crate::{Digest, Error, ImageConfig, Result, Store, changes, digest, pack};

/// Keeps layers from being collected while it lives.
#[derive(Debug)]
pub struct Kept(#[expect(dead_code, reason = "held for its drop")] Pin);

impl Kept {
    pub(crate) fn new(pin: Pin) -> Self {
        Self(pin)
    }
}

impl Store {
    /// Makes a writable snapshot on top of layers (chain ids, lowest first) that ends with this process: nothing of it is
    /// recorded, and what a crash leaves goes by [`Self::remove_unrecorded_snapshots`].
    ///
    /// # Errors
    /// When a layer isn't there or the name is taken.
    pub fn prepare_on(&self, name: &str, layers: &[Digest]) -> Result<Snapshot> {
        let _kept = self.keep_layers(layers);
        if let Some(missing) = layers.iter().find(|layer| self.layers().get(layer).is_none()) {
            return Err(Error::NoSuchContent((*missing).clone()));
        }
        self.prepare_passing(name, layers.to_vec())
    }

    /// Makes a layer of what a snapshot changed, which it then no longer has. None when nothing changed, unless such a
    /// layer is wanted, too. The snapshot must not be mounted any more. `linked_with` names the folder elsewhere whose
    /// files it has by links.
    ///
    /// # Errors
    /// When there is no such snapshot or the disk refuses.
    pub fn commit_layer(
        &self,
        name: &str,
        below: &[Digest],
        may_be_empty: bool,
        linked_with: Option<&str>,
    ) -> Result<Option<(Layer, Kept)>> {
        let snapshot = self.snapshot(name)?;
        changes::prune_copies(&snapshot.lowers, &snapshot.upper)?;
        let (writer, size) = self.blobs().filled(|to| pack::layer(&snapshot.upper, &[], to))?;
        let (blob, _new) = self.keep(writer)?;
        if !may_be_empty && blob.digest == pack::empty_layer() {
            return Ok(None);
        }
        // A plain tar's digest is its diff id.
        let diff_id = blob.digest.clone();
        let chain_id = digest::chain_id(below.last(), &diff_id);
        let kept = Kept(self.pin([chain_id.clone(), diff_id.clone()]));
        self.layers().adopt(below.last(), &diff_id, size, &snapshot.upper, linked_with)?;
        Ok(Some((Layer { diff_id, chain_id, size }, kept)))
    }

    /// Whether one of these layers has files of the folder elsewhere by links: two names in one file system would mean the
    /// same inode if another layer had, too.
    pub fn is_linked_with(&self, layers: &[Digest], folder: &str) -> bool {
        let records = layers.iter().filter_map(|layer| self.layers().get(layer));
        records.filter_map(|record| record.linked_with).any(|linked| linked == folder)
    }

    /// Keeps layers and their blobs while the result lives.
    pub fn keep_layers(&self, layers: &[Digest]) -> Kept {
        let blobs = layers.iter().filter_map(|layer| self.blob_of_layer(layer)).map(|blob| blob.digest);
        Kept(self.pin(layers.iter().cloned().chain(blobs.collect::<Vec<_>>())))
    }

    /// Whether all of these layers are here, with what is needed to send them.
    pub fn has_layers(&self, layers: &[Digest]) -> bool {
        layers.iter().all(|layer| self.layers().get(layer).is_some() && self.blob_of_layer(layer).is_some())
    }

    /// Records an image of layers that are here. `config` says which, and says the same of them.
    ///
    /// # Errors
    /// When a layer isn't there or the disk refuses.
    pub fn compose(&self, config: &ImageConfig, parent: Option<&Digest>) -> Result<Digest> {
        let _kept = self.keep_layers(&digest::chain_ids(&config.rootfs.diff_ids));
        let (json, blobs) = self.composed(config)?;
        let id = Digest::of(&json);
        if let Some(stored) = self.state().images.get(&id)
            && (parent.is_none() || stored.record.parent.as_ref() == parent)
        {
            return Ok(id);
        }
        let _config = self.pin([id]);
        self.add_image(&json, blobs, parent.cloned())
    }

    /// A configuration's bytes, and the blobs of its layers.
    pub(crate) fn composed(&self, config: &ImageConfig) -> Result<(Vec<u8>, Vec<Descriptor>)> {
        let chain = digest::chain_ids(&config.rootfs.diff_ids);
        let blobs = chain.iter().zip(&config.rootfs.diff_ids).map(|(chain_id, diff_id)| {
            let blob = self.blob_of_layer(chain_id).or_else(|| self.plain_blob(diff_id));
            blob.ok_or_else(|| Error::NoSuchContent(chain_id.clone()))
        });
        let blobs: Vec<Descriptor> = blobs.collect::<Result<_>>()?;
        let json = serde_json::to_vec(config)
            .map_err(|source| Error::Json { subject: "image configuration", source })?;
        Ok((json, blobs))
    }

    /// The same layers with no file newer than `latest`, in seconds since 1970; the lowest `unchanged` stay as they are.
    ///
    /// # Errors
    /// When a layer isn't there or the disk refuses.
    pub fn redate(&self, layers: &[Layer], unchanged: usize, latest: i64) -> Result<(Vec<Layer>, Vec<Kept>)> {
        let (same, others) = layers.split_at(unchanged.min(layers.len()));
        let chain: Vec<Digest> = same.iter().map(|layer| layer.chain_id.clone()).collect();
        let (mut dated, mut kept) = (same.to_vec(), vec![self.keep_layers(&chain)]);
        for layer in others {
            let layer_folder = self.layers().path(&layer.chain_id);
            let (writer, _) = self.blobs().filled(|to| pack::layer_until(latest, &layer_folder, to))?;
            let (blob, _new) = self.keep(writer)?;
            let (diff_id, below) = (blob.digest.clone(), dated.last().map(|layer| layer.chain_id.clone()));
            let chain_id = digest::chain_id(below.as_ref(), &diff_id);
            kept.push(Kept(self.pin([chain_id.clone(), diff_id.clone()])));
            self.layers().ensure(below.as_ref(), &diff_id, |folder| self.blobs().unpack(&diff_id, folder))?;
            dated.push(Layer { diff_id, chain_id, size: layer.size });
        }
        Ok((dated, kept))
    }

    pub(crate) fn plain_blob(&self, diff_id: &Digest) -> Option<Descriptor> {
        let size = self.blobs().size(diff_id)?;
        Some(Descriptor::new(crate::manifest::OCI_LAYER, diff_id.clone(), size))
    }
}
