//! Where a registry may be reached: mirrors first, then HTTPS, then plain HTTP where that is allowed.

use std::net::IpAddr;

use super::Options;
use crate::reference::DEFAULT_DOMAIN;

/// The host behind docker.io.
const HUB: &str = "registry-1.docker.io";

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `https://host:port`.
    pub(super) base: String,
    /// The host and port, which `certs.d` folders are named after.
    pub(super) host: String,
    pub(super) is_mirror: bool,
    /// Certificates aren't checked.
    pub(super) is_insecure: bool,
}

/// The addresses of a registry, in the order to try them. Pushes don't go to mirrors.
pub(super) fn candidates(options: &Options, domain: &str, with_mirrors: bool) -> Vec<Endpoint> {
    let mut found = Vec::new();
    if with_mirrors && domain == DEFAULT_DOMAIN {
        for mirror in &options.mirrors {
            let base = mirror.trim_end_matches('/').to_owned();
            let base = if base.contains("://") { base } else { format!("https://{base}") };
            let host = base.split_once("://").map_or(base.clone(), |(_, host)| host.to_owned());
            let is_insecure = is_insecure(options, &host);
            found.push(Endpoint { base, host, is_mirror: true, is_insecure });
        }
    }
    let host = if domain == DEFAULT_DOMAIN { HUB } else { domain };
    let is_insecure = is_insecure(options, host);
    let schemes: &[&str] = if is_insecure { &["https", "http"] } else { &["https"] };
    found.extend(schemes.iter().map(|scheme| Endpoint {
        base: format!("{scheme}://{host}"),
        host: host.to_owned(),
        is_mirror: false,
        is_insecure,
    }));
    found
}

/// Whether the user, or Docker's rule about this very machine, declares a registry insecure.
fn is_insecure(options: &Options, host: &str) -> bool {
    let name = without_port(host);
    let address = name.parse::<IpAddr>().ok();
    let is_this_machine = name == "localhost" || address.is_some_and(|address| address.is_loopback());
    is_this_machine
        || options.insecure.iter().any(|entry| {
            entry == host || entry == name || address.is_some_and(|address| contains(entry, address))
        })
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

/// Whether the network `entry` (`10.0.0.0/8`) holds the address.
pub(super) fn contains(entry: &str, address: IpAddr) -> bool {
    let Some((network, length)) = entry.split_once('/') else { return false };
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((network, width), (address, other)) = (bits(network), bits(address));
    width == other && length <= width && (length == 0 || (network ^ address) >> (128 - length) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(options: &Options, domain: &str) -> Vec<String> {
        candidates(options, domain, true).into_iter().map(|endpoint| endpoint.base).collect()
    }

    #[test]
    fn plain_http_is_tried_for_this_machine_and_what_is_declared() {
        let options =
            Options { insecure: vec!["10.0.0.0/8".to_owned(), "reg:5000".to_owned()], ..Options::default() };
        assert_eq!(bases(&options, "127.0.0.1:5000"), ["https://127.0.0.1:5000", "http://127.0.0.1:5000"]);
        assert_eq!(bases(&options, "10.1.2.3"), ["https://10.1.2.3", "http://10.1.2.3"]);
        assert_eq!(bases(&options, "reg:5000").len(), 2);
        assert_eq!(bases(&options, "11.1.2.3"), ["https://11.1.2.3"]);
        assert_eq!(bases(&options, "[::1]:5000").len(), 2);
    }

    #[test]
    fn mirrors_stand_before_docker_io_alone() {
        let options = Options { mirrors: vec!["http://127.0.0.1:5000/".to_owned()], ..Options::default() };
        assert_eq!(bases(&options, "docker.io"), ["http://127.0.0.1:5000", "https://registry-1.docker.io"]);
        assert_eq!(bases(&options, "quay.io"), ["https://quay.io"]);
        assert_eq!(candidates(&options, "docker.io", false).len(), 1);
    }
}
