//! Published ports. They are reconciled, not commanded: the guest owns the wanted set and always sends it whole;
//! the host closes what isn't in it. So a lost message or a restart on either side heals at the next set.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The transport of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A stream per connection.
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

/// The first message on a stream to [`crate::vsock::FORWARD`]; [`Forwarded`] answers, then bytes flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The transport.
    pub transport: Transport,
    /// The container's address, from [`Wanted::target`].
    pub target: SocketAddr,
    /// The peer that connected to the host.
    pub peer: SocketAddr,
}

/// The guest's answer to [`Forward`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// Connected; everything after this message is the connection's own bytes, or datagrams.
    Connected,
    /// The container didn't accept; the host resets its client.
    Refused,
}
