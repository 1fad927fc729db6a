//! Limits: the part of `HostConfig` that `docker update` can change while a container runs.

use serde::{Deserialize, Serialize};

use crate::container::config::null_is_default;

/// What a container may use at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// Relative CPU weight; 1024 is normal, 0 unset.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_shares: i64,
    /// Bytes of memory; 0 is without limit.
    #[serde(deserialize_with = "null_is_default")]
    pub memory: i64,
    /// Billionths of a CPU.
    #[serde(deserialize_with = "null_is_default")]
    pub nano_cpus: i64,
    /// The cgroup above the container's.
    #[serde(deserialize_with = "null_is_default")]
    pub cgroup_parent: String,
    /// Relative block I/O weight.
    #[serde(deserialize_with = "null_is_default")]
    pub blkio_weight: u16,
    /// Weight by device.
    pub blkio_weight_device: Option<Vec<WeightDevice>>,
    /// Bytes read per second by device.
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    /// Bytes written per second by device.
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    /// Reads per second by device.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    /// Writes per second by device.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    /// Microseconds of a CPU period.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_period: i64,
    /// Microseconds of CPU time in a period.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_quota: i64,
    /// Real-time scheduling; cgroup v2 has none.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_realtime_period: i64,
    /// Real-time scheduling; cgroup v2 has none.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_realtime_runtime: i64,
    /// CPUs it may run on (`0-2,4`).
    #[serde(deserialize_with = "null_is_default")]
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    #[serde(deserialize_with = "null_is_default")]
    pub cpuset_mems: String,
    /// Devices of the host.
    #[serde(deserialize_with = "null_is_default")]
    pub devices: Vec<DeviceMapping>,
    /// `c 1:3 rwm`: further device rules.
    pub device_cgroup_rules: Option<Vec<String>>,
    /// GPUs and such, by driver.
    pub device_requests: Option<Vec<serde_json::Value>>,
    /// Bytes below which memory isn't reclaimed first.
    #[serde(deserialize_with = "null_is_default")]
    pub memory_reservation: i64,
    /// Bytes of memory and swap together; -1 is without limit.
    #[serde(deserialize_with = "null_is_default")]
    pub memory_swap: i64,
    /// Swappiness; cgroup v2 has none.
    pub memory_swappiness: Option<i64>,
    /// Whether the OOM killer leaves it alone; cgroup v2 has no such switch.
    pub oom_kill_disable: Option<bool>,
    /// Processes at most; 0 and -1 are without limit.
    pub pids_limit: Option<i64>,
    /// rlimits.
    #[serde(deserialize_with = "null_is_default")]
    pub ulimits: Vec<Ulimit>,
    /// Windows only.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_count: i64,
    /// Windows only.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_percent: i64,
    /// Windows only.
    #[serde(rename = "IOMaximumIOps", deserialize_with = "null_is_default")]
    pub io_maximum_iops: u64,
    /// Windows only.
    #[serde(rename = "IOMaximumBandwidth", deserialize_with = "null_is_default")]
    pub io_maximum_bandwidth: u64,
}

/// A rate for one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// The device's path.
    pub path: String,
    /// Per second.
    pub rate: u64,
}

/// A weight for one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// The device's path.
    pub path: String,
    /// Relative weight.
    pub weight: u16,
}

/// A device of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// Its path on the host.
    pub path_on_host: String,
    /// Its path inside.
    pub path_in_container: String,
    /// `rwm`.
    pub cgroup_permissions: String,
}

/// One rlimit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`.
    pub name: String,
    /// The hard limit; -1 is without limit.
    pub hard: i64,
    /// The soft limit; -1 is without limit.
    pub soft: i64,
}
