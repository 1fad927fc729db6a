//! What is mounted in a container: the kernel's file systems, our three files, and what the user asked for.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Mount, MountBuilder};

use super::{Bind, Surroundings, process, security};
use crate::container::host_config::{HostConfig, MountSpec};
use crate::container::record::Record;
use crate::{Error, shared_memory};

const SHM_FOLDER: &str = "/dev/shm";

/// Every mount, parents before children.
pub(super) fn of(record: &Record, surroundings: &Surroundings<'_>) -> Result<Vec<Mount>, Error> {
    let host = &record.host_config;
    let how = |writable: bool| if writable { "rw" } else { "ro" };
    let sys = how(host.privileged);
    let cgroup = how(security::options(host)?.writable_cgroups.unwrap_or(host.privileged));
    let mut mounts = vec![
        kernel("/proc", "proc", "nosuid,noexec,nodev")?,
        kernel("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k")?,
        kernel("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5")?,
        kernel("/sys", "sysfs", &format!("nosuid,noexec,nodev,{sys}"))?,
        kernel("/sys/fs/cgroup", "cgroup2", &format!("nosuid,noexec,nodev,{cgroup}"))?,
        kernel("/dev/mqueue", "mqueue", "nosuid,noexec,nodev")?,
    ];
    mounts.extend(shared_memory(host, surroundings)?);
    let is_ours = |ours: &Bind| surroundings.binds.iter().all(|bind| bind.destination != ours.destination);
    let ours: Vec<Bind> = our_files(host, surroundings).filter(is_ours).collect();
    let binds = surroundings.binds.iter().chain(&ours).map(bind);
    let mut wanted = binds.chain(tmpfs_mounts(record)).collect::<Result<Vec<Mount>, _>>()?;
    // What the user asks for comes in place of ours, and every mount before what is mounted in it.
    wanted.sort_by_key(|mount| mount.destination().components().count());
    for mount in wanted {
        mounts.retain(|other| other.destination() != mount.destination());
        mounts.push(mount);
    }
    Ok(mounts)
}

/// What tells a container its names, and the program that is its first.
fn our_files(host: &HostConfig, surroundings: &Surroundings<'_>) -> impl Iterator<Item = Bind> {
    let names = ["resolv.conf", "hostname", "hosts"].into_iter();
    let names = names.map(|file| (surroundings.names.join(file), format!("/etc/{file}")));
    let names = names.filter(|(source, _)| source.exists());
    let names = names.map(|(source, destination)| Bind::ours(source, destination, !host.readonly_rootfs));
    let init = (host.init == Some(true))
        .then(|| Bind::ours(surroundings.init_program.into(), process::INIT.to_owned(), false));
    names.chain(init)
}

/// POSIX shared memory, which follows the IPC namespace.
fn shared_memory(host: &HostConfig, surroundings: &Surroundings<'_>) -> Result<Option<Mount>, Error> {
    if let Some(shared) = &surroundings.joined.shared_memory {
        return bind(&Bind::ours(shared.clone(), SHM_FOLDER.to_owned(), true)).map(Some);
    }
    let size = shared_memory::size_of(host.shm_size);
    match host.ipc_mode.as_str() {
        "none" => Ok(None),
        "host" => bind(&Bind::ours(SHM_FOLDER.into(), SHM_FOLDER.to_owned(), true)).map(Some),
        _ => kernel(SHM_FOLDER, "tmpfs", &format!("nosuid,noexec,nodev,mode=1777,size={size}")).map(Some),
    }
}

/// `--tmpfs` and `--mount type=tmpfs`.
fn tmpfs_mounts(record: &Record) -> Vec<Result<Mount, Error>> {
    let host = &record.host_config;
    let tmpfs = |path: &str, options: &str| kernel(path, "tmpfs", &format!("noexec,nosuid,nodev,{options}"));
    let given = host.tmpfs.iter().flatten().map(|(path, options)| tmpfs(path, options));
    let specs = host.mounts.iter().flatten().filter(|spec| spec.kind == "tmpfs");
    given.chain(specs.map(|spec| tmpfs(&spec.target, &tmpfs_options(spec)))).collect()
}

