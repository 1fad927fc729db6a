//! Published UDP ports, the guest's half: one stream per peer, opened by [`protocol::port::Forward`]. (Connections to
//! published ports come by the card.)

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use berth_network::Peers;
use protocol::port::Forward;

use super::{control, datagrams, network, vsock};

/// How long the host may take to say who wants what.
const PATIENCE: Duration = Duration::from_secs(5);
/// What names of PID 1's own rules begin with; the engine has its own.
const NAME_PREFIX: &str = "berth-init";

/// Serves peers for ever, on threads of its own.
pub(super) fn serve(listener: OwnedFd) -> anyhow::Result<()> {
    let peers = Peers::prepare(NAME_PREFIX, network::CARD).unwrap_or_else(|error| {
        tracing::warn!(%error, "containers don't see who sends to their ports");
        Peers::hidden()
    });
    vsock::serve_each("forward", listener, move |stream| {
        if let Err(error) = carry(stream, &peers) {
            tracing::debug!("a peer's datagrams ended: {error:#}");
        }
    })
}

/// One peer.
fn carry(mut host: UnixStream, peers: &Peers) -> anyhow::Result<()> {
    host.set_read_timeout(Some(PATIENCE))?;
    let wanted: Forward = control::read(&mut host)?;
    host.set_read_timeout(None)?;
    datagrams::carry(host, || peers.datagrams(wanted.peer, wanted.target))
}
