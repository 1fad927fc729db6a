//! Manifests and indexes, Docker's schema 2 and OCI's alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Platform, Result};

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub(crate) const DOCKER_LAYER_PLAIN: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub(crate) const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Manifests larger than this are refused, as registries do.
pub(crate) const MANIFEST_LARGEST: usize = 4 << 20;

/// What a blob is and how large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) urls: Vec<String>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size, platform: None, annotations: BTreeMap::new(), urls: Vec::new() }
    }
}

/// One image for one platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Several manifests: one per platform, or those of an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Index {
    /// In OCI's terms.
    pub(crate) fn of(manifests: Vec<Descriptor>) -> Self {
        let annotations = BTreeMap::new();
        Self { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests, annotations }
    }

    /// What it has manifests for.
    pub(crate) fn platforms(&self) -> Vec<Platform> {
        self.manifests.iter().filter_map(|manifest| manifest.platform.clone()).collect()
    }
}

/// Either, as a registry answers.
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

impl Document {
    /// Reads the document; the registry's media type decides where the document itself says nothing.
    pub(crate) fn parse(json: &[u8], media_type: &str) -> Result<Self> {
        let wrong = |source| Error::Json { subject: "manifest", source };
        let probe: serde_json::Value = serde_json::from_slice(json).map_err(wrong)?;
        let said = probe.get("mediaType").and_then(|value| value.as_str()).unwrap_or(media_type);
        if probe.get("schemaVersion").and_then(serde_json::Value::as_u64) != Some(2) {
            return Err(Error::UnsupportedManifest(said.to_owned()));
        }
        match said {
            DOCKER_LIST | OCI_INDEX => serde_json::from_value(probe).map(Self::Index).map_err(wrong),
            _ if probe.get("manifests").is_some() && probe.get("layers").is_none() => {
                serde_json::from_value(probe).map(Self::Index).map_err(wrong)
            }
            _ if probe.get("layers").is_some() => {
                serde_json::from_value(probe).map(Self::Manifest).map_err(wrong)
            }
            _ => Err(Error::UnsupportedManifest(said.to_owned())),
        }
    }
}

impl Index {
    /// The manifest that serves `platform` best; entries without a platform serve any.
    pub(crate) fn choose(&self, platform: &Platform) -> Option<&Descriptor> {
        let fits = |entry: &&Descriptor| match &entry.platform {
            // Attestations are listed as platform unknown/unknown and match nothing.
            Some(offered) => platform.distance(offered),
            None => Some(u32::MAX),
        };
        self.manifests
            .iter()
            .filter_map(|entry| Some((fits(&entry)?, entry)))
            .min_by_key(|(d, _)| *d)
            .map(|(_, e)| e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(platform: &str) -> Descriptor {
        let platform = Some(platform.parse().unwrap());
        Descriptor { platform, ..Descriptor::new(OCI_MANIFEST, Digest::of(b"x"), 1) }
    }

    #[test]
    fn the_nearest_variant_is_chosen() {
        let manifests = vec![entry("linux/arm/v5"), entry("linux/arm/v6"), entry("linux/amd64")];
        let index = Index::of(manifests);
        let chosen = index.choose(&"linux/arm/v7".parse().unwrap()).unwrap();
        assert_eq!(chosen.platform, Some("linux/arm/v6".parse().unwrap()));
        assert!(index.choose(&"linux/s390x".parse().unwrap()).is_none());
    }

    #[test]
    fn schema_1_is_refused_by_name() {
        let error = Document::parse(br#"{"schemaVersion":1}"#, "application/x").err().unwrap();
        assert!(error.to_string().contains("application/x"), "{error}");
    }
}
