//! Who answers what: from a frame of the guest to the part that is meant.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::Registry;
use mio::event::Event;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, NdiscRepr, UdpPacket, UdpRepr};

use crate::datagram::Datagrams;
use crate::dns::Questions;
use crate::emit::Wire;
use crate::fragments::Fragments;
use crate::ndp::Router;
use crate::packet::{self, Content, Packet};
use crate::tcp::Connections;
use crate::token::{Owner, owner};
use crate::{Arrival, Link, Settings, arp, dhcp, host_names, icmp, resolvers};

/// How long after something happened deadlines are looked at, at the latest.
const SWEEP: Duration = Duration::from_millis(500);

/// The network, without the loop that drives it ([`crate::serve`]).
pub struct Stack {
    settings: Settings,
    registry: Registry,
    connections: Connections,
    datagrams: Datagrams,
    questions: Questions,
    router: Router,
    fragments: Fragments,
    /// Counts datagrams towards the guest.
    number: u32,
    next_sweep: Option<Instant>,
}

impl Stack {
    /// Of a network. Its sockets wait at `registry`, under numbers other than 0, which is the link's.
    pub fn new(settings: Settings, registry: Registry) -> Self {
        Self {
            settings,
            registry,
            connections: Connections::new(),
            datagrams: Datagrams::new(),
            questions: Questions::new(),
            router: Router::default(),
            fragments: Fragments::default(),
            number: 0,
            next_sweep: None,
        }
    }

    /// Takes a frame of the guest. What it asks for beyond reason, or can't be understood, is dropped.
    pub fn receive(&mut self, frame: &[u8], link: &mut dyn Link) {
        self.look_soon();
        let ours = [self.settings.hardware, self.settings.door].map(EthernetAddress);
        match packet::read(frame, ours) {
            Some(Content::Arp(bytes)) => {
                arp::answer(bytes, &self.settings, &mut wire(&self.settings, &mut self.number, link));
            }
            Some(Content::Whole(packet)) => self.dispatch(&packet, link),
            Some(Content::Piece(piece)) => {
                if let Some(whole) = self.fragments.take(&piece, Instant::now()) {
                    self.dispatch(&whole.packet(), link);
                }
            }
            None => {}
        }
    }

    /// Lets a connection from outside in; what can't be carried is reset.
    pub fn arrive(&mut self, arrival: Arrival) {
        self.look_soon();
        let Self { settings, registry, connections, .. } = self;
        if let Err(error) = connections.call(arrival, settings, registry, Instant::now()) {
            tracing::warn!(%error, "a connection to the guest can't be carried");
        }
    }

    /// Hears that a socket is ready.
    pub fn ready(&mut self, event: &Event, link: &mut dyn Link) {
        self.look_soon();
        let Self { settings, registry, connections, datagrams, questions, number, .. } = self;
        let mut wire = wire(settings, number, link);
        match owner(event.token()) {
            Owner::Link => {}
            Owner::Tcp => connections.ready(event, registry, &mut wire, Instant::now()),
            Owner::Datagram => datagrams.ready(event.token(), registry, &mut wire),
            Owner::Question => questions.ready(event.token(), registry, &mut wire),
        }
    }

    /// Moves a turn of the connections' bytes; whether there is more to do as soon as the link has room.
    pub fn run(&mut self, link: &mut dyn Link) -> bool {
        let Self { settings, connections, number, .. } = self;
        connections.run(&mut wire(settings, number, link), Instant::now())
    }

