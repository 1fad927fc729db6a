//! An image in the store, and its record on disk.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::manifest::Descriptor;
use crate::{Digest, ImageConfig, Reference};

/// The format of an image's record.
pub(crate) const VERSION: u32 = 1;

/// An image as the store has it at the moment of asking.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its id, the digest of its configuration.
    pub id: Digest,
    /// Its tags, in order.
    pub names: Vec<Reference>,
    /// `name@digest` of every registry repository it was pulled from or pushed to.
    pub digests: Vec<Reference>,
    /// The image it was committed or built from, on this machine.
    pub parent: Option<Digest>,
    /// The configuration's bytes.
    pub config_json: Arc<[u8]>,
    /// The configuration's fields.
    pub config: Arc<ImageConfig>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// When it was last given a name here, in seconds since 1970; 0 when never.
    pub tagged_at: u64,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the uncompressed layer.
    pub diff_id: Digest,
    /// The digest of it and all below.
    pub chain_id: Digest,
    /// Its files' sizes together.
    pub size: u64,
}

impl Image {
    /// The sizes of its layers together, shared or not.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Its steps, newest first, as `docker history` lists them.
    pub fn history(&self) -> Vec<HistoryItem> {
        let mut layers = self.layers.iter();
        let mut items: Vec<HistoryItem> = self
            .config
            .history
            .iter()
            .map(|entry| HistoryItem {
                id: None,
                created: entry.created.clone(),
                created_by: entry.created_by.clone(),
                comment: entry.comment.clone(),
                size: if entry.empty_layer { 0 } else { layers.next().map_or(0, |layer| layer.size) },
                names: Vec::new(),
            })
            .collect();
        items.reverse();
        if let Some(newest) = items.first_mut() {
            newest.id = Some(self.id.clone());
            newest.names.clone_from(&self.names);
        }
        items
    }
}

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryItem {
    /// The image as of this step, where it is here; `<missing>` in Docker's list otherwise.
    pub id: Option<Digest>,
    /// When, RFC 3339.
    pub created: Option<String>,
    /// The instruction.
    pub created_by: String,
    /// Its comment.
    pub comment: String,
    /// The size of its layer.
    pub size: u64,
    /// The tags of the image as of this step.
    pub names: Vec<Reference>,
}

/// `images/<id>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) version: u32,
    pub(crate) id: Digest,
    pub(crate) parent: Option<Digest>,
    /// The layers' blobs, lowest first, as they came.
    pub(crate) blobs: Vec<Descriptor>,
    #[serde(default)]
    pub(crate) tagged_at: u64,
}

/// `names/<digest of the name>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    pub(crate) version: u32,
    pub(crate) reference: Reference,
    pub(crate) image: Digest,
}
