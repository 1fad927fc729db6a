//! What is asked of a container's ports, and what became of it.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::publish::Transport;

/// One port of a container that should be reachable from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortWish {
    /// The transport.
    pub transport: Transport,
    /// The port inside the container.
    pub container_port: u16,
    /// The host's address to listen on; `None` is every address of both families.
    pub host_ip: Option<IpAddr>,
    /// Where to listen: the first free port of the range; `0..=0` lets the host choose.
    pub host_ports: RangeInclusive<u16>,
}

/// One open port. A wish for every address becomes one for each family that the publisher carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The transport.
    pub transport: Transport,
    /// The port inside the container.
    pub container_port: u16,
    /// The host's address.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
}
