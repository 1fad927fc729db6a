//! Layers as they are sent: compressed when somebody first wants them so, and kept beside the plain layer for as long as
//! that is here. The same layer compresses to the same bytes, so that a registry that has it is told no news.

mod gzip;

use std::io::{self, Read, Write};

use crate::blobs::{BlobWriter, Filling};
use crate::manifest::{Descriptor, Document, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST};
use crate::stack::Kept;
use crate::store::Pin;
use crate::unpack::decompress;
use crate::{Blob, Digest, Error, Layer, Reference, Result, Store};

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A plain tar.
    Uncompressed,
    /// As every registry and engine reads it.
    #[default]
    Gzip,
    /// Smaller and faster, for engines of the last years.
    Zstd,
}

impl Compression {
    /// The highest level there is; none is 0 but gzip's, which stores.
    pub fn highest_level(self) -> u32 {
        match self {
            Self::Uncompressed => 0,
            Self::Gzip => 9,
            Self::Zstd => 22,
        }
    }

    /// Of a layer.
    fn media_type(self) -> &'static str {
        match self {
            Self::Uncompressed => OCI_LAYER,
            Self::Gzip => OCI_LAYER_GZIP,
            Self::Zstd => OCI_LAYER_ZSTD,
        }
    }

    pub(crate) fn of(media_type: &str) -> Self {
        match media_type {
            kind if kind.ends_with("gzip") => Self::Gzip,
            kind if kind.ends_with("zstd") => Self::Zstd,
            _ => Self::Uncompressed,
        }
    }
}

/// How the layers of something are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Packing {
    /// What plain layers become.
    pub compression: Compression,
    /// The compressor's own usual level, or another.
    pub level: Option<u32>,
    /// Whether layers that came compressed in another way are compressed again.
    pub force: bool,
}

impl Packing {
    fn is_fine(&self, present: Compression) -> bool {
        present == self.compression || (present != Compression::Uncompressed && !self.force)
    }

    fn write(&self, mut plain: impl Read, mut to: impl Write) -> io::Result<()> {
        match self.compression {
            Compression::Uncompressed => io::copy(&mut plain, &mut to).map(drop),
            Compression::Gzip => gzip::write(plain, &mut to, self.level),
            Compression::Zstd => {
                let level = self.level.and_then(|level| i32::try_from(level).ok());
                zstd::stream::copy_encode(plain, &mut to, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))
            }
        }
    }
}

impl Store {
    /// A layer's blob as it is to be sent, which stays as long as the pin. Blocks, for the time that compressing takes.
    pub(crate) fn packed(&self, blob: &Descriptor, packing: &Packing) -> Result<(Descriptor, Pin)> {
        match self.packed_before(blob, packing) {
            Some(packed) => Ok(packed),
            None => self.pack(blob, packing, self.blobs().writer()?, |_| {}),
        }
    }

    /// The same where nothing is left to be compressed.
    pub(crate) fn packed_before(&self, blob: &Descriptor, packing: &Packing) -> Option<(Descriptor, Pin)> {
        if packing.is_fine(Compression::of(&blob.media_type)) {
            return Some((blob.clone(), self.pin([blob.digest.clone()])));
        }
        let known = self.state().packed.get(&(blob.digest.clone(), *packing)).cloned()?;
        let pin = self.pin([known.digest.clone()]);
        (self.blobs().size(&known.digest) == Some(known.size)).then_some((known, pin))
    }

    /// Compresses a layer's blob by `writer`; `moved` hears how many of its bytes were read.
    pub(crate) fn pack(
        &self,
        blob: &Descriptor,
        packing: &Packing,
        writer: BlobWriter,
        moved: impl FnMut(u64) + Send,
    ) -> Result<(Descriptor, Pin)> {
        let source = Heard { source: self.blobs().open_blob(&blob.digest)?, done: 0, moved };
        let plain = decompress(source)?;
        let written =
            |to: &mut Filling<'_, '_>| packing.write(plain, to).map_err(Error::stream("compress a layer"));
        let (packed, pin) = self.keep(writer.filled(written)?.0)?;
        // A plain tar that begins like something else is still one.
        let packed = Descriptor::new(packing.compression.media_type(), packed.digest, packed.size);
        let mut state = self.state();
        state.packed.retain(|(source, _), _| self.blobs().size(source).is_some());
        state.packed.insert((blob.digest.clone(), *packing), packed.clone());
        drop(state);
        Ok((packed, pin))
    }

