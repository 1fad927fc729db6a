//! The black-box tests against the engine in the VM, started as a user starts it, in a home of its own.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;

use anyhow::Context;

use super::skips;
use crate::buildx;
use crate::step::{berth_at, cargo, find_program, step, step_into};

/// The black-box tests of the engine. Of the whole workspace, so that nothing is compiled again for fewer packages;
/// the other binaries' tests have engines and machines of their own.
const TESTS: &str = "package(e2e) and not \
    binary(/^(cli|daemon_json|machine_crash|machine_disk|machine_life|registries|remote|window|window_machine)$/)";

/// Those of shared folders, whose other carrier has them too.
const SHARES: &str = "package(e2e) and binary(/^shares/)";

/// Runs the tests against a VM, and those of shared folders against one that has them over vsock. What they print goes to
/// `log`, if there is one.
pub(super) fn run(log: Option<&File>) -> anyhow::Result<()> {
    if find_program("qemu-system-x86_64").is_none() {
        println!("==> machine tests: skipped: QEMU isn't installed (cargo xtask setup)");
        return Ok(());
    }
    against(log, "machine tests", "virtio-fs", TESTS)?;
    against(log, "machine tests of folders over vsock", "vsock", SHARES)
}

/// Starts a VM with `berth start`, runs tests against its Docker socket, and stops it, also when they fail.
fn against(log: Option<&File>, name: &str, shares_over: &str, which: &str) -> anyhow::Result<()> {
    let step = |title: &str, command: &mut Command| match log {
        Some(log) => step_into(log, title, command),
        None => step(title, command),
    };
    let home = tempfile::tempdir().context("make a home for the machine's tests")?;
    let port = free_port()?;
    let settings = home.path().join("config/berth");
    fs::create_dir_all(&settings).context("make the settings' folder")?;
    let text = format!("{{\"host_ports\": [{port}], \"shares_over\": \"{shares_over}\"}}");
    fs::write(settings.join("settings.json"), text).context("write settings")?;
    let started = step("start the machine", berth_at(home.path()).args(["start", "--machine", "emulated"]));
    let tested = started.and_then(|()| {
        let socket = home.path().join("run/berth/docker.sock");
        let mut tests = cargo();
        tests.args(["nextest", "run", "--workspace", "--profile", "machine", "--no-fail-fast", "-E", which]);
        tests.env("BERTH_E2E_SOCKET", socket).env("BERTH_E2E_HOST_PORT", port.to_string());
        // Home is shared, as for any user.
        tests.env("BERTH_E2E_SHARED", home.path());
        step(name, buildx::tell(&mut tests))?;
        let skips = skips::told("machine")?;
        match log {
            Some(mut log) => log.write_all(skips.as_bytes()).context("write the log"),
            None => {
                print!("{skips}");
                Ok(())
            }
        }
    });
    let stopped = step("stop the machine", berth_at(home.path()).arg("stop"));
    tested.and(stopped)
}

/// A port of the loopback that nobody listens on now.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}
