//! An image as separate content that a folder elsewhere takes: its layers, configuration and manifest, and the index of
//! several platforms (`--output type=oci,tar=false`).

use crate::manifest::{Descriptor, OCI_CONFIG};
use crate::outbound::AnnotationPlace;
use crate::stack::Kept;
use crate::{Blob, Digest, Error, ImageConfig, Outbound, Reference, Result, Store};

/// Everything of an image, which stays in the store as long as this lives.
#[derive(Debug)]
pub struct Layout {
    /// All content, each after what it names.
    pub blobs: Vec<Blob>,
    /// The manifest, or the index of several.
    pub(crate) whole: Descriptor,
    /// The configurations, each with its layers.
    pub(crate) images: Vec<(Digest, Vec<Descriptor>)>,
    _kept: Vec<Kept>,
}

impl Layout {
    /// The name of the whole: of the manifest, or of the index of several.
    pub fn digest(&self) -> &Digest {
        &self.whole.digest
    }

    /// The descriptor of the whole, as JSON.
    ///
    /// # Errors
    /// Never, with what is in it.
    pub fn descriptor(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.whole).map_err(|source| Error::Json { subject: "descriptor", source })
    }
}

/// A layout that is being made.
struct Making<'a> {
    store: &'a Store,
    outbound: &'a Outbound,
    blobs: Vec<Blob>,
    images: Vec<(Digest, Vec<Descriptor>)>,
    kept: Vec<Kept>,
}

impl Store {
    /// Makes the content of an image of layers that are here, for one platform or several. Blocks, for the time that
    /// compressing takes, too.
    ///
    /// # Errors
    /// When a layer isn't here, or the disk refuses.
    pub fn layout(&self, configs: &[ImageConfig], outbound: &Outbound) -> Result<Layout> {
        let mut making =
            Making { store: self, outbound, blobs: Vec::new(), images: Vec::new(), kept: Vec::new() };
        let mut manifests = configs.iter().map(|config| making.image(config)).collect::<Result<Vec<_>>>()?;
        let whole = match manifests.len() {
            1 => manifests.remove(0),
            _ => {
                for (manifest, config) in manifests.iter_mut().zip(configs) {
                    manifest.platform = Some(config.platform());
                }
                making.index(manifests)?
            }
        };
        let Making { blobs, images, kept, .. } = making;
        Ok(Layout { blobs, whole, images, _kept: kept })
    }

    /// Names an image that has no name by the digest of its manifest, in the repository of `prefix`.
    ///
    /// # Errors
    /// When there is no such image, or the disk refuses.
    pub fn name_by_digest(&self, image: &Digest, prefix: &Reference) -> Result<Reference> {
        let found = self.image(&image.to_string())?;
        let (platform, size) = (found.config.platform(), found.config_json.len() as u64);
        let (json, _) = Outbound::default().manifest(&platform, image, size, &self.blobs_of(image)?)?;
        let _kept = self.put_content(&json)?;
        let name = prefix.with_digest(Digest::of(&json));
        self.set_name(&mut self.state(), name.clone(), image)?;
        Ok(name)
    }
}

impl Making<'_> {
    fn image(&mut self, config: &ImageConfig) -> Result<Descriptor> {
        let (json, stored) = self.store.composed(config)?;
        let mut layers = Vec::with_capacity(stored.len());
        for layer in &stored {
            let (layer, pin) = self.store.packed(layer, &self.outbound.packing)?;
            self.kept.push(Kept::new(pin));
            self.blobs.push(layer.clone().into());
            layers.push(layer);
        }
        let (id, platform) = (Digest::of(&json), config.platform());
        let (manifest, media_type) = self.outbound.manifest(&platform, &id, json.len() as u64, &layers)?;
        self.images.push((id, layers));
        self.put(OCI_CONFIG, &json)?;
        self.put(media_type, &manifest)?;
        Ok(self.outbound.named(&platform, media_type, Digest::of(&manifest), manifest.len() as u64))
    }

    fn index(&mut self, manifests: Vec<Descriptor>) -> Result<Descriptor> {
        let (json, media_type) = self.outbound.index(manifests)?;
        self.put(media_type, &json)?;
        let annotations = self.outbound.annotations(AnnotationPlace::IndexDescriptor, None);
        Ok(Descriptor { annotations, ..Descriptor::new(media_type, Digest::of(&json), json.len() as u64) })
    }

    fn put(&mut self, media_type: &str, bytes: &[u8]) -> Result<()> {
        self.kept.push(self.store.put_content(bytes)?);
        self.blobs.push(Blob::of(media_type, bytes));
        Ok(())
    }
}
