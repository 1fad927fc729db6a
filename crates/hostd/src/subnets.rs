//! The host's own subnets, which container networks in the guest avoid: a container must reach its user's network.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The subnets that this host has routes to, the ways out left out.
pub(crate) fn of_host() -> Vec<String> {
    // Elsewhere than on Linux there are no such files yet, and nothing is avoided.
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    [of_v4(&read("/proc/net/route")), of_v6(&read("/proc/net/ipv6_route"))].concat()
}

/// Reads Linux's table of IPv6: addresses are hexadecimal digits in the network's order.
fn of_v6(table: &str) -> Vec<String> {
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = Ipv6Addr::from(u128::from_str_radix(fields.next()?, 16).ok()?);
        let length = u8::from_str_radix(fields.next()?, 16).ok()?;
        let is_ours = address.is_loopback() || address.is_multicast() || address.is_unicast_link_local();
        (length != 0 && !is_ours).then(|| format!("{address}/{length}"))
    };
    let mut subnets: Vec<_> = table.lines().filter_map(route).collect();
    subnets.sort();
    subnets.dedup();
    subnets
}

/// Reads Linux's table of IPv4: addresses are hexadecimal numbers in the machine's byte order.
fn of_v4(table: &str) -> Vec<String> {
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let destination = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
        let mask = u32::from_str_radix(fields.nth(5)?, 16).ok()?;
        let address = Ipv4Addr::from(destination.to_ne_bytes());
        (mask != 0).then(|| format!("{address}/{}", mask.count_ones()))
    };
    let mut subnets: Vec<_> = table.lines().skip(1).filter_map(route).collect();
    subnets.sort();
    subnets.dedup();
    subnets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_and_the_way_out_is_not_one() {
        let number = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let row = |to: [u8; 4], mask: [u8; 4]| {
            format!("eth0\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0\n", number(to), number(mask))
        };
        let table =
            ["Iface\tDestination\n".to_owned(), row([0; 4], [0; 4]), row([172, 16, 0, 0], [255, 240, 0, 0])];
        assert_eq!(of_v4(&table.concat()), ["172.16.0.0/12"]);
    }

    #[test]
    fn routes_of_ipv6_are_read_without_links_and_groups() {
        let row = |to: &str, length: &str| {
            format!("{to} {length} {} 00 {} 00000100\n", "0".repeat(32), "0".repeat(32))
        };
        let table = [
            row("00000000000000000000000000000000", "00"),
            row("00000000000000000000000000000001", "80"),
            row("fe800000000000000000000000000000", "40"),
            row("ff000000000000000000000000000000", "08"),
            row("fd000000000000000000000000000000", "30"),
        ];
        assert_eq!(of_v6(&table.concat()), ["fd00::/48"]);
    }
}
