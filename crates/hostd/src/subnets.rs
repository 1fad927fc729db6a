//! The host's own subnets, which container networks in the guest avoid: a container must reach its user's network.

use std::net::Ipv4Addr;

/// The IPv4 subnets that this host has routes to, the way out left out.
pub(crate) fn of_host() -> Vec<String> {
    // Elsewhere than on Linux there is no such file yet, and nothing is avoided.
    parse(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// Reads Linux's table: addresses are hexadecimal numbers in the machine's byte order.
fn parse(table: &str) -> Vec<String> {
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
        assert_eq!(parse(&table.concat()), ["172.16.0.0/12"]);
    }
}
