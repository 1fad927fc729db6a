//! Manifests and blobs that aren't an image's: read and written as they are.

use std::sync::Arc;

use super::download;
use super::push;
use super::session::Session;
use super::upload;
use super::{Client, Credentials, scope};
use crate::content::Blob;
use crate::stack::Kept;
use crate::{Reference, Result, Store};

/// One repository of a registry, open for the length of an operation.
pub struct Repository {
    session: Arc<Session>,
    reference: Reference,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Repository").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens the repository that `reference` names, to read or also to write.
    ///
    /// # Errors
    /// When the registry can't be reached.
    pub async fn repository(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        to_write: bool,
    ) -> Result<Repository> {
        let reference = reference.clone().or_latest();
        let actions = if to_write { "pull,push" } else { "pull" };
        let session = self.first(reference.domain(), credentials, scope(&reference, actions)).await?;
        Ok(Repository { session: Arc::new(session), reference })
    }
}

impl Repository {
    /// The manifest or index under the reference.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn manifest(&self) -> Result<Vec<u8>> {
        let wanted = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or(crate::DEFAULT_TAG).to_owned(),
        };
        Ok(super::pull::fetch_manifest(&self.session, &self.reference, &wanted).await?.json)
    }

    /// Brings a blob into the store, continuing what an earlier attempt left.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn fetch(&self, client: &Client, store: &Store, blob: &Blob) -> Result<Kept> {
        let kept = Kept::new(store.pin([blob.digest.clone()]));
        let lock = client.in_flight.lock_of(&blob.digest);
        let _alone = lock.lock().await;
        if store.blobs().size(&blob.digest) != Some(blob.size) {
            let wanted = blob.descriptor();
            let (attempts, growth) = (client.options().attempts, Arc::default());
            let fetch =
                || download::blob(&self.session, store, &self.reference, &wanted, attempts, &growth, &|_| {});
            download::begun_or_afresh(store, &blob.digest, fetch).await?;
        }
        Ok(kept)
    }

    /// Brings a blob of the store here, unless it is.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn send(&self, store: &Store, blob: &Blob) -> Result<()> {
        let sources = store.repositories_with(&blob.digest, &self.reference);
        let blob = blob.descriptor();
        upload::upload(&self.session, store, &self.reference, &blob, &sources, |_| {}).await.map(drop)
    }

    /// Puts a manifest under the reference, whose blobs are here.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn put_manifest(&self, media_type: &str, json: Vec<u8>) -> Result<()> {
        push::put_manifest(&self.session, &self.reference, media_type, json).await
    }
}
