//! podman with crun and buildah's builder, by its own client.

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

/// podman with folders and a network of its own. When dropped, its containers end.
pub(super) struct Podman {
    folder: PathBuf,
    place: OneVersion,
}

impl Podman {
    /// Lays out its folders and loads `archive`.
    pub(super) fn start(folder: &Path, archive: &Path) -> anyhow::Result<Self> {
        find_program("podman").context("podman isn't installed")?;
        let folder = folder.join("podman");
        fs::create_dir(&folder)?;
        fs::write(folder.join("containers.conf"), CONFIGURATION)?;
        let podman = Self { folder, place: OneVersion::make(&["--net"], "ip link set lo up")? };
        podman.call(&["load", "--quiet", "--input", &archive.to_string_lossy()])?;
        Ok(podman)
    }

    /// Runs `podman`.
    pub(super) fn call(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut podman = self.beside("podman");
        podman.arg("--root").arg(self.folder.join("root")).arg("--runroot").arg(self.folder.join("run"));
        podman.args(args).env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        interrupt::output(&mut podman).map(drop)
    }

    /// A program that runs in its network.
    pub(super) fn beside(&self, program: &str) -> Command {
        self.place.enter(Path::new(program))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        drop(self.call(&["rm", "--all", "--force", "--time", "0"]));
    }
}
