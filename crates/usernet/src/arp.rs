//! ARP (RFC 826): which card has the gateway's address, and the host's.

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetProtocol};

use crate::emit::Wire;
use crate::settings::Settings;

/// Answers a question for one of our addresses.
pub(crate) fn answer(bytes: &[u8], settings: &Settings, wire: &mut Wire<'_>) {
    let question = ArpPacket::new_checked(bytes).and_then(|packet| ArpRepr::parse(&packet));
    let Ok(ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    }) = question
    else {
        return;
    };
    if !settings.is_ours(target_protocol_addr.into()) || !source_hardware_addr.is_unicast() {
        return;
    }
    let answer = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: wire.hardware,
        source_protocol_addr: target_protocol_addr,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    };
    let cards = (wire.hardware, source_hardware_addr);
    wire.frame(cards, EthernetProtocol::Arp, answer.buffer_len(), |bytes| {
        answer.emit(&mut ArpPacket::new_unchecked(bytes));
    });
}
