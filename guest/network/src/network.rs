//! A network as it is recorded, and what is asked of a new one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::mode::Mode;
use crate::options::{self, GatewayMode};
use crate::subnet::Subnet;

/// How a network carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of this machine, with address translation to the outside.
    Bridge,
    /// The engine's own namespace.
    Host,
    /// Interfaces that share a parent's, and its hardware address.
    Ipvlan,
    /// Interfaces that share a parent's, each with a hardware address of its own.
    Macvlan,
    /// Loopback alone; Docker calls this driver `null`.
    Null,
}

impl Driver {
    /// Every driver, in the order of their names.
    pub const ALL: [Self; 5] = [Self::Bridge, Self::Host, Self::Ipvlan, Self::Macvlan, Self::Null];

    /// The name in Docker's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Ipvlan => "ipvlan",
            Self::Macvlan => "macvlan",
            Self::Null => "null",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, unique in an engine.
    pub name: String,
    /// How it carries packets.
    pub driver: Driver,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// Whether it has no way out.
    pub internal: bool,
    /// Whether containers may join it by hand; of meaning to swarms alone.
    pub attachable: bool,
    /// Whether it has IPv4 addresses; before there was a choice, every network had.
    #[serde(default = "always")]
    pub ipv4: bool,
    /// Whether it has IPv6 addresses.
    pub ipv6: bool,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The driver's options as given.
    pub options: BTreeMap<String, String>,
    /// Its subnets, at most one of each family for each wish.
    pub ipam: Vec<Ipam>,
    /// What was said to whoever gives out the addresses, which means nothing to ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Whether it is only the configuration of other networks, which nobody joins.
    #[serde(default)]
    pub config_only: bool,
    /// The configuration network that it was made by, if any.
    #[serde(default)]
    pub config_from: String,
    /// The bridge's interface.
    pub bridge: Option<String>,
    /// The interface that the containers' own hang on, of the drivers macvlan and ipvlan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// The interface that a network's containers hang on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its name.
    pub name: String,
    /// Whether the engine made it, and removes it with the last network that uses it.
    pub made: bool,
}

/// What records of older engines mean by saying nothing.
fn always() -> bool {
    true
}

impl Network {
    /// Whether every engine has it and no one may remove it.
    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// The subnets that are its own: those of a configuration are nobody's yet.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = &Ipam> {
        self.ipam.iter().filter(|_| !self.config_only)
    }

    /// Whether containers in it find each other by name.
    pub fn resolves_names(&self) -> bool {
        !self.is_predefined()
    }

    /// Whether the option says so; none when it says nothing.
    fn flag(&self, option: &str) -> Option<bool> {
        options::truth(self.options.get(option)?)
    }

    /// The MTU that the option asks for.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.options.get(options::MTU)?.parse().ok().filter(|mtu| *mtu != 0)
    }

    /// Where a container's packets to the outside go, if there is a router for them.
    pub(crate) fn gateway(&self, ipam: &Ipam) -> Option<IpAddr> {
        match &self.parent {
            Some(_) => ipam.gateway.filter(|_| self.has_gateway()),
            None if self.internal => None,
            None => ipam.way_out(),
        }
    }

    /// Whether packets to the outside leave by the container's interface as they are: the parent's machine routes them.
    pub(crate) fn is_direct(&self) -> bool {
        self.leads_out() && self.mode().is_some_and(Mode::routes)
    }

    /// Whether a router on the parent's side takes packets to the outside.
    pub(crate) fn has_gateway(&self) -> bool {
        self.leads_out() && !self.mode().is_some_and(Mode::routes)
    }

    /// Behind a parent that the engine made up, there is nobody.
    fn leads_out(&self) -> bool {
        !self.internal && self.parent.as_ref().is_none_or(|parent| parent.name != self.own_parent())
    }

    /// The name of the parent that stands in where the user names none.
    pub(crate) fn own_parent(&self) -> String {
        let prefix = if self.driver == Driver::Ipvlan { "di" } else { "dm" };
        format!("{prefix}-{}", self.id.get(..12).unwrap_or(&self.id))
    }

    /// How its containers' interfaces hang on their parent.
    pub(crate) fn mode(&self) -> Option<Mode> {
        self.parent.as_ref().and_then(|_| Mode::of(self.driver, &self.options).ok())
    }

    /// Whether packets to the outside leave with this machine's address.
    pub(crate) fn masquerades(&self) -> bool {
        !self.internal && self.flag(options::MASQUERADES) != Some(false)
    }

    /// The address of this machine that its containers' ports are published at where nobody says otherwise.
    pub(crate) fn host_binding(&self) -> Option<IpAddr> {
        let address: IpAddr = self.options.get(options::HOST_BINDING)?.parse().ok()?;
        Some(address).filter(|address| !address.is_unspecified())
    }

    /// The address of this machine with which packets of a family leave, if it isn't that of the interface they leave by.
    pub(crate) fn host_address(&self, ipv4: bool) -> Option<IpAddr> {
        self.options.get(options::HOST_ADDRESS[usize::from(!ipv4)])?.parse().ok()
    }

    /// How the outside is reached by a family.
    pub(crate) fn gateway_mode(&self, ipv4: bool) -> GatewayMode {
        GatewayMode::of(&self.options, ipv4)
    }

    /// What names of its containers' interfaces begin with.
    pub(crate) fn interface_prefix(&self) -> &str {
        let asked = self.options.get(options::INTERFACE_PREFIX).filter(|prefix| !prefix.is_empty());
        asked.map_or("eth", String::as_str)
    }

    /// The bridge's own addresses, and the lengths of their prefixes.
    pub(crate) fn bridge_addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let without_ipv4 = self.flag(options::INHIBITS_IPV4) == Some(true);
        let is_its = move |(address, _): &(IpAddr, u8)| address.is_ipv6() || !without_ipv4;
        let gateways = self.ipam.iter().filter_map(|ipam| Some((ipam.gateway?, ipam.subnet.length())));
        gateways.filter(is_its)
    }

    /// Whether containers in it may speak to each other.
    pub(crate) fn connects_containers(&self) -> bool {
        self.flag(options::CONNECTS) != Some(false)
    }
}

