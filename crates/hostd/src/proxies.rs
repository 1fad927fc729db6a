//! The host's proxies, for the engine in the guest: what the environment names, as the guest reaches it. One on the host's
//! loopback is `host.docker.internal` there, and reached when the user opened its port to the guest.

use std::collections::BTreeMap;
use std::net::IpAddr;

const PROXIES: [&str; 2] = ["HTTP_PROXY", "HTTPS_PROXY"];
const NO_PROXY: &str = "NO_PROXY";
/// The host's loopback, as the guest names it.
const HOST: &str = "host.docker.internal";
/// A proxy's port where its address names none.
const PORT: u16 = 80;

/// The proxies, by the names of the variables.
pub(crate) fn of_host(host_ports: &[u16]) -> BTreeMap<String, String> {
    let variable = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase()));
        value.ok().filter(|value| !value.is_empty())
    };
    of(variable, host_ports)
}

fn of(variable: impl Fn(&str) -> Option<String>, host_ports: &[u16]) -> BTreeMap<String, String> {
    let reached = |name: &str| Some((name.to_owned(), as_reached(name, &variable(name)?, host_ports)?));
    let mut found: BTreeMap<_, _> = PROXIES.iter().filter_map(|name| reached(name)).collect();
    if !found.is_empty() {
        found.extend(variable(NO_PROXY).map(|value| (NO_PROXY.to_owned(), value)));
    }
    found
}

/// A proxy's address as the guest reaches it; none, with a word in the log, where it can't.
fn as_reached(name: &str, address: &str, host_ports: &[u16]) -> Option<String> {
    let (before, authority) = split(address);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, PORT),
    };
    if !is_loopback(host) {
        return Some(address.to_owned());
    }
    if !host_ports.contains(&port) {
        tracing::warn!(
            "{name} isn't passed on: the VM reaches port {port} of this machine's loopback only when host_ports in \
             settings.json names it"
        );
        return None;
    }
    Some(format!("{before}{HOST}:{port}"))
}

/// What stands before `host:port` in `scheme://user:password@host:port/`, and that.
fn split(address: &str) -> (&str, &str) {
    let scheme = address.find("://").map_or(0, |at| at + 3);
    let rest = address[scheme..].split('/').next().unwrap_or_default();
    let user = rest.rfind('@').map_or(0, |at| at + 1);
    (&address[..scheme + user], &rest[user..])
}

fn is_loopback(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    plain.eq_ignore_ascii_case("localhost")
        || plain.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_on(http: &str, host_ports: &[u16]) -> Option<String> {
        of(|name| (name == "HTTP_PROXY").then(|| http.to_owned()), host_ports).remove("HTTP_PROXY")
    }

    #[test]
    fn a_proxy_elsewhere_is_passed_on_as_it_is() {
        let address = "http://ann:secret@proxy.example:3128/";
        assert_eq!(passed_on(address, &[]).as_deref(), Some(address));
        assert_eq!(passed_on("proxy.example", &[]).as_deref(), Some("proxy.example"));
    }

    #[test]
    fn one_on_the_loopback_gets_the_hosts_name_when_its_port_is_open() {
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let address = format!("http://ann:secret@{host}:3128/");
            let expected = Some("http://ann:secret@host.docker.internal:3128");
            assert_eq!(passed_on(&address, &[3128]).as_deref(), expected);
            assert_eq!(passed_on(&address, &[]), None);
        }
        assert_eq!(passed_on("127.0.0.1:3128", &[3128]).as_deref(), Some("host.docker.internal:3128"));
    }

    #[test]
    fn exceptions_are_passed_on_with_a_proxy_alone() {
        let of = |proxy: Option<&str>| {
            of(
                |name| if name == NO_PROXY { Some("a.example".to_owned()) } else { proxy.map(str::to_owned) },
                &[],
            )
        };
        assert!(of(None).is_empty());
        assert_eq!(of(Some("http://p.example:1"))[NO_PROXY], "a.example");
    }
}
