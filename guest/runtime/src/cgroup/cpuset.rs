//! Which CPUs and memory nodes (cgroup-v2.rst, "Cpuset").

use std::path::Path;

use oci_spec::runtime::LinuxCpu;

use super::files;
use crate::error::Error;

const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";

/// Whether anything that this controller holds is asked for.
pub(super) fn is_limited(cpu: &LinuxCpu) -> bool {
    [cpu.cpus(), cpu.mems()].iter().any(|value| value.as_ref().is_some_and(|value| !value.is_empty()))
}

pub(super) fn apply(folder: &Path, cpu: &LinuxCpu) -> Result<(), Error> {
    for (name, value) in [(CPUS, cpu.cpus()), (MEMS, cpu.mems())] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            files::write(folder, name, value)?;
        }
    }
    Ok(())
}
