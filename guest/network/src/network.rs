//! A network as it is recorded, and what is asked of a new one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::subnet::Subnet;

/// The option that names the address of this machine at which ports are published.
pub(crate) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

/// How a network carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of this machine, with address translation to the outside.
    Bridge,
    /// The engine's own namespace.
    Host,
    /// Loopback alone; Docker calls this driver `null`.
    Null,
}

impl Driver {
    /// The name in Docker's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
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
    /// Whether it has IPv6 addresses.
    pub ipv6: bool,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The driver's options as given.
    pub options: BTreeMap<String, String>,
    /// Its subnets, at most one of each family for each wish.
    pub ipam: Vec<Ipam>,
    /// The bridge's interface.
    pub bridge: Option<String>,
}

impl Network {
    /// Whether every engine has it and no one may remove it.
    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// Whether containers in it find each other by name.
    pub fn resolves_names(&self) -> bool {
        self.driver == Driver::Bridge && !self.is_predefined()
    }

    /// The option's value as the truth of Go's `strconv.ParseBool`.
    pub(crate) fn flag(&self, option: &str) -> Option<bool> {
        match self.options.get(option)?.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        }
    }

    /// The MTU that the option asks for.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.options.get("com.docker.network.driver.mtu")?.parse().ok().filter(|mtu| *mtu != 0)
    }

    /// Whether packets to the outside leave with this machine's address.
    pub(crate) fn masquerades(&self) -> bool {
        !self.internal && self.flag("com.docker.network.bridge.enable_ip_masquerade") != Some(false)
    }

    /// The address of this machine that its containers' ports are published at where nobody says otherwise.
    pub(crate) fn host_binding(&self) -> Option<IpAddr> {
        let address: Ipv4Addr = self.options.get(HOST_BINDING)?.parse().ok()?;
        Some(IpAddr::V4(address)).filter(|address| !address.is_unspecified())
    }

    /// Whether containers in it may speak to each other.
    pub(crate) fn connects_containers(&self) -> bool {
        self.flag("com.docker.network.bridge.enable_icc") != Some(false)
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
    /// Whether it has IPv6 addresses.
    pub ipv6: bool,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Its subnets; what is missing comes from the pools.
    pub ipam: Vec<IpamWish>,
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
