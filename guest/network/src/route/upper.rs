//! Interfaces that hang on another one, and those that are made for others to hang on.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, LinkAttribute, LinkInfo, LinkMessage,
};
use rustix::io::Errno;

use super::Kernel;
use crate::endpoint::Mac;
use crate::mode::Mode;

/// A container's interface to make on a parent's.
pub(crate) struct Upper<'a> {
    /// The parent's index.
    pub(crate) parent: u32,
    /// Its first name, which must be free here as well as in the container: the kernel looks at both.
    pub(crate) name: &'a str,
    /// The container's namespace.
    pub(crate) namespace: BorrowedFd<'a>,
    /// How it hangs on the parent.
    pub(crate) mode: Mode,
    /// The hardware address, unless it is the parent's.
    pub(crate) mac: Option<Mac>,
    /// The MTU, if not the parent's.
    pub(crate) mtu: Option<u32>,
}

impl Kernel {
    /// Makes an interface on a parent, in the container's namespace.
    pub(crate) fn add_upper(&mut self, upper: &Upper<'_>) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(upper.name.to_owned()));
        link.attributes.push(LinkAttribute::Link(upper.parent));
        link.attributes.push(LinkAttribute::NetNsFd(upper.namespace.as_raw_fd()));
        link.attributes.extend(upper.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        link.attributes.extend(upper.mtu.map(LinkAttribute::Mtu));
        let data = match upper.mode {
            Mode::Macvlan(mode) => InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)]),
            Mode::Ipvlan(mode, flags) => {
                InfoData::IpVlan(vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)])
            }
        };
        let info = vec![LinkInfo::Kind(kind(upper.mode)), LinkInfo::Data(data)];
        link.attributes.push(LinkAttribute::LinkInfo(info));
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes the part of an interface's traffic that a VLAN's number marks an interface of its own (IEEE 802.1Q).
    pub(crate) fn add_vlan(&mut self, name: &str, parent: u32, id: u16) -> io::Result<()> {
        let mut link = named(name, InfoKind::Vlan, Some(InfoData::Vlan(vec![InfoVlan::Id(id)])));
        link.attributes.push(LinkAttribute::Link(parent));
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes an interface that leads nowhere.
    pub(crate) fn add_dummy(&mut self, name: &str) -> io::Result<()> {
        let link = named(name, InfoKind::Dummy, None);
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Whether the kernel can make interfaces that hang this way.
    pub(crate) fn supports(&mut self, mode: Mode) -> io::Result<bool> {
        // Without a parent it is refused for certain; the reason tells whether the kernel knows the kind.
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind(mode))]));
        match self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if is_unsupported(&error) => Ok(false),
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(true),
            other => other.map(|()| true),
        }
    }

    /// An interface's hardware address, if it has one.
    pub(crate) fn mac(&mut self, index: u32) -> io::Result<Option<Mac>> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let Some(RouteNetlinkMessage::NewLink(link)) = self.get(RouteNetlinkMessage::GetLink(link))? else {
            return Ok(None);
        };
        Ok(link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Address(octets) => Some(Mac(octets.as_slice().try_into().ok()?)),
            _ => None,
        }))
    }

    /// Gives an interface that is down another name.
    pub(crate) fn rename(&mut self, index: u32, name: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Gives an interface a hardware address.
    pub(crate) fn set_mac(&mut self, index: u32, mac: Mac) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }
}

/// Whether the kernel says that it doesn't know the kind of interface.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error())
}

fn kind(mode: Mode) -> InfoKind {
    match mode {
        Mode::Macvlan(_) => InfoKind::MacVlan,
        Mode::Ipvlan(..) => InfoKind::IpVlan,
    }
}

fn named(name: &str, kind: InfoKind, data: Option<InfoData>) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let info = std::iter::once(LinkInfo::Kind(kind)).chain(data.map(LinkInfo::Data));
    link.attributes.push(LinkAttribute::LinkInfo(info.collect()));
    link
}
