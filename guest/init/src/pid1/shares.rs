//! The host's shared folders, one file system for all of them, and what changes in them on the host.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use protocol::guest::SHARES_TAG;
use protocol::vsock::{SHARE_CHANGES, SHARE_LOOK};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, mount as mount_file_system};

use super::vsock;

/// Where it is mounted; the folders are in it by name.
pub(crate) const PLACE: &str = "/run/berth/shares";
/// A notification's header, its length first.
const HEADER: usize = 16;
/// The longest notification: an event with its name.
const LONGEST: usize = 4096;

/// Mounts it and takes in changes. A machine to which nothing is shared has none: binds of host paths are refused then.
pub(super) fn mount() -> anyhow::Result<()> {
    fs::create_dir_all(PLACE).context("make the place of shared folders")?;
    // Device nodes of the host aren't devices here, and its set-id programs run as whoever starts them.
    let flags = MountFlags::NODEV | MountFlags::NOSUID;
    if let Err(error) = mount_file_system(SHARES_TAG, PLACE, "virtiofs", flags, c"") {
        tracing::info!(%error, "no folders of the host");
        return Ok(());
    }
    match kernels_ear() {
        Some(ear) => take_in_changes(ear),
        // Another kernel than ours: the host hears nobody listen and lets nothing be cached for long.
        None => Ok(()),
    }
}

/// Where the kernel takes notifications for this file system.
fn kernels_ear() -> Option<PathBuf> {
    let devices = fs::read_dir("/sys/fs/virtiofs").ok()?.flatten().map(|entry| entry.path());
    let is_ours = |device: &PathBuf| {
        fs::read_to_string(device.join("tag")).is_ok_and(|tag| tag.trim_end() == SHARES_TAG)
    };
    devices.filter(is_ours).map(|device| device.join("notify")).find(|ear| ear.exists())
}

fn take_in_changes(ear: PathBuf) -> anyhow::Result<()> {
    vsock::serve_each("share changes", vsock::listen(SHARE_CHANGES)?, move |stream| {
        if let Err(error) = pass_on(BufReader::new(stream), &ear) {
            tracing::info!("changes of shared folders end: {error:#}");
        }
    })
}

/// Hands each message to the kernel. One about something that it doesn't know is refused there, which is fine.
fn pass_on(mut stream: impl Read, ear: &Path) -> anyhow::Result<()> {
    let mut message = [0; LONGEST];
    loop {
        stream.read_exact(&mut message[..HEADER])?;
        let length = u32::from_le_bytes([message[0], message[1], message[2], message[3]]) as usize;
        if !(HEADER..=LONGEST).contains(&length) {
            bail!("a notification of {length} bytes");
        }
        stream.read_exact(&mut message[HEADER..length])?;
        if message[4..8] == SHARE_LOOK.to_le_bytes() {
            look_at(&message[HEADER..length]);
            continue;
        }
        let mut ear = File::options().write(true).open(ear).context("open the kernel's ear")?;
        if let Err(error) = ear.write(&message[..length]) {
            tracing::debug!(%error, "the kernel refuses a notification");
        }
    }
}

/// Looks at a path beneath the shared folders, following nothing: afterwards the kernel knows the file. What can't be
/// looked at is gone again.
fn look_at(path: &[u8]) {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let looked = rustix::fs::open(PLACE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).and_then(|place| {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&place, path, flags, Mode::empty(), beneath)
    });
    if let Err(error) = looked {
        tracing::debug!(%error, "a changed file can't be looked at");
    }
}
