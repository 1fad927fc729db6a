//! The way that packets take when there is no other.

use std::io;
use std::net::Ipv6Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Kernel;

/// Behind every other way: those that a router tells of have 1024.
const METRIC: u32 = 1 << 20;

impl Kernel {
    /// Sends what has no other way by IPv6 to a neighbour on that card; twice is fine.
    pub(crate) fn add_last_resort(&mut self, card: u32, router: Ipv6Addr) -> io::Result<()> {
        let mut route = RouteMessage::default();
        route.header.address_family = AddressFamily::Inet6;
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.protocol = RouteProtocol::Boot;
        route.header.scope = RouteScope::Universe;
        route.header.kind = RouteType::Unicast;
        route.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet6(router)));
        route.attributes.push(RouteAttribute::Oif(card));
        route.attributes.push(RouteAttribute::Priority(METRIC));
        self.change(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE)
    }
}
