//! Where containers' cgroups lie: the mounted v2 hierarchy, and `linux.cgroupsPath` below it.

use std::path::{Component, Path, PathBuf};

use crate::cgroup::{Cgroup, CgroupRoot};
use crate::error::{Doing, Error};

/// The machine's v2 hierarchy: at the usual place, or wherever it was mounted first.
pub(super) fn root() -> Result<CgroupRoot, Error> {
    let path = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(path).on("read", path)?;
    let mut mounts = text.lines().filter_map(mount_of_cgroup2);
    let mount = mounts.next().ok_or_else(|| Error::Refused("no cgroup v2 hierarchy is mounted".into()))?;
    Ok(CgroupRoot { mount })
}

/// A container's cgroup, whether it exists or not.
pub(super) fn cgroup(path: &str) -> Result<Cgroup, Error> {
    Ok(root()?.at(path))
}

/// The path below the hierarchy: `linux.cgroupsPath`, absolute or relative alike, or the container's name.
pub(super) fn path(asked: Option<&Path>, id: &str) -> Result<String, Error> {
    let Some(asked) = asked.filter(|path| !path.as_os_str().is_empty()) else { return Ok(id.to_owned()) };
    let refused = |why: &str| Error::Refused(format!("linux.cgroupsPath {}: {why}", asked.display()));
    let mut parts = Vec::new();
    for part in asked.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str().ok_or_else(|| refused("isn't text"))?),
            Component::ParentDir => return Err(refused("may not climb")),
            _ => {}
        }
    }
    match parts[..] {
        [] => Err(refused("is the root of all cgroups")),
        // Slice, prefix and name: what the systemd driver would make a unit of.
        [one] if one.matches(':').count() == 2 => {
            Err(refused("is one of the systemd driver, which isn't supported"))
        }
        _ => Ok(parts.join("/")),
    }
}

/// `36 35 0:30 / /sys/fs/cgroup rw … - cgroup2 cgroup rw`
fn mount_of_cgroup2(line: &str) -> Option<PathBuf> {
    let (mount, system) = line.split_once(" - ")?;
    let is_whole = mount.split(' ').nth(3) == Some("/");
    (system.starts_with("cgroup2 ") && is_whole).then(|| mount.split(' ').nth(4).map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_hierarchy() {
        assert_eq!(path(Some(Path::new("/a/b")), "x").unwrap(), "a/b");
        assert_eq!(path(Some(Path::new("a/./b")), "x").unwrap(), "a/b");
        assert_eq!(path(None, "x").unwrap(), "x");
        assert!(path(Some(Path::new("/a/../..")), "x").is_err());
        assert!(path(Some(Path::new("/")), "x").is_err());
        assert!(path(Some(Path::new("system.slice:berth:x")), "x").is_err());
    }
}
