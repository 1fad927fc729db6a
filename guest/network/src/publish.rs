//! Published ports: the engine states the complete set it wants, a [`PortPublisher`] makes it so.
//!
//! Natively a publisher opens sockets on this machine; in a VM it asks the host daemon.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A stream per connection.
    Tcp,
    /// Datagrams.
    Udp,
    /// SCTP, which Docker's syntax allows and no publisher here carries.
    Sctp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One port that should be open on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The transport.
    pub transport: Transport,
    /// The host address to listen on, as the user asked.
    pub host_ip: IpAddr,
    /// The host port; 0 lets the host choose. Once chosen, the engine asks for that one again, so that a port
    /// stays the same across reconnects.
    pub host_port: u16,
    /// The container's address and port.
    pub target: SocketAddr,
}

/// What became of one [`Wanted`] port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Open at this port of the host.
    Bound(u16),
    /// Not open.
    Refused(Refusal),
}

/// Why a port isn't open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else listens there.
    InUse,
    /// The user may not listen there.
    NotPermitted,
    /// The host has no such address.
    NoSuchAddress,
    /// This transport can't be published here.
    Unsupported,
    /// The host didn't answer before the deadline.
    NoAnswer,
}

/// Those that are open, at the ports that they have.
pub(crate) fn open(wanted: &[Wanted], outcomes: &[Outcome]) -> Vec<Wanted> {
    let open = wanted.iter().zip(outcomes).filter_map(|(wanted, outcome)| match outcome {
        Outcome::Bound(port) => Some(Wanted { host_port: *port, ..wanted.clone() }),
        Outcome::Refused(_) => None,
    });
    open.collect()
}

/// Opens and closes ports on the host so that exactly the wanted set is open.
pub trait PortPublisher: Send + Sync {
    /// Makes `wanted` the complete set: opens what is new, keeps what stays (its connections too), closes the
    /// rest. Returns one outcome per entry, in order. Blocks until the host answered or its deadline passed;
    /// called from a thread that may block. A refused entry leaves the others as asked.
    fn reconcile(&self, wanted: &[Wanted]) -> Vec<Outcome>;
}
