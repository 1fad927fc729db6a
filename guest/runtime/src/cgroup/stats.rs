//! All numbers of a cgroup at one moment.

use super::{
    Cgroup, CpuStats, HugetlbStats, IoStats, MemoryStats, PidsStats, cpu, hugetlb, io, memory, pids,
};
use crate::error::Error;

/// What a cgroup uses; a part is `None` when its controller isn't enabled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time; usage is there without the controller too.
    pub cpu: Option<CpuStats>,
    /// Memory and swap.
    pub memory: Option<MemoryStats>,
    /// Processes.
    pub pids: Option<PidsStats>,
    /// Block devices.
    pub io: Option<Vec<IoStats>>,
    /// Huge pages.
    pub hugetlb: Vec<HugetlbStats>,
}

impl Cgroup {
    /// Reads all of it.
    pub fn stats(&self) -> Result<Stats, Error> {
        Ok(Stats {
            cpu: cpu::stats(&self.path)?,
            memory: memory::stats(&self.path)?,
            pids: pids::stats(&self.path)?,
            io: io::stats(&self.path)?,
            hugetlb: hugetlb::stats(&self.path)?,
        })
    }
}
