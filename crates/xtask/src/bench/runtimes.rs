//! An OCI runtime alone: one bundle created, started, waited for and deleted.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::json;

use super::median;
use crate::step::{find_program, programs_dir};

/// The median life of a bundle, in seconds, for ours, runc and crun in this order; all three in turns.
///
/// Each is entered by `nsenter`, whose own time is taken off: crun refuses a machine that shows both versions of
/// cgroups, and gets a mount namespace without the second.
pub(super) fn measure(folder: &Path, runs: usize) -> anyhow::Result<[f64; 3]> {
    let bundle = bundle(folder)?;
    let one_version = OneVersion::make(&[], "true")?;
    let programs = [
        (programs_dir().join("berth-runtime"), std::process::id()),
        (find_program("runc").context("runc isn't installed")?, std::process::id()),
        (find_program("crun").context("crun isn't installed")?, one_version.0.id()),
    ];
    let mut lives: [Vec<f64>; 3] = Default::default();
    for _ in 0..runs {
        for ((program, namespace), lives) in programs.iter().zip(&mut lives) {
            let entering = timed(enter(*namespace, Path::new("true")))?;
            let root = folder.join(program.file_name().unwrap_or_default());
            let mut life = enter(*namespace, program);
            // `run` is create, start, wait and delete.
            life.arg("--root").arg(root).args(["run", "--bundle"]).arg(&bundle).arg("bench");
            lives.push(timed(life)? - entering);
        }
    }
    Ok(lives.map(median))
}

/// A process that holds a mount namespace where cgroups have one version only.
pub(super) struct OneVersion(Child);

impl OneVersion {
    /// One with more namespaces, which `script` prepares.
    pub(super) fn make(more: &[&str], script: &str) -> anyhow::Result<Self> {
        let script =
            format!("umount /sys/fs/cgroup/unified 2>/dev/null; {script}; echo made; exec sleep infinity");
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(more)
            .args(["sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("run unshare")?;
        let mut said = [0; 5];
        let answer = holder.stdout.take().context("unshare's output")?.read_exact(&mut said);
        let holder = Self(holder);
        answer.context("make a mount namespace")?;
        Ok(holder)
    }

    /// `program` in its namespaces.
    pub(super) fn enter(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--net", &format!("--target={}", self.0.id())]);
        command.arg(program).stdin(Stdio::null());
        command
    }
}

impl Drop for OneVersion {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `program` in the mount namespace of `process`.
fn enter(process: u32, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{process}/ns/mnt")).arg(program).stdin(Stdio::null());
    command
}

/// How long a command takes, in seconds.
fn timed(mut command: Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(began.elapsed().as_secs_f64())
}

/// busybox's `true` in the namespaces that a container usually has.
fn bundle(folder: &Path) -> anyhow::Result<PathBuf> {
    let bundle = folder.join("bundle");
    let bin = bundle.join("rootfs/bin");
    fs::create_dir_all(&bin)?;
    for name in ["proc", "dev", "sys"] {
        fs::create_dir_all(bundle.join("rootfs").join(name))?;
    }
    fs::copy("/bin/busybox", bin.join("busybox")).context("busybox-static isn't installed")?;
    symlink("busybox", bin.join("true"))?;
    let namespaces = ["pid", "mount", "uts", "ipc", "network"].map(|kind| json!({ "type": kind }));
    let spec = json!({
        "ociVersion": "1.0.0",
        "root": { "path": "rootfs" },
        "process": { "args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 } },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
        ],
        "linux": { "namespaces": namespaces },
    });
    fs::write(bundle.join("config.json"), spec.to_string())?;
    Ok(bundle)
}
