//! ICMP towards the guest: answers to its pings, and why a packet of its own didn't arrive (RFC 792, RFC 4443).

use std::io;
use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv4Repr, Ipv6Repr,
};

use crate::emit::Wire;
use crate::packet::{Packet, Path};

/// A ping or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo<'a> {
    pub(crate) ident: u16,
    pub(crate) number: u16,
    pub(crate) data: &'a [u8],
}

/// Why a packet doesn't arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nobody listens there, as far as the guest is concerned.
    Port,
    Host,
    Network,
    Prohibited,
}

impl Reason {
    /// What the host's refusal means to the guest.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Port,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Self::Network,
            io::ErrorKind::PermissionDenied => Self::Prohibited,
            _ => Self::Host,
        }
    }
}

/// A ping of the guest's, or an answer to one.
pub(crate) fn echo(protocol: IpProtocol, message: &[u8], answer: bool) -> Option<Echo<'_>> {
    let ignored = ChecksumCapabilities::ignored();
    if protocol == IpProtocol::Icmp {
        match Icmpv4Repr::parse(&Icmpv4Packet::new_checked(message).ok()?, &ignored).ok()? {
            Icmpv4Repr::EchoRequest { ident, seq_no, data } if !answer => {
                Some(Echo { ident, number: seq_no, data })
            }
            Icmpv4Repr::EchoReply { ident, seq_no, data } if answer => {
                Some(Echo { ident, number: seq_no, data })
            }
            _ => None,
        }
    } else {
        let nobody = std::net::Ipv6Addr::UNSPECIFIED;
        let packet = Icmpv6Packet::new_checked(message).ok()?;
        match Icmpv6Repr::parse(&nobody, &nobody, &packet, &ignored).ok()? {
            Icmpv6Repr::EchoRequest { ident, seq_no, data } if !answer => {
                Some(Echo { ident, number: seq_no, data })
            }
            Icmpv6Repr::EchoReply { ident, seq_no, data } if answer => {
                Some(Echo { ident, number: seq_no, data })
            }
            _ => None,
        }
    }
}

/// Which segment of ours the guest couldn't pass on, if that is what it says: where it went, and where it came from.
pub(crate) fn unreached(packet: &Packet<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let ignored = ChecksumCapabilities::ignored();
    let (protocol, to, from, data): (_, IpAddr, IpAddr, _) = if packet.protocol == IpProtocol::Icmp {
        match Icmpv4Repr::parse(&Icmpv4Packet::new_checked(packet.payload).ok()?, &ignored).ok()? {
            // RFC 1191, 4: it is too long, which is no reason to give up.
            Icmpv4Repr::DstUnreachable { reason: Icmpv4DstUnreachable::FragRequired, .. } => return None,
            Icmpv4Repr::DstUnreachable { header, data, .. } => {
                (header.next_header, header.dst_addr.into(), header.src_addr.into(), data)
            }
            _ => return None,
        }
    } else {
        let nobody = std::net::Ipv6Addr::UNSPECIFIED;
        match Icmpv6Repr::parse(&nobody, &nobody, &Icmpv6Packet::new_checked(packet.payload).ok()?, &ignored)
        {
            Ok(Icmpv6Repr::DstUnreachable { header, data, .. }) => {
                (header.next_header, header.dst_addr.into(), header.src_addr.into(), data)
            }
            _ => return None,
        }
    };
    let (source, rest) = data.split_first_chunk()?;
    let destination = rest.first_chunk()?;
    (protocol == IpProtocol::Tcp).then(|| {
        let port = |bytes: &[u8; 2]| u16::from_be_bytes(*bytes);
        (SocketAddr::new(to, port(destination)), SocketAddr::new(from, port(source)))
    })
}

/// Answers a ping.
pub(crate) fn reply(path: &Path, echo: &Echo<'_>, wire: &mut Wire<'_>) -> bool {
    let Echo { ident, number: seq_no, data } = *echo;
    match (path.remote, path.guest) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let message = Icmpv6Repr::EchoReply { ident, seq_no, data };
            wire.packet(path, IpProtocol::Icmpv6, message.buffer_len(), |bytes| {
                let mut packet = Icmpv6Packet::new_unchecked(bytes);
                message.emit(&from, &to, &mut packet, &ChecksumCapabilities::default());
            })
        }
        _ => {
            let message = Icmpv4Repr::EchoReply { ident, seq_no, data };
            wire.packet(path, IpProtocol::Icmp, message.buffer_len(), |bytes| {
                message.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
            })
        }
    }
}

/// Says why a packet didn't arrive, of which these are the protocol and the payload's first bytes, at least eight.
pub(crate) fn unreachable(
    path: &Path,
    protocol: IpProtocol,
    data: &[u8],
    reason: Reason,
    wire: &mut Wire<'_>,
) -> bool {
    let (next_header, payload_len, hop_limit) = (protocol, data.len(), 64);
    match (path.remote, path.guest) {
        (IpAddr::V4(remote), IpAddr::V4(guest)) => {
            let header = Ipv4Repr { src_addr: guest, dst_addr: remote, next_header, payload_len, hop_limit };
            let message = Icmpv4Repr::DstUnreachable { reason: reason_v4(reason), header, data };
            wire.packet(path, IpProtocol::Icmp, message.buffer_len(), |bytes| {
                message.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
            })
        }
        (IpAddr::V6(remote), IpAddr::V6(guest)) => {
            let header = Ipv6Repr { src_addr: guest, dst_addr: remote, next_header, payload_len, hop_limit };
            let message = Icmpv6Repr::DstUnreachable { reason: reason_v6(reason), header, data };
            wire.packet(path, IpProtocol::Icmpv6, message.buffer_len(), |bytes| {
                let mut packet = Icmpv6Packet::new_unchecked(bytes);
                message.emit(&remote, &guest, &mut packet, &ChecksumCapabilities::default());
            })
        }
        _ => true,
    }
}

fn reason_v4(reason: Reason) -> Icmpv4DstUnreachable {
    match reason {
        Reason::Port => Icmpv4DstUnreachable::PortUnreachable,
        Reason::Host => Icmpv4DstUnreachable::HostUnreachable,
        Reason::Network => Icmpv4DstUnreachable::NetUnreachable,
        Reason::Prohibited => Icmpv4DstUnreachable::CommProhibited,
    }
}

fn reason_v6(reason: Reason) -> Icmpv6DstUnreachable {
    match reason {
        Reason::Port => Icmpv6DstUnreachable::PortUnreachable,
        Reason::Host => Icmpv6DstUnreachable::AddrUnreachable,
        Reason::Network => Icmpv6DstUnreachable::NoRoute,
        Reason::Prohibited => Icmpv6DstUnreachable::AdminProhibit,
    }
}
