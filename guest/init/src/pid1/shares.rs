//! The host's shared folders, one file system for all of them, and what changes in them on the host.

mod stream;

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use protocol::guest::SHARES_TAG;
use protocol::vsock::{SHARE_CHANGES, SHARE_LOOK};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::mount::{MountFlags, mount as mount_file_system};

use super::vsock;

/// Where it is mounted; the folders are in it by name.
pub(crate) const PLACE: &str = "/run/berth/shares";
/// A notification's header, its length first.
const HEADER: usize = 16;
/// The longest notification: an event with its name.
const LONGEST: usize = 4096;
/// Device nodes of the host aren't devices here, and its set-id programs run as whoever starts them.
const FLAGS: MountFlags = MountFlags::NODEV.union(MountFlags::NOSUID);
/// How far the kernel reads ahead of a program. Its own 128 KiB are made for disks; here each request is a way to the
/// host and back.
const READ_AHEAD_KIB: u32 = 512;

/// Mounts it and takes in changes. A machine to which nothing is shared has none: binds of host paths are refused then.
/// `are_shared` says whether the host has folders for us: without a queue for them they come over a stream.
pub(super) fn mount(are_shared: bool) -> anyhow::Result<()> {
    fs::create_dir_all(PLACE).context("make the place of shared folders")?;
    match mount_file_system(SHARES_TAG, PLACE, "virtiofs", FLAGS, c"") {
        Ok(()) => {
            // Another kernel than ours: the host hears nobody listen and lets nothing be cached for long.
            if let Some(ear) = kernels_ear() {
                take_in_changes(move |message| File::options().write(true).open(&ear)?.write_all(message))?;
            }
        }
        Err(error) if !are_shared => {
            tracing::info!(%error, "no folders of the host");
            return Ok(());
        }
        Err(_) => {
            let device = stream::mount(Path::new(PLACE)).context("mount the shared folders")?;
            if stream::hears_events(&device) {
                take_in_changes(move |message| Ok(rustix::io::write(&device, message).map(drop)?))?;
            }
        }
    }
    let thread = std::thread::Builder::new().name("read ahead".to_owned());
    thread.spawn(read_ahead).map(drop).context("set how far shared folders are read ahead")
}

/// Where the kernel takes notifications for this file system.
fn kernels_ear() -> Option<PathBuf> {
    let devices = fs::read_dir("/sys/fs/virtiofs").ok()?.flatten().map(|entry| entry.path());
    let is_ours = |device: &PathBuf| {
        fs::read_to_string(device.join("tag")).is_ok_and(|tag| tag.trim_end() == SHARES_TAG)
    };
    devices.filter(is_ours).map(|device| device.join("notify")).find(|ear| ear.exists())
}

/// Lets the kernel read further ahead. It lowers that again when the host first answers, so that is waited for.
fn read_ahead() {
    let set = || -> io::Result<()> {
        fs::metadata(PLACE)?;
        let about = rustix::fs::statx(CWD, PLACE, AtFlags::empty(), StatxFlags::empty())?;
        let device = format!("{}:{}", about.stx_dev_major, about.stx_dev_minor);
        fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), READ_AHEAD_KIB.to_string())
    };
    if let Err(error) = set() {
        tracing::info!(%error, "shared folders are read ahead as disks are");
    }
}

fn take_in_changes(
    tell_kernel: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<()> {
    vsock::serve_each("share changes", vsock::listen(SHARE_CHANGES)?, move |stream| {
        if let Err(error) = pass_on(BufReader::new(stream), &tell_kernel) {
            tracing::info!("changes of shared folders end: {error:#}");
        }
    })
}

/// Hands each message to the kernel. One about something that it doesn't know is refused there, which is fine.
fn pass_on(mut stream: impl Read, tell_kernel: &impl Fn(&[u8]) -> io::Result<()>) -> anyhow::Result<()> {
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
        if let Err(error) = tell_kernel(&message[..length]) {
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
