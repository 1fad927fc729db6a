//! Published ports. They are reconciled, not commanded: the guest owns the wanted set and always sends it whole;
//! the host closes what isn't in it. So a lost message or a restart on either side heals at the next set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The transport of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Connections: they reach the guest by its network, and no stream carries them.
    Tcp,
    /// Datagrams: a stream per peer, on which each follows its length ([`DatagramLength`]).
    Udp,
}

/// One port that the guest wants open on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wanted {
    /// The transport.
    pub transport: Transport,
    /// The host address to listen on, as the user asked.
    pub host_ip: IpAddr,
    /// The host port; 0 lets the host choose.
    pub host_port: u16,
    /// Where the guest forwards to: the container's address.
    pub target: SocketAddr,
}

/// What became of one [`Wanted`] port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Open at this port.
    Bound {
        /// The host port, chosen by the host when 0 was wanted.
        port: u16,
    },
    /// Not open.
    Refused {
        /// The reason's kind, for Docker's own wording.
        reason: Refusal,
    },
}

/// Why the host can't open a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Somebody else listens there.
    InUse,
    /// The user may not listen there.
    NotPermitted,
    /// The host has no such address.
    NoSuchAddress,
    /// The host can't do this transport yet.
    Unsupported,
}

/// Before a datagram: its length as a little-endian `u16`.
pub type DatagramLength = [u8; 2];

/// The longest payload of a datagram (RFC 768 over IPv4), in bytes.
pub const LONGEST_DATAGRAM: usize = 65_507;

/// The first message on a stream to [`crate::vsock::FORWARD`]; [`Forwarded`] answers, then datagrams flow. It also goes
/// with each connection that the host daemon hands to the machine's process, which brings it into the guest's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The container's address, from [`Wanted::target`].
    pub target: SocketAddr,
    /// The peer that connected to the host.
    pub peer: SocketAddr,
}

/// The guest's answer to [`Forward`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// Everything after this message is datagrams.
    Connected,
    /// There is no way to the container.
    Refused,
}

/// How the guest's network marks the connections that come from the host's published ports: nothing else in it does, so
/// that the guest lets these, and no others, reach its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// The hardware address that they come from.
    pub hardware: [u8; 6],
    /// Who connects where the container can't or mustn't see the peer: it gets to see its own network's gateway.
    pub hidden: (Ipv4Addr, Ipv6Addr),
    /// The next hop of what goes back by IPv6, a link-local address.
    pub router: Ipv6Addr,
}
