//! The machine's network: loopback and `eth0` up, one address, one way out, the names of the host.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::arguments::Arguments;

/// The card by which the machine reaches the world.
pub(crate) const CARD: &str = "eth0";

/// Sets up what the machine named on the kernel's command line; without a network card that is loopback alone.
pub(super) fn prepare(arguments: &Arguments) -> anyhow::Result<()> {
    fs::write("/proc/sys/kernel/hostname", "berth").context("name the machine")?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("forward packets")?;
    // A new network namespace has its loopback alone, without a tunnel that nobody asked for.
    fs::write("/proc/sys/net/core/fb_tunnels_only_for_init_net", "1")
        .context("keep tunnels to the machine")?;
    write_names(arguments)?;
    let kernel = Kernel::open()?;
    kernel.bring_up("lo")?;
    let Some((address, length)) = arguments.address else { return Ok(()) };
    let Ok(card) = index(CARD) else { return Ok(()) };
    // Also when packets are forwarded, the gateway says whether there is a way out by IPv6.
    fs::write(format!("/proc/sys/net/ipv6/conf/{CARD}/accept_ra"), "2").context("hear the router")?;
    kernel.add_address(card, address, length).context("give the card its address")?;
    kernel.bring_up(CARD)?;
    match arguments.gateway {
        Some(gateway) => kernel.add_default_route(gateway).context("set the way out"),
        None => Ok(()),
    }
}

/// The files that the root image links to: hosts and the resolver's address.
fn write_names(arguments: &Arguments) -> anyhow::Result<()> {
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    if let Some(host) = arguments.host {
        hosts.push_str(&format!("{host} host.docker.internal gateway.docker.internal\n"));
    }
    fs::write("/run/hosts", hosts).context("write /run/hosts")?;
    // The gateway passes questions on to the host's resolvers.
    let resolver = arguments.gateway.map(|address| format!("nameserver {address}\n")).unwrap_or_default();
    fs::write("/run/resolv.conf", resolver).context("write /run/resolv.conf")
}

fn index(name: &str) -> anyhow::Result<u32> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    Ok(text.with_context(|| format!("find {name}"))?.trim().parse()?)
}

/// A conversation with the kernel's routing.
struct Kernel(Socket);

impl Kernel {
    fn open() -> anyhow::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("open a routing socket")?;
        socket.bind_auto().context("bind the routing socket")?;
        socket.connect(&SocketAddr::new(0, 0)).context("reach the kernel's routing")?;
        Ok(Self(socket))
    }

    fn bring_up(&self, name: &str) -> anyhow::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index(name)?;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(link), 0).with_context(|| format!("bring {name} up"))
    }

    fn add_address(&self, card: u32, address: Ipv4Addr, length: u8) -> anyhow::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = length;
        message.header.index = card;
        message.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
        message.attributes.push(AddressAttribute::Address(IpAddr::V4(address)));
        self.ask(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    fn add_default_route(&self, gateway: Ipv4Addr) -> anyhow::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
        self.ask(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Sends one request and waits for the kernel's word on it.
    fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> anyhow::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        let (answer, _) = self.0.recv_from_full()?;
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)?.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io().into()),
            NetlinkPayload::Error(_) => Ok(()),
            other => bail!("the kernel answered {other:?}"),
        }
    }
}
