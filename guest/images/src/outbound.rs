//! What is said of images that leave: the manifests' media types and annotations, and how layers are compressed.

use std::collections::BTreeMap;

use crate::compress::{Compression, Packing};
use crate::manifest::{self, Descriptor, Index, Manifest};
use crate::{Digest, Error, Platform, Result};

/// Something said of an image for whoever reads its manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it stands.
    pub place: AnnotationPlace,
    /// The platform whose image it is about; of every one where none is given.
    pub platform: Option<Platform>,
    /// Its name.
    pub key: String,
    /// What it says.
    pub value: String,
}

/// Where an annotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationPlace {
    /// In an image's manifest.
    Manifest,
    /// Beside what names an image's manifest: in an index, or in an archive's list.
    ManifestDescriptor,
    /// In the index of several platforms.
    Index,
    /// Beside what names that index, in an archive's list.
    IndexDescriptor,
}

/// How an image leaves. As usual: gzip where layers are plain, in OCI's terms, under its tag, without annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbound {
    /// The layers' compression.
    pub packing: Packing,
    /// Docker's media types instead of OCI's.
    pub docker_types: bool,
    /// Under its digest alone.
    pub by_digest: bool,
    /// What is said besides.
    pub annotations: Vec<Annotation>,
}

impl Outbound {
    /// Whether the manifest that an image was pulled with serves as well.
    pub(crate) fn takes_any_manifest(&self) -> bool {
        *self == Self { by_digest: self.by_digest, ..Self::default() }
    }

    /// The same with Docker's media types; none where these are asked for, and where there is more to say than they can.
    pub(crate) fn in_dockers_terms(&self) -> Option<Self> {
        let can = !self.docker_types && self.annotations.is_empty();
        can.then(|| Self { docker_types: true, ..self.clone() })
    }

    /// The annotations of a place, of the image for `platform` where it is one image's.
    pub(crate) fn annotations(
        &self,
        place: AnnotationPlace,
        platform: Option<&Platform>,
    ) -> BTreeMap<String, String> {
        let fits = |one: &&Annotation| {
            one.place == place && (one.platform.is_none() || one.platform.as_ref() == platform)
        };
        let (some, all): (Vec<_>, Vec<_>) =
            self.annotations.iter().filter(fits).partition(|one| one.platform.is_some());
        // What is said of one platform counts more.
        all.into_iter().chain(some).map(|one| (one.key.clone(), one.value.clone())).collect()
    }

    /// The manifest of an image for `platform`, and its media type.
    pub(crate) fn manifest(
        &self,
        platform: &Platform,
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
            annotations: self.annotations(AnnotationPlace::Manifest, Some(platform)),
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

    /// What names a manifest.
    pub(crate) fn named(
        &self,
        platform: &Platform,
        media_type: &str,
        digest: Digest,
        size: u64,
    ) -> Descriptor {
        let annotations = self.annotations(AnnotationPlace::ManifestDescriptor, Some(platform));
        Descriptor { annotations, ..Descriptor::new(media_type, digest, size) }
    }

    /// An index of manifests for several platforms, and its media type.
    pub(crate) fn index(&self, manifests: Vec<Descriptor>) -> Result<(Vec<u8>, &'static str)> {
        let media_type = if self.docker_types { manifest::DOCKER_LIST } else { manifest::OCI_INDEX };
        let annotations = self.annotations(AnnotationPlace::Index, None);
        let index = Index { media_type: Some(media_type.to_owned()), annotations, ..Index::of(manifests) };
        let json = serde_json::to_vec(&index);
        Ok((json.map_err(|source| Error::Json { subject: "index", source })?, media_type))
    }
}
