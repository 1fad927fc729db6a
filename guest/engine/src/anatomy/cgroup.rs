//! A cgroup's knobs and gauges, in the kernel's own names (cgroup-v2.rst).

use std::collections::BTreeMap;

use berth_runtime::cgroup::Cgroup;
use serde::Serialize;

/// Files that limit, and files that tell.
const LIMITS: &[&str] = &[
    "cpu.max",
    "cpu.weight",
    "cpuset.cpus.effective",
    "io.max",
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "pids.max",
];
const USAGE: &[&str] = &[
    "cgroup.procs",
    "cpu.stat",
    "io.stat",
    "memory.current",
    "memory.events",
    "memory.peak",
    "memory.swap.current",
    "pids.current",
];
const PRESSURE: &[&str] = &["cpu.pressure", "io.pressure", "memory.pressure"];

/// A cgroup: its place, and what its files say. A file that isn't there, for want of its controller, is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CgroupAnatomy {
    /// Its path below the hierarchy's mount.
    pub path: String,
    /// Controllers that it has.
    pub controllers: Vec<String>,
    /// What it may use.
    pub limits: BTreeMap<&'static str, String>,
    /// What it uses.
    pub usage: BTreeMap<&'static str, String>,
    /// How long its processes waited for what they need.
    pub pressure: BTreeMap<&'static str, String>,
}

/// What a cgroup's files say.
pub(super) fn of(cgroup: &Cgroup, path: String) -> CgroupAnatomy {
    let read = |name: &str| std::fs::read_to_string(cgroup.path().join(name)).ok();
    let all = |names: &[&'static str]| {
        let said = |&name: &&'static str| Some((name, read(name)?.trim_end().to_owned()));
        names.iter().filter_map(said).collect()
    };
    let controllers = read("cgroup.controllers").unwrap_or_default();
    CgroupAnatomy {
        path,
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        limits: all(LIMITS),
        usage: all(USAGE),
        pressure: all(PRESSURE),
    }
}
