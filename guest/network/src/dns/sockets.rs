//! A resolver's sockets in a container's namespace, and the translation that leads port 53 to them.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;

use super::address;
use crate::error::{Error, Result};
use crate::namespace;
use crate::nft::{Chain, ChainKind, Hook, Match, Nftables, Rule, Table, Verdict};
use crate::publish::Transport;
use crate::subnet::Subnet;

/// The usual turn of destination translation.
const DESTINATION_NAT: i32 = -100;

/// The sockets of one container.
pub(super) struct Sockets {
    pub(super) container: String,
    pub(super) datagrams: UdpSocket,
    pub(super) streams: TcpListener,
    /// Asked for what isn't a name here.
    pub(super) servers: Vec<IpAddr>,
}

impl Sockets {
    /// Opens them and points port 53 to them, away from those of an engine before.
    pub(super) fn open(container: &str, sandbox: &Path, table: &str, servers: Vec<IpAddr>) -> Result<Self> {
        let (datagrams, streams, mut rules) = namespace::within(sandbox, || {
            let (datagrams, streams) = (UdpSocket::bind(address(0))?, TcpListener::bind(address(0))?);
            datagrams.set_nonblocking(true)?;
            streams.set_nonblocking(true)?;
            Ok((datagrams, streams, Nftables::open()?))
        })?;
        let point = || {
            let translations = vec![
                translation(Transport::Udp, datagrams.local_addr()?.port()),
                translation(Transport::Tcp, streams.local_addr()?.port()),
            ];
            let output = Chain {
                name: "output",
                kind: ChainKind::Nat,
                hook: Hook::Output,
                priority: DESTINATION_NAT,
                rules: translations,
            };
            rules.commit(&Table { name: table.to_owned(), chains: vec![output] }.replace())
        };
        let mut point = point;
        point().map_err(|source| Error::Kernel {
            operation: "point port 53 to the resolver in",
            subject: container.to_owned(),
            source,
        })?;
        Ok(Self { container: container.to_owned(), datagrams, streams, servers })
    }
}

fn translation(transport: Transport, port: u16) -> Rule {
    let asked = Subnet::new(address(53).ip(), 32).map(Match::Destination);
    let matches = std::iter::once(Match::Port(transport, 53)).chain(asked).collect();
    Rule { matches, verdict: Verdict::Translate(address(port)) }
}
