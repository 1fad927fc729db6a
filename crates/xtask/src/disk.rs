//! A disk of its own for engines that are measured, with the file system that our VM's data disk has: ext4 with a journal.
//! Another machine's own file system may be anything; ext4 without a journal, for one, searches past every file that was
//! deleted in the last minute whenever one is made.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::interrupt;

/// Its size, of which only what is written takes room.
const SIZE: u64 = 64 << 30;

/// A mounted disk. When dropped, it is gone.
pub(crate) struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Makes one whose file and mount lie in `folder`.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let (file, place) = (folder.join("disk.img"), folder.join("disk"));
        File::create(&file).and_then(|file| file.set_len(SIZE)).context("make a disk's file")?;
        fs::create_dir(&place)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&file))?;
        let device = run(Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(&file))?;
        let device = device.trim();
        let mounted = run(Command::new("mount").args(["-o", "noatime,discard", device]).arg(&place));
        // From here on it lasts as long as the mount does.
        let detached = run(Command::new("losetup").args(["--detach", device]));
        let disk = Self { place };
        mounted.and(detached)?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // With whatever an engine left mounted beneath it.
        drop(Command::new("umount").args(["--quiet", "--lazy"]).arg(&self.place).status());
    }
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = interrupt::output(command)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
