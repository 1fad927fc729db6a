//! Content that is neither an image nor a snapshot: what builds keep elsewhere and bring back.

use std::io::{Read, Write as _};

use crate::layers::LayerRecord;
use crate::manifest::Descriptor;
use crate::stack::Kept;
use crate::{Digest, Error, Layer, Result, Store, digest};

/// What some content is and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its media type.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

impl From<Descriptor> for Blob {
    fn from(descriptor: Descriptor) -> Self {
        let Descriptor { media_type, digest, size, .. } = descriptor;
        Self { media_type, digest, size }
    }
}

impl Blob {
    /// What these bytes are.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self { media_type: media_type.to_owned(), digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest.clone(), self.size)
    }
}

impl Store {
    /// The blob that a layer is sent as.
    ///
    /// # Errors
    /// When it isn't here.
    pub fn layer_blob(&self, layer: &Layer) -> Result<Blob> {
        let blob = self.blob_of_layer(&layer.chain_id).or_else(|| self.plain_blob(&layer.diff_id));
        blob.map(Into::into).ok_or_else(|| Error::NoSuchContent(layer.chain_id.clone()))
    }

    /// Opens content that is here.
    ///
    /// # Errors
    /// When it isn't.
    pub fn open_content(&self, digest: &Digest) -> Result<std::fs::File> {
        self.blobs().open_blob(digest)
    }

    /// Stores small content.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_content(&self, bytes: &[u8]) -> Result<Kept> {
        let kept = Kept::new(self.pin([Digest::of(bytes)]));
        self.blobs().put(bytes)?;
        Ok(kept)
    }

    /// Stores content that must be what its name says.
    ///
    /// # Errors
    /// When it is something else, ends early or goes on, or the disk refuses.
    pub fn take_content(&self, expected: &Blob, source: impl Read) -> Result<Kept> {
        let kept = Kept::new(self.pin([expected.digest.clone()]));
        if self.blobs().size(&expected.digest) == Some(expected.size) {
            return Ok(kept);
        }
        let mut writer = self.blobs().writer()?;
        let mut source = source.take(expected.size.saturating_add(1));
        std::io::copy(&mut source, &mut writer).map_err(Error::stream("receive content"))?;
        writer.flush().map_err(Error::stream("store content"))?;
        if writer.digest() != Some((expected.digest.clone(), expected.size)) {
            let (expected, found) = (expected.digest.clone(), writer.digest().map(|(digest, _)| digest));
            let found = found.unwrap_or_else(|| Digest::of(b""));
            return Err(Error::WrongDigest { subject: "content", expected, found });
        }
        self.blobs().finish(writer)?;
        Ok(kept)
    }

    /// Unpacks a layer that is here as a blob on top of `below` (a chain id), unless it is unpacked.
    ///
    /// # Errors
    /// When it isn't what `diff_id` says, or the disk refuses.
    pub fn unpack_layer(
        &self,
        below: Option<&Digest>,
        diff_id: &Digest,
        blob: &Digest,
    ) -> Result<(Layer, Kept)> {
        let chain_id = digest::chain_id(below, diff_id);
        let kept = Kept::new(self.pin([chain_id.clone(), blob.clone()]));
        let LayerRecord { size, .. } =
            self.layers().ensure(below, diff_id, |folder| self.blobs().unpack(blob, folder))?;
        Ok((Layer { diff_id: diff_id.clone(), chain_id, size }, kept))
    }

    /// As [`Self::hold`], of layers with the blobs that they are sent as.
    pub fn hold_with(&self, name: &str, layers: &[(Layer, Blob)]) {
        let held = layers.iter().map(|(layer, blob)| (layer.chain_id.clone(), blob.descriptor()));
        self.note_hold(name, held.collect());
    }

    /// A layer that is unpacked here, with the blob that it is sent as.
    pub fn known_layer(&self, chain_id: &Digest) -> Option<(Layer, Blob)> {
        let LayerRecord { diff_id, size, .. } = self.layers().get(chain_id)?;
        let layer = Layer { diff_id, chain_id: chain_id.clone(), size };
        let blob = self.layer_blob(&layer).ok()?;
        Some((layer, blob))
    }
}

/// The chain id of the layer with `diff_id` on top of `below`.
pub fn chain_id(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    digest::chain_id(below, diff_id)
}
