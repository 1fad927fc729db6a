//! Files of the web, for ADD.

use std::path::PathBuf;
use std::sync::Arc;

use berth_images::Digest;
use futures_util::future::BoxFuture;

use crate::observe::StepName;
use crate::solve::Build;
use crate::{Error, Result, git};

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

/// A repository's files; dropped, they are gone.
#[derive(Debug)]
pub(crate) struct Checkout {
    pub(crate) folder: PathBuf,
    /// Which commit, and which folder of it: all that the files are.
    pub(crate) content: String,
}

impl Drop for Checkout {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Fetches a repository and checks which commit it must be.
pub(super) async fn check_out(
    build: &Arc<Build>,
    text: &str,
    checksum: Option<&str>,
    keeps_git_dir: bool,
) -> Result<Checkout> {
    let address = git::Address::parse(text)?.keeping_git_dir(keeps_git_dir);
    let secret =
        |id: String| -> BoxFuture<'_, _> { Box::pin(async move { build.sources.secret(&id).await }) };
    let authorization = git::authorization(&address, secret).await?;
    let folder = build.builder.contexts().join(format!("git-{}", crate::identity::fresh()?));
    std::fs::create_dir_all(&folder).map_err(Error::file("make folder", &folder))?;
    let mut checkout = Checkout { folder, content: String::new() };
    let agent = || -> BoxFuture<'static, _> {
        let build = build.clone();
        Box::pin(async move { build.sources.git_agent().await })
    };
    let access = git::Access { authorization: authorization.as_deref(), agent: &agent };
    let fetching = git::check_out(&build.builder, &address, access, &checkout.folder);
    let commit = tokio::select! {
        commit = fetching => commit?,
        () = build.cancel.cancelled() => return Err(Error::Cancelled),
    };
    if let Some(expected) = checksum
        && (expected.len() < 7 || !commit.starts_with(expected))
    {
        let reason = format!("expected checksum to match {expected}, got {commit}");
        return Err(Error::Download { url: address.shown().to_owned(), reason });
    }
    checkout.content = format!("git {commit} {}", address.part());
    Ok(checkout)
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
