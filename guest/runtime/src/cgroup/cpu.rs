//! Shares of CPU time (cgroup-v2.rst, "CPU").

use std::path::Path;

use oci_spec::runtime::LinuxCpu;

use super::files;
use crate::error::Error;

const WEIGHT: &str = "cpu.weight";
const MAX: &str = "cpu.max";
const BURST: &str = "cpu.max.burst";
const IDLE: &str = "cpu.idle";
const STAT: &str = "cpu.stat";

/// The kernel's own period, in microseconds.
const USUAL_PERIOD: u64 = 100_000;

/// CPU time used, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// In all.
    pub usage: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Periods in which it ran under a quota.
    pub periods: u64,
    /// Periods in which the quota stopped it.
    pub throttled_periods: u64,
    /// How long it was stopped.
    pub throttled: u64,
}

/// Whether anything that this controller holds is asked for.
pub(super) fn is_limited(cpu: &LinuxCpu) -> bool {
    let is_set =
        [cpu.shares(), cpu.period(), cpu.burst()].iter().any(|value| value.is_some_and(|value| value > 0));
    is_set || cpu.quota().is_some_and(|quota| quota > 0) || cpu.idle().is_some_and(|idle| idle != 0)
}

pub(super) fn apply(folder: &Path, cpu: &LinuxCpu) -> Result<(), Error> {
    if let Some(idle) = cpu.idle() {
        files::write(folder, IDLE, &idle.to_string())?;
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
        files::write(folder, WEIGHT, &weight(shares).to_string())?;
    }
    if cpu.quota().is_some() || cpu.period().is_some() {
        let quota =
            cpu.quota().filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
        let period = cpu.period().filter(|period| *period > 0).unwrap_or(USUAL_PERIOD);
        files::write(folder, MAX, &format!("{quota} {period}"))?;
    }
    if let Some(burst) = cpu.burst() {
        files::write(folder, BURST, &burst.to_string())?;
    }
    Ok(())
}

pub(super) fn stats(folder: &Path) -> Result<Option<CpuStats>, Error> {
    let Some(text) = files::read(folder, STAT)? else { return Ok(None) };
    let key = |key| files::key_of(&text, key).unwrap_or(0);
    Ok(Some(CpuStats {
        usage: key("usage_usec"),
        user: key("user_usec"),
        system: key("system_usec"),
        periods: key("nr_periods"),
        throttled_periods: key("nr_throttled"),
        throttled: key("throttled_usec"),
    }))
}

/// OCI's shares, 2 to 262144, as a weight, 1 to 10000: on the curve of newer runc and crun, on which what either has by
/// default, 1024 and 100, is the same.
fn weight(shares: u64) -> u64 {
    let exponent = (shares.clamp(2, 262_144) as f64).log2();
    let weight = 10_f64.powf((exponent * exponent + 125.0 * exponent) / 612.0 - 7.0 / 34.0);
    (weight.ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        assert_eq!([2, 1024, 22_000, 262_144, 1].map(weight), [1, 100, 1204, 10_000, 1]);
    }
}
