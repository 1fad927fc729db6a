//! A cache in a registry's repository.

use std::io::Read as _;

use berth_images::registry::{Client, Credentials, Repository};
use berth_images::{Blob, Kept, Reference, Store};
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::Depot;
use crate::steps::blocking;
use crate::{Error, Result};

/// The repository, opened when it is first needed.
pub(crate) struct Registry {
    client: Client,
    reference: Reference,
    credentials: Option<Credentials>,
    to_write: bool,
    repository: OnceCell<Repository>,
}

impl Registry {
    pub(crate) fn new(
        client: Client,
        reference: Reference,
        credentials: Option<Credentials>,
        to_write: bool,
    ) -> Self {
        Self { client, reference, credentials, to_write, repository: OnceCell::new() }
    }

    async fn repository(&self) -> Result<&Repository> {
        let open = || self.client.repository(&self.reference, self.credentials.as_ref(), self.to_write);
        Ok(self.repository.get_or_try_init(open).await?)
    }
}

impl Depot for Registry {
    fn name(&self) -> String {
        self.reference.canonical()
    }

    fn manifest(&self) -> BoxFuture<'_, Result<Vec<u8>>> {
        Box::pin(async { Ok(self.repository().await?.manifest().await?) })
    }

    fn fetch<'a>(&'a self, store: &'a Store, blob: &'a Blob) -> BoxFuture<'a, Result<Kept>> {
        Box::pin(async move { Ok(self.repository().await?.fetch(&self.client, store, blob).await?) })
    }

    fn send<'a>(&'a self, store: &'a Store, blob: &'a Blob) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { Ok(self.repository().await?.send(store, blob).await?) })
    }

    fn finish<'a>(&'a self, store: &'a Store, manifest: &'a Blob) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut file = store.open_content(&manifest.digest)?;
            let json = blocking(move || {
                let mut json = Vec::new();
                file.read_to_end(&mut json).map_err(Error::file("read", "the cache's manifest"))?;
                Ok(json)
            });
            let json = json.await?;
            Ok(self.repository().await?.put_manifest(&manifest.media_type, json).await?)
        })
    }
}
