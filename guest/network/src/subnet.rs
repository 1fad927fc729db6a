//! A block of addresses in CIDR notation, of either family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network's address and the length of its prefix; the bits behind the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: IpAddr,
    length: u8,
}

/// The text is no subnet.
#[derive(Debug, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct NotASubnet(String);

impl Subnet {
    /// The subnet that `address` lies in; `None` when the prefix is longer than an address.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        if length > width(address) {
            return None;
        }
        let network = from_bits(address, to_bits(address) & mask(address, length));
        Some(Self { network, length })
    }

    /// Its first address.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// Its last address; of IPv4, the broadcast address.
    pub fn last(&self) -> IpAddr {
        let host = self.host_bits();
        from_bits(self.network, to_bits(self.network) | host)
    }

    /// The length of its prefix.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.network.is_ipv4()
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.length) == Some(*self)
    }

    /// Whether some address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// The address at this distance from the first, if it is still inside.
    pub fn nth(&self, distance: u128) -> Option<IpAddr> {
        (distance <= self.host_bits()).then(|| from_bits(self.network, to_bits(self.network) + distance))
    }

    /// The subnets of this prefix length inside.
    pub(crate) fn split(self, length: u8) -> impl Iterator<Item = Self> {
        let step = 1u128.checked_shl(u32::from(width(self.network) - length)).unwrap_or(0);
        let count = 1u128.checked_shl(u32::from(length.saturating_sub(self.length))).unwrap_or(u128::MAX);
        (0..count).map_while(move |index| Self::new(self.nth(index.checked_mul(step)?)?, length))
    }

    fn host_bits(&self) -> u128 {
        let bits = u32::from(width(self.network) - self.length);
        1u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(address: IpAddr, length: u8) -> u128 {
    let width = u32::from(width(address));
    let all = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
    let host = all.checked_shr(u32::from(length)).unwrap_or(0);
    all & !host
}

/// An address as a number.
pub(crate) fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// A number as an address of the same family as `like`.
pub(crate) fn from_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(bits).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(bits)),
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.length)
    }
}

impl FromStr for Subnet {
    type Err = NotASubnet;

    fn from_str(text: &str) -> Result<Self, NotASubnet> {
        let wrong = || NotASubnet(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        let length = length.parse().map_err(|_| wrong())?;
        Self::new(address, length).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Subnet {
    type Error = NotASubnet;

    fn try_from(text: String) -> Result<Self, NotASubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn bits_behind_the_prefix_are_dropped() {
        assert_eq!(subnet("172.17.3.4/16").to_string(), "172.17.0.0/16");
        assert_eq!(subnet("fd00::1/64").to_string(), "fd00::/64");
    }

    #[test]
    fn the_last_address_of_each_family() {
        assert_eq!(subnet("172.17.0.0/16").last().to_string(), "172.17.255.255");
        assert_eq!(subnet("0.0.0.0/0").last().to_string(), "255.255.255.255");
        assert_eq!(subnet("10.0.0.1/32").last().to_string(), "10.0.0.1");
        assert_eq!(subnet("fd00::/64").last().to_string(), "fd00::ffff:ffff:ffff:ffff");
        assert_eq!(subnet("::/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    }

    #[test]
    fn overlap_is_mutual_and_needs_the_same_family() {
        assert!(subnet("10.0.0.0/8").overlaps(&subnet("10.1.2.0/24")));
        assert!(subnet("10.1.2.0/24").overlaps(&subnet("10.0.0.0/8")));
        assert!(!subnet("10.1.2.0/24").overlaps(&subnet("10.1.3.0/24")));
        assert!(!subnet("0.0.0.0/0").overlaps(&subnet("fd00::/8")));
    }

    #[test]
    fn a_block_splits_into_equal_parts() {
        let parts: Vec<String> =
            subnet("192.168.0.0/16").split(20).take(2).map(|part| part.to_string()).collect();
        assert_eq!(parts, ["192.168.0.0/20", "192.168.16.0/20"]);
        assert_eq!(subnet("192.168.0.0/16").split(20).count(), 16);
    }

    #[test]
    fn text_that_is_no_subnet_is_refused() {
        assert!("172.17.0.0".parse::<Subnet>().is_err());
        assert!("172.17.0.0/33".parse::<Subnet>().is_err());
        assert!("x/8".parse::<Subnet>().is_err());
    }
}
