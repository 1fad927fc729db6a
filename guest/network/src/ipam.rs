//! What is asked of a network's subnets, checked in Docker's words: everything that is wrong is told at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::error::{Error, Result};
use crate::network::{Ipam, IpamWish};
use crate::subnet::Subnet;

/// The subnets that are asked for, those of IPv4 first (Docker's own client names them in any order), without a gateway
/// where none is asked for. Those of IPv6 are left out where there is to be none.
pub(crate) fn parse_all(wishes: &[IpamWish], ipv6: bool) -> Result<Vec<Ipam>> {
    let (mut parsed, mut wrong) = (Vec::new(), Vec::new());
    for wish in wishes {
        parsed.extend(parse(wish, ipv6, &mut wrong));
    }
    parsed.sort_by_key(|ipam: &Ipam| !ipam.subnet.is_ipv4());
    match wrong.as_slice() {
        [] => Ok(parsed),
        [one] => Err(Error::InvalidConfig(one.clone())),
        several => Err(Error::InvalidConfig(format!("* {}", several.join("\n* ")))),
    }
}

fn parse(wish: &IpamWish, ipv6: bool, wrong: &mut Vec<String>) -> Option<Ipam> {
    let text = wish.subnet.as_deref().unwrap_or_default();
    let Some((address, subnet)) = block(text) else {
        wrong.push(format!("invalid subnet {text}: invalid CIDR block notation"));
        return None;
    };
    if address.is_ipv6() && !ipv6 {
        return None;
    }
    if address != subnet.network() {
        wrong.push(format!("invalid subnet {text}: it should be {subnet}"));
    }
    let range = given(&wish.range).and_then(|text| range(text, subnet, wrong));
    let mut inside = |what: String, text: &str| match address_of(text, subnet) {
        Ok(address) => Some(address),
        Err(reason) => {
            wrong.push(format!("invalid {what}: {reason}"));
            None
        }
    };
    let gateway = given(&wish.gateway).and_then(|text| inside(format!("gateway {text}"), text));
    let mut aux = BTreeMap::new();
    for (name, text) in &wish.aux {
        let address = given_text(text).and_then(|text| inside(format!("auxiliary address {name}"), text));
        aux.extend(address.map(|address| (name.clone(), address)));
    }
    Some(Ipam { subnet, range, gateway, gateway_is_ours: false, aux, chosen: true })
}

/// An empty text asks for nothing.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().and_then(given_text)
}

fn given_text(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// An address and the block that it lies in.
fn block(text: &str) -> Option<(IpAddr, Subnet)> {
    Some((text.split_once('/')?.0.parse().ok()?, text.parse().ok()?))
}

fn range(text: &str, subnet: Subnet, wrong: &mut Vec<String>) -> Option<Subnet> {
    let mut refuse = |reason: String| wrong.push(format!("invalid ip-range {text}: {reason}"));
    let Some((address, range)) = block(text) else {
        refuse("invalid CIDR block notation".to_owned());
        return None;
    };
    if range.is_ipv4() != subnet.is_ipv4() {
        refuse(format!("parent subnet is an {} block", family(subnet)));
        return None;
    }
    if range.length() < subnet.length() {
        refuse(format!("CIDR block is bigger than its parent subnet {subnet}"));
    }
    if address != range.network() {
        refuse(format!("it should be {range}"));
    }
    if !subnet.overlaps(&range) {
        refuse(format!("parent subnet {subnet} doesn't contain ip-range"));
    }
    Some(range)
}

/// The address in the subnet, or why it isn't one.
fn address_of(text: &str, subnet: Subnet) -> std::result::Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Err(_) => Err("invalid address".to_owned()),
        Ok(address) if address.is_ipv4() != subnet.is_ipv4() => {
            Err(format!("parent subnet is an {} block", family(subnet)))
        }
        Ok(address) if !subnet.contains(address) => {
            Err(format!("parent subnet {subnet} doesn't contain this address"))
        }
        Ok(address) => Ok(address),
    }
}

fn family(subnet: Subnet) -> &'static str {
    if subnet.is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(wish: IpamWish) -> String {
        parse_all(&[wish], true).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn asked(subnet: &str) -> IpamWish {
        IpamWish { subnet: Some(subnet.to_owned()), ..IpamWish::default() }
    }

    #[test]
    fn a_subnet_has_no_bits_behind_its_prefix() {
        let expected = "invalid network config:\ninvalid subnet 10.78.0.1/16: it should be 10.78.0.0/16";
        assert_eq!(said(asked("10.78.0.1/16")), expected);
        let expected = "invalid network config:\ninvalid subnet : invalid CIDR block notation";
        assert_eq!(said(IpamWish::default()), expected);
    }

    #[test]
    fn subnets_of_ipv4_come_first_whatever_the_order_they_are_named_in() {
        let parsed = parse_all(&[asked("fd00:1::/64"), asked("10.94.0.0/24")], true).unwrap();
        let subnets: Vec<String> = parsed.iter().map(|ipam| ipam.subnet.to_string()).collect();
        assert_eq!(subnets, ["10.94.0.0/24", "fd00:1::/64"]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let wish = IpamWish {
            range: Some("10.95.0.0/16".to_owned()),
            gateway: Some("1.2.3.4".to_owned()),
            aux: BTreeMap::from([("q".to_owned(), "zz".to_owned())]),
            ..asked("10.94.0.0/24")
        };
        let expected = "invalid network config:\n\
            * invalid ip-range 10.95.0.0/16: CIDR block is bigger than its parent subnet 10.94.0.0/24\n\
            * invalid ip-range 10.95.0.0/16: parent subnet 10.94.0.0/24 doesn't contain ip-range\n\
            * invalid gateway 1.2.3.4: parent subnet 10.94.0.0/24 doesn't contain this address\n\
            * invalid auxiliary address q: invalid address";
        assert_eq!(said(wish), expected);
    }

    #[test]
    fn the_families_of_a_subnet_and_what_is_said_of_it_are_the_same() {
        let gateway = IpamWish { gateway: Some("fd00::1".to_owned()), ..asked("10.94.0.0/24") };
        let expected = "invalid network config:\ninvalid gateway fd00::1: parent subnet is an IPv4 block";
        assert_eq!(said(gateway), expected);
        assert_eq!(parse_all(&[asked("fd00:1::/64")], false).unwrap(), []);
    }
}
