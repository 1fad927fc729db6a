//! An OCI runtime alone: one bundle created, started, waited for and deleted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::json;

use super::median;
use crate::step::{find_program, programs_dir};

/// The median life of a bundle, in seconds, for ours, runc and crun in this order; all three in turns.
pub(super) fn measure(folder: &Path, runs: usize) -> anyhow::Result<[f64; 3]> {
    let bundle = bundle(folder)?;
    let programs = [
        programs_dir().join("berth-runtime"),
        find_program("runc").context("runc isn't installed")?,
        find_program("crun").context("crun isn't installed")?,
    ];
    let mut lives: [Vec<f64>; 3] = Default::default();
    for _ in 0..runs {
        for (program, lives) in programs.iter().zip(&mut lives) {
            lives.push(life(program, &bundle, folder)?);
        }
    }
    Ok(lives.map(median))
}

/// `run`, which is create, start, wait and delete.
fn life(program: &PathBuf, bundle: &Path, folder: &Path) -> anyhow::Result<f64> {
    let root = folder.join(program.file_name().unwrap_or_default());
    let began = Instant::now();
    let output = Command::new(program)
        .arg("--root")
        .arg(root)
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg("bench")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", program.display()))?;
    if !output.status.success() {
        bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
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
