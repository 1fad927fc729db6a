//! `/dev`: the nodes that every container has, those that it asks for, links, the console.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::{attach, beneath, copy_mount, copy_tree};
use crate::error::{Doing, Error};

/// OCI runtime spec, "Default Devices"; all are 0666 character devices of root.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// OCI runtime spec, "Dev symbolic links".
const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// A device to have inside.
struct Node {
    path: PathBuf,
    kind: FileType,
    major: u32,
    minor: u32,
    mode: u32,
    owner: (u32, u32),
}

/// Makes nodes and links.
pub(super) fn make_all(
    root: BorrowedFd<'_>,
    linux: Option<&Linux>,
    null: BorrowedFd<'_>,
    may_make_nodes: bool,
) -> Result<(), Error> {
    let asked: Vec<_> =
        linux.iter().flat_map(|linux| linux.devices().iter().flatten()).filter_map(described).collect();
    let given = DEFAULTS.iter().map(|(path, major, minor)| Node {
        path: path.into(),
        kind: FileType::CharacterDevice,
        major: *major,
        minor: *minor,
        mode: 0o666,
        owner: (0, 0),
    });
    // What is asked for explicitly, with its own mode, comes instead of the default.
    let given = given.filter(|node| !asked.iter().any(|other| other.path == node.path)).collect::<Vec<_>>();
    for node in given.iter().chain(&asked) {
        make(root, node, null, may_make_nodes)?;
    }
    let dev = beneath::make_folders(root, Path::new("/dev"))?;
    for (name, target) in LINKS {
        match rustix::fs::symlinkat(target, &dev, name) {
            // The image's own, or a bind of the machine's /dev.
            Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
            Err(errno) => return Err(errno).on("link", Path::new("/dev").join(name)),
        }
    }
    Ok(())
}

fn described(device: &LinuxDevice) -> Option<Node> {
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => return None,
    };
    Some(Node {
        path: device.path().clone(),
        kind,
        major: u32::try_from(device.major()).ok()?,
        minor: u32::try_from(device.minor()).ok()?,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
    })
}

fn make(root: BorrowedFd<'_>, node: &Node, null: BorrowedFd<'_>, may_make: bool) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (node.path.parent(), node.path.file_name()) else {
        return Err(Error::Hostile { path: node.path.clone(), problem: "isn't the path of a device" });
    };
    let folder = beneath::make_folders(root, parent)?;
    if may_make {
        let mode = Mode::from_raw_mode(node.mode);
        let number = rustix::fs::makedev(node.major, node.minor);
        match rustix::fs::mknodat(&folder, name, node.kind, mode, number) {
            Ok(()) => return own(&folder, node),
            // There already: a bind of the machine's /dev, or an image that brought it along.
            Err(Errno::EXIST) if is_device(&folder, node) => return Ok(()),
            Err(Errno::EXIST) => {
                let problem = "is in the way of a device";
                return Err(Error::Hostile { path: node.path.clone(), problem });
            }
            Err(Errno::PERM) => {}
            Err(errno) => return Err(errno).on("make the device", &node.path),
        }
    }
    let source = if (node.major, node.minor) == (1, 3) {
        copy_mount(null, false).on("copy the mount of", "/dev/null")?
    } else {
        copy_tree(&node.path, false)?
    };
    let target = beneath::make_file(root, &node.path)?;
    attach(source.as_fd(), target.as_fd()).on("bind the device", &node.path)
}

/// The mode again, since mknod applies the umask, and the owner.
fn own(folder: &OwnedFd, node: &Node) -> Result<(), Error> {
    let name = node.path.file_name().unwrap_or_default();
    let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
    // The node is ours, just made in a folder that no process of the container can reach yet.
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .on("own the device", &node.path)?;
    rustix::fs::chmodat(folder, name, Mode::from_raw_mode(node.mode), AtFlags::empty())
        .on("set the mode of the device", &node.path)
}

fn is_device(folder: &OwnedFd, node: &Node) -> bool {
    let name = node.path.file_name().unwrap_or_default();
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == node.kind
            && (node.kind == FileType::Fifo || stat.st_rdev == rustix::fs::makedev(node.major, node.minor))
    })
}

/// Binds the terminal at `/dev/console`.
pub(super) fn bind_console(root: BorrowedFd<'_>, terminal: BorrowedFd<'_>) -> Result<(), Error> {
    let path = Path::new("/dev/console");
    let tree = copy_mount(terminal, false).on("copy the mount of the terminal for", path)?;
    let target = beneath::make_file(root, path)?;
    attach(tree.as_fd(), target.as_fd()).on("mount at", path)
}
