//! The same lives in podman with crun, by its own client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::runtimes::OneVersion;
use crate::interrupt;
use crate::step::find_program;

/// What it asks for by default is more than a machine may give; the rest is how it is run without systemd.
const CONFIGURATION: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
    [engine]\nruntime = \"crun\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
/// A container that others are executed in.
const HOST: &str = "host";

/// podman with folders and a network of its own.
pub(super) struct Podman {
    folder: PathBuf,
    place: OneVersion,
    image: &'static str,
}

impl Podman {
    /// Lays out its folders, loads `archive`, which has `image`, and starts a container that idles.
    pub(super) fn start(folder: &Path, archive: &Path, image: &'static str) -> anyhow::Result<Self> {
        find_program("podman").context("podman isn't installed")?;
        let folder = folder.join("podman");
        fs::create_dir(&folder)?;
        fs::write(folder.join("containers.conf"), CONFIGURATION)?;
        let podman = Self { folder, place: OneVersion::make(&["--net"], "ip link set lo up")?, image };
        podman.call(&["load", "--quiet", "--input", &archive.to_string_lossy()])?;
        podman.call(&["run", "--detach", "--name", HOST, image, "sleep", "86400"])?;
        Ok(podman)
    }

    /// `podman run --rm`.
    pub(super) fn run_and_remove(&self) -> anyhow::Result<()> {
        self.call(&["run", "--rm", self.image, "true"])
    }

    /// `podman exec`.
    pub(super) fn exec(&self) -> anyhow::Result<()> {
        self.call(&["exec", HOST, "true"])
    }

    fn call(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut podman: Command = self.place.enter(Path::new("podman"));
        podman.arg("--root").arg(self.folder.join("root")).arg("--runroot").arg(self.folder.join("run"));
        podman.args(args).env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        interrupt::output(&mut podman).map(drop)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        drop(self.call(&["rm", "--force", "--time", "0", HOST]));
    }
}
