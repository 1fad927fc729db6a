//! What a VM's host says of itself, and what follows from being in a VM.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use berth_engine::images::Proxies;
use berth_engine::{HostOs, HostPaths, Settings, Share};
use berth_network::{Avoid, Door, Mac};
use protocol::guest::HostHello;

use crate::daemon_json::usable_proxy;

/// The host's loopback, by the name that containers have for it.
const HOST: &str = "host.docker.internal";

/// What the host said of itself.
pub(super) fn hello(file: &Path) -> anyhow::Result<HostHello> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_slice(&text).context("read what the host said")
}

/// The host's subnets, which container networks avoid, as it says at the time: PID 1 keeps the file true. What can't be
/// read can't be avoided.
pub(super) fn subnets(file: PathBuf) -> Avoid {
    Avoid::new(move || {
        let hello =
            hello(&file).inspect_err(|error| tracing::warn!("the host's subnets aren't known: {error:#}"));
        let subnets = hello.map(|hello| hello.host_subnets).unwrap_or_default();
        subnets.iter().filter_map(|text| text.parse().ok()).collect()
    })
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

/// The user's machine is the host, not the VM: its environment counts, and its certificates, which go into `folder`.
pub(super) fn adapt(settings: &mut Settings, hello: &HostHello, folder: &Path) -> anyhow::Result<()> {
    let registries = &mut settings.registries;
    // No less safe than 127.0.0.0/8, which Docker trusts too.
    registries.insecure.push(HOST.to_owned());
    let Proxies { http, https, none } = &mut registries.proxies;
    let of_host = |name: &str| hello.proxies.get(name).cloned().unwrap_or_default();
    for (proxy, name) in [(http, "HTTP_PROXY"), (https, "HTTPS_PROXY")] {
        if proxy.is_empty() {
            *proxy = usable_proxy(name, of_host(name));
        }
    }
    let exceptions = if none.is_empty() { of_host("NO_PROXY") } else { std::mem::take(none) };
    *none = format!("{HOST},{exceptions}");
    lay_certificates(&hello.certificates, folder)?;
    registries.certificates = Some(folder.to_owned());
    if settings.containers.host_gateway.is_empty() {
        settings.containers.host_gateway = host_address().into_iter().collect();
    }
    Ok(())
}

/// The address that stands for the host's loopback.
pub(super) fn host_address() -> Option<IpAddr> {
    address_of(HOST, &fs::read_to_string("/etc/hosts").unwrap_or_default())
}

/// Writes certificates as Docker's layout has them, `HOST:PORT/NAME`, in place of those of an earlier start.
fn lay_certificates(texts: &BTreeMap<String, String>, folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("empty {}", folder.display()));
        }
        _ => {}
    }
    for (name, text) in texts {
        let Some((registry, file)) = name.split_once('/') else { continue };
        let registry = folder.join(plain(registry)?);
        let file = registry.join(plain(file)?);
        // Keys are among them.
        let mut made = DirBuilder::new();
        made.recursive(true).mode(0o700).create(&registry)?;
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// A name that leads nowhere but into its folder.
fn plain(name: &str) -> anyhow::Result<&str> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => bail!("the host hands over a certificate in {name:?}, which is no name"),
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
    fn certificates_stay_in_their_folder_and_replace_earlier_ones() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("certs.d");
        let texts = |name: &str| BTreeMap::from([(name.to_owned(), "text".to_owned())]);
        lay_certificates(&texts("old.example/ca.crt"), &folder).unwrap();
        lay_certificates(&texts("reg.example:5000/ca.crt"), &folder).unwrap();
        assert_eq!(fs::read_to_string(folder.join("reg.example:5000/ca.crt")).unwrap(), "text");
        assert!(!folder.join("old.example").exists());
        for name in ["../ca.crt", "reg/../../ca.crt", "reg//ca.crt", "reg/", "/etc/ca.crt", "./ca.crt"] {
            assert!(lay_certificates(&texts(name), &folder).is_err(), "{name}");
        }
    }

    #[test]
    fn the_hosts_address_is_found_by_its_name() {
        let hosts = "127.0.0.1 localhost\n10.0.2.2 host.docker.internal gateway.docker.internal\n";
        assert_eq!(address_of(HOST, hosts), Some("10.0.2.2".parse().unwrap()));
        assert_eq!(address_of(HOST, "127.0.0.1 localhost\n"), None);
    }
}
