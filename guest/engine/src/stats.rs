//! `docker stats`: what a container uses at one moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use berth_runtime::cgroup::{Cgroup, Stats};
use jiff::Timestamp;

use crate::container::Container;
use crate::{Engine, Error, info};

/// Nanoseconds in a tick of /proc/stat.
const TICK: u64 = 10_000_000;

/// What a container uses at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was taken.
    pub at: Timestamp,
    /// The cgroup's numbers. A part whose controller isn't there is none.
    pub usage: Stats,
    /// Nanoseconds of CPU time of the whole machine.
    pub machine_cpu: u64,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Bytes of memory of the machine.
    pub machine_memory: u64,
    /// Network devices by name.
    pub networks: BTreeMap<String, Traffic>,
}

/// What went through one network device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's own names (/proc/net/dev)")]
pub struct Traffic {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// A container whose use is measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Its id.
    pub id: String,
    container: Arc<Container>,
    cgroup: Cgroup,
}

impl Engine {
    /// A container to measure.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn measure(&self, name: &str) -> Result<Measured, Error> {
        let container = self.containers.find(name)?;
        let cgroup = self.cgroup_of(&container);
        Ok(Measured { id: container.id.clone(), container, cgroup })
    }
}

impl Measured {
    /// Its name.
    pub fn name(&self) -> String {
        self.container.name()
    }

    /// Whether it was removed.
    pub fn is_gone(&self) -> bool {
        self.container.moments().borrow().removed
    }

    /// What it uses now; none while it doesn't run.
    pub async fn sample(&self) -> Option<Sample> {
        let state = self.container.state();
        if !state.status.has_process() {
            return None;
        }
        let shares_host = self.container.with(|record| record.host_config.network_mode == "host");
        let cgroup = self.cgroup.clone();
        let sample = tokio::task::spawn_blocking(move || {
            let (machine_cpu, cpus) = machine_cpu();
            let networks = if shares_host { BTreeMap::new() } else { traffic(state.pid) };
            let usage = cgroup.stats().ok()?;
            let machine_memory = info::memory();
            Some(Sample { at: Timestamp::now(), usage, machine_cpu, cpus, machine_memory, networks })
        });
        sample.await.ok().flatten()
    }
}

/// The machine's CPU time in nanoseconds, and its CPUs.
fn machine_cpu() -> (u64, u32) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let lines = text.lines().take_while(|line| line.starts_with("cpu"));
    let cpus = u32::try_from(lines.count().saturating_sub(1)).unwrap_or_default();
    // User, nice, system, idle, iowait, irq, softirq: what dockerd adds up.
    let ticks: u64 =
        text.split_whitespace().skip(1).take(7).filter_map(|word| word.parse::<u64>().ok()).sum();
    (ticks.saturating_mul(TICK), cpus)
}

/// The network devices that a process sees, without its loopback.
fn traffic(pid: i32) -> BTreeMap<String, Traffic> {
    let path = format!("/proc/{pid}/net/dev");
    let text = std::fs::read_to_string(Path::new(&path)).unwrap_or_default();
    text.lines().skip(2).filter_map(device).filter(|(name, _)| name != "lo").collect()
}

/// `eth0: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop …`
fn device(line: &str) -> Option<(String, Traffic)> {
    let (name, rest) = line.split_once(':')?;
    let numbers: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        _,
        _,
        _,
        _,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..,
    ] = numbers.as_slice()
    else {
        return None;
    };
    let traffic =
        Traffic { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped };
    Some((name.trim().to_owned(), traffic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_line_is_read() {
        let (name, traffic) = device("  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0").unwrap();
        assert_eq!((name.as_str(), traffic.rx_dropped, traffic.tx_bytes), ("eth0", 4, 5));
        assert!(device("nonsense").is_none());
    }

    #[test]
    fn the_machine_has_cpus_that_work() {
        let (nanoseconds, cpus) = machine_cpu();
        assert!(nanoseconds > 0 && cpus > 0);
    }
}
