//! Files of the web, for ADD.

use std::path::PathBuf;
use std::sync::Arc;

use berth_images::Digest;

use crate::observe::StepName;
use crate::solve::Build;
use crate::{Error, Result};

/// A downloaded file; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    /// Seconds since 1970, as the server says.
    pub(crate) modified: Option<i64>,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

pub(super) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Whether a source is a repository, by BuildKit's rules.
pub(super) fn is_git(text: &str) -> bool {
    let before_fragment = text.split('#').next().unwrap_or(text);
    text.starts_with("git://")
        || text.starts_with("git@")
        || text.starts_with("ssh://")
        || (is_url(text) && before_fragment.ends_with(".git"))
}

/// Downloads a file and checks what it must be.
pub(super) async fn fetch(
    build: &Arc<Build>,
    step: &StepName,
    url: &str,
    checksum: Option<&str>,
) -> Result<Fetched> {
    let path = build.builder.contexts().join(format!("download-{}", crate::identity::fresh()?));
    let report = |progress| build.observer.moves(step, &progress);
    let download = build.builder.registries.download(url, &path, &report);
    let downloaded = tokio::select! {
        downloaded = download => downloaded,
        () = build.cancel.cancelled() => Err(berth_images::Error::Interrupted("download")),
    };
    let downloaded = match downloaded {
        Ok(downloaded) => downloaded,
        Err(error) => {
            drop(tokio::fs::remove_file(&path).await);
            return Err(error.into());
        }
    };
    let without_query = url.split(['?', '#']).next().unwrap_or(url);
    let name = without_query.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = if name.is_empty() || matches!(name, "." | "..") { "download" } else { name };
    let fetched =
        Fetched { name: name.to_owned(), path, digest: downloaded.digest, modified: downloaded.modified };
    if let Some(expected) = checksum
        && expected != fetched.digest.to_string()
    {
        let reason = format!("digest mismatch {} : {expected}", fetched.digest);
        return Err(Error::Download { url: url.to_owned(), reason });
    }
    Ok(fetched)
}
