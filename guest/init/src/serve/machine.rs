//! What a VM's host says of itself, and what follows from being in a VM.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use berth_engine::{HostOs, HostPaths, Settings, Share};
use berth_network::{Door, Mac, Subnet};
use protocol::guest::HostHello;

/// The host's loopback, by the name that containers have for it.
const HOST: &str = "host.docker.internal";

/// What the host said of itself.
pub(super) fn hello(file: &Path) -> anyhow::Result<HostHello> {
    let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_slice(&text).context("read what the host said")
}

/// The host's subnets, which container networks avoid. What can't be read can't be avoided.
pub(super) fn subnets(hello: &HostHello) -> Vec<Subnet> {
    hello.host_subnets.iter().filter_map(|text| text.parse().ok()).collect()
}

/// How published connections come.
pub(super) fn door(hello: &HostHello) -> Door {
    let protocol::port::Door { hardware, hidden, router } = hello.door;
    Door { card: crate::pid1::CARD.to_owned(), hardware: Mac(hardware), hidden, router }
}

/// How the host's paths look from here.
pub(super) fn host_paths(hello: HostHello) -> HostPaths {
    let os = match hello.os {
        protocol::guest::HostOs::Linux => HostOs::Linux,
        protocol::guest::HostOs::Macos => HostOs::Macos,
        protocol::guest::HostOs::Windows => HostOs::Windows,
    };
    let place = |share: protocol::guest::Share| Share {
        mounted_at: Path::new(crate::pid1::SHARES).join(&share.name),
        host: share.host,
    };
    HostPaths::Shared { os, shares: hello.shares.into_iter().map(place).collect() }
}

/// The user's machine is the host, not the VM.
pub(super) fn adapt(settings: &mut Settings) {
    // No less safe than 127.0.0.0/8, which Docker trusts too.
    settings.registries.insecure.push(HOST.to_owned());
    let none = &mut settings.registries.proxies.none;
    *none = format!("{HOST},{none}");
    if settings.containers.host_gateway.is_empty() {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        settings.containers.host_gateway = address_of(HOST, &hosts).into_iter().collect();
    }
}

/// The address of a name in hosts(5).
fn address_of(name: &str, hosts: &str) -> Option<IpAddr> {
    let mut lines = hosts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.iter().skip(1).any(|word| *word == name))?.first()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_address_is_found_by_its_name() {
        let hosts = "127.0.0.1 localhost\n10.0.2.2 host.docker.internal gateway.docker.internal\n";
        assert_eq!(address_of(HOST, hosts), Some("10.0.2.2".parse().unwrap()));
        assert_eq!(address_of(HOST, "127.0.0.1 localhost\n"), None);
    }
}