fn tmpfs_options(spec: &MountSpec) -> String {
    let mut options = Vec::new();
    if let Some(wish) = &spec.tmpfs_options {
        options.extend((wish.size_bytes > 0).then(|| format!("size={}", wish.size_bytes)));
        options.extend((wish.mode > 0).then(|| format!("mode={:o}", wish.mode)));
        options.extend(wish.options.iter().flatten().map(|words| words.join("=")));
    }
    options.extend(spec.read_only.then(|| "ro".to_owned()));
    options.join(",")
}

fn kernel(destination: &str, kind: &str, options: &str) -> Result<Mount, Error> {
    let options: Vec<String> =
        options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    Ok(MountBuilder::default().destination(destination).typ(kind).source(kind).options(options).build()?)
}

fn bind(bind: &Bind) -> Result<Mount, Error> {
    let how = if bind.recursive { "rbind" } else { "bind" };
    let writable = match (bind.writable, bind.recursive && !bind.writable_below) {
        (true, _) => "rw",
        (false, true) => "rro",
        (false, false) => "ro",
    };
    let options = vec![how.to_owned(), writable.to_owned(), bind.propagation.clone()];
    let mount = MountBuilder::default().destination(&bind.destination).typ("bind").source(&bind.source);
    Ok(mount.options(options).build()?)
}

/// The root's propagation follows the most sharing bind.
pub(super) fn root_propagation(surroundings: &Surroundings<'_>) -> String {
    let any = |word: &str| surroundings.binds.iter().any(|bind| bind.propagation.ends_with(word));
    let propagation = if any("shared") {
        "shared"
    } else if any("slave") {
        "rslave"
    } else {
        "rprivate"
    };
    propagation.to_owned()
}

/// Devices of the host that the user asked for; a privileged container has all that are there.
pub(super) fn devices(record: &Record) -> Result<Vec<LinuxDevice>, Error> {
    let host = &record.host_config;
    let mut devices = Vec::new();
    if host.privileged {
        all_devices(Path::new(DEVICES), &mut devices);
    }
    for wanted in &host.resources.devices {
        let device = device(&wanted.path_on_host, &wanted.path_in_container)?;
        devices.retain(|other: &LinuxDevice| other.path() != device.path());
        devices.push(device);
    }
    Ok(devices)
}

/// Where devices lie.
const DEVICES: &str = "/dev";
/// What every container has of its own there, in place of the machine's.
const OWN: &[&str] =
    &["console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "tty", "urandom", "zero"];

/// Adds the devices in a folder and below. One that goes meanwhile isn't there.
fn all_devices(folder: &Path, found: &mut Vec<LinuxDevice>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_own = folder == Path::new(DEVICES) && OWN.iter().any(|own| *own == name);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !is_own => all_devices(&path, found),
            Ok(kind) if (kind.is_char_device() || kind.is_block_device()) && !is_own => {
                found.extend(path.to_str().and_then(|path| device(path, "").ok()));
            }
            _ => {}
        }
    }
}

/// A device node of the host under its name inside.
pub(super) fn device(on_host: &str, inside: &str) -> Result<LinuxDevice, Error> {
    let refuse = |why: &str| {
        Error::InvalidRequest(format!(
            "error gathering device information while adding custom device \"{on_host}\": {why}"
        ))
    };
    let found = std::fs::metadata(on_host).map_err(|_| refuse("no such file or directory"))?;
    let kind = found.file_type();
    let typ = match () {
        () if kind.is_char_device() => LinuxDeviceType::C,
        () if kind.is_block_device() => LinuxDeviceType::B,
        () => return Err(refuse("not a device node")),
    };
    let number = found.rdev();
    Ok(LinuxDeviceBuilder::default()
        .path(if inside.is_empty() { on_host } else { inside })
        .typ(typ)
        .major(i64::from(rustix::fs::major(number)))
        .minor(i64::from(rustix::fs::minor(number)))
        .file_mode(found.mode() & 0o7777)
        .uid(found.uid())
        .gid(found.gid())
        .build()?)
}
