//! What a build is asked for, whichever API asks.

use std::collections::{BTreeMap, BTreeSet};

use berth_images::registry::Credentials;
use berth_images::{Platform, Reference};
use jiff::Timestamp;

/// The wishes of one build.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The Dockerfile's path in the context; `Dockerfile` when empty.
    pub dockerfile: String,
    /// Names for the image.
    pub tags: Vec<Reference>,
    /// The stage to build; the last when none.
    pub target: Option<String>,
    /// `--build-arg`; none is a name without a value.
    pub arguments: BTreeMap<String, Option<String>>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// Run every step again.
    pub no_cache: bool,
    /// Ask the registry for base images that are here.
    pub pull: bool,
    /// What the image is for; this machine when none.
    pub platform: Option<Platform>,
    /// The network of RUN: `default`, `none`, `host` or a network's name.
    pub network: String,
    /// `name:address` for `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Bytes of /dev/shm; 0 is the default.
    pub shm_size: i64,
    /// Limits of RUN.
    pub limits: Limits,
    /// Who the client is to registries, by their names.
    pub credentials: BTreeMap<String, Credentials>,
    /// Images whose layers may serve as cache: when given, only those do.
    pub cache_from: Vec<String>,
    /// Stages that are run again.
    pub no_cache_stages: BTreeSet<String>,
    /// The cgroup below which RUN gets its own; the engine's when empty.
    pub cgroup_parent: String,
    /// What RUN's machine is called; the builder's choice when empty.
    pub hostname: String,
    /// The time that everything the build notes has (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<Timestamp>,
    /// Put before the ids of caches that RUN mounts, so that projects don't share them (`BUILDKIT_CACHE_MOUNT_NS`).
    pub cache_namespace: String,
}

/// What a step may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Bytes of memory and swap.
    pub memory_swap: Option<i64>,
    /// Relative share of processors.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time per period.
    pub cpu_quota: Option<i64>,
    /// The period, in microseconds.
    pub cpu_period: Option<u64>,
    /// Processors, `0-1`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes.
    pub cpuset_mems: Option<String>,
    /// `name`, soft and hard.
    pub ulimits: Vec<(String, u64, u64)>,
}
