//! Neighbour discovery and router advertisement (RFC 4861, 4862): the guest's IPv6 addresses and its way out, while the
//! host has one.

use std::net::{Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, NdiscNeighborFlags, NdiscPrefixInfoFlags,
    NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags,
};

use crate::emit::Wire;
use crate::packet::{Packet, Path};
use crate::settings::Settings;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The card of a group: its address's last four bytes (RFC 2464, 7).
const ALL_NODES_CARD: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 1]);
/// How often it is told unasked, and how long that holds: three times as long (RFC 4861, 6.2.1).
const EVERY: Duration = Duration::from_secs(600);
const LIFETIME: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(1800);

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// When to tell next; none while nobody asked.
    next: Option<Instant>,
}

impl Router {
    /// Answers questions for our card and for a router.
    pub(crate) fn answer(
        &mut self,
        packet: &Packet<'_>,
        question: &NdiscRepr<'_>,
        settings: &Settings,
        wire: &mut Wire<'_>,
        now: Instant,
    ) {
        match question {
            NdiscRepr::NeighborSolicit { target_addr, .. } if settings.is_ours((*target_addr).into()) => {
                tell_card(packet, *target_addr, wire);
            }
            NdiscRepr::RouterSolicit { .. } if has_way_out() => {
                self.next = Some(now + EVERY);
                advertise(settings, wire, LIFETIME);
            }
            _ => {}
        }
    }

    /// Tells who asked once, when it is time: the way out may have gone since.
    pub(crate) fn sweep(
        &mut self,
        settings: &Settings,
        wire: &mut Wire<'_>,
        now: Instant,
    ) -> Option<Instant> {
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + EVERY);
            let lifetime = if has_way_out() { LIFETIME } else { smoltcp::time::Duration::ZERO };
            advertise(settings, wire, lifetime);
        }
        self.next
    }
}

/// Whether this host would know where to send a packet for the internet.
fn has_way_out() -> bool {
    let somewhere = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1), 53);
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok_and(|socket| socket.connect(somewhere).is_ok())
}

/// Says that the address is our card's; to all, when who asks has no address yet.
fn tell_card(packet: &Packet<'_>, address: Ipv6Addr, wire: &mut Wire<'_>) {
    let path = &packet.path;
    let named = !path.guest.is_unspecified();
    let mut flags = NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::OVERRIDE;
    if named {
        flags |= NdiscNeighborFlags::SOLICITED;
    }
    let answer =
        NdiscRepr::NeighborAdvert { flags, target_addr: address, lladdr: Some(wire.hardware.into()) };
    let (card, guest) = if named { (path.card, path.guest) } else { (ALL_NODES_CARD, ALL_NODES.into()) };
    send(answer, &Path { card, ours: wire.hardware, guest, remote: address.into() }, wire);
}

fn advertise(settings: &Settings, wire: &mut Wire<'_>, lifetime: smoltcp::time::Duration) {
    let mut prefix = settings.v6.gateway.segments();
    prefix[4..].fill(0);
    let forever = smoltcp::time::Duration::from_secs(u32::MAX.into());
    let advertisement = NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: lifetime,
        reachable_time: smoltcp::time::Duration::ZERO,
        retrans_time: smoltcp::time::Duration::ZERO,
        lladdr: Some(wire.hardware.into()),
        mtu: Some(settings.mtu.into()),
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: forever,
            preferred_lifetime: forever,
            prefix: prefix.into(),
        }),
    };
    let (guest, remote) = (ALL_NODES.into(), settings.v6.router.into());
    let path = Path { card: ALL_NODES_CARD, ours: wire.hardware, guest, remote };
    send(advertisement, &path, wire);
}

fn send(message: NdiscRepr<'_>, path: &Path, wire: &mut Wire<'_>) {
    let (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) = (path.remote, path.guest) else { return };
    let message = Icmpv6Repr::Ndisc(message);
    wire.packet(path, IpProtocol::Icmpv6, message.buffer_len(), |bytes| {
        let mut packet = Icmpv6Packet::new_unchecked(bytes);
        message.emit(&from, &to, &mut packet, &ChecksumCapabilities::default());
    });
}
