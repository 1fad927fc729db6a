//! Everything an engine is told about its surroundings.

use std::path::PathBuf;
use std::sync::Arc;

use berth_network::publish::PortPublisher;
use berth_network::{Avoid, Defaults};

use crate::{HostPaths, Settings};

/// Where an engine lives and what it may use.
#[derive(Clone)]
pub struct Config {
    /// Persistent state: images, containers, volumes.
    pub data_root: PathBuf,
    /// State that ends with the machine: sockets, bundles, mounts.
    pub exec_root: PathBuf,
    /// The cgroup below which containers get theirs, as a path in the cgroup file system (`/berth`).
    pub cgroup_parent: String,
    /// Subnets that networks must not meet, beside those that this machine routes to: a VM's host's.
    pub avoid: Avoid,
    /// Opens published ports on the user's machine.
    pub publisher: Arc<dyn PortPublisher>,
    /// Put in front of interface and table names, so that two engines don't meet.
    pub name_prefix: String,
    /// How networks are made.
    pub networks: Defaults,
    /// What may change while the engine runs.
    pub settings: Settings,
    /// The program that holds a container (`berth-guard`).
    pub guard_program: PathBuf,
    /// How many files a container may open unless it asks for more (the soft limit); the engine's own limit when none.
    pub open_files: Option<u64>,
    /// By which published connections come into the networks, in a VM.
    pub door: Option<berth_network::Door>,
    /// How paths of the user's machine look from here.
    pub host_paths: HostPaths,
}

impl Config {
    /// The cgroup of the guards, beside the containers': what a container may use isn't spent on its guard.
    pub fn guards_cgroup(&self) -> String {
        format!("{}-guards", self.cgroup_parent.trim_end_matches('/'))
    }

    /// The cgroup of builds, beside the containers'.
    pub fn builds_cgroup(&self) -> String {
        format!("{}-builds", self.cgroup_parent.trim_end_matches('/'))
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Config").field("data_root", &self.data_root).finish_non_exhaustive()
    }
}
