//! A container's cgroup (v2 only; `Documentation/admin-guide/cgroup-v2.rst`): made up front, limited, watched, removed.
//!
//! One file per controller below, each with the same three parts: the files it uses, `apply`, `stats`. A controller
//! that the hierarchy lacks is skipped: the container runs, and [`CgroupRoot::controllers`] tells what is missing.

mod control;
mod cpu;
mod cpuset;
mod devices;
mod files;
mod hugetlb;
mod io;
mod memory;
mod pids;
mod root;
mod stats;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

pub use cpu::CpuStats;
pub use hugetlb::HugetlbStats;
pub use io::IoStats;
pub use memory::MemoryStats;
pub use pids::PidsStats;
pub use root::{CgroupRoot, Controllers};
pub use stats::Stats;

use crate::error::{Doing, Error};
use crate::sys::{self, Cloned};

/// One cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Its folder in the mounted hierarchy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the calling process into the cgroup, as a child of its parent; true to the copy, false to the caller. A process that moved instead would wait until every processor has been through its
    /// scheduler: 5 to 20 ms. The caller must be single-threaded.
    pub fn copy_self(&self) -> Result<bool, Error> {
        let cgroup = self.open()?;
        let cloned = sys::clone3(libc::CLONE_PARENT as u64, Some(cgroup.as_fd()));
        match cloned.on("be born in the cgroup", &self.path)? {
            Cloned::Child => Ok(true),
            Cloned::Parent { .. } => Ok(false),
        }
    }

    /// A descriptor to be born into.
    pub(crate) fn open(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty()).on("open the cgroup", &self.path)
    }
}
