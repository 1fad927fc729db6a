//! Which namespaces a container shares, its networks, and the three files that name it and others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::container::Container;
use crate::container::host_config::PortBinding;
use crate::container::record::Record;
use crate::endpoint::EndpointSettings;
use crate::spec::{Joined, Place};
use crate::{Engine, Error};

impl Engine {
    /// The networks of a new container: those that were asked for, and the one of its network mode.
    pub(crate) fn wanted_networks(
        &self,
        record: &Record,
        mut networks: BTreeMap<String, EndpointSettings>,
    ) -> BTreeMap<String, EndpointSettings> {
        let mode = record.host_config.network_mode.as_str();
        if !mode.starts_with("container:") {
            networks.entry(mode.to_owned()).or_default();
        }
        networks
    }

    /// Joins the container's networks and says which namespaces its process gets.
    pub(crate) async fn join_networks(&self, container: &Arc<Container>) -> Result<Joined, Error> {
        let host = container.with(|record| record.host_config.clone());
        let joined = Joined {
            network: self.network_place(&host.network_mode)?,
            pid: self.place("pid", &host.pid_mode)?,
            ipc: self.place("ipc", &host.ipc_mode)?,
            uts: if host.uts_mode == "host" { Place::Host } else { Place::Own },
        };
        self.write_names(container)?;
        Ok(joined)
    }

    fn network_place(&self, mode: &str) -> Result<Place, Error> {
        match mode {
            "none" => Ok(Place::Own),
            mode => self.place("net", mode),
        }
    }

    /// The namespace that a mode means: an own one, the host's, or another container's.
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

    /// Writes `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of a container.
    fn write_names(&self, container: &Container) -> Result<(), Error> {
        let record = container.record();
        let hostname = &record.config.hostname;
        let mut hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
            .to_owned();
        for entry in record.host_config.extra_hosts.iter().flatten() {
            let (name, address) = entry.split_once([':', '=']).unwrap_or((entry, ""));
            hosts.push_str(&format!("{address}\t{name}\n"));
        }
        for endpoint in record.networks.values().filter(|endpoint| !endpoint.ip_address.is_empty()) {
            hosts.push_str(&format!("{}\t{hostname}\n", endpoint.ip_address));
        }
        let write = |name: &str, text: &str| {
            let path = container.folder.join(name);
            std::fs::write(&path, text).map_err(|source| Error::Write { path, source })
        };
        write("hostname", &format!("{hostname}\n"))?;
        write("hosts", &hosts)?;
        write("resolv.conf", &resolv_conf(&record))
    }

    /// Opens the container's published ports.
    pub(crate) async fn publish_ports(&self, container: &Container) -> Result<(), Error> {
        let wanted = container.with(|record| !record.host_config.port_bindings.is_empty());
        if wanted { Err(Error::Unsupported { field: "PortBindings" }) } else { Ok(()) }
    }

    /// Takes the container out of its networks and closes its ports.
    pub(crate) async fn leave_networks(&self, _container: &Container) {}

    /// A container's ports and where they are open.
    pub fn open_ports(&self, record: &Record) -> BTreeMap<String, Option<Vec<PortBinding>>> {
        let exposed = record.config.exposed_ports.iter().flatten();
        if record.state.status.has_process() {
            exposed.map(|(port, _)| (port.clone(), None)).collect()
        } else {
            BTreeMap::new()
        }
    }

    /// The path of a container's own network namespace.
    pub(crate) fn sandbox_path(&self, _record: &Record) -> String {
        String::new()
    }
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
        } else {
            format!("{keyword} {}\n", wanted.join(" "))
        }
    };
    [("nameserver", &host.dns), ("search", &host.dns_search), ("options", &host.dns_options)]
        .map(|(keyword, wanted)| kept(keyword, wanted))
        .concat()
}
