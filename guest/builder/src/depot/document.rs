//! The documents of a cache: its configuration (which steps have which layers) and its manifest. What comes from
//! elsewhere is checked before it is believed.

use berth_images::{Blob, Digest, Layer};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Noted;
use crate::{Error, Result};

/// The configuration's media type.
pub(super) const CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Layers on top of each other, the kernel's own limit with room.
const DEEPEST: usize = 512;
/// Layers and steps of one cache.
const MOST: usize = 100_000;

/// How the manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As an image's, which every registry takes (`image-manifest=true`).
    Image,
    /// As an index of blobs, BuildKit's older form.
    Index,
    /// The same with Docker's media type (`oci-mediatypes=false`).
    DockerIndex,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    layers: Vec<ConfigLayer>,
    #[serde(default)]
    records: Vec<ConfigRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ConfigLayer {
    blob: Digest,
    /// The layer below; -1 is none. BuildKit leaves a zero out.
    #[serde(default)]
    parent: i64,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Annotations {
    media_type: String,
    #[serde(rename = "diffID")]
    diff_id: Option<Digest>,
    size: u64,
    created_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ConfigRecord {
    #[serde(rename = "layers", default)]
    results: Vec<ConfigResult>,
    digest: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigResult {
    layer: usize,
    #[serde(default)]
    created_at: String,
}

/// A layer that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteLayer {
    pub(super) blob: Blob,
    pub(super) diff_id: Digest,
    parent: Option<usize>,
}

/// A step whose layers lie elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteStep {
    pub(super) key: Digest,
    top: usize,
    pub(super) created: String,
}

/// What a configuration says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    layers: Vec<RemoteLayer>,
    pub(super) steps: Vec<RemoteStep>,
}

/// The configuration of these steps, whose layers are numbered as in `layers`.
pub(super) fn config(steps: &[Noted], layers: &[(Layer, Blob)]) -> Result<Vec<u8>> {
    let index = |layer: &Layer| layers.iter().position(|(known, _)| known.chain_id == layer.chain_id);
    let mut config = Config::default();
    for step in steps {
        // A step on nothing that made nothing has nothing to keep.
        let Some(layer) = step.files.layers.last().and_then(index) else { continue };
        let created_at = step.created.clone();
        if !config.records.iter().any(|known| known.digest == step.files.key) {
            let results = vec![ConfigResult { layer, created_at }];
            config.records.push(ConfigRecord { results, digest: step.files.key.clone() });
        }
    }
    let mut below = vec![None; layers.len()];
    for step in steps {
        for pair in step.files.layers.windows(2) {
            if let [lower, upper] = pair
                && let Some(at) = index(upper)
            {
                below[at] = index(lower);
            }
        }
    }
    for ((layer, blob), below) in layers.iter().zip(below) {
        config.layers.push(ConfigLayer {
            blob: blob.digest.clone(),
            parent: below.and_then(|below| i64::try_from(below).ok()).unwrap_or(-1),
            annotations: Annotations {
                media_type: blob.media_type.clone(),
                diff_id: Some(layer.diff_id.clone()),
                size: blob.size,
                created_at: "1970-01-01T00:00:00Z".to_owned(),
            },
        });
    }
    to_json(&config)
}

/// The manifest's media type and bytes.
pub(super) fn manifest(form: Form, config: &Blob, layers: &[Blob]) -> Result<(&'static str, Vec<u8>)> {
    let described =
        |blob: &Blob| json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size });
    let layers: Vec<_> = layers.iter().map(described).collect();
    let (media_type, manifest) = match form {
        Form::Image => {
            let config = described(config);
            (
                OCI_MANIFEST,
                json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers }),
            )
        }
        Form::Index | Form::DockerIndex => {
            let media_type = if form == Form::Index { OCI_INDEX } else { DOCKER_LIST };
            let all: Vec<_> = layers.into_iter().chain([described(config)]).collect();
            (media_type, json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": all }))
        }
    };
    Ok((media_type, to_json(&manifest)?))
}

