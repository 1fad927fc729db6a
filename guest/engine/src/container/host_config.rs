//! How a container meets this machine: Docker's `HostConfig`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::container::config::null_is_default;
use crate::container::resources::Resources;

/// The half of a container's description that depends on the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `source:target[:options]`.
    pub binds: Option<Vec<String>>,
    /// Where the client writes the id; it does so itself.
    #[serde(rename = "ContainerIDFile", deserialize_with = "null_is_default")]
    pub container_id_file: String,
    /// Where output goes.
    #[serde(deserialize_with = "null_is_default")]
    pub log_config: LogConfig,
    /// `bridge`, `host`, `none`, `container:ID` or a network's name.
    #[serde(deserialize_with = "null_is_default")]
    pub network_mode: String,
    /// Published ports by `80/tcp`.
    #[serde(deserialize_with = "null_is_default")]
    pub port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// When to start again.
    #[serde(deserialize_with = "null_is_default")]
    pub restart_policy: RestartPolicy,
    /// Whether it is removed once it exited.
    #[serde(deserialize_with = "null_is_default")]
    pub auto_remove: bool,
    /// The driver of volumes made on the way.
    #[serde(deserialize_with = "null_is_default")]
    pub volume_driver: String,
    /// `container[:ro]`: take over its volumes.
    pub volumes_from: Option<Vec<String>>,
    /// Mounts in the newer form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<MountSpec>>,
    /// Rows and columns of the terminal at its start.
    #[serde(deserialize_with = "null_is_default")]
    pub console_size: [u16; 2],
    /// OCI annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Capabilities beyond the default.
    pub cap_add: Option<Vec<String>>,
    /// Capabilities of the default to leave out.
    pub cap_drop: Option<Vec<String>>,
    /// `private` or `host`.
    #[serde(deserialize_with = "null_is_default")]
    pub cgroupns_mode: String,
    /// Name servers.
    #[serde(deserialize_with = "null_is_default")]
    pub dns: Vec<String>,
    /// Resolver options.
    #[serde(deserialize_with = "null_is_default")]
    pub dns_options: Vec<String>,
    /// Search domains.
    #[serde(deserialize_with = "null_is_default")]
    pub dns_search: Vec<String>,
    /// `name:address` lines for /etc/hosts.
    pub extra_hosts: Option<Vec<String>>,
    /// Further groups.
    pub group_add: Option<Vec<String>>,
    /// `private`, `shareable`, `host`, `none` or `container:ID`.
    #[serde(deserialize_with = "null_is_default")]
    pub ipc_mode: String,
    /// Reserved by Docker.
    #[serde(deserialize_with = "null_is_default")]
    pub cgroup: String,
    /// `container:alias`.
    pub links: Option<Vec<String>>,
    /// OOM score adjustment.
    #[serde(deserialize_with = "null_is_default")]
    pub oom_score_adj: i32,
    /// `host`, `container:ID` or empty.
    #[serde(deserialize_with = "null_is_default")]
    pub pid_mode: String,
    /// Every capability and device.
    #[serde(deserialize_with = "null_is_default")]
    pub privileged: bool,
    /// Publish every exposed port.
    #[serde(deserialize_with = "null_is_default")]
    pub publish_all_ports: bool,
    /// Whether the root file system is read-only.
    #[serde(deserialize_with = "null_is_default")]
    pub readonly_rootfs: bool,
    /// `seccomp=…`, `no-new-privileges`, `systempaths=unconfined`.
    pub security_opt: Option<Vec<String>>,
    /// Options of the storage driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_opt: Option<BTreeMap<String, String>>,
    /// `path: options` of tmpfs mounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    /// `host` or empty.
    #[serde(rename = "UTSMode", deserialize_with = "null_is_default")]
    pub uts_mode: String,
    /// `host` or empty.
    #[serde(deserialize_with = "null_is_default")]
    pub userns_mode: String,
    /// Bytes of /dev/shm.
    #[serde(deserialize_with = "null_is_default")]
    pub shm_size: i64,
    /// Kernel settings of its namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sysctls: Option<BTreeMap<String, String>>,
    /// The runtime's name.
    #[serde(deserialize_with = "null_is_default")]
    pub runtime: String,
    /// Windows only.
    #[serde(deserialize_with = "null_is_default")]
    pub isolation: String,
    /// Limits.
    #[serde(flatten)]
    pub resources: Resources,
    /// Whether a small init reaps inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Paths that can't be seen; Docker's list when absent.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that can't be written; Docker's list when absent.
    pub readonly_paths: Option<Vec<String>>,
    /// Fields that this engine doesn't know, for a warning.
    #[serde(flatten, skip_serializing)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// Where output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file`, `local` or `none`; the daemon's when empty.
    #[serde(rename = "Type", deserialize_with = "null_is_default")]
    pub driver: String,
    /// The driver's options.
    #[serde(deserialize_with = "null_is_default")]
    pub config: BTreeMap<String, String>,
}

/// Where on the host one port is published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// The host's address; every one when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub host_ip: String,
    /// The host's port or range; chosen when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub host_port: String,
}

/// When to start again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped` or `on-failure`.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// How often at most, for `on-failure`; 0 is without limit.
    #[serde(deserialize_with = "null_is_default")]
    pub maximum_retry_count: i64,
}

/// A mount in the newer form (`--mount`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountSpec {
    /// `bind`, `volume`, `tmpfs` or `image`.
    #[serde(rename = "Type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// The host path, the volume's name or the image's.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where it appears.
    #[serde(deserialize_with = "null_is_default")]
    pub target: String,
    /// Whether it can't be written.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Accepted and without meaning on Linux.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// Of a bind mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// Of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// Of a tmpfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
    /// Of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
}

/// Options of an image mount (API 1.48).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOptions {
    /// A folder or file inside the image.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// Options of a bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `rprivate`, `rslave`, …
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Leave submounts out.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// Make the source when it isn't there.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub create_mountpoint: bool,
    /// Of a read-only bind: what is mounted below it can be written.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// Of a read-only bind: what is mounted below it can't be written, or the container doesn't start.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Don't copy the image's content into a fresh volume.
    #[serde(deserialize_with = "null_is_default")]
    pub no_copy: bool,
    /// Labels of a volume made on the way.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// A folder inside the volume.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// The driver of a volume made on the way, and its options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// The driver of a volume made on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverConfig {
    /// `local`, or empty.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Its options.
    #[serde(deserialize_with = "null_is_default")]
    pub options: BTreeMap<String, String>,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Bytes at most; the kernel's default when 0.
    #[serde(deserialize_with = "null_is_default")]
    pub size_bytes: i64,
    /// Mode of its root.
    #[serde(deserialize_with = "null_is_default")]
    pub mode: u32,
    /// Further ones (API 1.46): `[["exec"], ["uid", "1000"]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<Vec<String>>>,
}
