//! From a container's record to the OCI runtime specification that the guard reads.

mod limits;
mod mounts;
mod process;
mod seccomp;
mod security;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, RootBuilder, Spec,
    SpecBuilder,
};

pub(crate) use limits::{check as check_resources, from as limits};
pub(crate) use process::{check_ulimits, exec_process, set as set_variable};
pub(crate) use security::check as check_security;

use crate::Error;
use crate::container::record::Record;

/// What a specification needs beyond the record.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The mounted root.
    pub(crate) root: &'a Path,
    /// The folder with its `hosts`, `hostname` and `resolv.conf`.
    pub(crate) names: &'a Path,
    /// Namespaces to join instead of new ones.
    pub(crate) joined: Joined,
    /// Binds and volumes with their place here.
    pub(crate) binds: Vec<Bind>,
    /// The program that serves as a small init.
    pub(crate) init_program: &'a Path,
}

/// A bind mount, resolved to a path of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    /// The source here.
    pub(crate) source: PathBuf,
    /// Where it appears.
    pub(crate) destination: String,
    /// Whether it can be written.
    pub(crate) writable: bool,
    /// `rprivate`, `rslave`, …
    pub(crate) propagation: String,
    /// Whether submounts come along.
    pub(crate) recursive: bool,
    /// Whether submounts of a read-only bind can be written.
    pub(crate) writable_below: bool,
    /// What the source's path leads to, while it is needed.
    pub(crate) held: Option<Arc<OwnedFd>>,
}

impl Bind {
    /// A file or folder of our own.
    pub(crate) fn ours(source: PathBuf, destination: String, writable: bool) -> Self {
        let propagation = "rprivate".to_owned();
        Self {
            source,
            destination,
            writable,
            propagation,
            recursive: false,
            writable_below: false,
            held: None,
        }
    }
}

/// Namespaces of others, by path; none makes a new one.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// Network.
    pub(crate) network: Place,
    /// Processes.
    pub(crate) pid: Place,
    /// System V IPC and message queues.
    pub(crate) ipc: Place,
    /// The shared memory of the same IPC, where several have it.
    pub(crate) shared_memory: Option<PathBuf>,
    /// Host name.
    pub(crate) uts: Place,
}

/// Which namespace of one kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A new one.
    #[default]
    Own,
    /// The engine's.
    Host,
    /// The one at this path.
    At(PathBuf),
}

/// The specification of `record` in these surroundings.
pub(crate) fn of(record: &Record, surroundings: &Surroundings<'_>) -> Result<Spec, Error> {
    let host = &record.host_config;
    let mut builder = SpecBuilder::default()
        .version("1.2.0")
        .root(RootBuilder::default().path(surroundings.root).readonly(host.readonly_rootfs).build()?)
        .process(process::of(record, surroundings)?)
        .mounts(mounts::of(record, surroundings)?)
        .linux(linux(record, surroundings)?)
        .annotations(host.annotations.clone().unwrap_or_default().into_iter().collect::<HashMap<_, _>>());
    if surroundings.joined.uts == Place::Own {
        builder = builder.hostname(record.config.hostname.clone());
        if !record.config.domainname.is_empty() {
            builder = builder.domainname(record.config.domainname.clone());
        }
    }
    Ok(builder.build()?)
}

fn linux(record: &Record, surroundings: &Surroundings<'_>) -> Result<Linux, Error> {
    let host = &record.host_config;
    let mut builder = LinuxBuilder::default()
        .namespaces(namespaces(record, &surroundings.joined)?)
        .resources(limits::of(record)?)
        .devices(mounts::devices(record)?)
        .sysctl(sysctls(record, &surroundings.joined))
        .masked_paths(security::masked_paths(host))
        .readonly_paths(security::readonly_paths(host))
        .rootfs_propagation(mounts::root_propagation(surroundings));
    if let Some(filter) = security::seccomp(host)? {
        builder = builder.seccomp(filter);
    }
    Ok(builder.build()?)
}

fn namespaces(record: &Record, joined: &Joined) -> Result<Vec<LinuxNamespace>, Error> {
    let cgroup = if record.host_config.cgroupns_mode == "host" { Place::Host } else { Place::Own };
    let all = [
        (LinuxNamespaceType::Mount, &Place::Own),
        (LinuxNamespaceType::Network, &joined.network),
        (LinuxNamespaceType::Pid, &joined.pid),
        (LinuxNamespaceType::Ipc, &joined.ipc),
        (LinuxNamespaceType::Uts, &joined.uts),
        (LinuxNamespaceType::Cgroup, &cgroup),
    ];
    let mut namespaces = Vec::new();
    for (kind, place) in all {
        let builder = LinuxNamespaceBuilder::default().typ(kind);
        match place {
            Place::Own => namespaces.push(builder.build()?),
            Place::At(path) => namespaces.push(builder.path(path).build()?),
            Place::Host => {}
        }
    }
    Ok(namespaces)
}

/// The user's sysctls and Docker's two: ping without a capability, and no privileged ports, in an own network.
fn sysctls(record: &Record, joined: &Joined) -> HashMap<String, String> {
    let mut sysctls = HashMap::new();
    if joined.network != Place::Host && !record.host_config.privileged {
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
    }
    sysctls.extend(record.host_config.sysctls.clone().unwrap_or_default());
    sysctls
}
