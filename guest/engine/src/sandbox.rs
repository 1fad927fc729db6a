//! Which namespaces a container shares, its networks, and the three files that name it and others.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use berth_network::{Alive, Endpoint, EndpointWish, Network};

use crate::container::Container;
use crate::container::host_config::HostConfig;
use crate::container::record::Record;
use crate::endpoint::EndpointSettings;
use crate::links::Linked;
use crate::spec::{Joined, Place};
use crate::{Engine, Error, links, ports};

/// Containers that share one another's network in a row. More, or a circle of them, have nobody's files.
const LONGEST_CHAIN: usize = 16;

/// What Docker was doing when a container's networks or ports failed.
const SETTING_UP: &str = "failed to set up container networking";

/// Names that every `/etc/hosts` begins with, as Docker writes them.
const HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

impl Engine {
    /// The networks of a new container: those that were asked for, and the one of its network mode.
    pub(crate) fn wanted_networks(
        &self,
        record: &Record,
        mut networks: BTreeMap<String, EndpointSettings>,
    ) -> BTreeMap<String, EndpointSettings> {
        let mode = record.host_config.network_mode.as_str();
        if !mode.starts_with("container:") {
            if let Some(wish) = networks.remove("default") {
                networks.insert(mode.to_owned(), wish);
            }
            networks.entry(mode.to_owned()).or_default();
        }
        networks
    }

    /// Joins the container's networks and says which namespaces its process gets.
    pub(crate) async fn join_networks(self: &Arc<Self>, container: &Arc<Container>) -> Result<Joined, Error> {
        let host = container.with(|record| record.host_config.clone());
        let network = match host.network_mode.as_str() {
            "host" => Place::Host,
            mode if mode.starts_with("container:") => self
                .place("net", mode)
                .map_err(|error| error.during("joining network namespace of container"))?,
            _ => Place::At(self.join(container).await.map_err(|error| error.during(SETTING_UP))?),
        };
        self.write_names(container)?;
        Ok(Joined {
            network,
            pid: self.place("pid", &host.pid_mode)?,
            ipc: self.place("ipc", &host.ipc_mode)?,
            shared_memory: self.shared_memory(container)?,
            uts: if host.uts_mode == "host" { Place::Host } else { Place::Own },
        })
    }

    /// Makes the container's network namespace and puts it into each of its networks.
    async fn join(self: &Arc<Self>, container: &Arc<Container>) -> Result<PathBuf, Error> {
        let (engine, container) = (self.clone(), container.clone());
        tokio::task::spawn_blocking(move || {
            let path = engine.networks.open_sandbox(&container.id)?;
            let record = container.record();
            for (name, settings) in in_order(&record) {
                let endpoint = engine.networks.join(&container.id, name, &wish(&record, settings)?)?;
                container.apply(|record| joined(record, name, endpoint));
            }
            Ok(path)
        })
        .await?
    }

    /// The container whose network a container has: its own, or another's that may itself share one.
    pub(crate) fn network_owner(&self, container: &Arc<Container>) -> Arc<Container> {
        let mut owner = container.clone();
        for _ in 0..LONGEST_CHAIN {
            let mode = owner.with(|record| record.host_config.network_mode.clone());
            let other = mode.strip_prefix("container:").map(|name| self.containers.find(name));
            let Some(Ok(other)) = other else { break };
            owner = other;
        }
        owner
    }

    /// The namespace that a mode means: an own one, the engine's, or another container's.
    fn place(&self, kind: &str, mode: &str) -> Result<Place, Error> {
        match mode.split_once(':') {
            Some(("container", other)) => {
                let other = self.containers.find(other)?;
                let state = other.state();
                if !state.status.has_process() {
                    return Err(Error::JoinNotRunning(other.id.clone()));
                }
                Ok(Place::At(PathBuf::from(format!("/proc/{}/ns/{kind}", state.pid))))
            }
            _ if mode == "host" => Ok(Place::Host),
            _ => Ok(Place::Own),
        }
    }

    /// Opens the container's published ports.
    pub(crate) async fn publish_ports(self: &Arc<Self>, container: &Arc<Container>) -> Result<(), Error> {
        let wishes = container.with(ports::wishes)?;
        if wishes.is_empty() || container.with(|record| record.endpoints.is_empty()) {
            return Ok(());
        }
        let (engine, container) = (self.clone(), container.clone());
        tokio::task::spawn_blocking(move || {
            let opened = engine.networks.publish(&container.id, &wishes).map_err(|source| {
                let (name, endpoint) = (container.name(), endpoint_id(&container));
                Error::PortRefused { name, endpoint, source: Box::new(source) }.during(SETTING_UP)
            })?;
            container.apply(|record| record.ports = opened);
            Ok(())
        })
        .await?
    }

