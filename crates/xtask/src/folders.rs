//! Containers of our machines that see file systems to compare: a folder that we share, by a device and over vsock, one that
//! the published virtiofsd shares, and a volume. Each of them is as it was made at the start, and empty.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::container_image::ContainerImage;
use crate::disk::Disk;
use crate::interrupt;
use crate::peer::Peer;
use crate::virtiofsd::{self, Virtiofsd};

/// A file system and where its container has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Its folder.
    pub(crate) folder: &'static str,
    /// The host's, in the folder of all; none of a volume.
    host: Option<&'static str>,
    /// Of the machine whose folders have no device.
    is_over_vsock: bool,
}

/// All of them.
pub(crate) const PLACES: [Place; 4] = [
    Place { name: "ours", folder: "/ours", host: Some("device/ours"), is_over_vsock: false },
    Place { name: "over-vsock", folder: "/ours", host: Some("vsock/ours"), is_over_vsock: true },
    Place { name: "virtiofsd", folder: "/virtiofsd", host: Some("theirs"), is_over_vsock: false },
    Place { name: "ext4", folder: "/volume", host: None, is_over_vsock: false },
];

const IMAGE: &str = "berth/folders:latest";
const CONTAINER: &str = "folders";
/// No registry is asked; the machine needs a port to be started with.
const NO_REGISTRY: u16 = 5000;

/// The machines and their containers. When dropped, they end.
pub(crate) struct Folders {
    machine: Peer,
    over_vsock: Peer,
    // After the machine, which is its client.
    _virtiofsd: Virtiofsd,
    disk: Disk,
    _folder: tempfile::TempDir,
}

impl Folders {
    /// Starts the machines and a container of `image` in each.
    pub(crate) fn start(image: &ContainerImage, virtiofsd: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a home for the machines")?;
        let disk = Disk::make(folder.path())?;
        let at = |name: &str| disk.place().join(name);
        for name in ["theirs", "device", "vsock"] {
            fs::create_dir(at(name))?;
        }
        let archive = at("image.tar");
        image.save(IMAGE, &archive)?;
        let virtiofsd = Virtiofsd::start(virtiofsd, &at("virtiofsd"), &at("theirs"))?;
        let machine = Peer::start_machine_with(&at("device"), NO_REGISTRY, virtiofsd.programs())?;
        let over_vsock = Peer::start_machine_over_vsock(&at("vsock"), NO_REGISTRY)?;
        run_container(&machine, &at("device"), &archive)?;
        run_container(&over_vsock, &at("vsock"), &archive)?;
        let mount = format!("mkdir /virtiofsd; mount -t virtiofs {} /virtiofsd", virtiofsd::TAG);
        exec(&machine, &["sh", "-c", &mount])?;
        Ok(Self { machine, over_vsock, _virtiofsd: virtiofsd, disk, _folder: folder })
    }

    /// Runs a program in the container that has the place, which must succeed; returns what it prints.
    pub(crate) fn exec(&self, place: &Place, program: &[&str]) -> anyhow::Result<String> {
        exec(self.machine_of(place), program)
    }

    /// A program in the container that has the place, which isn't started yet.
    pub(crate) fn command(&self, place: &Place, program: &[&str]) -> Command {
        command(self.machine_of(place), program)
    }

    /// Where this machine has what the place shows.
    pub(crate) fn on_host(&self, place: &Place) -> Option<PathBuf> {
        place.host.map(|folder| self.disk.place().join(folder))
    }

    fn machine_of(&self, place: &Place) -> &Peer {
        if place.is_over_vsock { &self.over_vsock } else { &self.machine }
    }
}

/// Starts the container of one machine, whose home is `home`.
fn run_container(machine: &Peer, home: &Path, archive: &Path) -> anyhow::Result<()> {
    let ours = home.join("ours");
    fs::create_dir(&ours)?;
    interrupt::output(machine.berth(&["load", "--quiet", "--input"]).arg(archive))?;
    let ours = format!("{}:/ours", ours.display());
    let run = ["run", "--detach", "--privileged", "--network", "none", "--name", CONTAINER];
    let volumes = ["--volume", &ours, "--volume", "measured:/volume", IMAGE];
    interrupt::output(machine.berth(&run).args(volumes).args(["sleep", "86400"])).map(drop)
}

fn exec(machine: &Peer, program: &[&str]) -> anyhow::Result<String> {
    let output = interrupt::output(&mut command(machine, program))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn command(machine: &Peer, program: &[&str]) -> Command {
    let mut command = machine.berth(&["exec", CONTAINER]);
    command.args(program).stdin(Stdio::null());
    command
}
