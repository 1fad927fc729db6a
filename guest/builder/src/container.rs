//! The container of a RUN step, as the OCI runtime specification describes it: Docker's defaults, nothing else.

use std::path::{Path, PathBuf};

use berth_runtime::defaults;
use berth_runtime::oci::{
    Capabilities, Linux, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxResources, LinuxResourcesBuilder, Mount, MountBuilder, PosixRlimitBuilder,
    PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use oci_spec::OciSpecError;

use crate::options::Limits;
use crate::user::Identity;
use crate::{Error, Result};

/// Devices that it may use, by major and minor number; no minor number is all of them.
const DEVICES: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];
/// Bytes of /dev/shm when nobody says otherwise.
const SHM: i64 = 64 << 20;

/// Which network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Network {
    /// A new one, with nothing in it.
    None,
    /// The engine's.
    Host,
    /// The one at this path.
    At(PathBuf),
}

/// Everything about the container of one step.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) root: &'a Path,
    pub(crate) argv: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) folder: String,
    pub(crate) identity: Identity,
    pub(crate) hostname: &'a str,
    pub(crate) network: Network,
    pub(crate) shm_size: i64,
    pub(crate) limits: &'a Limits,
    /// Beyond the kernel's own file systems.
    pub(crate) mounts: Vec<Mount>,
}

impl Container<'_> {
    /// The specification.
    pub(crate) fn spec(&self) -> Result<Spec> {
        self.build().map_err(|error| Error::Description(error.to_string()))
    }

    fn build(&self) -> Result<Spec, OciSpecError> {
        let mut mounts = kernel_mounts(if self.shm_size > 0 { self.shm_size } else { SHM })?;
        mounts.extend(self.mounts.iter().cloned());
        SpecBuilder::default()
            .version("1.2.0")
            .root(RootBuilder::default().path(self.root).readonly(false).build()?)
            .hostname(self.hostname)
            .process(self.process()?)
            .mounts(mounts)
            .linux(self.linux()?)
            .build()
    }

    fn process(&self) -> Result<Process, OciSpecError> {
        let Identity { uid, gid, groups, .. } = &self.identity;
        let user = UserBuilder::default().uid(*uid).gid(*gid).additional_gids(groups.clone()).build()?;
        let all = capabilities();
        let active = if *uid == 0 { all.clone() } else { Capabilities::new() };
        let capabilities = LinuxCapabilitiesBuilder::default()
            .bounding(all)
            .effective(active.clone())
            .permitted(active)
            .inheritable(Capabilities::new())
            .ambient(Capabilities::new())
            .build()?;
        let mut limits = Vec::new();
        for (name, soft, hard) in &self.limits.ulimits {
            let Ok(kind) = format!("RLIMIT_{}", name.to_ascii_uppercase()).parse::<PosixRlimitType>() else {
                continue;
            };
            limits.push(PosixRlimitBuilder::default().typ(kind).soft(*soft).hard(*hard).build()?);
        }
        ProcessBuilder::default()
            .terminal(false)
            .user(user)
            .args(self.argv.clone())
            .env(self.environment.clone())
            .cwd(self.folder.clone())
            .capabilities(capabilities)
            .rlimits(limits)
            .no_new_privileges(false)
            .build()
    }

    fn linux(&self) -> Result<Linux, OciSpecError> {
        let mut namespaces: Vec<LinuxNamespace> = Vec::new();
        for kind in [
            LinuxNamespaceType::Mount,
            LinuxNamespaceType::Pid,
            LinuxNamespaceType::Ipc,
            LinuxNamespaceType::Uts,
            LinuxNamespaceType::Cgroup,
        ] {
            namespaces.push(LinuxNamespaceBuilder::default().typ(kind).build()?);
        }
        let network = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
        let mut sysctl = std::collections::HashMap::new();
        if self.network != Network::Host {
            sysctl.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
            sysctl.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        }
        match &self.network {
            Network::None => namespaces.push(network.build()?),
            Network::At(path) => namespaces.push(network.path(path).build()?),
            Network::Host => {}
        }
        LinuxBuilder::default()
            .namespaces(namespaces)
            .resources(self.resources()?)
            .sysctl(sysctl)
            .masked_paths(owned(defaults::MASKED_PATHS))
            .readonly_paths(owned(defaults::READ_ONLY_PATHS))
            .rootfs_propagation("rprivate".to_owned())
            .seccomp(berth_runtime::seccomp::default_profile(&capabilities()))
            .build()
    }

    fn resources(&self) -> Result<LinuxResources, OciSpecError> {
        let limits = self.limits;
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(shares) = limits.cpu_shares {
            cpu = cpu.shares(shares);
        }
        if let Some(quota) = limits.cpu_quota {
            cpu = cpu.quota(quota);
        }
        if let Some(period) = limits.cpu_period {
            cpu = cpu.period(period);
        }
        if let Some(cpus) = &limits.cpuset_cpus {
            cpu = cpu.cpus(cpus.clone());
        }
        if let Some(mems) = &limits.cpuset_mems {
            cpu = cpu.mems(mems.clone());
        }
        let mut memory = LinuxMemoryBuilder::default();
        if let Some(limit) = limits.memory {
            memory = memory.limit(limit);
        }
        if let Some(swap) = limits.memory_swap {
            memory = memory.swap(swap);
        }
        LinuxResourcesBuilder::default().cpu(cpu.build()?).memory(memory.build()?).devices(devices()?).build()
    }
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

