//! One container of our machine that sees three file systems: a folder that we share, one that the published virtiofsd
//! shares, and a volume. Each of them is as it was made at the start, and empty.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;

use crate::container_image::ContainerImage;
use crate::interrupt;
use crate::peer::Peer;
use crate::virtiofsd::{self, Virtiofsd};

/// Where the container has them: what it is called, and its folder.
pub(crate) const PLACES: [(&str, &str); 3] =
    [("ours", "/ours"), ("virtiofsd", "/virtiofsd"), ("ext4", "/volume")];

const IMAGE: &str = "berth/folders:latest";
const CONTAINER: &str = "folders";
/// No registry is asked; the machine needs a port to be started with.
const NO_REGISTRY: u16 = 5000;

/// The machine and its container. When dropped, they end.
pub(crate) struct Folders {
    peer: Peer,
    // After the machine, which is its client.
    _virtiofsd: Virtiofsd,
    _folder: tempfile::TempDir,
}

impl Folders {
    /// Starts the machine and a container of `image`.
    pub(crate) fn start(image: &ContainerImage, virtiofsd: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a home for the machine")?;
        let at = |name: &str| folder.path().join(name);
        for name in ["ours", "theirs"] {
            fs::create_dir(at(name))?;
        }
        let archive = at("image.tar");
        image.save(IMAGE, &archive)?;
        let virtiofsd = Virtiofsd::start(virtiofsd, &at("virtiofsd"), &at("theirs"))?;
        let peer = Peer::start_machine_with(folder.path(), NO_REGISTRY, virtiofsd.programs())?;
        interrupt::output(peer.berth(&["load", "--quiet", "--input"]).arg(&archive))?;
        let (ours, volume) = (format!("{}:/ours", at("ours").display()), "measured:/volume");
        let run = ["run", "--detach", "--privileged", "--network", "none", "--name", CONTAINER];
        let sleep = ["sleep", "86400"];
        interrupt::output(peer.berth(&run).args(["--volume", &ours, "--volume", volume, IMAGE]).args(sleep))?;
        let folders = Self { peer, _virtiofsd: virtiofsd, _folder: folder };
        folders.exec(&[
            "sh",
            "-c",
            &format!("mkdir /virtiofsd; mount -t virtiofs {} /virtiofsd", virtiofsd::TAG),
        ])?;
        Ok(folders)
    }

    /// Runs a program in the container, which must succeed; returns what it prints.
    pub(crate) fn exec(&self, program: &[&str]) -> anyhow::Result<String> {
        let output =
            interrupt::output(self.peer.berth(&["exec", CONTAINER]).args(program).stdin(Stdio::null()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
