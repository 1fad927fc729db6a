//! Options of the `local` volume driver: a volume that shows what `mount` would (`type`, `device`, `o`), mounted while a
//! container that has it runs.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::container::Container;
use crate::container::mounts::MountKind;
use crate::host_paths::HostPaths;
use crate::volumes::Volume;
use crate::{Engine, Error};

/// Words of `o` that are the mount's own; every other one is the file system's.
const FLAGS: &[(&str, MountFlags)] = &[
    ("ro", MountFlags::RDONLY),
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("sync", MountFlags::SYNCHRONOUS),
    ("dirsync", MountFlags::DIRSYNC),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
    ("strictatime", MountFlags::STRICTATIME),
    ("bind", MountFlags::BIND),
];

/// Words that ask for how things are anyway.
const USUAL: &[&str] = &["rw", "suid", "dev", "exec", "async", "atime", "defaults", ""];

/// Checks a volume's options, in Docker's words.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::InvalidRequest(text));
    if options.contains_key("size") {
        return refuse("quota size requested but no quota support".to_owned());
    }
    if let Some(other) = options.keys().find(|key| !matches!(key.as_str(), "type" | "device" | "o")) {
        return refuse(format!("invalid option: {other:?}"));
    }
    if options.is_empty() {
        return Ok(());
    }
    for needed in ["device", "type"] {
        let missing = options.get(needed).is_none_or(String::is_empty);
        if missing {
            return refuse(format!("missing required option: {needed:?}"));
        }
    }
    Ok(())
}

/// Shows at `target` what the volume's options say. Blocks.
fn mount(volume: &Volume, paths: &HostPaths, target: &Path) -> Result<(), Error> {
    let option = |key: &str| volume.options.get(key).map(String::as_str).unwrap_or_default();
    let failed = |flags: MountFlags, data: &str, error: io::Error| Error::VolumeMount {
        target: target.to_owned(),
        device: option("device").to_owned(),
        flags: flags.bits(),
        data: if data.is_empty() { String::new() } else { format!(", data: {data}") },
        reason: berth_runtime::plain(&error),
    };
    if volume.options.is_empty()
        || is_mounted(target).map_err(|error| failed(MountFlags::empty(), "", error))?
    {
        return Ok(());
    }
    let (mut flags, mut data) = (MountFlags::empty(), Vec::new());
    for word in option("o").split(',').filter(|word| !USUAL.contains(word)) {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == word) {
            flags |= *flag;
        } else if word == "rbind" {
            flags |= MountFlags::BIND | MountFlags::REC;
        } else {
            data.push(word);
        }
    }
    let data =
        resolved(&data).map_err(|reason| Error::VolumeAddress { target: target.to_owned(), reason })?;
    let device = if flags.contains(MountFlags::BIND) {
        paths.resolve(option("device"))?
    } else {
        option("device").into()
    };
    let kind = if option("type") == "none" { "" } else { option("type") };
    let failed = |error: io::Error| failed(flags, &data, error);
    let words = std::ffi::CString::new(data.as_str()).map_err(|error| failed(error.into()))?;
    rustix::mount::mount(&device, target, kind, flags, words.as_c_str())
        .map_err(|errno| failed(errno.into()))?;
    if flags.contains(MountFlags::BIND | MountFlags::RDONLY) {
        // A bind takes its flags in a second step.
        let again = MountFlags::BIND | (flags & !MountFlags::REC);
        rustix::mount::mount_remount(target, again, "").map_err(|errno| failed(errno.into()))?;
    }
    Ok(())
}

/// The file system's words as the kernel takes them: it knows a server (`addr=`) by address alone. Blocks.
fn resolved(words: &[&str]) -> Result<String, String> {
    let resolve = |word: &&str| match word.strip_prefix("addr=") {
        Some(server) if !server.is_empty() => Ok(format!("addr={}", address(server)?)),
        _ => Ok((*word).to_owned()),
    };
    Ok(words.iter().map(resolve).collect::<Result<Vec<_>, String>>()?.join(","))
}

/// The first address of a server, of IPv4 if it has one, as Docker takes it.
fn address(server: &str) -> Result<IpAddr, String> {
    if let Ok(address) = server.parse() {
        return Ok(address);
    }
    let found = (server, 0).to_socket_addrs().map_err(|error| {
        let reason = error.to_string();
        let reason = reason.strip_prefix("failed to lookup address information: ").unwrap_or(&reason);
        format!("lookup {server}: {reason}")
    })?;
    let first = found.map(|address| address.ip()).min_by_key(IpAddr::is_ipv6);
    first.ok_or_else(|| format!("lookup {server}: no such host"))
}

/// Takes away what is mounted at a volume's data; nothing is fine.
pub(crate) fn unmount(target: &Path) -> Result<(), Error> {
    while is_mounted(target).unwrap_or(false) {
        rustix::mount::unmount(target, UnmountFlags::DETACH)
            .map_err(|errno| Error::Remove { path: target.into(), source: errno.into() })?;
    }
    Ok(())
}

fn is_mounted(path: &Path) -> io::Result<bool> {
    let found = match rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
        Err(Errno::NOENT) => return Ok(false),
        found => found?,
    };
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

impl Engine {
    /// Shows what the volumes of a container that is about to run should show. Blocks.
    pub(crate) fn mount_volumes(&self, container: &Container) -> Result<(), Error> {
        for name in volumes_of(container) {
            let volume = self.volumes.find(&name)?;
            mount(&volume, &self.config.host_paths, &self.volumes.data(&name))?;
        }
        Ok(())
    }

    /// Takes away what was shown for a container that ran, unless another one still runs with it. Blocks.
    pub(crate) fn unmount_volumes(&self, container: &Container) -> Result<(), Error> {
        let others = self
            .containers
            .all()
            .into_iter()
            .filter(|other| other.id != container.id && other.state().status.has_process());
        let used: Vec<String> = others.flat_map(|other| volumes_of(&other)).collect();
        for name in volumes_of(container).into_iter().filter(|name| !used.contains(name)) {
            if self.volumes.find(&name).is_ok_and(|volume| !volume.options.is_empty()) {
                unmount(&self.volumes.data(&name))?;
            }
        }
        Ok(())
    }
}

fn volumes_of(container: &Container) -> Vec<String> {
    let named = |record: &crate::container::record::Record| {
        let volumes = record.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
        volumes.map(|mount| mount.name.clone()).collect()
    };
    container.with(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn options_are_whole_or_refused() {
        check(&options(&[])).unwrap();
        check(&options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")])).unwrap();
        for wrong in [&[("type", "tmpfs")][..], &[("device", "x")], &[("wings", "2")], &[("size", "1g")]] {
            assert!(check(&options(wrong)).is_err(), "{wrong:?}");
        }
    }
    #[test]
    fn a_server_s_name_becomes_its_address() {
        let words = ["vers=4", "addr=localhost", "hard"];
        assert_eq!(resolved(&words).unwrap(), "vers=4,addr=127.0.0.1,hard");
        assert_eq!(resolved(&["addr=fd00::1", "nolock"]).unwrap(), "addr=fd00::1,nolock");
        assert_eq!(resolved(&["addr=", "size=1m"]).unwrap(), "addr=,size=1m");
    }

    #[test]
    fn a_server_that_nobody_knows_is_refused_in_docker_s_words() {
        let reason = resolved(&["addr=server.invalid"]).unwrap_err();
        let error = Error::VolumeAddress { target: "/data".into(), reason }.to_string();
        let expected = "error while mounting volume '/data': \
                        error resolving passed in network volume address: lookup server.invalid: ";
        assert!(error.starts_with(expected), "{error}");
    }
}