    /// Takes the container out of its networks and closes its ports.
    pub(crate) async fn leave_networks(self: &Arc<Self>, container: &Arc<Container>) {
        let (engine, left) = (self.clone(), container.clone());
        let closed = tokio::task::spawn_blocking(move || engine.networks.close_sandbox(&left.id)).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "can't clean up"
            );
        }
        container.apply(|record| {
            record.ports.clear();
            record.endpoints.clear();
            for (name, settings) in &mut record.networks {
                settings.forget(record.asked_macs.remove(name));
            }
        });
    }

    /// Takes up the networks of the containers that outlived the last engine, and removes what nobody has.
    pub(crate) async fn restore_networks(self: &Arc<Self>) {
        let alive =
            self.containers.all().into_iter().filter(|container| container.state().status.has_process());
        let alive: Vec<Alive> = alive
            .map(|container| {
                let record = container.record();
                Alive { container: record.id, endpoints: record.endpoints, ports: record.ports }
            })
            .collect();
        let engine = self.clone();
        let restored = tokio::task::spawn_blocking(move || engine.networks.restore(alive)).await;
        if let Ok(Err(error)) = restored {
            tracing::error!(error = &error as &dyn std::error::Error, "the networks aren't whole");
        }
    }

    /// Writes `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of a container. One that shares another's network
    /// has that one's name and files.
    fn write_names(&self, container: &Arc<Container>) -> Result<(), Error> {
        let owner = self.network_owner(container);
        if owner.id != container.id {
            let config = owner.with(|record| record.config.clone());
            container.apply(|record| {
                record.config.hostname = config.hostname;
                record.config.domainname = config.domainname;
            });
            return Ok(());
        }
        let mut record = container.record();
        let by_name = |endpoint: &Endpoint| {
            self.networks.find(&endpoint.network_id).is_ok_and(|network| network.resolves_names())
        };
        let resolves = record.endpoints.iter().any(by_name);
        // A network that resolves names resolves these too.
        let Linked { hosts: linked, env } = if resolves { Linked::default() } else { self.linked(&record)? };
        record.link_env.clone_from(&env);
        container.apply(|record| record.link_env = env);
        let write = |name: &str, text: &str| {
            let path = container.folder.join(name);
            std::fs::write(&path, text).map_err(|source| Error::Write { path, source })
        };
        write("hostname", &format!("{}\n", record.config.hostname))?;
        write("hosts", &hosts(&record, &linked, &self.host_gateway()))?;
        if resolves {
            // The network's own resolver, which knows its containers and asks others for the rest.
            return write("resolv.conf", &own_resolver(&record));
        }
        write("resolv.conf", &resolv_conf(&record))
    }

    /// What `host-gateway` means in `--add-host`.
    fn host_gateway(&self) -> Vec<IpAddr> {
        let chosen = self.settings().containers.host_gateway.clone();
        if !chosen.is_empty() {
            return chosen;
        }
        let default = self.networks.find("bridge").map(|network| network.ipam).unwrap_or_default();
        default.into_iter().filter_map(|ipam| ipam.gateway).collect()
    }

    /// The path of a container's own network namespace; empty when it has none.
    pub(crate) fn sandbox_path(&self, record: &Record) -> String {
        if record.endpoints.is_empty() {
            return String::new();
        }
        crate::namespaces(&self.config).join(&record.id).to_string_lossy().into_owned()
    }
}

/// A container's networks in the order in which it gets its interfaces: the highest priority first, then that of its mode.
fn in_order(record: &Record) -> Vec<(&String, &EndpointSettings)> {
    let mut networks: Vec<_> = record.networks.iter().collect();
    networks
        .sort_by_key(|(name, settings)| (-settings.gw_priority, **name != record.host_config.network_mode));
    networks
}

