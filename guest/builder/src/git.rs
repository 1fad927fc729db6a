//! Git repositories as build contexts and sources of ADD, fetched by git's own protocol over HTTP or SSH (one commit
//! deep) and checked out without a git program. Every object is known by the hash of its content, so that
//! what is checked out is what the commit says, whoever sent it.
//!
//! What it doesn't do: the `git://` protocol, repositories whose objects are named by SHA-256, filters of
//! `.gitattributes`.

mod address;
mod checkout;
mod fetch;
mod lines;
mod modules;
mod object;
mod pack;
mod repository;
mod ssh;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use futures_util::future::BoxFuture;
use tokio::io::DuplexStream;

use crate::steps::blocking;
use crate::{Builder, Error, Result};

pub(crate) use address::Address;
use object::Id;

/// Repositories within repositories.
const DEEPEST: usize = 8;

/// The client's agent that git asks, as with BuildKit.
pub(crate) const AGENT: &str = "default";

/// Who a build is to repositories.
#[derive(Clone, Copy)]
pub(crate) struct Access<'a> {
    /// Sent over HTTP to the repository's own host alone.
    pub(crate) authorization: Option<&'a str>,
    /// Connects to the client's SSH agent; none when it has none.
    pub(crate) agent: &'a (dyn Fn() -> BoxFuture<'static, Option<DuplexStream>> + Send + Sync),
}

impl Access<'_> {
    /// Nobody.
    pub(crate) const ANONYMOUS: Access<'static> =
        Access { authorization: None, agent: &|| Box::pin(async { None }) };
}

/// Checks a repository out into an empty folder, its submodules too; says which commit.
pub(crate) async fn check_out(
    builder: &Arc<Builder>,
    address: &Address,
    access: Access<'_>,
    folder: &Path,
) -> Result<String> {
    check_out_at(builder, address, access, folder, DEEPEST).await
}

async fn check_out_at(
    builder: &Arc<Builder>,
    address: &Address,
    access: Access<'_>,
    folder: &Path,
    depth: usize,
) -> Result<String> {
    let fetched = fetch::fetch(builder, address, access).await?;
    let (to, of) = (folder.to_owned(), address.clone());
    let (commit, modules) = blocking(move || {
        let pack = pack::Pack::open(fetched.pack.path())?;
        let checkout = checkout::check_out(&pack, &fetched.named.commit, &of.subfolder, &to)?;
        if of.keeps_git_dir {
            repository::write(&to, &of, &fetched, &pack, &checkout)?;
        }
        Ok((checkout.commit, checkout.modules))
    })
    .await?;
    for module in modules {
        let depth = depth.checked_sub(1).ok_or_else(|| {
            Error::Invalid(format!("{}: submodules are nested deeper than {DEEPEST}", address.shown()))
        })?;
        let within = address.module(&module.url, &module.commit)?;
        let authorization = access.authorization.filter(|_| within.has_host_of(address));
        let access = Access { authorization, ..access };
        let folder = folder.join(&module.path);
        Box::pin(check_out_at(builder, &within, access, &folder, depth)).await?;
    }
    Ok(commit.to_string())
}

/// What a repository's host is told of who we are, by the client's secrets (BuildKit's `GIT_AUTH_HEADER` and
/// `GIT_AUTH_TOKEN`, with the host behind a dot or for every host).
pub(crate) async fn authorization<'a>(
    address: &'a Address,
    secret: impl Fn(String) -> BoxFuture<'a, Result<Option<Vec<u8>>>>,
) -> Result<Option<String>> {
    for (name, is_token) in [("GIT_AUTH_HEADER", false), ("GIT_AUTH_TOKEN", true)] {
        for id in [format!("{name}.{}", address.host()), name.to_owned()] {
            let Some(value) = secret(id).await? else { continue };
            let value =
                String::from_utf8(value).map_err(|_| wrong(format!("the secret {name} is no text")))?;
            let token = format!("x-access-token:{}", value.trim());
            return Ok(Some(match is_token {
                true => format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(token)),
                false => value.trim().to_owned(),
            }));
        }
    }
    Ok(None)
}

/// A file of a checkout, as git's index has it.
struct Tracked {
    path: String,
    mode: u32,
    id: Id,
}

/// A submodule: where in the checkout, and what.
struct Module {
    path: String,
    url: String,
    commit: Id,
}

fn wrong(what: impl Into<String>) -> Error {
    Error::Invalid(format!("git: {}", what.into()))
}