    /// How long nothing needs to be done if nothing happens; none: for ever.
    pub fn idle(&self) -> Option<Duration> {
        let next = self.next_sweep.into_iter().chain(self.connections.next_ack()).min();
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Looks at the deadlines, if it is time.
    pub fn sweep(&mut self, link: &mut dyn Link) {
        let now = Instant::now();
        self.connections.hurry(now);
        if self.next_sweep.is_none_or(|next| now < next) {
            return;
        }
        let Self { settings, registry, connections, datagrams, questions, router, number, .. } = self;
        let mut wire = wire(settings, number, link);
        let next = [
            connections.sweep(settings, registry, &mut wire, now),
            datagrams.sweep(now),
            questions.sweep(registry, &mut wire, now),
            router.sweep(settings, &mut wire, now),
        ];
        self.next_sweep = next.into_iter().flatten().min();
    }

    /// Something happened, and with it new deadlines.
    fn look_soon(&mut self) {
        let soon = Instant::now() + SWEEP;
        self.next_sweep = Some(self.next_sweep.map_or(soon, |next| next.min(soon)));
    }

    fn dispatch(&mut self, packet: &Packet<'_>, link: &mut dyn Link) {
        match packet.protocol {
            IpProtocol::Tcp if between_two(packet) => {
                let Self { settings, registry, connections, number, .. } = self;
                let mut wire = wire(settings, number, link);
                connections.receive(packet, settings, registry, &mut wire, Instant::now());
            }
            // To the door, there are answers to calls alone.
            _ if packet.path.ours == EthernetAddress(self.settings.door) => {}
            IpProtocol::Udp => self.datagram(packet, link),
            IpProtocol::Icmp if packet.path.guest.is_ipv4() => self.ping(packet, link),
            IpProtocol::Icmpv6 if packet.path.guest.is_ipv6() => self.neighbour(packet, link),
            _ => {}
        }
    }

    fn datagram(&mut self, packet: &Packet<'_>, link: &mut dyn Link) {
        let Self { settings, registry, datagrams, questions, number, .. } = self;
        let path = &packet.path;
        let (remote, guest) = path.back();
        let Ok(datagram) = UdpPacket::new_checked(packet.payload) else { return };
        let ignored = ChecksumCapabilities::ignored();
        let Ok(ports) = UdpRepr::parse(&datagram, &guest, &remote, &ignored) else { return };
        let mut wire = wire(settings, number, link);
        if ports.dst_port == dhcp::SERVER && path.guest.is_ipv4() && !between_two(packet) {
            return dhcp::answer(datagram.payload(), settings, &mut wire);
        }
        if !between_two(packet) || ports.src_port == 0 {
            return;
        }
        let (from, to) = (ports.src_port, ports.dst_port);
        if settings.is_resolver(SocketAddr::new(path.remote, to)) {
            let query = datagram.payload();
            if let Some(answer) = host_names::answer(query, settings.v4.host) {
                wire.datagram(path, to, from, &answer);
                return;
            }
            let resolvers = resolvers::read(&settings.resolvers);
            questions.ask(path, (from, to), query, resolvers, registry, &mut wire);
        } else if to == dhcp::SERVER && path.remote == IpAddr::V4(settings.v4.gateway) {
            dhcp::answer(datagram.payload(), settings, &mut wire);
        } else {
            datagrams.send(path, (from, to), datagram.payload(), settings, registry, &mut wire);
        }
    }

    fn neighbour(&mut self, packet: &Packet<'_>, link: &mut dyn Link) {
        let Some(question) = neighbours_question(packet) else { return self.ping(packet, link) };
        let Self { settings, router, number, .. } = self;
        router.answer(packet, &question, settings, &mut wire(settings, number, link), Instant::now());
    }

    fn ping(&mut self, packet: &Packet<'_>, link: &mut dyn Link) {
        let Self { settings, registry, connections, datagrams, number, .. } = self;
        if let Some((guest, remote)) = icmp::unreached(packet) {
            return connections.unreachable(guest, remote);
        }
        let Some(echo) = icmp::echo(packet.protocol, packet.payload, false) else { return };
        if !between_two(packet) {
            return;
        }
        let mut wire = wire(settings, number, link);
        if settings.is_ours(packet.path.remote) {
            icmp::reply(&packet.path, &echo, &mut wire);
        } else {
            datagrams.ping(&packet.path, &echo, packet.payload, settings, registry, &mut wire);
        }
    }
}

fn wire<'a>(settings: &Settings, number: &'a mut u32, link: &'a mut dyn Link) -> Wire<'a> {
    let hardware = EthernetAddress(settings.hardware);
    Wire { link, hardware, mtu: settings.mtu.into(), number }
}

/// Whether both addresses are those of one machine: others are never answered.
fn between_two(packet: &Packet<'_>) -> bool {
    let one = |address: IpAddr| {
        let everybody = address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
        !(address.is_unspecified() || address.is_multicast() || everybody)
    };
    one(packet.path.guest) && one(packet.path.remote)
}

fn neighbours_question<'a>(packet: &Packet<'a>) -> Option<NdiscRepr<'a>> {
    let (IpAddr::V6(remote), IpAddr::V6(guest)) = (packet.path.remote, packet.path.guest) else {
        return None;
    };
    let message = Icmpv6Packet::new_checked(packet.payload).ok()?;
    match Icmpv6Repr::parse(&guest, &remote, &message, &ChecksumCapabilities::ignored()).ok()? {
        Icmpv6Repr::Ndisc(question) => Some(question),
        _ => None,
    }
}