/// What a container asks of its place in a network.
pub(crate) fn wish(record: &Record, settings: &EndpointSettings) -> Result<EndpointWish, Error> {
    let invalid = |what: &str, text: &str| Error::InvalidRequest(format!("invalid {what}: {text}"));
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let ipv4 = given(&ipam.ipv4_address);
    let ipv6 = given(&ipam.ipv6_address);
    let mac = given(&settings.mac_address).filter(|_| settings.endpoint_id.is_empty());
    let link_local = ipam.link_local_ips.iter().flatten().map(|text| {
        let address = text.parse().ok().filter(is_link_local);
        address.ok_or_else(|| invalid("link local IP address", text))
    });
    let links = settings
        .links
        .iter()
        .chain(&record.host_config.links)
        .flatten()
        .map(|wish| links::parse(wish).map(|(name, own)| (name.to_owned(), own.to_owned())));
    Ok(EndpointWish {
        ipv4: ipv4.map(|text| text.parse().map_err(|_| invalid("IPv4 address", &text))).transpose()?,
        ipv6: ipv6.map(|text| text.parse().map_err(|_| invalid("IPv6 address", &text))).transpose()?,
        mac: mac.map(|text| text.parse().map_err(|_| invalid("MAC address", &text))).transpose()?,
        interface: option(settings, "com.docker.network.endpoint.ifname").map(str::to_owned),
        link_local: link_local.collect::<Result<_, _>>()?,
        sysctls: sysctls(settings)?,
        links: links.collect::<Result<_, _>>()?,
        aliases: settings.aliases.clone().unwrap_or_default(),
        names: vec![record.name.clone(), record.short_id().to_owned(), record.config.hostname.clone()],
        name_servers: record.host_config.dns.iter().filter_map(|text| text.parse().ok()).collect(),
        priority: settings.gw_priority,
    })
}

/// An option of an endpoint's driver. Those that no driver knows are only kept, as Docker does.
fn option<'s>(settings: &'s EndpointSettings, name: &str) -> Option<&'s str> {
    settings.driver_opts.as_ref()?.get(name).map(String::as_str)
}

