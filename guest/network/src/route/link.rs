//! Links: bridges, veth pairs, what is there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::Kernel;
use crate::endpoint::Mac;

/// A pair of interfaces to make: one end on a bridge here, the other in a container's namespace.
pub(crate) struct Veth<'a> {
    /// The end that is here.
    pub(crate) outside: &'a str,
    /// The bridge's index.
    pub(crate) bridge: u32,
    /// The end in the container.
    pub(crate) inside: &'a str,
    /// The container's namespace.
    pub(crate) namespace: BorrowedFd<'a>,
    /// The hardware address inside.
    pub(crate) mac: Mac,
    /// The MTU of both.
    pub(crate) mtu: Option<u32>,
}

impl Kernel {
    /// The index of an interface, if there is one of that name.
    pub(crate) fn index(&mut self, name: &str) -> io::Result<Option<u32>> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.get(RouteNetlinkMessage::GetLink(link)) {
            Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(link.header.index)),
            Ok(_) => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names and indices of all interfaces.
    pub(crate) fn links(&mut self) -> io::Result<Vec<(String, u32)>> {
        let all = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let named = all.into_iter().filter_map(|message| {
            let RouteNetlinkMessage::NewLink(link) = message else { return None };
            let name = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            Some((name?, link.header.index))
        });
        Ok(named.collect())
    }

    /// Whether an interface of this name passes packets; one that isn't there does not.
    pub(crate) fn is_running(&mut self, name: &str) -> io::Result<bool> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let Some(RouteNetlinkMessage::NewLink(link)) = self.get(RouteNetlinkMessage::GetLink(link))? else {
            return Ok(false);
        };
        Ok(link.attributes.contains(&LinkAttribute::OperState(State::Up)))
    }

    /// The largest packets that an interface carries, if it says so.
    pub(crate) fn mtu(&mut self, index: u32) -> io::Result<Option<u32>> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let Some(RouteNetlinkMessage::NewLink(link)) = self.get(RouteNetlinkMessage::GetLink(link))? else {
            return Ok(None);
        };
        Ok(link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        }))
    }

    /// Makes a bridge that is up.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: Mac, mtu: Option<u32>) -> io::Result<()> {
        let mut link = LinkMessage::default();
        set_up(&mut link);
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        // A fixed address: else the bridge takes its ports' lowest, and neighbours' caches go stale.
        link.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        link.attributes.extend(mtu.map(LinkAttribute::Mtu));
        // No forwarding delay: a container speaks as soon as it runs.
        let data = InfoData::Bridge(vec![InfoBridge::ForwardDelay(0)]);
        link.attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(data)]));
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a veth pair; the end here is up, the other isn't.
    pub(crate) fn add_veth(&mut self, veth: &Veth<'_>) -> io::Result<()> {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(veth.inside.to_owned()));
        peer.attributes.push(LinkAttribute::NetNsFd(veth.namespace.as_raw_fd()));
        peer.attributes.push(LinkAttribute::Address(veth.mac.0.to_vec()));
        peer.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
        let mut link = LinkMessage::default();
        set_up(&mut link);
        link.attributes.push(LinkAttribute::IfName(veth.outside.to_owned()));
        link.attributes.push(LinkAttribute::Controller(veth.bridge));
        link.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
        let data = InfoData::Veth(InfoVeth::Peer(peer));
        link.attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(data)]));
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Says what a bridge's port may do: speak to other ports that are `isolated`, and send a packet back by the
    /// port that it came from.
    pub(crate) fn set_port(&mut self, index: u32, isolated: bool, hairpin: bool) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let data = vec![InfoBridgePort::Isolated(isolated), InfoBridgePort::HairpinMode(hairpin)];
        let data = LinkInfo::PortData(InfoPortData::BridgePort(data));
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(InfoPortKind::Bridge), data]));
        self.change(RouteNetlinkMessage::NewLink(link), 0)
    }

    /// Puts a link up.
    pub(crate) fn bring_up(&mut self, index: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        set_up(&mut link);
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Removes an interface, and with a veth its peer; twice is fine.
    pub(crate) fn remove_link(&mut self, name: &str) -> io::Result<()> {
        let Some(index) = self.index(name)? else { return Ok(()) };
        let mut link = LinkMessage::default();
        link.header.interface_family = AddressFamily::Unspec;
        link.header.index = index;
        match self.change(RouteNetlinkMessage::DelLink(link), 0) {
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(()),
            other => other,
        }
    }
}

fn set_up(link: &mut LinkMessage) {
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
}
