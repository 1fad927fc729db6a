//! A cache elsewhere as a build sees it: which steps it has, and their layers once one is asked for.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use berth_images::{Blob, Digest, Kept, Layer, Store};

use super::document::{self, Contents};
use super::{Depot, Noted};
use crate::files::Files;
use crate::steps::blocking;
use crate::{Builder, Error, Result};

/// The largest configuration that is read.
const LONGEST: u64 = 64 << 20;

/// An opened cache.
pub(crate) struct Remote {
    depot: Arc<dyn Depot>,
    contents: Contents,
    /// Steps by their keys.
    steps: HashMap<Digest, usize>,
}

impl Remote {
    /// Reads what a cache has; none when what lies there isn't one.
    pub(crate) async fn open(depot: Arc<dyn Depot>, store: &Store) -> Result<Option<Self>> {
        let manifest = depot.manifest().await?;
        let Some(config) = document::config_of(&manifest)? else { return Ok(None) };
        if config.size > LONGEST {
            return Err(Error::Invalid(format!("a cache's configuration has {} bytes", config.size)));
        }
        let kept = depot.fetch(store, &config).await?;
        let file = store.open_content(&config.digest)?;
        let contents = blocking(move || {
            let mut json = Vec::new();
            file.take(LONGEST)
                .read_to_end(&mut json)
                .map_err(Error::file("read", "a cache's configuration"))?;
            drop(kept);
            Contents::parse(&json)
        });
        let contents = contents.await?;
        let steps = contents.steps.iter().enumerate().map(|(at, step)| (step.key.clone(), at)).collect();
        Ok(Some(Self { depot, contents, steps }))
    }

    /// How many steps it has.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has a step.
    pub(crate) fn has(&self, key: &Digest) -> bool {
        self.steps.contains_key(key)
    }

    /// Brings a step's layers here, and into the builder's own cache. None when it hasn't got the step.
    pub(crate) async fn fetch(&self, builder: &Arc<Builder>, key: &Digest) -> Result<Option<Noted>> {
        let Some(step) = self.steps.get(key).map(|at| &self.contents.steps[*at]) else { return Ok(None) };
        let Some(chain) = self.contents.chain(step) else { return Ok(None) };
        let (mut layers, mut kept): (Vec<(Layer, Blob)>, Vec<Kept>) = Default::default();
        for wanted in chain {
            let below = layers.last().map(|(layer, _)| layer.chain_id.clone());
            let store = builder.store.clone();
            let chain_id = berth_images::chain_id(below.as_ref(), &wanted.diff_id);
            kept.push(store.keep_layers(std::slice::from_ref(&chain_id)));
            let mut blob = wanted.blob.clone();
            if let Some(known) = store.known_layer(&chain_id) {
                layers.push(known);
                continue;
            }
            kept.push(self.depot.fetch(&store, &blob).await?);
            let (diff_id, digest) = (wanted.diff_id.clone(), blob.digest.clone());
            let unpacked =
                blocking(move || Ok(store.unpack_layer(below.as_ref(), &diff_id, &digest)?)).await?;
            if blob.media_type.is_empty() {
                "application/vnd.oci.image.layer.v1.tar".clone_into(&mut blob.media_type);
            }
            layers.push((unpacked.0, blob));
            kept.push(unpacked.1);
        }
        let (builder, key, created) = (builder.clone(), key.clone(), step.created.clone());
        blocking(move || {
            builder.store.hold_with(key.hex(), &layers);
            let layers: Vec<Layer> = layers.into_iter().map(|(layer, _)| layer).collect();
            let files = Files::of_layers(layers, kept, key);
            builder.cache.adopt(&files, &created)?;
            Ok(Some(Noted { files, created }))
        })
        .await
    }
}
