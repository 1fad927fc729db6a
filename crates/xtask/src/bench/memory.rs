//! Memory of processes, counted as PSS: what several share is divided among them.

use std::fs;

use anyhow::Context;

/// Each process's share, in bytes.
pub(super) fn of_machine(processes: &[(&'static str, u32)]) -> anyhow::Result<Vec<(&'static str, u64)>> {
    processes.iter().map(|(name, id)| Ok((*name, pss(*id)?))).collect()
}

fn pss(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// A process's first child, of any of its threads.
pub(super) fn child_of(process: u32) -> Option<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.filter_map(Result::ok);
    let mut children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    children.find_map(|children| children.split_whitespace().next()?.parse().ok())
}
