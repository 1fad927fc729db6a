//! Writing packets to the guest: from the far end of a path to its near one.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, IpRepr, IpVersion,
    Ipv4Packet, Ipv6FragmentRepr, UdpPacket, UdpRepr,
};

use crate::Link;
use crate::packet::Path;

/// As routers far away would leave it.
const HOPS: u8 = 64;
/// Neighbours believe only what no router passed on (RFC 4861, 7.1).
const NEIGHBOURS_HOPS: u8 = 255;
/// What the networks behind the guest carry in one piece. IPv6 routers cut nothing, so we do.
const USUAL_MTU: usize = 1500;
/// Header of IPv6, and of a fragment in it.
const V6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;
const UDP_HEADER: usize = 8;

/// The way to the guest. Each of its functions says whether there was room.
pub(crate) struct Wire<'a> {
    pub(crate) link: &'a mut dyn Link,
    pub(crate) hardware: EthernetAddress,
    pub(crate) mtu: usize,
    /// Counts datagrams that the guest may cut.
    pub(crate) number: &'a mut u32,
}

impl Wire<'_> {
    /// A frame between those cards whose payload of that length `fill` writes, over zeros.
    pub(crate) fn frame(
        &mut self,
        (from, to): (EthernetAddress, EthernetAddress),
        ethertype: EthernetProtocol,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> bool {
        let Some(room) = self.link.room(EthernetFrame::<&[u8]>::buffer_len(length)) else { return false };
        room.fill(0);
        let mut frame = EthernetFrame::new_unchecked(room);
        EthernetRepr { src_addr: from, dst_addr: to, ethertype }.emit(&mut frame);
        fill(frame.payload_mut());
        true
    }

    /// A packet whose payload of that length `fill` writes.
    pub(crate) fn packet(
        &mut self,
        path: &Path,
        protocol: IpProtocol,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> bool {
        let (from, to) = path.back();
        let hops = if protocol == IpProtocol::Icmpv6 { NEIGHBOURS_HOPS } else { HOPS };
        let header = IpRepr::new(from, to, protocol, length, hops);
        let ethertype = match header.version() {
            IpVersion::Ipv4 => EthernetProtocol::Ipv4,
            IpVersion::Ipv6 => EthernetProtocol::Ipv6,
        };
        self.frame((path.ours, path.card), ethertype, header.buffer_len(), |bytes| {
            let (head, body) = bytes.split_at_mut(header.header_len());
            header.emit(head, &ChecksumCapabilities::default());
            fill(body);
        })
    }

    /// A datagram, which networks with a smaller MTU behind the guest may cut. One that no packet holds is lost, as
    /// datagrams are.
    pub(crate) fn datagram(&mut self, path: &Path, from: u16, to: u16, payload: &[u8]) -> bool {
        let length = UDP_HEADER + payload.len();
        let (source, destination) = path.back();
        let fill = |bytes: &mut [u8]| write_datagram(bytes, (source, from), (destination, to), payload);
        if length + V6_HEADER > self.mtu {
            return true;
        }
        *self.number = self.number.wrapping_add(1);
        match (source, destination) {
            (IpAddress::Ipv6(_), _) if length + V6_HEADER > USUAL_MTU => self.pieces(path, length, fill),
            (IpAddress::Ipv6(_), _) => self.packet(path, IpProtocol::Udp, length, fill),
            (IpAddress::Ipv4(_), _) => self.divisible(path, length, fill),
        }
    }

    /// An IPv4 packet that routers may cut.
    fn divisible(&mut self, path: &Path, length: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let (from, to) = path.back();
        let header = IpRepr::new(from, to, IpProtocol::Udp, length, HOPS);
        let [.., high, low] = self.number.to_be_bytes();
        self.frame((path.ours, path.card), EthernetProtocol::Ipv4, header.buffer_len(), |bytes| {
            let (head, body) = bytes.split_at_mut(header.header_len());
            header.emit(&mut *head, &ChecksumCapabilities::ignored());
            let mut head = Ipv4Packet::new_unchecked(head);
            head.set_dont_frag(false);
            head.set_ident(u16::from_be_bytes([high, low]));
            head.fill_checksum();
            fill(body);
        })
    }

    /// An IPv6 packet in pieces.
    fn pieces(&mut self, path: &Path, length: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        // All but the last are a multiple of eight bytes long.
        const PIECE: usize = (USUAL_MTU - V6_HEADER - FRAGMENT_HEADER) / 8 * 8;
        let mut whole = vec![0; length];
        fill(&mut whole);
        let (count, ident) = (length.div_ceil(PIECE), *self.number);
        whole.chunks(PIECE).enumerate().all(|(index, piece)| {
            let frag_offset = u16::try_from(index * PIECE / 8).unwrap_or(u16::MAX);
            let header = Ipv6FragmentRepr { frag_offset, more_frags: index + 1 < count, ident };
            self.packet(path, IpProtocol::Ipv6Frag, FRAGMENT_HEADER + piece.len(), |bytes| {
                bytes[0] = IpProtocol::Udp.into();
                header.emit(&mut smoltcp::wire::Ipv6FragmentHeader::new_unchecked(&mut bytes[2..]));
                bytes[FRAGMENT_HEADER..].copy_from_slice(piece);
            })
        })
    }
}

/// Writes header and payload.
pub(crate) fn write_datagram(
    bytes: &mut [u8],
    (source, from): (IpAddress, u16),
    (destination, to): (IpAddress, u16),
    payload: &[u8],
) {
    let ports = UdpRepr { src_port: from, dst_port: to };
    ports.emit(
        &mut UdpPacket::new_unchecked(bytes),
        &source,
        &destination,
        payload.len(),
        |room| room.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
}
