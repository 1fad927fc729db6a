//! Where the engine listens: `unix://PATH`, or `fd://N` for a listener that PID 1 keeps. Never a network by default.

use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use rustix::net::SocketFlags;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};

use crate::sys;

/// An address to listen on, as `--listen` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `unix://PATH`: a socket that only its owner may open.
    Unix(PathBuf),
    /// `fd://N`: a listening stream socket, unix or vsock, that the parent left open.
    Inherited(RawFd),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("fd", number)) => number
                .parse()
                .map(Self::Inherited)
                .map_err(|_| format!("{text}: expected fd:// and a descriptor's number")),
            _ => Err(format!("{text}: expected unix:///absolute/path")),
        }
    }
}

/// Opens the socket. A stale one is replaced; one that answers belongs to a running engine and is refused.
pub(crate) async fn unix(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    if UnixStream::connect(path).await.is_ok() {
        anyhow::bail!(
            "{} is in use: another engine answers there; stop it or choose another --listen",
            path.display()
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove the stale socket {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, owner_only).with_context(|| format!("restrict {}", path.display()))?;
    Ok(listener)
}

/// A listener that outlives this process: its parent keeps it, so clients wait while the engine restarts.
pub(crate) struct Inherited(AsyncFd<OwnedFd>);

impl Inherited {
    /// Listens on an open descriptor.
    pub(crate) fn new(listener: OwnedFd) -> anyhow::Result<Self> {
        rustix::io::ioctl_fionbio(&listener, true).context("make the listener non-blocking")?;
        sys::awaitable(listener).map(Self).context("wait on the listener")
    }

    async fn next(&self) -> std::io::Result<UnixStream> {
        loop {
            let mut ready = self.0.readable().await?;
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let accepted = ready.try_io(|listener| Ok(rustix::net::accept_with(listener.get_ref(), flags)?));
            if let Ok(accepted) = accepted {
                // The stream of whatever family reads, writes and ends like one of the unix family.
                return UnixStream::from_std(accepted?.into());
            }
        }
    }
}

impl axum::serve::Listener for Inherited {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            match self.next().await {
                Ok(stream) => return (stream, ()),
                Err(error) => {
                    tracing::warn!(%error, "a client can't be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_unix_paths_are_addresses() {
        assert_eq!("unix:///run/b.sock".parse(), Ok(Address::Unix("/run/b.sock".into())));
        assert!("unix://b.sock".parse::<Address>().is_err());
        assert!("/run/b.sock".parse::<Address>().is_err());
    }

    #[test]
    fn an_inherited_listener_is_named_by_its_number() {
        assert_eq!("fd://7".parse(), Ok(Address::Inherited(7)));
        assert!("fd://seven".parse::<Address>().is_err());
    }
}
