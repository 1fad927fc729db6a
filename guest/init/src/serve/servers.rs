//! The API behind each of the engine's listeners.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;

use crate::daemon_json::Reach;
use crate::listen::{self, Address, Inherited, Secure};
use crate::sys;

/// How long open requests may take once the engine ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// Every listener, served.
pub(super) struct Servers {
    router: Router,
    end: watch::Sender<bool>,
    running: JoinSet<std::io::Result<()>>,
    sockets: Vec<PathBuf>,
}

impl Servers {
    /// None yet.
    pub(super) fn new(router: Router) -> Self {
        Self { router, end: watch::Sender::new(false), running: JoinSet::new(), sockets: Vec::new() }
    }

    /// Opens every address. In a VM the addresses of the network are the host's: what comes from there comes through
    /// the inherited listener `remote`.
    pub(super) async fn open(
        &mut self,
        reach: &Reach,
        group: Option<&str>,
        remote: Option<OwnedFd>,
    ) -> anyhow::Result<()> {
        for address in &reach.addresses {
            match address {
                Address::Unix(path) => {
                    let listener = listen::unix(path, group).await?;
                    self.sockets.push(path.clone());
                    self.serve(listener);
                }
                Address::Inherited(number) => self.serve(Inherited::new(sys::inherited(*number)?)?),
                Address::Tcp(_) if remote.is_some() => {}
                Address::Tcp(address) => {
                    let listener = listen::tcp(address).await?;
                    // Small answers don't wait for more.
                    let quick = listener.tap_io(|client| drop(client.set_nodelay(true)));
                    self.serve_remote(quick, reach.tls.as_ref());
                }
            }
            tracing::info!(%address, "listening");
        }
        let is_remote = |address: &Address| matches!(address, Address::Tcp(_));
        if let Some(listener) = remote.filter(|_| reach.addresses.iter().any(is_remote)) {
            self.serve_remote(Inherited::new(listener)?, reach.tls.as_ref());
        }
        Ok(())
    }

    /// Serves clients of a network.
    fn serve_remote<L>(&mut self, listener: L, tls: Option<&Arc<ServerConfig>>)
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        match tls {
            Some(config) => self.serve(Secure::new(listener, Arc::clone(config))),
            None => self.serve(listener),
        }
    }

    fn serve<L>(&mut self, listener: L)
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let mut ended = self.end.subscribe();
        let until_end = async move { ended.wait_for(|end| *end).await.map_or((), |_| ()) };
        let server = axum::serve(listener, self.router.clone()).with_graceful_shutdown(until_end);
        self.running.spawn(server.into_future());
    }

    /// Accepts nobody any more and gives open requests a moment.
    pub(super) async fn end(mut self) {
        self.end.send_replace(true);
        // Streams that follow something have no end of their own.
        let goodbye = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            self.running.abort_all();
        }
        for socket in &self.sockets {
            drop(std::fs::remove_file(socket));
        }
    }
}
