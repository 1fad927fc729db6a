//! A cache elsewhere as a build sees it: which steps it has, and their layers once one is asked for.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use berth_images::{Digest, Store};

use super::document::{self, Contents};
use super::{Depot, Noted};
use crate::cache::IMPORTED;
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
        let wanted = chain.into_iter().map(|layer| (layer.blob.clone(), layer.diff_id.clone()));
        let brought = super::bring(&*self.depot, &builder.store, wanted.collect(), &|_| {}).await?;
        let created = step.created.clone();
        let files = brought.adopted(builder, key.clone(), created.clone(), IMPORTED.to_owned()).await?;
        Ok(Some(Noted { files, created }))
    }
}
