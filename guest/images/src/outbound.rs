//! What is said of images that leave: the manifests' media types and annotations, and how layers are compressed.

use std::collections::BTreeMap;

use crate::compress::{Compression, Packing};
use crate::manifest::{self, Descriptor, Index, Manifest};
use crate::{Digest, Error, Result};

/// Annotations by their names.
pub type Annotations = BTreeMap<String, String>;

/// How an image leaves. As usual: gzip where layers are plain, in OCI's terms, under its tag, without annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbound {
    /// The layers' compression.
    pub packing: Packing,
    /// Docker's media types instead of OCI's.
    pub docker_types: bool,
    /// Under its digest alone.
    pub by_digest: bool,
    /// Annotations of every manifest.
    pub manifest: Annotations,
    /// Annotations of the index, where there are several platforms.
    pub index: Annotations,
    /// Annotations of manifests in the index.
    pub descriptor: Annotations,
}

impl Outbound {
    /// Whether the manifest that an image was pulled with serves as well.
    pub(crate) fn takes_any_manifest(&self) -> bool {
        *self == Self { by_digest: self.by_digest, ..Self::default() }
    }

    /// A manifest and its media type.
    pub(crate) fn manifest(
        &self,
        config: &Digest,
        config_size: u64,
        layers: &[Descriptor],
    ) -> Result<(Vec<u8>, &'static str)> {
        let (media_type, config_type) = match self.docker_types {
            true => (manifest::DOCKER_MANIFEST, manifest::DOCKER_CONFIG),
            false => (manifest::OCI_MANIFEST, manifest::OCI_CONFIG),
        };
        let named = |layer: &Descriptor| {
            let named = self.layer_type(&layer.media_type);
            Descriptor::new(named, layer.digest.clone(), layer.size)
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type.to_owned()),
            config: Descriptor::new(config_type, config.clone(), config_size),
            layers: layers.iter().map(named).collect(),
            annotations: self.manifest.clone(),
        };
        let json = serde_json::to_vec(&manifest);
        Ok((json.map_err(|source| Error::Json { subject: "manifest", source })?, media_type))
    }

    fn layer_type<'a>(&self, media_type: &'a str) -> &'a str {
        match (self.docker_types, Compression::of(media_type)) {
            (false, _) if media_type == manifest::DOCKER_LAYER => manifest::OCI_LAYER_GZIP,
            (false, _) => media_type,
            (true, Compression::Uncompressed) => manifest::DOCKER_LAYER_PLAIN,
            (true, Compression::Gzip) => manifest::DOCKER_LAYER,
            (true, Compression::Zstd) => manifest::DOCKER_LAYER_ZSTD,
        }
    }

    /// An index of manifests for several platforms, and its media type.
    pub(crate) fn index(&self, mut manifests: Vec<Descriptor>) -> Result<(Vec<u8>, &'static str)> {
        for manifest in &mut manifests {
            manifest.annotations.extend(self.descriptor.clone());
        }
        let media_type = if self.docker_types { manifest::DOCKER_LIST } else { manifest::OCI_INDEX };
        let annotations = self.index.clone();
        let index = Index { media_type: Some(media_type.to_owned()), annotations, ..Index::of(manifests) };
        let json = serde_json::to_vec(&index);
        Ok((json.map_err(|source| Error::Json { subject: "index", source })?, media_type))
    }
}
