//! The host's resolvers, as resolv.conf(5) names them.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// As many as the C library asks.
const MOST: usize = 3;

/// Reads them. The file changes with the host's networks, and is short.
pub(crate) fn read(file: &Path) -> Vec<SocketAddr> {
    parse(&std::fs::read_to_string(file).unwrap_or_default())
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    });
    addresses.take(MOST).map(|address| SocketAddr::new(address, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_are_asked_in_their_order() {
        let text = "# a comment\nsearch example\nnameserver 127.0.0.53\nnameserver\nnameserver nonsense\n\
                    nameserver ::1\noptions edns0\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        let asked: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(asked, ["127.0.0.53:53", "[::1]:53", "192.0.2.1:53"]);
        assert!(parse("").is_empty());
    }
}
