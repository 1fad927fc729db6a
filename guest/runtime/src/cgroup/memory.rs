//! Memory and swap (cgroup-v2.rst, "Memory").

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::LinuxMemory;

use super::files;
use crate::error::Error;

const MAX: &str = "memory.max";
const LOW: &str = "memory.low";
const SWAP_MAX: &str = "memory.swap.max";
const CURRENT: &str = "memory.current";
const PEAK: &str = "memory.peak";
const SWAP_CURRENT: &str = "memory.swap.current";
const STAT: &str = "memory.stat";
const EVENTS: &str = "memory.events";

/// Memory used, in bytes; a limit of `u64::MAX` is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Now.
    pub current: u64,
    /// At most so far; 0 where the kernel doesn't tell.
    pub peak: u64,
    /// The limit.
    pub limit: u64,
    /// Swap now.
    pub swap: u64,
    /// The limit of swap alone.
    pub swap_limit: u64,
    /// How often the limit was hit.
    pub failures: u64,
    /// Processes that the out-of-memory killer ended.
    pub oom_kills: u64,
    /// Everything in `memory.stat`.
    pub details: BTreeMap<String, u64>,
}

/// Whether anything that this controller holds is asked for.
pub(super) fn is_limited(memory: &LinuxMemory) -> bool {
    [memory.limit(), memory.swap(), memory.reservation()]
        .iter()
        .any(|value| value.is_some_and(|value| value > 0))
}

pub(super) fn apply(folder: &Path, memory: &LinuxMemory) -> Result<(), Error> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(swap) = swap_alone(limit, memory.swap())? {
        // A kernel without swap has no such file; there is nothing to limit then.
        if files::read(folder, SWAP_MAX)?.is_some() {
            files::write(folder, SWAP_MAX, &swap)?;
        }
    }
    if let Some(limit) = limit {
        files::write(folder, MAX, &text(limit))?;
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        files::write(folder, LOW, &text(reservation))?;
    }
    Ok(())
}

/// OCI counts memory and swap together, v2 swap alone.
fn swap_alone(limit: Option<i64>, both: Option<i64>) -> Result<Option<String>, Error> {
    match (limit, both) {
        (_, None | Some(0)) => Ok(None),
        (_, Some(..0)) => Ok(Some("max".into())),
        (Some(limit @ 1..), Some(both)) if both >= limit => Ok(Some((both - limit).to_string())),
        (Some(..=0) | None, Some(_)) => Err(Error::Spec("a limit of swap without one of memory")),
        _ => Err(Error::Spec("a limit of memory and swap below that of memory")),
    }
}

fn text(limit: i64) -> String {
    if limit < 0 { "max".into() } else { limit.to_string() }
}

pub(super) fn stats(folder: &Path) -> Result<Option<MemoryStats>, Error> {
    let Some(current) = files::read_number(folder, CURRENT)? else { return Ok(None) };
    let details = files::read(folder, STAT)?.unwrap_or_default();
    let details = details.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    });
    Ok(Some(MemoryStats {
        current,
        peak: files::read_number(folder, PEAK)?.unwrap_or(0),
        limit: files::read_number(folder, MAX)?.unwrap_or(u64::MAX),
        swap: files::read_number(folder, SWAP_CURRENT)?.unwrap_or(0),
        swap_limit: files::read_number(folder, SWAP_MAX)?.unwrap_or(u64::MAX),
        failures: files::read_key(folder, EVENTS, "max")?.unwrap_or(0),
        oom_kills: files::read_key(folder, EVENTS, "oom_kill")?.unwrap_or(0),
        details: details.collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_counted_alone() {
        assert_eq!(swap_alone(Some(100), Some(150)).unwrap().as_deref(), Some("50"));
        assert_eq!(swap_alone(Some(100), Some(100)).unwrap().as_deref(), Some("0"));
        assert_eq!(swap_alone(Some(100), Some(-1)).unwrap().as_deref(), Some("max"));
        assert_eq!(swap_alone(Some(100), None).unwrap(), None);
        assert!(swap_alone(Some(100), Some(50)).is_err());
    }
}
