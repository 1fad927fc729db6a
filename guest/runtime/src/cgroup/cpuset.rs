//! Which CPUs and memory nodes (cgroup-v2.rst, "Cpuset").

use std::path::Path;

use oci_spec::runtime::LinuxCpu;

use super::files;
use crate::error::Error;

const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";

pub(super) fn apply(folder: &Path, cpu: &LinuxCpu) -> Result<(), Error> {
    for (name, value) in [(CPUS, cpu.cpus()), (MEMS, cpu.mems())] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            files::write(folder, name, value)?;
        }
    }
    Ok(())
}
