//! Memory of processes, counted as PSS: what several share is divided among them.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Each process's share, in bytes.
pub(super) fn of_machine(processes: &[(&'static str, u32)]) -> anyhow::Result<Vec<(&'static str, u64)>> {
    processes.iter().map(|(name, id)| Ok((*name, pss(*id)?))).collect()
}

/// One process's share, in bytes.
pub(super) fn pss(process: u32) -> anyhow::Result<u64> {
    field(process, "Pss:")
}

/// One process's own memory, in bytes: what it shares with a machine isn't part of it.
pub(super) fn own(process: u32) -> anyhow::Result<u64> {
    field(process, "Pss_Anon:")
}

/// A field of `/proc/PID/smaps_rollup` (proc(5)), in bytes.
fn field(process: u32, name: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// The share of every process whose command line names `folder`, in bytes: an engine and what holds its containers.
pub(super) fn of_folder(folder: &Path) -> anyhow::Result<u64> {
    let folder = folder.to_string_lossy().into_owned();
    let mut sum = 0;
    for entry in fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        if process != std::process::id() && String::from_utf8_lossy(&line).contains(&folder) {
            // A process that has just ended has no share.
            sum += pss(process).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// A process's first child, of any of its threads.
pub(super) fn child_of(process: u32) -> Option<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.filter_map(Result::ok);
    let mut children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    children.find_map(|children| children.split_whitespace().next()?.parse().ok())
}
