//! Mounting overlayfs through the new mount API, one lower folder per call, so that their number isn't bounded by
//! the one page that mount(2) takes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::{fs, io};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::snapshot::{MARK, Snapshot};
use crate::{Error, Result, durable};

/// The longest value fsconfig takes, its NUL left out.
const VALUE_LONGEST: usize = 255;
/// Said explicitly, since kernels are built with other defaults: the upper folder must be readable by itself, for
/// `changes` and commits, and may be mounted again after a crash.
const OPTIONS: [(&str, &str); 3] = [("index", "off"), ("redirect_dir", "off"), ("metacopy", "off")];

/// Whether what is written must be on the disk when its writer asks for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncing {
    /// As on any other file system.
    Heeded,
    /// Never: a crash loses the snapshot anyway. It can't be mounted a second time then.
    Ignored,
}

/// Mounts the snapshot at `target`.
pub(crate) fn mount(snapshot: &Snapshot, root: &Path, target: &Path, syncing: Syncing) -> Result<()> {
    let at = |step: &'static str| {
        move |error: Errno| Error::Mount {
            snapshot: snapshot.container.clone(),
            step,
            source: io::Error::from(error),
        }
    };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("fsopen"))?;
    fsconfig_set_string(&context, "source", "overlay").map_err(at("source"))?;
    for (option, value) in OPTIONS {
        fsconfig_set_string(&context, option, value).map_err(at(option))?;
    }
    if syncing == Syncing::Ignored {
        fsconfig_set_flag(&context, "volatile").map_err(at("volatile"))?;
    }
    let mut held = Vec::new();
    let mut lowers = Vec::new();
    if snapshot.is_marked {
        // Below what the container writes and above the image: so it is neither's.
        let mark = root.join("mark");
        durable::make_folder(&mark)?;
        if !mark.join(MARK).exists() {
            fs::write(mark.join(MARK), "").map_err(Error::file("write in", &mark))?;
        }
        lowers.push(short_path(&mark, &mut held).map_err(at("open the mark's folder"))?);
    }
    for lower in snapshot.lowers.iter().rev() {
        lowers.push(short_path(lower, &mut held).map_err(at("open a lower folder"))?);
    }
    if lowers.is_empty() {
        // Overlayfs wants a lower folder; an image of no layers gets an empty one.
        let empty = root.join("empty");
        durable::make_folder(&empty)?;
        lowers.push(short_path(&empty, &mut held).map_err(at("open the empty folder"))?);
    }
    add_lowers(&context, &lowers).map_err(at("lowerdir"))?;
    for (option, folder) in [("upperdir", &snapshot.upper), ("workdir", &snapshot.work)] {
        let path = short_path(folder, &mut held).map_err(at(option))?;
        fsconfig_set_string(&context, option, path).map_err(at(option))?;
    }
    fsconfig_create(&context).map_err(at("create"))?;
    let mount =
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(at("fsmount"))?;
    move_mount(&mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(at("move to the target"))
}

/// Adds the lower folders, topmost first.
fn add_lowers(context: &OwnedFd, lowers: &[String]) -> Result<(), Errno> {
    for (index, lower) in lowers.iter().enumerate() {
        match fsconfig_set_string(context, "lowerdir+", lower.as_str()) {
            // Before Linux 6.8 there is only the list in one value.
            Err(Errno::INVAL) if index == 0 => {
                return fsconfig_set_string(context, "lowerdir", lowers.join(":"));
            }
            other => other?,
        }
    }
    Ok(())
}

/// A path short enough for one value: its own, which /proc/self/mountinfo then shows, or its descriptor's.
fn short_path(path: &Path, held: &mut Vec<OwnedFd>) -> Result<String, Errno> {
    match path.to_str() {
        Some(text) if text.len() <= VALUE_LONGEST => Ok(text.to_owned()),
        _ => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::open(path, flags, Mode::empty())?;
            let text = format!("/proc/self/fd/{}", folder.as_raw_fd());
            held.push(folder);
            Ok(text)
        }
    }
}

/// Unmounts whatever is mounted at `target`.
pub(crate) fn unmount(target: &Path) -> Result<()> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH) {
        // Nothing mounted, or nothing there.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => {
            Err(Error::File { operation: "unmount", path: target.to_owned(), source: error.into() })
        }
    }
}
