//! A routing table by which packets for any address are this machine's own.

use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::Kernel;

/// The first interface of every namespace.
const LOOPBACK: u32 = 1;

impl Kernel {
    /// Sends packets that carry `mark` to `table`, which says that they are for this machine; twice is fine.
    pub(crate) fn keep_marked(&mut self, family: AddressFamily, mark: u32, table: u8) -> io::Result<()> {
        // The rule first: a kernel that has none for this family has one table alone, and would put the route there.
        let mut rule = RuleMessage::default();
        rule.header.family = family;
        rule.header.table = RouteHeader::RT_TABLE_UNSPEC;
        rule.header.action = RuleAction::ToTable;
        rule.attributes.push(RuleAttribute::FwMark(mark));
        rule.attributes.push(RuleAttribute::Table(table.into()));
        match self.change(RouteNetlinkMessage::NewRule(rule), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {}
            other => other?,
        }
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        route.header.table = table;
        route.header.protocol = RouteProtocol::Boot;
        route.header.scope = RouteScope::Host;
        route.header.kind = RouteType::Local;
        route.attributes.push(RouteAttribute::Oif(LOOPBACK));
        self.change(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE)
    }
}
