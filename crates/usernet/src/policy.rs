//! What a guest may reach. Every container is in the guest, so this is what keeps containers from the host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What the guest may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Addresses beyond the host. Not among them is any of the host's own: its loopback, and the addresses by which its
    /// neighbours know it, where services listen that trust whoever is on this machine.
    pub outside: bool,
    /// Places in the guest's network that lead to a place of the host, by TCP and UDP.
    pub forwards: BTreeMap<SocketAddr, SocketAddr>,
}

impl Policy {
    /// Whether an address outside the guest's network may be reached.
    pub(crate) fn lets_out(&self, address: IpAddr) -> bool {
        let sound = match address {
            IpAddr::V4(address) => is_sound_v4(address),
            IpAddr::V6(address) => is_sound_v6(address),
        };
        self.outside && sound && !is_hosts_own(address)
    }
}

/// Whether the address is one machine's, beyond this one and its link (RFC 6890).
fn is_sound_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0/8 means this machine, too; 240/4 is nobody's, and 255.255.255.255 everybody's.
    let nobodys = first == 0 || first >= 240;
    !(nobodys || address.is_loopback() || address.is_link_local() || address.is_multicast())
}

/// As [`is_sound_v4`]. What stands for an IPv4 address (`::ffff:127.0.0.1`) is asked for as such, or not at all.
fn is_sound_v6(address: Ipv6Addr) -> bool {
    let embeds_v4 = address.octets()[..10] == [0; 10];
    !(embeds_v4 || address.is_unicast_link_local() || address.is_multicast())
}

/// Whether it is an address of this host: only to those can a socket be bound. Asked each time, since they come and go.
/// (A host that lets sockets bind to any address, `ip_nonlocal_bind`, lets nothing out.)
fn is_hosts_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_out(address: &str) -> bool {
        let policy = Policy { outside: true, ..Policy::default() };
        policy.lets_out(address.parse().unwrap())
    }

    #[test]
    fn neither_the_host_nor_its_link_nor_groups_are_reached_in_any_spelling() {
        for address in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:192.0.2.1",
            "fe80::1",
            "ff02::fb",
        ] {
            assert!(!lets_out(address), "{address}");
        }
    }

    #[test]
    fn addresses_elsewhere_are_reached_unless_nothing_is() {
        assert!(lets_out("198.51.100.7"));
        assert!(lets_out("10.99.99.99"));
        assert!(lets_out("2001:db8::7"));
        assert!(!Policy::default().lets_out("198.51.100.7".parse().unwrap()));
    }

    /// The source that the host would take for packets to somewhere else is one of its own addresses.
    #[test]
    fn the_hosts_own_addresses_are_not_reached() {
        let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            socket.connect("198.51.100.7:9")?;
            socket.local_addr()
        });
        match own {
            Ok(own) => assert!(!lets_out(&own.ip().to_string()), "{own}"),
            Err(error) => eprintln!("skipped: this host has no way out ({error})"),
        }
    }
}
