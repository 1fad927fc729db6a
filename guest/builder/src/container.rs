//! The container of a RUN step, as the OCI runtime specification describes it: Docker's defaults, nothing else.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use berth_runtime::defaults;
use berth_runtime::oci::{
    Capabilities, Linux, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxDevice,
    LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources, LinuxResourcesBuilder, Mount,
    MountBuilder, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
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
/// What a step outside of the sandbox has of the machine's devices, and how many loop devices.
const MACHINE_DEVICES: [&str; 6] =
    ["/dev/kmsg", "/dev/cuse", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/loop-control"];
const LOOPS: u32 = 8;
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
    /// Whether it has every capability and device, and no filter.
    pub(crate) is_insecure: bool,
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
        let shm_size = if self.shm_size > 0 { self.shm_size } else { SHM };
        let mut mounts = kernel_mounts(shm_size, if self.is_insecure { "rw" } else { "ro" })?;
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
        let all = self.capabilities();
        let active = if *uid == 0 || self.is_insecure { all.clone() } else { Capabilities::new() };
        // Outside of the sandbox programs of any user have them, as in BuildKit.
        let passed_on = if self.is_insecure { all.clone() } else { Capabilities::new() };
        let capabilities = LinuxCapabilitiesBuilder::default()
            .bounding(all)
            .effective(active.clone())
            .permitted(active)
            .inheritable(passed_on.clone())
            .ambient(passed_on)
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
        let linux = LinuxBuilder::default()
            .namespaces(namespaces)
            .resources(self.resources()?)
            .sysctl(sysctl)
            .rootfs_propagation("rprivate".to_owned());
        if self.is_insecure {
            let nothing = Vec::new();
            return linux
                .masked_paths(nothing.clone())
                .readonly_paths(nothing)
                .devices(machine_devices()?)
                .build();
        }
        linux
            .masked_paths(owned(defaults::MASKED_PATHS))
            .readonly_paths(owned(defaults::READ_ONLY_PATHS))
            .seccomp(berth_runtime::seccomp::default_profile(&self.capabilities()))
            .build()
    }

    /// What its root may do.
    fn capabilities(&self) -> Capabilities {
        if self.is_insecure {
            return berth_runtime::available_capabilities();
        }
        defaults::CAPABILITIES.iter().filter_map(|name| name.parse().ok()).collect()
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
        let rules = if self.is_insecure { every_device()? } else { devices()? };
        LinuxResourcesBuilder::default().cpu(cpu.build()?).memory(memory.build()?).devices(rules).build()
    }
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
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

fn every_device() -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    let rule = |kind| LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).access("rwm").build();
    [LinuxDeviceType::C, LinuxDeviceType::B].into_iter().map(rule).collect()
}

/// Those of the machine's devices that BuildKit shows outside of the sandbox, as far as they are here.
fn machine_devices() -> Result<Vec<LinuxDevice>, OciSpecError> {
    let loops = (0..LOOPS).map(|number| format!("/dev/loop{number}"));
    let paths = MACHINE_DEVICES.iter().map(|&path| path.to_owned()).chain(loops);
    let found = paths.filter_map(|path| {
        let device = std::fs::metadata(&path).ok()?;
        let kind = match device.file_type() {
            kind if kind.is_char_device() => LinuxDeviceType::C,
            kind if kind.is_block_device() => LinuxDeviceType::B,
            _ => return None,
        };
        let (major, minor) = (rustix::fs::major(device.rdev()), rustix::fs::minor(device.rdev()));
        let described = LinuxDeviceBuilder::default().path(path).typ(kind);
        Some(described.major(i64::from(major)).minor(i64::from(minor)).build())
    });
    found.collect()
}

/// The kernel's file systems; `access` is what the step has to the kernel's own settings.
fn kernel_mounts(shm_size: i64, access: &str) -> Result<Vec<Mount>, OciSpecError> {
    let kernel = |destination: &str, kind: &str, options: &str| {
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        MountBuilder::default().destination(destination).typ(kind).source(kind).options(options).build()
    };
    Ok(vec![
        kernel("/proc", "proc", "nosuid,noexec,nodev")?,
        kernel("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k")?,
        kernel("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5")?,
        kernel("/sys", "sysfs", &format!("nosuid,noexec,nodev,{access}"))?,
        kernel("/sys/fs/cgroup", "cgroup2", &format!("nosuid,noexec,nodev,{access}"))?,
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
