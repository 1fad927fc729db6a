//! The host's shared folders, one file system for all of them.

use protocol::guest::SHARES_TAG;
use rustix::mount::{MountFlags, mount as mount_file_system};

/// Where it is mounted; the folders are in it by name.
pub(crate) const PLACE: &str = "/run/berth/shares";

/// Mounts it. A machine to which nothing is shared has none: binds of host paths are refused then.
pub(super) fn mount() {
    let mounted = std::fs::create_dir_all(PLACE).and_then(|()| {
        // Device nodes of the host aren't devices here, and its set-id programs run as whoever starts them.
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        Ok(mount_file_system(SHARES_TAG, PLACE, "virtiofs", flags, c"")?)
    });
    if let Err(error) = mounted {
        tracing::info!(%error, "no folders of the host");
    }
}
