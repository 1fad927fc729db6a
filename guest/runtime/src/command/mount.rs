//! The mounts of a container without a mount namespace: they are the machine's as well, and end with its deletion.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::mount::UnmountFlags;

use crate::error::{Doing, Error};

/// The mount that a folder lies on.
pub(super) fn id(folder: &Path) -> Result<u64, Error> {
    let about = rustix::fs::statx(CWD, folder, AtFlags::empty(), StatxFlags::MNT_ID).on("look at", folder)?;
    Ok(about.stx_mnt_id)
}

/// Takes away what was mounted over a folder of the mount `covered`, with all below it. Can be done twice.
pub(super) fn uncover(folder: &Path, covered: u64) -> Result<(), Error> {
    if !folder.exists() || id(folder)? == covered {
        return Ok(());
    }
    rustix::mount::unmount(folder, UnmountFlags::DETACH).on("unmount", folder)
}
