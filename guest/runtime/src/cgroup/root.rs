//! The hierarchy that the engine was given, and what it can control.

use std::collections::BTreeSet;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;

use super::{Cgroup, files};
use crate::error::{Doing, Error};

/// A mounted cgroup v2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupRoot {
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// Controllers by name: `cpu`, `cpuset`, `memory`, `pids`, `io`, `hugetlb` …
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Controllers {
    /// Those that the hierarchy has.
    pub available: BTreeSet<String>,
    /// Those that children of the mount's root get.
    pub enabled: BTreeSet<String>,
}

impl CgroupRoot {
    /// What the hierarchy can control.
    pub fn controllers(&self) -> Result<Controllers, Error> {
        let set = |file| -> Result<BTreeSet<String>, Error> {
            let text = files::read(&self.mount, file)?.unwrap_or_default();
            Ok(text.split_whitespace().map(str::to_owned).collect())
        };
        Ok(Controllers { available: set("cgroup.controllers")?, enabled: set("cgroup.subtree_control")? })
    }

    /// The cgroup at `path` below the mount, whether it exists or not.
    pub fn at(&self, path: &str) -> Cgroup {
        Cgroup { path: self.mount.join(path.trim_start_matches('/')) }
    }

    /// Makes the cgroup at `path` (its parents too, with every available controller handed down) and limits it.
    pub fn make(&self, path: &str, resources: Option<&LinuxResources>) -> Result<Cgroup, Error> {
        let mut folder = self.mount.clone();
        for part in path.split('/').filter(|part| !part.is_empty() && *part != "." && *part != "..") {
            self.hand_down(&folder);
            folder.push(part);
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other.on("make the cgroup", &folder)?,
            }
        }
        let cgroup = Cgroup { path: folder };
        if let Some(resources) = resources {
            cgroup.update(resources)?;
        }
        Ok(cgroup)
    }

    /// Enables for the children of `folder` what it has itself. One at a time: a controller that can't be handed
    /// down (processes in between, a threaded subtree) must not keep the others back.
    fn hand_down(&self, folder: &std::path::Path) {
        let Ok(Some(available)) = files::read(folder, "cgroup.controllers") else { return };
        let enabled = files::read(folder, "cgroup.subtree_control").ok().flatten().unwrap_or_default();
        let enabled: Vec<_> = enabled.split_whitespace().collect();
        for name in available.split_whitespace().filter(|name| !enabled.contains(name)) {
            let _ = files::write(folder, "cgroup.subtree_control", &format!("+{name}"));
        }
    }
}
