//! A listener that outlives this process: its parent keeps it, so clients wait while the engine restarts.

use std::os::fd::OwnedFd;

use anyhow::Context;
use rustix::net::SocketFlags;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use crate::sys;

/// The listening descriptor.
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
