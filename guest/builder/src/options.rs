//! What a build is asked for, whichever API asks.

use std::collections::{BTreeMap, BTreeSet};

use berth_images::registry::Credentials;
use berth_images::{Platform, Reference};
use jiff::Timestamp;

use crate::{Error, Result};

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
    /// Patterns of what the context comes without.
    pub ignored: Vec<String>,
    /// What RUN may do beyond the sandbox.
    pub granted: Grants,
    /// Put before the ids of caches that RUN mounts, so that projects don't share them (`BUILDKIT_CACHE_MOUNT_NS`).
    pub cache_namespace: String,
}

/// What a build may be granted beyond the sandbox (BuildKit's entitlements).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    /// `network.host`: the machine's own network.
    pub host_network: bool,
    /// `security.insecure`: every capability and device, no filter of system calls.
    pub insecure: bool,
}

impl Grants {
    /// What a request asks for by name.
    ///
    /// # Errors
    /// In BuildKit's words, when there is no such thing or the engine doesn't allow it.
    pub fn of(asked: &[String], allowed: Self) -> Result<Self> {
        let mut granted = Self::default();
        for name in asked {
            let kind = name.split('=').next().unwrap_or(name);
            let grant = match kind {
                HOST_NETWORK if allowed.host_network => &mut granted.host_network,
                INSECURE if allowed.insecure => &mut granted.insecure,
                HOST_NETWORK | INSECURE | "device" => {
                    let why = "is not allowed by build daemon configuration";
                    return Err(Error::Invalid(format!("granting entitlement {kind} {why}")));
                }
                _ => return Err(Error::Invalid(format!("unknown entitlement {name}"))),
            };
            *grant = true;
        }
        Ok(granted)
    }
}

/// The grants' names.
pub(crate) const HOST_NETWORK: &str = "network.host";
pub(crate) const INSECURE: &str = "security.insecure";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_does_not_allow_is_not_granted() {
        let allowed = Grants { host_network: true, insecure: false };
        let ask = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Grants::of(&names, allowed).map_err(|error| error.to_string())
        };
        assert_eq!(ask(&[]), Ok(Grants::default()));
        assert_eq!(ask(&["network.host"]), Ok(allowed));
        let refused = "granting entitlement security.insecure is not allowed by build daemon configuration";
        assert_eq!(ask(&["network.host", "security.insecure"]), Err(refused.to_owned()));
        assert!(ask(&["device=x"]).is_err_and(|why| why.starts_with("granting entitlement device is not")));
        assert_eq!(ask(&["all"]), Err("unknown entitlement all".to_owned()));
    }
}
