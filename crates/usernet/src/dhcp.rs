//! A DHCP server (RFC 2131) with one address to give, for a guest that isn't told it otherwise.

use std::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};

use crate::emit::Wire;
use crate::packet::Path;
use crate::settings::Settings;

/// The server's and the client's port.
pub(crate) const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// The address is nobody else's, but a client that asks again notices a new network.
const LEASE_SECONDS: u32 = 24 * 60 * 60;
/// RFC 2132, 5.1.
const INTERFACE_MTU: u8 = 26;

/// Answers a client's message.
pub(crate) fn answer(bytes: &[u8], settings: &Settings, wire: &mut Wire<'_>) {
    let Ok(packet) = DhcpPacket::new_checked(bytes) else { return };
    let Ok(question) = DhcpRepr::parse(&packet) else { return };
    let v4 = &settings.v4;
    let elsewhere = question.server_identifier.is_some_and(|server| server != v4.gateway);
    let wants = question.requested_ip.unwrap_or(question.client_ip);
    let kind = match question.message_type {
        _ if elsewhere => return,
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if wants == v4.guest => DhcpMessageType::Ack,
        DhcpMessageType::Request => DhcpMessageType::Nak,
        DhcpMessageType::Inform => DhcpMessageType::Ack,
        _ => return,
    };
    let mtu = settings.mtu.to_be_bytes();
    let options = [DhcpOption { kind: INTERFACE_MTU, data: &mtu }];
    let answer = compose(&question, kind, settings, &options);
    // A client without an address hears only what all hear, unless its card's driver is asked for more.
    let guest = match question.client_ip {
        Ipv4Addr::UNSPECIFIED => Ipv4Addr::BROADCAST,
        address => address,
    };
    let card = if guest == Ipv4Addr::BROADCAST {
        EthernetAddress::BROADCAST
    } else {
        packet.client_hardware_address()
    };
    let path = Path { card, ours: wire.hardware, guest: IpAddr::V4(guest), remote: IpAddr::V4(v4.gateway) };
    let mut message = vec![0; answer.buffer_len()];
    if answer.emit(&mut DhcpPacket::new_unchecked(&mut message[..])).is_ok() {
        wire.datagram(&path, SERVER, CLIENT, &message);
    }
}

fn compose<'a>(
    question: &DhcpRepr<'_>,
    kind: DhcpMessageType,
    settings: &Settings,
    options: &'a [DhcpOption<'a>],
) -> DhcpRepr<'a> {
    let v4 = &settings.v4;
    let gives = kind != DhcpMessageType::Nak;
    let leases = gives && question.message_type != DhcpMessageType::Inform;
    let mask = u32::MAX.checked_shl(32 - u32::from(v4.prefix.min(32))).unwrap_or(0);
    DhcpRepr {
        message_type: kind,
        transaction_id: question.transaction_id,
        secs: 0,
        client_hardware_address: question.client_hardware_address,
        client_ip: if gives { question.client_ip } else { Ipv4Addr::UNSPECIFIED },
        your_ip: if leases { v4.guest } else { Ipv4Addr::UNSPECIFIED },
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: gives.then_some(v4.gateway),
        subnet_mask: gives.then(|| Ipv4Addr::from(mask)),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: question.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(v4.gateway),
        parameter_request_list: None,
        dns_servers: gives.then(|| std::iter::once(v4.gateway).collect()),
        max_size: None,
        lease_duration: leases.then_some(LEASE_SECONDS),
        renew_duration: None,
        rebind_duration: None,
        additional_options: if gives { options } else { &[] },
    }
}
