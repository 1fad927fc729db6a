//! The cgroup v2 hierarchy that containers live in.
//!
//! Where the machine has one at the usual place, that; elsewhere (a machine still on version 1) one of our own
//! mount: without controllers it limits nothing, but it still knows, freezes and kills a container's processes.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_runtime::cgroup::CgroupRoot;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{Config, Error};

/// Where systems mount it.
const USUAL: &str = "/sys/fs/cgroup";
/// How long guards may take to end after their containers.
const GUARDS_END: Duration = Duration::from_secs(2);
/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2: i64 = 0x6367_7270;

/// What of block I/O a kernel can limit is chosen when it is built: each part has files of its own.
const PARTS: &[(&str, &[&str])] = &[("io.max", &["io.max"]), ("io.weight", &["io.weight", "io.bfq.weight"])];

/// The hierarchy, and the controllers and parts of them that hold in the engine's part of it.
pub(crate) fn open(config: &Config) -> Result<(CgroupRoot, Vec<String>), Error> {
    let root = CgroupRoot { mount: find(config)? };
    let parent = root.make(&config.cgroup_parent, None)?;
    let controllers = std::fs::read_to_string(parent.path().join("cgroup.controllers"));
    let controllers = controllers.unwrap_or_default();
    let has = |file: &&&str| parent.path().join(file).exists();
    let parts = PARTS.iter().filter(|(_, files)| files.iter().any(|file| has(&file))).map(|(name, _)| *name);
    let controllers = controllers.split_whitespace().chain(parts).map(str::to_owned).collect();
    Ok((root, controllers))
}

/// Leaves the hierarchy as it was found, where no process lives in it any more.
pub(crate) fn leave(config: &Config, root: &CgroupRoot) {
    for path in [config.cgroup_parent.clone(), config.guards_cgroup(), config.builds_cgroup()] {
        let cgroup = root.at(&path);
        let left = cgroup.await_empty(GUARDS_END).and_then(|()| cgroup.remove());
        if let Err(error) = left {
            tracing::warn!(path, error = &error as &dyn std::error::Error, "the cgroup stays");
        }
    }
    if root.mount == own(config) {
        // Something that still stands in it keeps it.
        let _ = unmount(&root.mount, UnmountFlags::empty());
    }
}

fn own(config: &Config) -> PathBuf {
    config.exec_root.join("cgroup")
}

fn find(config: &Config) -> Result<PathBuf, Error> {
    if is_cgroup2(Path::new(USUAL)) {
        return Ok(USUAL.into());
    }
    let own = own(config);
    if !is_cgroup2(&own) {
        std::fs::create_dir_all(&own).map_err(|source| Error::Folder { folder: own.clone(), source })?;
        mount(
            "none",
            &own,
            "cgroup2",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            None::<&CStr>,
        )
        .map_err(|errno| Error::Folder { folder: own.clone(), source: errno.into() })?;
    }
    Ok(own)
}

fn is_cgroup2(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == CGROUP2)
}
