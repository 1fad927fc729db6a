//! The number of processes (cgroup-v2.rst, "PID").

use std::path::Path;

use oci_spec::runtime::LinuxPids;

use super::files;
use crate::error::Error;

const MAX: &str = "pids.max";
const CURRENT: &str = "pids.current";
const THREADS: &str = "cgroup.threads";

/// How many processes and threads there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// At most; `u64::MAX` is no limit.
    pub limit: u64,
}

pub(super) fn apply(folder: &Path, pids: &LinuxPids) -> Result<(), Error> {
    // Docker's 0 and -1 both mean no limit.
    let limit = if pids.limit() > 0 { pids.limit().to_string() } else { "max".into() };
    files::write(folder, MAX, &limit)
}

pub(super) fn stats(folder: &Path) -> Result<Option<PidsStats>, Error> {
    let Some(current) = files::read_number(folder, CURRENT)? else {
        // Without the controller nobody counts, but the kernel still lists.
        let threads = files::read(folder, THREADS)?;
        let current = threads.map(|threads| threads.lines().count() as u64);
        return Ok(current.map(|current| PidsStats { current, limit: u64::MAX }));
    };
    Ok(Some(PidsStats { current, limit: files::read_number(folder, MAX)?.unwrap_or(u64::MAX) }))
}