/// The configuration's blob, if the manifest is a cache's.
pub(super) fn config_of(manifest: &[u8]) -> Result<Option<Blob>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Described {
        #[serde(default)]
        media_type: String,
        digest: Digest,
        size: u64,
    }
    #[derive(Deserialize)]
    struct Manifest {
        config: Option<Described>,
        #[serde(default)]
        manifests: Vec<Described>,
    }
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(wrong)?;
    let found = manifest.config.into_iter().chain(manifest.manifests).find(|blob| blob.media_type == CONFIG);
    Ok(found.map(|Described { media_type, digest, size }| Blob { media_type, digest, size }))
}

impl Contents {
    /// Reads a configuration.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let config: Config = serde_json::from_slice(json).map_err(wrong)?;
        if config.layers.len() > MOST || config.records.len() > MOST {
            return Err(Error::Invalid(format!("a cache elsewhere has more than {MOST} layers or steps")));
        }
        let outside = || Error::Invalid("a cache elsewhere names a layer that it hasn't".to_owned());
        let mut contents = Self::default();
        for layer in &config.layers {
            let parent = match layer.parent {
                -1 => None,
                number => Some(usize::try_from(number).ok().filter(|at| *at < config.layers.len())),
            };
            let parent = parent.map(|parent| parent.ok_or_else(outside)).transpose()?;
            let Annotations { media_type, diff_id, size, .. } = &layer.annotations;
            let blob = Blob { media_type: media_type.clone(), digest: layer.blob.clone(), size: *size };
            let diff_id = diff_id.clone().ok_or_else(outside)?;
            contents.layers.push(RemoteLayer { blob, diff_id, parent });
        }
        for record in config.records {
            let Some(result) = record.results.into_iter().next() else { continue };
            if result.layer >= contents.layers.len() {
                return Err(outside());
            }
            let (key, created) = (record.digest, result.created_at);
            contents.steps.push(RemoteStep { key, top: result.layer, created });
        }
        Ok(contents)
    }

    /// A step's layers, lowest first; none when they go in a circle.
    pub(super) fn chain(&self, step: &RemoteStep) -> Option<Vec<&RemoteLayer>> {
        let (mut chain, mut at) = (Vec::new(), Some(step.top));
        while let Some(number) = at {
            let layer = self.layers.get(number)?;
            if chain.len() >= DEEPEST {
                return None;
            }
            chain.push(layer);
            at = layer.parent;
        }
        chain.reverse();
        Some(chain)
    }
}

fn to_json(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| Error::Description(error.to_string()))
}

fn wrong(error: serde_json::Error) -> Error {
    Error::Invalid(format!("a cache elsewhere can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_goes_in_circles_or_points_outside_is_no_cache() {
        let layer = |parent: i64| json!({ "blob": Digest::of(b"b"), "parent": parent, "annotations": { "diffID": Digest::of(b"d") } });
        let config = |layers: Vec<serde_json::Value>, top: usize| {
            let record = json!({ "layers": [{ "layer": top }], "digest": Digest::of(b"k") });
            serde_json::to_vec(&json!({ "layers": layers, "records": [record] })).unwrap()
        };
        let sound = Contents::parse(&config(vec![layer(-1), layer(0)], 1)).unwrap();
        assert_eq!(sound.chain(&sound.steps[0]).unwrap().len(), 2);
        let circle = Contents::parse(&config(vec![layer(1), layer(0)], 1)).unwrap();
        assert!(circle.chain(&circle.steps[0]).is_none());
        assert!(Contents::parse(&config(vec![layer(7)], 0)).is_err());
        assert!(Contents::parse(&config(vec![layer(-2)], 0)).is_err());
        assert!(Contents::parse(&config(vec![layer(-1)], 1)).is_err());
        assert!(Contents::parse(b"{").is_err());
    }

    #[test]
    fn every_form_of_manifest_names_its_configuration() {
        let (config, layer) = (Blob::of(CONFIG, b"c"), Blob::of("application/x", b"l"));
        for form in [Form::Image, Form::Index, Form::DockerIndex] {
            let (_, json) = manifest(form, &config, std::slice::from_ref(&layer)).unwrap();
            assert_eq!(config_of(&json).unwrap(), Some(config.clone()), "{form:?}");
        }
        assert_eq!(config_of(br#"{"config":{"mediaType":"x","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1},"layers":[]}"#).unwrap(), None);
    }
}
