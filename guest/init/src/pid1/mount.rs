//! The kernel's file systems and the ones in memory.

use std::ffi::CStr;
use std::fs;

use anyhow::Context;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

/// Source and type, place, flags, options; in the order in which they are mounted.
const MOUNTS: &[(&str, &str, MountFlags, &CStr)] = &[
    ("proc", "/proc", NOTHING_RUNS, c""),
    ("binfmt_misc", "/proc/sys/fs/binfmt_misc", NOTHING_RUNS, c""),
    ("sysfs", "/sys", NOTHING_RUNS, c""),
    ("tmpfs", "/run", NO_DEVICES, c"mode=755,size=25%"),
    ("tmpfs", "/tmp", NO_DEVICES, c"mode=1777,size=25%"),
    ("devpts", "/dev/pts", NOT_RUN_OR_SET, c"mode=620,ptmxmode=666,gid=5"),
    ("tmpfs", "/dev/shm", NO_DEVICES, c"mode=1777,size=50%"),
    ("mqueue", "/dev/mqueue", NOTHING_RUNS, c""),
    ("cgroup2", "/sys/fs/cgroup", NOTHING_RUNS, c"nsdelegate,memory_recursiveprot"),
];

const NOTHING_RUNS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const NO_DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const NOT_RUN_OR_SET: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

/// Mounts them all; /dev is there already (the kernel mounts it after the root).
pub(super) fn kernel_file_systems() -> anyhow::Result<()> {
    for (kind, place, flags, options) in MOUNTS {
        if place.starts_with("/dev/") {
            fs::create_dir_all(place).with_context(|| format!("make {place}"))?;
        }
        mount(*kind, *place, *kind, *flags, *options).with_context(|| format!("mount {place}"))?;
    }
    // As every Linux distribution: a mount reaches the copies that containers' namespaces start from.
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change("/", shared).context("share the mounts")
}
