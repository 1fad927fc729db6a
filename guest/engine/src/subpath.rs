//! A part of a volume (`volume-subpath`), found once and mounted in the container's folder of the exec root until the
//! container has copied the mount: whoever has the volume could swap a path for a link meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use berth_runtime::beneath;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::Error;
use crate::spec::Bind;

/// What the names of such mounts start with.
const PREFIX: &str = "subpath-";

/// What is at `subpath` in a volume, whatever links it has.
pub(crate) fn find(volume: &Path, subpath: &str) -> Result<OwnedFd, Error> {
    let failed = |errno: Errno| Error::Read { path: volume.join(subpath), source: errno.into() };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(volume, flags, Mode::empty()).map_err(failed)?;
    match beneath::look_up(root.as_fd(), Path::new(subpath)) {
        Err(Errno::NOENT) => Err(Error::InvalidRequest(format!(
            "failed to access volume subpath {subpath:?}: no such file or directory"
        ))),
        found => found.map_err(failed),
    }
}

/// Mounts the parts of volumes that `binds` hold in `folder`, and names them by their place there. Blocks.
pub(crate) fn mount(binds: &mut [Bind], folder: &Path) -> Result<(), Error> {
    for (index, bind) in binds.iter_mut().enumerate() {
        let Some(held) = &bind.held else { continue };
        let place = folder.join(format!("{PREFIX}{index}"));
        attach(held, &place).map_err(|source| Error::Write { path: place.clone(), source })?;
        bind.source = place;
    }
    Ok(())
}

fn attach(held: &OwnedFd, place: &Path) -> io::Result<()> {
    let stat = rustix::fs::fstat(held)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
        std::fs::create_dir(place)?;
    } else {
        File::create_new(place)?;
    }
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(held, "", flags)?;
    Ok(rustix::mount::move_mount(tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Takes away what [`mount`] made in `folder`; twice is fine. Blocks.
pub(crate) fn unmount(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        match rustix::mount::unmount(entry.path(), UnmountFlags::DETACH) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(Error::Remove { path: entry.path(), source: errno.into() }),
        }
    }
    Ok(())
}
