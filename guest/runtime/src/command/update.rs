//! `update`: a running container's limits.

use std::io::Read;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::report::Report;
use super::state::Status;
use super::store::Store;
use super::{Ended, check, place};
use crate::error::{Doing, Error};

/// Changes a container's limits; what isn't named stays as it is.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A file with them as the specification's linux.resources, or - for standard input; then no option counts.
    #[arg(short, long)]
    resources: Option<PathBuf>,
    /// The weight of block I/O, 10 to 1000.
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// The period of --cpu-quota, in microseconds.
    #[arg(long)]
    cpu_period: Option<u64>,
    /// CPU time in a period, in microseconds; negative for no limit.
    #[arg(long, allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// CPU time that may be saved up, in microseconds.
    #[arg(long)]
    cpu_burst: Option<u64>,
    /// The weight of CPU time, 2 to 262144.
    #[arg(long)]
    cpu_share: Option<u64>,
    /// 1 for CPU time that nobody else wants only.
    #[arg(long)]
    cpu_idle: Option<i64>,
    /// Real-time scheduling (not supported).
    #[arg(long)]
    cpu_rt_period: Option<u64>,
    /// Real-time scheduling (not supported).
    #[arg(long)]
    cpu_rt_runtime: Option<i64>,
    /// The CPUs, as 0-3,7.
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// The memory nodes.
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Memory, in bytes or with k, m, g; -1 for no limit.
    #[arg(long, allow_hyphen_values = true, value_parser = bytes)]
    memory: Option<i64>,
    /// Memory that is left to it under pressure.
    #[arg(long, allow_hyphen_values = true, value_parser = bytes)]
    memory_reservation: Option<i64>,
    /// Memory and swap together.
    #[arg(long, allow_hyphen_values = true, value_parser = bytes)]
    memory_swap: Option<i64>,
    /// Memory of the kernel's (not supported).
    #[arg(long, allow_hyphen_values = true, value_parser = bytes)]
    kernel_memory: Option<i64>,
    /// Memory of the kernel's for TCP (not supported).
    #[arg(long, allow_hyphen_values = true, value_parser = bytes)]
    kernel_memory_tcp: Option<i64>,
    /// Processes; -1 for no limit.
    #[arg(long, allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Shares of caches (not supported).
    #[arg(long)]
    l3_cache_schema: Option<String>,
    /// Shares of memory bandwidth (not supported).
    #[arg(long)]
    mem_bw_schema: Option<String>,
    /// The container.
    id: String,
}

/// Changes them.
pub(super) fn run(args: &Args, store: &Store, report: &Report) -> Ended {
    if args.l3_cache_schema.is_some() || args.mem_bw_schema.is_some() {
        return Err(Error::Refused("linux.intelRdt isn't supported".into()));
    }
    let mut resources = asked(args)?;
    check::refuse_unsupported_resources(&resources)?;
    // The devices are settled at creation; rules would add to those in force.
    resources.set_devices(None);
    let held = store.lock(&args.id)?;
    let record = held.record()?.ok_or_else(|| Error::NotExist(args.id.clone()))?;
    if matches!(record.status(&held.socket()), Status::Stopped | Status::Creating) {
        return Err(Error::State("container not running".into()));
    }
    let cgroup = place::cgroup(&record.cgroup)?;
    for lacking in cgroup.lacking(&resources)? {
        report.warn(&format!("this machine has no cgroup controller {lacking}: its limits don't hold"));
    }
    cgroup.update(&resources).map(|()| 0)
}

fn asked(args: &Args) -> Result<LinuxResources, Error> {
    let path = args.resources.clone().unwrap_or_else(|| "options".into());
    let value = match &args.resources {
        None => options(args),
        Some(path) => {
            let mut text = String::new();
            let read = if path.as_os_str() == "-" {
                std::io::stdin().read_to_string(&mut text)
            } else {
                std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
            };
            read.on("read", path)?;
            serde_json::from_str(&text).map_err(|source| Error::Json { path: path.clone(), source })?
        }
    };
    serde_json::from_value(value).map_err(|source| Error::Json { path, source })
}

/// The options as the specification has them.
fn options(args: &Args) -> Value {
    let group = |pairs: Vec<(&str, Value)>| {
        let set: Map<_, _> = pairs
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        if set.is_empty() { Value::Null } else { Value::Object(set) }
    };
    json!({
        "blockIO": group(vec![("weight", json!(args.blkio_weight))]),
        "pids": group(vec![("limit", json!(args.pids_limit))]),
        "memory": group(vec![
            ("limit", json!(args.memory)),
            ("reservation", json!(args.memory_reservation)),
            ("swap", json!(args.memory_swap)),
            ("kernel", json!(args.kernel_memory)),
            ("kernelTCP", json!(args.kernel_memory_tcp)),
        ]),
        "cpu": group(vec![
            ("period", json!(args.cpu_period)),
            ("quota", json!(args.cpu_quota)),
            ("burst", json!(args.cpu_burst)),
            ("shares", json!(args.cpu_share)),
            ("idle", json!(args.cpu_idle)),
            ("realtimePeriod", json!(args.cpu_rt_period)),
            ("realtimeRuntime", json!(args.cpu_rt_runtime)),
            ("cpus", json!(args.cpuset_cpus)),
            ("mems", json!(args.cpuset_mems)),
        ]),
    })
}

/// `512m` and the like, in powers of 1024.
fn bytes(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let units = [("k", 10), ("m", 20), ("g", 30), ("t", 40)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((lower.strip_suffix(unit)?, *shift)))
        .unwrap_or((lower, 0));
    let number = number.parse::<i64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("{text:?} isn't a number of bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            ["-1", "4096", "32m", "1G", "2kb"].map(bytes).map(Result::unwrap),
            [-1, 4096, 32 << 20, 1 << 30, 2048]
        );
        assert!(bytes("9999999999g").is_err());
        assert!(bytes("m").is_err());
    }
}
