//! Address pools: which subnet a new network gets, and which address a new endpoint.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::defaults::Pool;
use crate::network::Ipam;
use crate::subnet::{Subnet, from_bits, to_bits};

/// Docker's default pools: a block and the size of the subnets cut from it.
fn blocks() -> impl Iterator<Item = (Subnet, u8)> {
    let large = (17..=31).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16, 16));
    let small = [(Ipv4Addr::new(192, 168, 0, 0), 16, 20)];
    large
        .chain(small)
        .filter_map(|(address, length, size)| Some((Subnet::new(address.into(), length)?, size)))
}

/// The first IPv4 subnet of the pools, Docker's own when there are none, that meets none of the taken ones.
pub(crate) fn free_ipv4(pools: &[Pool], taken: &[Subnet]) -> Option<Subnet> {
    if pools.is_empty() {
        return blocks().flat_map(|(block, size)| block.split(size)).find(|subnet| is_free(subnet, taken));
    }
    free(pools, true, taken)
}

/// The first subnet of the pools of one family that meets none of the taken ones.
fn free(pools: &[Pool], ipv4: bool, taken: &[Subnet]) -> Option<Subnet> {
    let pools = pools.iter().filter(|pool| pool.base.is_ipv4() == ipv4);
    pools.flat_map(|pool| pool.base.split(pool.size)).find(|subnet| is_free(subnet, taken))
}

/// An IPv6 subnet of the pools that meets none of the taken ones, else one of the range for local use (RFC 4193). Its
/// global id is made of `seed`, which a caller draws at random.
pub(crate) fn free_ipv6(pools: &[Pool], taken: &[Subnet], seed: [u8; 5]) -> Option<Subnet> {
    if pools.iter().any(|pool| !pool.base.is_ipv4()) {
        return free(pools, false, taken);
    }
    let [a, b, c, d, e] = seed;
    let block = Ipv6Addr::from([0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Subnet::new(block.into(), 48)?.split(64).find(|subnet| is_free(subnet, taken))
}

fn is_free(subnet: &Subnet, taken: &[Subnet]) -> bool {
    !taken.iter().any(|other| other.overlaps(subnet))
}

/// The lowest address that nobody holds, in the range if there is one.
pub(crate) fn free_address(ipam: &Ipam, taken: &HashSet<IpAddr>) -> Option<IpAddr> {
    let range = ipam.range.unwrap_or(ipam.subnet);
    let (first, last) = (to_bits(range.network()), to_bits(range.last()));
    (first..=last).map(|bits| from_bits(range.network(), bits)).find(|address| {
        is_usable(ipam, *address) && ipam.gateway != Some(*address) && !taken.contains(address)
    })
}

/// Whether an endpoint may have the address at all: the subnet's own and its broadcast address are no one's.
pub(crate) fn is_usable(ipam: &Ipam, address: IpAddr) -> bool {
    let whole = ipam.subnet;
    // RFC 3021: of two addresses both are of use.
    let reserved = match address {
        IpAddr::V4(_) if whole.length() >= 31 => false,
        IpAddr::V4(_) => address == whole.network() || address == whole.last(),
        IpAddr::V6(_) => address == whole.network() && whole.length() < 127,
    };
    whole.contains(address) && !reserved && !ipam.aux.values().any(|held| *held == address)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn ipam(text: &str) -> Ipam {
        let (subnet, aux) = (subnet(text), BTreeMap::new());
        Ipam { subnet, range: None, gateway: None, gateway_is_ours: false, aux, chosen: false }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn pools_are_handed_out_in_dockers_order() {
        assert_eq!(free_ipv4(&[], &[]), Some(subnet("172.17.0.0/16")));
        assert_eq!(free_ipv4(&[], &[subnet("172.17.0.0/16")]), Some(subnet("172.18.0.0/16")));
        assert_eq!(free_ipv4(&[], &[subnet("172.16.0.0/12")]), Some(subnet("192.168.0.0/20")));
    }

    #[test]
    fn a_pool_that_meets_the_hosts_network_is_passed_over() {
        assert_eq!(free_ipv4(&[], &[subnet("172.17.42.0/24")]), Some(subnet("172.18.0.0/16")));
        let busy = [subnet("172.16.0.0/12"), subnet("192.168.1.0/24")];
        assert_eq!(free_ipv4(&[], &busy), Some(subnet("192.168.16.0/20")));
        assert_eq!(free_ipv4(&[], &[subnet("172.16.0.0/12"), subnet("192.168.0.0/16")]), None);
    }

    #[test]
    fn the_users_pools_are_used_up_in_their_order() {
        let pools = ["10.10.0.0/16", "10.20.0.0/24"].map(|base| Pool { base: subnet(base), size: 24 });
        assert_eq!(free_ipv4(&pools, &[]), Some(subnet("10.10.0.0/24")));
        assert_eq!(free_ipv4(&pools, &[subnet("10.10.0.0/16")]), Some(subnet("10.20.0.0/24")));
        assert_eq!(free_ipv4(&pools, &[subnet("10.0.0.0/8")]), None);
    }

    #[test]
    fn ipv6_subnets_follow_one_another() {
        let first = free_ipv6(&[], &[], [1, 2, 3, 4, 5]).unwrap();
        assert_eq!(first.to_string(), "fd01:203:405::/64");
        assert_eq!(free_ipv6(&[], &[first], [1, 2, 3, 4, 5]).unwrap().to_string(), "fd01:203:405:1::/64");
    }

    #[test]
    fn addresses_skip_the_gateway_what_is_held_and_the_ends() {
        let mut ipam = ipam("10.0.0.0/29");
        assert_eq!(free_address(&ipam, &HashSet::new()), Some(address("10.0.0.1")));
        ipam.gateway = Some(address("10.0.0.1"));
        ipam.aux.insert("router".to_owned(), address("10.0.0.2"));
        assert_eq!(free_address(&ipam, &HashSet::new()), Some(address("10.0.0.3")));
        let held = (3..=6).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        assert_eq!(free_address(&ipam, &held), None);
    }

    #[test]
    fn a_range_confines_addresses() {
        let mut ipam = ipam("10.0.0.0/16");
        ipam.range = Some(subnet("10.0.5.0/24"));
        assert_eq!(free_address(&ipam, &HashSet::new()), Some(address("10.0.5.0")));
    }
}
