//! The black-box tests against the engine in the VM, started as a user starts it, in a home of its own.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::step::{cargo, find_program, programs_dir, step};

/// Starts a VM with `berth start`, runs the tests against its Docker socket, and stops it, also when they fail.
pub(super) fn run() -> anyhow::Result<()> {
    if find_program("qemu-system-x86_64").is_none() {
        println!("==> machine tests: skipped: QEMU isn't installed (cargo xtask setup)");
        return Ok(());
    }
    let home = tempfile::tempdir().context("make a home for the machine's tests")?;
    let started = step("start the machine", berth(home.path()).args(["start", "--machine", "emulated"]));
    let tested = started.and_then(|()| {
        let socket = home.path().join("run/berth/docker.sock");
        let mut tests = cargo();
        tests.args(["nextest", "run", "--package", "e2e", "--profile", "machine", "--no-fail-fast"]);
        step("machine tests", tests.env("BERTH_E2E_SOCKET", socket))
    });
    let stopped = step("stop the machine", berth(home.path()).arg("stop"));
    tested.and(stopped)
}

/// The `berth` command with everything of the user's beneath `home`.
fn berth(home: &Path) -> Command {
    let mut berth = Command::new(programs_dir().join("berth"));
    for (name, folder) in [
        ("HOME", "."),
        ("XDG_RUNTIME_DIR", "run"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_CONFIG_HOME", "config"),
        ("DOCKER_CONFIG", "docker"),
    ] {
        let folder = home.join(folder);
        // The command makes what it needs; the runtime folder is the system's to make.
        drop(std::fs::create_dir_all(&folder));
        berth.env(name, folder);
    }
    berth
}
