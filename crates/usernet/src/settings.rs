//! The network between the guest and us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::Policy;

/// Port of the resolver (RFC 1035, 4.2).
const DOMAIN: u16 = 53;

/// A network as its guest sees it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The gateway's hardware address.
    pub hardware: [u8; 6],
    /// What connections from outside come from instead, which nobody behind the guest can make us send: by this the guest
    /// knows them.
    pub door: [u8; 6],
    /// The guest's own card, to which they go.
    pub card: [u8; 6],
    /// The largest IP packet, in bytes; the guest's card must take it, too.
    pub mtu: u16,
    /// IPv4.
    pub v4: V4,
    /// IPv6, which the guest hears of while the host has a way out by it.
    pub v6: V6,
    /// What the guest may reach.
    pub policy: Policy,
    /// Names the resolvers that questions to the gateway are passed on to, as resolv.conf(5); read for each question.
    pub resolvers: PathBuf,
    /// The most connections, both ways. Each takes a descriptor.
    pub most_connections: usize,
    /// The most pairs of addresses that may exchange datagrams. Each takes a descriptor.
    pub most_exchanges: usize,
}

/// The IPv4 network.
#[derive(Debug, Clone, Copy)]
pub struct V4 {
    /// The way out, and the resolver.
    pub gateway: Ipv4Addr,
    /// Stands for the host; only what [`Policy::forwards`] names answers there.
    pub host: Ipv4Addr,
    /// What DHCP gives to the guest.
    pub guest: Ipv4Addr,
    /// How many leading bits they share.
    pub prefix: u8,
}

/// The IPv6 network, 64 bits long. The guest makes its own addresses (RFC 4862).
#[derive(Debug, Clone, Copy)]
pub struct V6 {
    /// The resolver's address, in the guest's prefix.
    pub gateway: Ipv6Addr,
    /// The way out; a link-local address.
    pub router: Ipv6Addr,
}

impl Settings {
    /// Whether the address is one that we answer for.
    pub(crate) fn is_ours(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address == self.v4.gateway || address == self.v4.host,
            IpAddr::V6(address) => address == self.v6.gateway || address == self.v6.router,
        }
    }

    /// The address under which the guest sees a peer of the host's: its own, or the gateway's where that would mean
    /// somebody else to the guest, or nobody.
    pub(crate) fn seen(&self, peer: IpAddr, target: IpAddr) -> IpAddr {
        let of_nobody = peer.is_loopback() || peer.is_unspecified() || peer.is_multicast();
        // Such an address means nothing without its link.
        let of_a_link = matches!(peer, IpAddr::V6(peer) if peer.is_unicast_link_local());
        let hidden = of_nobody || of_a_link || self.is_inside(peer) || self.is_ours(peer);
        if hidden || peer.is_ipv4() != target.is_ipv4() { self.gateway(target) } else { peer }
    }

    /// The gateway's address of the same family.
    pub(crate) fn gateway(&self, like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => self.v4.gateway.into(),
            IpAddr::V6(_) => self.v6.gateway.into(),
        }
    }

    /// Whether it lies in the network between the guest and us.
    pub(crate) fn is_inside(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.v4.prefix.min(32))).unwrap_or(0);
                (u32::from(address) ^ u32::from(self.v4.gateway)) & mask == 0
            }
            IpAddr::V6(address) => address.segments()[..4] == self.v6.gateway.segments()[..4],
        }
    }

    /// Whether questions are asked there.
    pub(crate) fn is_resolver(&self, address: SocketAddr) -> bool {
        let gateway = match address.ip() {
            IpAddr::V4(address) => address == self.v4.gateway,
            IpAddr::V6(address) => address == self.v6.gateway,
        };
        gateway && address.port() == DOMAIN
    }

    /// Where a connection or datagram of the guest goes on the host; none when it may not go there.
    pub(crate) fn way(&self, destination: SocketAddr) -> Option<SocketAddr> {
        let named = self.policy.forwards.get(&destination).copied();
        named.or_else(|| {
            let outside = !self.is_inside(destination.ip()) && self.policy.lets_out(destination.ip());
            outside.then_some(destination)
        })
    }
}
