//! Where a build's files, secrets and agents come from: an unpacked archive, or a client's session.

use std::path::PathBuf;
use std::sync::Arc;

use berth_images::registry::Credentials;
use berth_images::{ImageConfig, Platform};
use futures_util::future::BoxFuture;
use tokio::io::DuplexStream;

use crate::Result;
use crate::files::Files;
use crate::known::Known;

/// A folder that came from elsewhere: where it is now, and what is known of its files.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: PathBuf,
    pub(crate) known: Arc<Known>,
}

impl Received {
    /// A folder of which nothing is known.
    pub(crate) fn anew(path: PathBuf) -> Self {
        Self { path, known: Arc::default() }
    }
}

/// A context by a name of its own (`--build-context`).
#[derive(Debug, Clone)]
pub(crate) enum Named {
    /// A folder here.
    Folder(Received),
    /// An image, by name.
    Image(String),
    /// An image that came from the client.
    Here(Files, Arc<ImageConfig>),
}

/// What a build may ask its client for.
pub(crate) trait Sources: Send + Sync {
    /// The main context's folder, received when first asked for.
    fn context(&self) -> BoxFuture<'_, Result<Received>>;
    /// Whether there is a context called so for the platform; nothing is fetched.
    fn has(&self, _name: &str, _platform: Option<&Platform>) -> bool {
        false
    }
    /// The context called so, of several images the one for the platform (none is this machine's). None when there is no
    /// such.
    fn named<'a>(
        &'a self,
        _name: &'a str,
        _platform: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<Option<Named>>> {
        Box::pin(async { Ok(None) })
    }
    /// A secret; none when the client has none of that name.
    fn secret<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async { Ok(None) })
    }
    /// Who the client is to a registry; none when it doesn't say.
    fn credentials<'a>(&'a self, _registry: &'a str) -> BoxFuture<'a, Result<Option<Credentials>>> {
        Box::pin(async { Ok(None) })
    }
    /// A socket at `_socket` that leads to the client's agent; none when it has none of that name.
    fn agent<'a>(&'a self, _id: &'a str, _socket: PathBuf) -> BoxFuture<'a, Result<Option<Agent>>> {
        Box::pin(async { Ok(None) })
    }
    /// A connection to the client's agent for git; none when it has none.
    fn git_agent(&self) -> BoxFuture<'_, Option<DuplexStream>> {
        Box::pin(async { None })
    }
}

/// An agent's socket, served while this lives.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Where the socket is.
    pub(crate) socket: PathBuf,
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) serving: tokio_util::task::AbortOnDropHandle<()>,
}
