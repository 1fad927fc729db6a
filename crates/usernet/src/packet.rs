//! What a frame of the guest holds, as far as it concerns us. Everything in it is the guest's word.

use std::net::IpAddr;

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6FragmentHeader,
    Ipv6Packet,
};

use crate::fragments::Piece;

/// What is in a frame.
pub(crate) enum Content<'a> {
    /// A question or answer of ARP.
    Arp(&'a [u8]),
    /// A whole packet.
    Whole(Packet<'a>),
    /// A part of one.
    Piece(Piece<'a>),
}

/// An IP packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) path: Path,
    pub(crate) protocol: IpProtocol,
    pub(crate) payload: &'a [u8],
}

/// Between whom a packet travels: both addresses are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    /// The guest's card; containers may have several.
    pub(crate) card: EthernetAddress,
    /// Ours.
    pub(crate) ours: EthernetAddress,
    pub(crate) guest: IpAddr,
    pub(crate) remote: IpAddr,
}

/// Reads a frame; none when it isn't for one of our addresses, the first of which is meant by all, or isn't sound.
pub(crate) fn read(frame: &[u8], ours: [EthernetAddress; 2]) -> Option<Content<'_>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let (card, to) = (frame.src_addr(), frame.dst_addr());
    let ours = ours.into_iter().find(|ours| *ours == to || !to.is_unicast())?;
    if !card.is_unicast() {
        return None;
    }
    match frame.ethertype() {
        EthernetProtocol::Arp => Some(Content::Arp(frame.payload())),
        EthernetProtocol::Ipv4 => v4((card, ours), frame.payload()),
        EthernetProtocol::Ipv6 => v6((card, ours), frame.payload()),
        EthernetProtocol::Unknown(_) => None,
    }
}

/// Checksums aren't looked at: the frame has crossed no wire, and a card may leave them to us.
fn v4((card, ours): (EthernetAddress, EthernetAddress), bytes: &[u8]) -> Option<Content<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok().filter(|packet| packet.version() == 4)?;
    let path = Path { card, ours, guest: packet.src_addr().into(), remote: packet.dst_addr().into() };
    let whole = Packet { path, protocol: packet.next_header(), payload: packet.payload() };
    let (offset, more) = (usize::from(packet.frag_offset()), packet.more_frags());
    Some(if offset == 0 && !more {
        Content::Whole(whole)
    } else {
        Content::Piece(Piece { number: packet.ident().into(), offset, more, of: whole })
    })
}

/// Of the headers that may stand between, only that of fragments is known: others are for routers and groups.
fn v6((card, ours): (EthernetAddress, EthernetAddress), bytes: &[u8]) -> Option<Content<'_>> {
    let packet = Ipv6Packet::new_checked(bytes).ok().filter(|packet| packet.version() == 6)?;
    let path = Path { card, ours, guest: packet.src_addr().into(), remote: packet.dst_addr().into() };
    let payload = packet.payload();
    if packet.next_header() != IpProtocol::Ipv6Frag {
        return Some(Content::Whole(Packet { path, protocol: packet.next_header(), payload }));
    }
    // RFC 8200, 4.5: next header and a spare byte come before what is read here.
    let (next, rest) = (payload.first()?, payload.get(2..)?);
    let header = Ipv6FragmentHeader::new_checked(rest).ok()?;
    let of = Packet { path, protocol: IpProtocol::from(*next), payload: payload.get(8..)? };
    let offset = usize::from(header.frag_offset()) * 8;
    Some(Content::Piece(Piece { number: header.ident(), offset, more: header.more_frags(), of }))
}

impl Path {
    /// The addresses of what we answer, as they are written into packets.
    pub(crate) fn back(&self) -> (IpAddress, IpAddress) {
        (self.remote.into(), self.guest.into())
    }
}
