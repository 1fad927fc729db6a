//! Addresses and routes.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::Kernel;
use crate::subnet::Subnet;

impl Kernel {
    /// Gives an interface an address; one that is there already is fine.
    pub(crate) fn add_address(&mut self, index: u32, address: IpAddr, length: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = length;
        message.header.index = index;
        if address.is_ipv6() {
            // Nobody else gives addresses out here: no second's wait for a duplicate.
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        if let (IpAddr::V4(network), true) = (address, length < 31)
            && let Some(subnet) = Subnet::new(network.into(), length)
            && let IpAddr::V4(last) = subnet.last()
        {
            message.attributes.push(AddressAttribute::Broadcast(last));
        }
        match self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => Ok(()),
            other => other,
        }
    }

    /// Every address of an interface that isn't link-local.
    pub(crate) fn addresses(&mut self, index: u32) -> io::Result<Vec<(IpAddr, u8)>> {
        let all = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        let ours = all.into_iter().filter_map(|message| {
            let RouteNetlinkMessage::NewAddress(message) = message else { return None };
            let address = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            })?;
            let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
            (message.header.index == index && !link_local).then_some((address, message.header.prefix_len))
        });
        Ok(ours.collect())
    }

    /// Takes an address from an interface.
    pub(crate) fn remove_address(&mut self, index: u32, address: IpAddr, length: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = length;
        message.header.index = index;
        message.attributes.push(AddressAttribute::Local(address));
        self.change(RouteNetlinkMessage::DelAddress(message), 0)
    }

    /// Makes this the way out, in place of another; an unspecified gateway is whoever is there.
    pub(crate) fn set_default_route(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let mut message = default_route(gateway);
        if gateway.is_unspecified() {
            message.header.scope = RouteScope::Link;
        } else {
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        message.attributes.push(RouteAttribute::Oif(index));
        self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Every destination that this namespace routes to, except the default.
    pub(crate) fn destinations(&mut self) -> io::Result<Vec<Subnet>> {
        let mut destinations = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let all = self.dump(RouteNetlinkMessage::GetRoute(message))?;
            destinations.extend(all.into_iter().filter_map(destination));
        }
        Ok(destinations)
    }

    /// The interface that packets to this address leave by.
    pub(crate) fn way_to(&mut self, address: IpAddr) -> io::Result<Option<u32>> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(address);
        message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        let answer = self.get(RouteNetlinkMessage::GetRoute(message))?;
        let Some(RouteNetlinkMessage::NewRoute(route)) = answer else { return Ok(None) };
        Ok(route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        }))
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn default_route(gateway: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message
}

fn destination(message: RouteNetlinkMessage) -> Option<Subnet> {
    let RouteNetlinkMessage::NewRoute(route) = message else { return None };
    let main = route.header.table == RouteHeader::RT_TABLE_MAIN;
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    let length = route.header.destination_prefix_length;
    (main && length > 0).then(|| Subnet::new(address, length)).flatten()
}
