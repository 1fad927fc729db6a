//! A container's place in one network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is asked of a container's place in a network; what isn't given is chosen.
#[derive(Debug, Clone, Default)]
pub struct EndpointWish {
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<Mac>,
    /// What its interface is called inside; eth0, eth1, … when not given.
    pub interface: Option<String>,
    /// Further addresses, which no pool gives out: 169.254/16 and fe80::/64.
    pub link_local: Vec<IpAddr>,
    /// Settings of the kernel for the interface inside: `net.ipv4.conf.IFNAME.log_martians`, and the value.
    pub sysctls: Vec<(String, String)>,
    /// Names of its own for others: what each of them is called in this network, and what it calls them.
    pub links: Vec<(String, String)>,
    /// Further names that resolve to the container in this network.
    pub aliases: Vec<String>,
    /// The names it always has: the container's own, its short id, its host name.
    pub names: Vec<String>,
    /// Name servers for what the network doesn't know; this machine's when empty.
    pub name_servers: Vec<IpAddr>,
    /// Of a container's networks that lead out, the one with the highest is its way out.
    pub priority: i64,
}

impl EndpointWish {
    /// All names that are to resolve to it, each once and in Docker's order: its name, the aliases, the others.
    pub(crate) fn all_names(&self) -> Vec<String> {
        let (first, others) = self.names.split_at(self.names.len().min(1));
        let mut names: Vec<String> = Vec::new();
        for name in first.iter().chain(&self.aliases).chain(others) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Whether this very address is wanted.
    pub(crate) fn asks_for(&self, address: IpAddr) -> bool {
        self.ipv4.map(IpAddr::V4) == Some(address) || self.ipv6.map(IpAddr::V6) == Some(address)
    }
}

/// A container's place in a network. An engine keeps it and hands it back to
/// [`restore`](crate::Networks::restore) after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's id.
    pub network_id: String,
    /// The network's name.
    pub network_name: String,
    /// 64 hexadecimal digits.
    pub endpoint_id: String,
    /// The interface inside the container; empty in the networks `host` and `none`.
    pub interface: String,
    /// Its hardware address; `None` in the networks `host` and `none`, and with ipvlan, where it is the parent's.
    pub mac: Option<Mac>,
    /// Its IPv4 address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Its IPv6 address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Further addresses, which no pool gave out.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// The network's IPv4 gateway, unless the network is internal.
    pub gateway: Option<Ipv4Addr>,
    /// The network's IPv6 gateway, unless the network is internal.
    pub gateway6: Option<Ipv6Addr>,
    /// Whether packets to the outside leave by the interface without a gateway.
    #[serde(default)]
    pub direct: bool,
    /// All names that resolve to it in this network.
    #[serde(default)]
    pub names: Vec<String>,
    /// Names of its own for others: what each of them is called in this network, and what it calls them.
    #[serde(default)]
    pub links: Vec<(String, String)>,
    /// Name servers for what the network doesn't know; this machine's when empty.
    #[serde(default)]
    pub name_servers: Vec<IpAddr>,
    /// Of a container's networks that lead out, the one with the highest is its way out.
    #[serde(default)]
    pub priority: i64,
}

impl Endpoint {
    /// Puts a container's places in the order in which they may be its way out: by priority, then by the networks' names,
    /// as in Docker.
    pub(crate) fn sort(places: &mut [Self]) {
        places.sort_by(|one, other| {
            other.priority.cmp(&one.priority).then_with(|| one.network_name.cmp(&other.network_name))
        });
    }

    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let ipv4 = self.ipv4.map(|(address, length)| (IpAddr::V4(address), length));
        let ipv6 = self.ipv6.map(|(address, length)| (IpAddr::V6(address), length));
        ipv4.into_iter().chain(ipv6)
    }

    /// Where packets to the outside go by IPv4 and by IPv6: a gateway, or the unspecified address for whoever is there.
    pub(crate) fn ways_out(&self) -> [Option<IpAddr>; 2] {
        let ipv4 = self.ipv4.filter(|_| self.direct).map(|_| Ipv4Addr::UNSPECIFIED);
        let ipv6 = self.ipv6.filter(|_| self.direct).map(|_| Ipv6Addr::UNSPECIFIED);
        [self.gateway.or(ipv4).map(IpAddr::V4), self.gateway6.or(ipv6).map(IpAddr::V6)]
    }

    /// Its further addresses with the prefix lengths of their kind (RFC 3927, RFC 4291).
    pub(crate) fn link_local(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.link_local.iter().map(|address| (*address, if address.is_ipv4() { 16 } else { 64 }))
    }
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// The text is no hardware address.
#[derive(Debug, thiserror::Error)]
#[error("invalid MAC address: {0}")]
pub struct NotAMac(String);

impl Mac {
    /// The address that Docker derives from an IPv4 address, so that neighbours' caches stay right when an address
    /// is given out again.
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let wrong = || NotAMac(text.to_owned());
        let parts: Option<Vec<u8>> =
            text.split([':', '-']).map(|part| u8::from_str_radix(part, 16).ok()).collect();
        let octets = parts.and_then(|parts| <[u8; 6]>::try_from(parts).ok()).ok_or_else(wrong)?;
        Ok(Self(octets))
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hardware_address_comes_from_the_address() {
        let mac = Mac::of(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02:42:ac:11:00:02".parse::<Mac>().unwrap(), mac);
        assert!("02:42:ac:11:00".parse::<Mac>().is_err());
    }
}