/// One subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// The subnet.
    pub subnet: Subnet,
    /// The part of it that addresses are given out from, if not all.
    pub range: Option<Subnet>,
    /// The bridge's own address.
    pub gateway: Option<IpAddr>,
    /// Whether that was chosen here, in a subnet that the user chose: nobody is told of it, as in Docker.
    #[serde(default)]
    pub gateway_is_ours: bool,
    /// Addresses that others hold.
    pub aux: BTreeMap<String, IpAddr>,
    /// Whether the user chose the subnet: only then may an endpoint ask for an address.
    pub chosen: bool,
}

impl Ipam {
    /// Where packets to the outside go: the bridge, unless an address is held for another router.
    pub(crate) fn way_out(&self) -> Option<IpAddr> {
        let names = ["DefaultGatewayIPv4", "DefaultGatewayIPv6"];
        names.iter().find_map(|name| self.aux.get(*name).copied()).or(self.gateway)
    }
}

impl From<&Ipam> for IpamWish {
    fn from(ipam: &Ipam) -> Self {
        Self {
            subnet: Some(ipam.subnet.to_string()),
            range: ipam.range.map(|range| range.to_string()),
            gateway: ipam.gateway.filter(|_| !ipam.gateway_is_ours).map(|gateway| gateway.to_string()),
            aux: ipam.aux.iter().map(|(name, address)| (name.clone(), address.to_string())).collect(),
        }
    }
}

/// What is asked of a new network.
#[derive(Debug, Clone, Default)]
pub struct NetworkWish {
    /// Its name.
    pub name: String,
    /// The driver's name; empty is `bridge`.
    pub driver: String,
    /// Whether it has no way out.
    pub internal: bool,
    /// Whether containers may join it by hand.
    pub attachable: bool,
    /// Whether it has IPv4 addresses; an option may say so, and it does otherwise.
    pub ipv4: Option<bool>,
    /// Whether it has IPv6 addresses; an option may say so, and it doesn't otherwise.
    pub ipv6: Option<bool>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Who gives out the addresses: `default` or `null`; empty is the former.
    pub ipam_driver: String,
    /// What is said to it.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Its subnets; what is missing comes from the pools.
    pub ipam: Vec<IpamWish>,
    /// Whether it is to be the configuration of other networks.
    pub config_only: bool,
    /// The configuration network to make it by, if any.
    pub config_from: String,
    /// How far it reaches: `local`, which empty means, too, or `swarm`.
    pub scope: String,
    /// Whether a swarm's published ports come in by it.
    pub ingress: bool,
}

impl NetworkWish {
    /// Whether it is to have IPv4 addresses.
    pub(crate) fn has_ipv4(&self) -> bool {
        self.ipv4.unwrap_or(true)
    }

    /// Whether it is to have IPv6 addresses.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.ipv6.unwrap_or_default()
    }
}

/// What is asked of one subnet, in the words of the request.
#[derive(Debug, Clone, Default)]
pub struct IpamWish {
    /// The subnet.
    pub subnet: Option<String>,
    /// The part of it to give addresses out from.
    pub range: Option<String>,
    /// The gateway.
    pub gateway: Option<String>,
    /// Addresses that others hold.
    pub aux: BTreeMap<String, String>,
}