/// `net.ipv4.conf.IFNAME.log_martians=1`, several with commas between.
fn sysctls(settings: &EndpointSettings) -> Result<Vec<(String, String)>, Error> {
    let text = option(settings, "com.docker.network.endpoint.sysctls").unwrap_or_default();
    let each = text.split(',').map(str::trim).filter(|each| !each.is_empty()).map(|each| {
        let parts = each.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        parts.ok_or_else(|| {
            Error::InvalidRequest(format!("invalid sysctl of an endpoint: {each} has no value"))
        })
    });
    each.collect()
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Notes a container's place in a network.
pub(crate) fn joined(record: &mut Record, name: &str, endpoint: Endpoint) {
    let settings = record.networks.entry(name.to_owned()).or_default();
    if settings.endpoint_id.is_empty() && !settings.mac_address.is_empty() {
        record.asked_macs.insert(name.to_owned(), settings.mac_address.clone());
    }
    let text = |address: Option<String>| address.unwrap_or_default();
    settings.network_id.clone_from(&endpoint.network_id);
    settings.endpoint_id.clone_from(&endpoint.endpoint_id);
    settings.mac_address = text(endpoint.mac.map(|mac| mac.to_string()));
    settings.ip_address = text(endpoint.ipv4.map(|(address, _)| address.to_string()));
    settings.ip_prefix_len = endpoint.ipv4.map_or(0, |(_, length)| length);
    settings.gateway = text(endpoint.gateway.map(|address| address.to_string()));
    settings.global_ipv6_address = text(endpoint.ipv6.map(|(address, _)| address.to_string()));
    settings.global_ipv6_prefix_len = endpoint.ipv6.map_or(0, |(_, length)| length);
    settings.ipv6_gateway = text(endpoint.gateway6.map(|address| address.to_string()));
    settings.dns_names = Some(endpoint.names.clone()).filter(|names| !names.is_empty());
    record.endpoints.push(endpoint);
}

/// Takes a network out of what is recorded of a container.
pub(crate) fn left(record: &mut Record, network: &Network) {
    record.networks.remove(&network.name);
    record.asked_macs.remove(&network.name);
    record.endpoints.retain(|endpoint| endpoint.network_id != network.id);
}

/// The endpoint that an error about ports names, as Docker does.
fn endpoint_id(container: &Container) -> String {
    container
        .with(|record| record.endpoints.first().map(|first| first.endpoint_id.clone()).unwrap_or_default())
}

/// A container's name, with its domain before it when it has one.
fn own_names(record: &Record) -> String {
    let (name, domain) = (&record.config.hostname, &record.config.domainname);
    if domain.is_empty() { name.clone() } else { format!("{name}.{domain} {name}") }
}

fn hosts(record: &Record, linked: &[(String, String)], gateway: &[IpAddr]) -> String {
    let mut hosts = HOSTS.to_owned();
    // Writing into a String can't fail.
    for entry in record.host_config.extra_hosts.iter().flatten() {
        match entry.split_once([':', '=']).unwrap_or((entry, "")) {
            (name, "host-gateway") => {
                for address in gateway {
                    let _ = writeln!(hosts, "{address}\t{name}");
                }
            }
            (name, address) => drop(writeln!(hosts, "{address}\t{name}")),
        }
    }
    for (address, names) in linked {
        let _ = writeln!(hosts, "{address}\t{names}");
    }
    hosts.extend(record.endpoints.iter().map(|endpoint| own_hosts(record, endpoint)));
    hosts
}

/// The lines of a container's `/etc/hosts` that tell its own addresses in a network.
fn own_hosts(record: &Record, endpoint: &Endpoint) -> String {
    let names = own_names(record);
    endpoint.addresses().map(|(address, _)| format!("{address}\t{names}\n")).collect()
}

/// Adds a running container's addresses in a network to its `/etc/hosts`, which may have been edited.
pub(crate) fn add_hosts(container: &Container, endpoint: &Endpoint) -> Result<(), Error> {
    let lines = container.with(|record| own_hosts(record, endpoint));
    rewrite_hosts(container, |text| text.to_owned() + &lines)
}

/// A running container has come into a network: if that resolves names, it is asked from here on. A file that somebody has
/// changed stays as it is, as in Docker.
pub(crate) fn ask_network(container: &Container, network: &Network) -> Result<(), Error> {
    let path = container.folder.join("resolv.conf");
    let record = container.record();
    let is_untouched = || std::fs::read_to_string(&path).is_ok_and(|text| text == resolv_conf(&record));
    if !network.resolves_names() || !is_untouched() {
        return Ok(());
    }
    std::fs::write(&path, own_resolver(&record)).map_err(|source| Error::Write { path, source })
}

/// What a container's `/etc/hosts` tells of it in a network.
pub(crate) fn hosts_in(container: &Container, network: &str) -> String {
    container.with(|record| {
        let there = record.endpoints.iter().filter(|endpoint| endpoint.network_id == network);
        there.map(|endpoint| own_hosts(record, endpoint)).collect()
    })
}

/// Takes these lines out of a running container's `/etc/hosts`.
pub(crate) fn remove_hosts(container: &Container, lines: &str) -> Result<(), Error> {
    rewrite_hosts(container, |text| {
        let stays = |line: &&str| !lines.lines().any(|left| left == line.trim_end_matches('\n'));
        text.split_inclusive('\n').filter(stays).collect()
    })
}

/// Written in place: the container sees this very file.
fn rewrite_hosts(container: &Container, change: impl FnOnce(&str) -> String) -> Result<(), Error> {
    let path = container.folder.join("hosts");
    let rewritten = std::fs::read_to_string(&path).and_then(|text| std::fs::write(&path, change(&text)));
    match rewritten {
        // It has none of its own.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        rewritten => rewritten.map_err(|source| Error::Write { path, source }),
    }
}

/// The configuration of a network's own resolver, with the user's search domains and options.
fn own_resolver(record: &Record) -> String {
    let HostConfig { dns_search, dns_options, .. } = &record.host_config;
    let mut text = "nameserver 127.0.0.11\n".to_owned();
    let domains = domains(dns_search);
    if !domains.is_empty() {
        let _ = writeln!(text, "search {domains}");
    }
    let ndots = dns_options.iter().any(|option| option.starts_with("ndots:"));
    let ndots = if ndots { None } else { Some("ndots:0") };
    let options: Vec<&str> = dns_options.iter().map(String::as_str).chain(ndots).collect();
    let _ = writeln!(text, "options {}", options.join(" "));
    text
}

/// The domains to search in; a dot alone is none.
fn domains(wanted: &[String]) -> String {
    if wanted == ["."] { String::new() } else { wanted.join(" ") }
}

/// The resolver's configuration: the user's, else this machine's.
fn resolv_conf(record: &Record) -> String {
    let host = &record.host_config;
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let kept = |keyword: &str, wanted: &[String]| -> String {
        if wanted.is_empty() {
            own.lines().filter(|line| line.starts_with(keyword)).map(|line| format!("{line}\n")).collect()
        } else if keyword == "nameserver" {
            wanted.iter().map(|server| format!("nameserver {server}\n")).collect()
        } else if keyword == "search" && domains(wanted).is_empty() {
            String::new()
        } else {
            format!("{keyword} {}\n", wanted.join(" "))
        }
    };
    [("nameserver", &host.dns), ("search", &host.dns_search), ("options", &host.dns_options)]
        .map(|(keyword, wanted)| kept(keyword, wanted))
        .concat()
}
