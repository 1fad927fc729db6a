//! What is done to a cgroup as a whole: kill, freeze, list, remove.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use rustix::event::{PollFd, PollFlags};

use super::{Cgroup, cpu, cpuset, devices, files, hugetlb, io, memory, pids};
use crate::error::{Doing, Error};

impl Cgroup {
    /// Applies limits, at creation and later alike; what isn't named stays as it is.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        let text = files::read(&self.path, "cgroup.controllers")?.unwrap_or_default();
        let has = |name: &str| text.split_whitespace().any(|each| each == name);
        if let Some(cpu) = resources.cpu() {
            if has("cpu") {
                cpu::apply(&self.path, cpu)?;
            }
            if has("cpuset") {
                cpuset::apply(&self.path, cpu)?;
            }
        }
        if let Some(memory) = resources.memory().as_ref().filter(|_| has("memory")) {
            memory::apply(&self.path, memory)?;
        }
        if let Some(pids) = resources.pids().as_ref().filter(|_| has("pids")) {
            pids::apply(&self.path, pids)?;
        }
        if let Some(block) = resources.block_io().as_ref().filter(|_| has("io")) {
            io::apply(&self.path, block)?;
        }
        for limit in resources.hugepage_limits().iter().flatten().filter(|_| has("hugetlb")) {
            hugetlb::apply(&self.path, limit)?;
        }
        if let Some(rules) = resources.devices() {
            devices::apply(&self.path, rules)?;
        }
        for (name, value) in resources.unified().iter().flatten() {
            if name.contains('/') {
                return Err(Error::Value { what: "not a cgroup file:", value: name.clone() });
            }
            files::write(&self.path, name, value)?;
        }
        Ok(())
    }

    /// The controllers that `resources` needs and this cgroup doesn't have: [`update`](Self::update) skips their
    /// limits.
    pub fn lacking(&self, resources: &LinuxResources) -> Result<Vec<&'static str>, Error> {
        let text = files::read(&self.path, "cgroup.controllers")?.unwrap_or_default();
        let cpu = resources.cpu().as_ref();
        let needed = [
            ("cpu", cpu.is_some_and(cpu::is_limited)),
            ("cpuset", cpu.is_some_and(cpuset::is_limited)),
            ("memory", resources.memory().as_ref().is_some_and(memory::is_limited)),
            ("pids", resources.pids().as_ref().is_some_and(|pids| pids.limit() > 0)),
            ("io", resources.block_io().as_ref().is_some_and(io::is_limited)),
            ("hugetlb", resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())),
        ];
        let has = |name: &str| text.split_whitespace().any(|each| each == name);
        Ok(needed.into_iter().filter(|(name, needed)| *needed && !has(name)).map(|(name, _)| name).collect())
    }

    /// Whether there is a process in it or below; not if it doesn't exist.
    pub fn is_populated(&self) -> Result<bool, Error> {
        Ok(files::read_key(&self.path, "cgroup.events", "populated")? == Some(1))
    }

    /// The processes in it and below.
    pub fn pids_below(&self) -> Result<Vec<i32>, Error> {
        let mut pids = self.pids()?;
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(pids),
            other => other.on("list the cgroup", &self.path)?,
        };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            pids.extend(Self { path: entry.path() }.pids_below()?);
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// Kills every process in it and below with SIGKILL.
    pub fn kill(&self) -> Result<(), Error> {
        files::write(&self.path, "cgroup.kill", "1")
    }

    /// The processes in it, not below it.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        let text = files::read(&self.path, "cgroup.procs")?.unwrap_or_default();
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Stops every process in it; returns once all are stopped, or with an error (and thawed again) after `limit`.
    pub fn freeze(&self, limit: Duration) -> Result<(), Error> {
        files::write(&self.path, "cgroup.freeze", "1")?;
        let frozen = self.await_event("frozen", 1, limit);
        if frozen.is_err() {
            files::write(&self.path, "cgroup.freeze", "0")?;
        }
        frozen
    }

    /// Lets its processes go on.
    pub fn thaw(&self, limit: Duration) -> Result<(), Error> {
        files::write(&self.path, "cgroup.freeze", "0")?;
        self.await_event("frozen", 0, limit)
    }

    /// Whether its processes are stopped.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        Ok(files::read_key(&self.path, "cgroup.events", "frozen")? == Some(1))
    }

    /// How many of its processes the out-of-memory killer ended; 0 without the memory controller.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        Ok(files::read_key(&self.path, "memory.events", "oom_kill")?.unwrap_or(0))
    }

    /// Waits until no process is left in it and below.
    pub fn await_empty(&self, limit: Duration) -> Result<(), Error> {
        self.await_event("populated", 0, limit)
    }

    /// Removes it with all cgroups below, which must be empty; fine if it is gone already.
    pub fn remove(&self) -> Result<(), Error> {
        remove_tree(&self.path).on("remove the cgroup", &self.path)
    }

    /// Waits for `key` of `cgroup.events` to become `value`; the kernel signals changes as POLLPRI.
    fn await_event(&self, key: &'static str, value: u64, limit: Duration) -> Result<(), Error> {
        let path = self.path.join("cgroup.events");
        let deadline = Instant::now() + limit;
        let file = match std::fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && value == 0 => return Ok(()),
            other => other.on("open", &path)?,
        };
        loop {
            // Reading through the polled descriptor is what arms the next notification.
            let mut text = [0; 256];
            let length = rustix::io::pread(&file, &mut text, 0).on("read", &path)?;
            let text = String::from_utf8_lossy(&text[..length]);
            if files::key_of(&text, key) == Some(value) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let source = std::io::Error::from(std::io::ErrorKind::TimedOut);
                return Err(Error::Path { operation: "wait for a change of", path, source });
            }
            let left =
                rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut set = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)];
            match rustix::event::poll(&mut set, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).on("wait for a change of", &path),
            }
        }
    }
}

/// Depth first; a folder of a cgroup holds only files of the kernel, which go with it.
fn remove_tree(folder: &std::path::Path) -> std::io::Result<()> {
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
        other => return other,
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}
