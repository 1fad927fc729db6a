//! The cgroup tree: `/init` for PID 1, `/engine` for the engine, `/berth` for containers, every controller
//! handed down.

use std::fs;

use anyhow::Context;

const ROOT: &str = "/sys/fs/cgroup";
/// Kept for the engine when containers use up the memory, so that it can still stop them.
const ENGINE_MEMORY: &str = "64M";

/// Makes the tree and moves PID 1 into its place.
pub(super) fn prepare() -> anyhow::Result<()> {
    for name in ["init", "engine", "berth"] {
        fs::create_dir(format!("{ROOT}/{name}")).with_context(|| format!("make the cgroup {name}"))?;
    }
    // A cgroup hands down controllers only when no process is in it; the root is exempt, tools expect it anyway.
    write("init/cgroup.procs", "1")?;
    let controllers = fs::read_to_string(format!("{ROOT}/cgroup.controllers")).context("list controllers")?;
    let wanted: Vec<_> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    write("cgroup.subtree_control", &wanted.join(" "))?;
    write("berth/cgroup.subtree_control", &wanted.join(" "))?;
    write("engine/memory.min", ENGINE_MEMORY)
}

/// Moves a whole process into `/engine`, and keeps the kernel from choosing it when memory is short.
pub(super) fn adopt_engine(process: u32) -> anyhow::Result<()> {
    write("engine/cgroup.procs", &process.to_string())?;
    fs::write(format!("/proc/{process}/oom_score_adj"), "-999").context("protect the engine")
}

/// Kills everything in `/berth` and `/engine`.
pub(super) fn kill_all() {
    for name in ["berth", "engine"] {
        if let Err(error) = write(&format!("{name}/cgroup.kill"), "1") {
            tracing::warn!("{error:#}");
        }
    }
}

fn write(file: &str, text: &str) -> anyhow::Result<()> {
    fs::write(format!("{ROOT}/{file}"), text).with_context(|| format!("write {text} to {file}"))
}