    /// How the layer of this diff id is sent, by a manifest of the same repository that has it.
    pub(crate) fn sent_before(
        &self,
        layer: &Digest,
        packing: &Packing,
        to: &Reference,
    ) -> Option<Descriptor> {
        self.sent(layer, packing, |name| name.same_repository(to)).map(|(sent, _)| sent)
    }

    /// The same by a manifest of another repository at the same registry, whose path is the second.
    pub(crate) fn sent_elsewhere(
        &self,
        layer: &Digest,
        packing: &Packing,
        to: &Reference,
    ) -> Option<(Descriptor, String)> {
        self.sent(layer, packing, |name| name.domain() == to.domain() && name.path() != to.path())
    }

    fn sent(
        &self,
        layer: &Digest,
        packing: &Packing,
        is_meant: impl Fn(&Reference) -> bool,
    ) -> Option<(Descriptor, String)> {
        if packing.level.is_some() {
            return None;
        }
        let state = self.state();
        let of_it = state.names.iter().filter(|(name, _)| is_meant(name)).filter_map(|(name, id)| {
            let place = state.images.get(id)?.layers.iter().position(|known| known.diff_id == *layer)?;
            Some((name.digest()?.clone(), place, name.path().to_owned()))
        });
        let of_it: Vec<_> = of_it.collect();
        drop(state);
        of_it.into_iter().find_map(|(manifest, place, path)| {
            let json = self.blobs().read(&manifest).ok()?;
            let Ok(Document::Manifest(manifest)) = Document::parse(&json, OCI_MANIFEST) else { return None };
            let sent = manifest.layers.into_iter().nth(place)?;
            let is_packed_so = Compression::of(&sent.media_type) == packing.compression;
            let sent = Descriptor::new(packing.compression.media_type(), sent.digest, sent.size);
            is_packed_so.then_some((sent, path))
        })
    }

    /// A layer's blob as it is to be sent, which stays as long as the second. Blocks, for the time that compressing takes.
    ///
    /// # Errors
    /// When the layer isn't here, or the disk refuses.
    pub fn packed_layer(&self, layer: &Layer, packing: &Packing) -> Result<(Blob, Kept)> {
        let (packed, pin) = self.packed(&self.layer_blob(layer)?.descriptor(), packing)?;
        Ok((packed.into(), Kept::new(pin)))
    }
}

/// A source that tells how many of its bytes were read.
struct Heard<R, F> {
    source: R,
    done: u64,
    moved: F,
}

impl<R: Read, F: FnMut(u64)> Read for Heard<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.done += count as u64;
        (self.moved)(self.done);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_the_same_each_time_and_unpacks_to_what_it_was() {
        let plain: Vec<u8> = (0..300_000u32).map(|number| (number / 7 % 251) as u8).collect();
        for compression in [Compression::Gzip, Compression::Zstd] {
            for level in [None, Some(1), Some(compression.highest_level())] {
                let packing = Packing { compression, level, force: false };
                let (mut once, mut again) = (Vec::new(), Vec::new());
                packing.write(plain.as_slice(), &mut once).unwrap();
                packing.write(plain.as_slice(), &mut again).unwrap();
                assert!(once == again && once.len() < plain.len() / 2, "{packing:?}");
                let mut unpacked = Vec::new();
                decompress(once.as_slice()).unwrap().read_to_end(&mut unpacked).unwrap();
                assert!(unpacked == plain, "{packing:?}");
            }
        }
    }

    #[test]
    fn layers_that_came_compressed_stay_unless_that_is_forced() {
        let packing = Packing { compression: Compression::Zstd, ..Packing::default() };
        assert!(!packing.is_fine(Compression::Uncompressed));
        assert!(packing.is_fine(Compression::Gzip) && packing.is_fine(Compression::Zstd));
        assert!(!Packing { force: true, ..packing }.is_fine(Compression::Gzip));
    }
}