fn capabilities() -> Capabilities {
    defaults::CAPABILITIES.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Nothing but the usual devices. Making nodes is harmless: using them isn't.
fn devices() -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    let rule = LinuxDeviceCgroupBuilder::default;
    let mut rules = vec![rule().allow(false).access("rwm").build()?];
    for kind in [LinuxDeviceType::C, LinuxDeviceType::B] {
        rules.push(rule().allow(true).typ(kind).access("m").build()?);
    }
    for (major, minor) in DEVICES {
        let rule = rule().allow(true).typ(LinuxDeviceType::C).major(major).access("rwm");
        rules.push(if let Some(minor) = minor { rule.minor(minor).build()? } else { rule.build()? });
    }
    Ok(rules)
}

fn kernel_mounts(shm_size: i64) -> Result<Vec<Mount>, OciSpecError> {
    let kernel = |destination: &str, kind: &str, options: &str| {
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        MountBuilder::default().destination(destination).typ(kind).source(kind).options(options).build()
    };
    Ok(vec![
        kernel("/proc", "proc", "nosuid,noexec,nodev")?,
        kernel("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k")?,
        kernel("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5")?,
        kernel("/sys", "sysfs", "nosuid,noexec,nodev,ro")?,
        kernel("/sys/fs/cgroup", "cgroup2", "nosuid,noexec,nodev,ro")?,
        kernel("/dev/mqueue", "mqueue", "nosuid,noexec,nodev")?,
        kernel("/dev/shm", "tmpfs", &format!("nosuid,noexec,nodev,mode=1777,size={shm_size}"))?,
    ])
}

/// A bind mount.
pub(crate) fn bind(source: &Path, destination: &str, read_only: bool) -> Result<Mount> {
    let access = if read_only { "ro" } else { "rw" };
    let options = ["rbind", access, "rprivate"].map(str::to_owned).to_vec();
    let mount = MountBuilder::default().destination(destination).typ("bind").source(source).options(options);
    mount.build().map_err(|error| Error::Description(error.to_string()))
}

/// A folder in memory.
pub(crate) fn tmpfs(destination: &str, size: u64) -> Result<Mount> {
    let mut options = ["nosuid", "nodev"].map(str::to_owned).to_vec();
    if size > 0 {
        options.push(format!("size={size}"));
    }
    let mount =
        MountBuilder::default().destination(destination).typ("tmpfs").source("tmpfs").options(options);
    mount.build().map_err(|error| Error::Description(error.to_string()))
}
