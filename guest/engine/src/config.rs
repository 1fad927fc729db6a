//! Everything an engine is told about its surroundings.

use std::path::PathBuf;

use crate::HostPaths;

/// Where an engine lives and what it may use.
#[derive(Debug, Clone)]
pub struct Config {
    /// Persistent state: images, containers, volumes.
    pub data_root: PathBuf,
    /// State that ends with the machine: sockets, bundles, mounts.
    pub exec_root: PathBuf,
    /// The cgroup below which containers get theirs, as a path in the cgroup file system (`/berth`).
    pub cgroup_parent: String,
    /// The network namespace for bridges; none is the engine's own.
    pub network_namespace: Option<PathBuf>,
    /// Put in front of interface and table names, so that two engines don't meet.
    pub name_prefix: String,
    /// The program that holds a container (`berth-guard`).
    pub guard_program: PathBuf,
    /// How paths of the user's machine look from here.
    pub host_paths: HostPaths,
}
