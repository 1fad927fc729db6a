//! Caches elsewhere: steps with their layers, kept in a registry or in a folder of the client's, in BuildKit's form
//! (`application/vnd.buildkit.cacheconfig.v0`). Keys are our own, so that a cache of BuildKit's is read and serves
//! nothing here, and the reverse.

mod document;
mod registry;
mod remote;

use std::sync::Arc;

use berth_images::{Blob, Digest, Kept, Layer, Packing, Store};
use futures_util::future::BoxFuture;

use crate::files::Files;
use crate::steps::blocking;
use crate::{Builder, Result};

pub(crate) use document::Form;
pub(crate) use registry::Registry;
pub(crate) use remote::Remote;

/// Where a cache lies: blobs by their names, and one manifest. What is sent or fetched lies in the store.
pub(crate) trait Depot: Send + Sync {
    /// How progress names it.
    fn name(&self) -> String;
    /// The manifest that is there.
    fn manifest(&self) -> BoxFuture<'_, Result<Vec<u8>>>;
    /// Brings a blob into the store.
    fn fetch<'a>(&'a self, store: &'a Store, blob: &'a Blob) -> BoxFuture<'a, Result<Kept>>;
    /// Brings a blob from the store, unless it is there.
    fn send<'a>(&'a self, store: &'a Store, blob: &'a Blob) -> BoxFuture<'a, Result<()>>;
    /// Puts the manifest there, whose blobs all are.
    fn finish<'a>(&'a self, store: &'a Store, manifest: &'a Blob) -> BoxFuture<'a, Result<()>>;
}

/// A step that a build made or found: its files under its key, and when it was made.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    pub(crate) files: Files,
    pub(crate) created: String,
}

/// Saves steps with their layers; gives back what the manifest is. `told` hears of each blob once it is there.
pub(crate) async fn save(
    depot: &Arc<dyn Depot>,
    store: &Store,
    steps: &[Noted],
    form: Form,
    packing: Packing,
    told: &(dyn Fn(&Blob) + Send + Sync),
) -> Result<Blob> {
    let (shared, noted) = (store.clone(), steps.to_vec());
    let (blobs, config, manifest, _kept) = blocking(move || {
        let (mut layers, mut kept) = (Vec::new(), Vec::new());
        for layer in noted.iter().flat_map(|step| &step.files.layers) {
            kept.extend(add(&mut layers, &shared, layer, &packing)?);
        }
        let config = document::config(&noted, &layers)?;
        let config_blob = Blob::of(document::CONFIG, &config);
        let mut blobs: Vec<Blob> = layers.into_iter().map(|(_, blob)| blob).collect();
        let (media_type, manifest) = document::manifest(form, &config_blob, &blobs)?;
        kept.extend([shared.put_content(&config)?, shared.put_content(&manifest)?]);
        blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        blobs.dedup_by(|a, b| a.digest == b.digest);
        Ok((blobs, config_blob, Blob::of(media_type, &manifest), kept))
    })
    .await?;
    for blob in blobs.iter().chain([&config]) {
        depot.send(store, blob).await?;
        told(blob);
    }
    depot.finish(store, &manifest).await?;
    told(&manifest);
    Ok(manifest)
}

/// Layers that were brought here, with the blobs that they came in, lowest first.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    layers: Vec<(Layer, Blob)>,
    kept: Vec<Kept>,
}

/// Brings layers here that lie elsewhere as blobs with these diff ids, lowest first; those that are here stay as they are.
/// `told` hears of each blob once it is here.
pub(crate) async fn bring(
    depot: &dyn Depot,
    store: &Store,
    wanted: Vec<(Blob, Digest)>,
    told: &(dyn Fn(&Blob) + Send + Sync),
) -> Result<Brought> {
    let mut brought = Brought::default();
    for (mut blob, diff_id) in wanted {
        let below = brought.layers.last().map(|(layer, _)| layer.chain_id.clone());
        let chain_id = berth_images::chain_id(below.as_ref(), &diff_id);
        brought.kept.push(store.keep_layers(std::slice::from_ref(&chain_id)));
        if let Some(known) = store.known_layer(&chain_id) {
            brought.layers.push(known);
            continue;
        }
        brought.kept.push(depot.fetch(store, &blob).await?);
        told(&blob);
        let (store, digest) = (store.clone(), blob.digest.clone());
        let unpacked = blocking(move || Ok(store.unpack_layer(below.as_ref(), &diff_id, &digest)?)).await?;
        if blob.media_type.is_empty() {
            "application/vnd.oci.image.layer.v1.tar".clone_into(&mut blob.media_type);
        }
        brought.layers.push((unpacked.0, blob));
        brought.kept.push(unpacked.1);
    }
    Ok(brought)
}

impl Brought {
    /// Notes the layers in the builder's cache: under which key, made when, and what they are.
    pub(crate) async fn adopted(
        self,
        builder: &Arc<Builder>,
        key: Digest,
        created: String,
        text: String,
    ) -> Result<Files> {
        let builder = builder.clone();
        blocking(move || {
            builder.store.hold_with(key.hex(), &self.layers);
            let layers: Vec<Layer> = self.layers.into_iter().map(|(layer, _)| layer).collect();
            let files = Files::of_layers(layers, self.kept, key);
            builder.cache.adopt(&files, &created, &text)?;
            Ok(files)
        })
        .await
    }
}

/// Adds a layer once, after those below it.
fn add(
    layers: &mut Vec<(Layer, Blob)>,
    store: &Store,
    layer: &Layer,
    packing: &Packing,
) -> Result<Option<Kept>> {
    if layers.iter().any(|(known, _)| known.chain_id == layer.chain_id) {
        return Ok(None);
    }
    let (blob, kept) = store.packed_layer(layer, packing)?;
    layers.push((layer.clone(), blob));
    Ok(Some(kept))
}
