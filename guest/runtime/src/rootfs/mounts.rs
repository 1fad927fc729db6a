//! One mount of the specification: its tree made ready, then attached at its destination.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::attributes::Attributes;
use super::{attach, beneath, clone_tree, copy_tree};
use crate::error::{Doing, Error};

/// Filesystems whose files SELinux labels by itself, as runc has it.
const UNLABELLED: [&str; 4] = ["proc", "sysfs", "cgroup2", "mqueue"];

/// A mount whose tree is ready and attached nowhere.
pub(super) struct Prepared<'a> {
    destination: &'a Path,
    kind: &'a str,
    attributes: Attributes,
    tree: OwnedFd,
}

/// Filesystems of which the kernel has one for all mounts (of a namespace): being read-only is the mount's
/// business, and that they sit on the folder itself, not behind a symlink, is what masks rely on.
const SHARED: [&str; 5] = ["proc", "sysfs", "cgroup2", "mqueue", "devpts"];

impl<'a> Prepared<'a> {
    /// Reads the mount and makes its tree: a copy of a bind's source, unless that was `mapped`, or a new filesystem with
    /// the label that `linux.mountLabel` gives it. Mounts are listed (`/proc/<pid>/mountinfo`) in the order that their
    /// trees are made in: make them in the specification's.
    pub(super) fn new(
        mount: &'a Mount,
        bundle: &Path,
        label: Option<&str>,
        mapped: Option<OwnedFd>,
    ) -> Result<Self, Error> {
        let attributes = Attributes::parse(mount.options().as_deref().unwrap_or_default());
        let source = mount.source().as_deref();
        let kind = mount.typ().as_deref().unwrap_or_default();
        // cgroup v1 doesn't exist here: the word means the one hierarchy there is.
        let kind = if kind == "cgroup" { "cgroup2" } else { kind };
        let recursive = attributes.bind.or((kind == "bind").then_some(false));
        let tree = match (mapped, recursive, source) {
            (Some(tree), _, _) => tree,
            (None, None, _) => {
                let label = label.filter(|_| !UNLABELLED.contains(&kind));
                make_filesystem(kind, source, &attributes, label)
                    .on("make the filesystem for", mount.destination())?
            }
            (None, Some(recursive), Some(source)) => copy_tree(&bundle.join(source), recursive)?,
            (None, Some(_), None) => return Err(Error::Spec("a bind mount without a source")),
        };
        Ok(Self { destination: mount.destination(), kind, attributes, tree })
    }

    /// Attaches it beneath `root`.
    pub(super) fn attach(&self, root: BorrowedFd<'_>) -> Result<(), Error> {
        let tree = &self.tree;
        let target = self.target(root, tree)?;
        if self.attributes.copy_up {
            copy_up(&target, tree).on("copy the image's files to", self.destination)?;
        }
        self.attributes.apply(tree.as_fd()).on("set the attributes of the mount at", self.destination)?;
        match attach(tree.as_fd(), target.as_fd()) {
            // In the words of mount(2), which clients know.
            Err(Errno::INVAL) if is_folder(tree) != is_folder(&target) => Err(Errno::NOTDIR),
            attached => attached,
        }
        .on("mount at", self.destination)
    }

    /// The place to mount on, made if it isn't there.
    fn target(&self, root: BorrowedFd<'_>, tree: &OwnedFd) -> Result<OwnedFd, Error> {
        let stat = fstat(tree).on("look at the source of", self.destination)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_folder {
            return beneath::make_file(root, self.destination);
        }
        let target = beneath::make_folders(root, self.destination)?;
        if self.kind == "proc" || self.kind == "sysfs" {
            let itself = beneath::look_up_itself(root, self.destination).on("look up", self.destination)?;
            let stat = fstat(&itself).on("look at", self.destination)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                let problem = "must be mounted on ordinary directory";
                return Err(Error::Hostile { path: self.destination.into(), problem });
            }
        }
        Ok(target)
    }
}

fn is_folder(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// A new filesystem instance, attached nowhere.
fn make_filesystem(
    kind: &str,
    source: Option<&Path>,
    attributes: &Attributes,
    label: Option<&str>,
) -> rustix::io::Result<OwnedFd> {
    let made = open_filesystem(kind, source, attributes, label);
    match (made, kind) {
        // A user namespace that doesn't own the network namespace may not mount sysfs, but may bind it.
        (Err(Errno::PERM), "sysfs") => clone_tree(Path::new("/sys"), true),
        // Nor a hierarchy whose cgroup namespace it doesn't own.
        (Err(Errno::PERM), "cgroup2") => clone_tree(Path::new("/sys/fs/cgroup"), true),
        (made, _) => made,
    }
}

fn open_filesystem(
    kind: &str,
    source: Option<&Path>,
    attributes: &Attributes,
    label: Option<&str>,
) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(source) = source {
        rustix::mount::fsconfig_set_string(&context, "source", source)?;
    }
    for word in &attributes.data {
        match word.split_once('=') {
            Some((key, value)) => rustix::mount::fsconfig_set_string(&context, key, value)?,
            None => rustix::mount::fsconfig_set_flag(&context, word)?,
        }
    }
    if let Some(label) = label {
        rustix::mount::fsconfig_set_string(&context, "context", label)?;
    }
    if attributes.is_readonly() && !SHARED.contains(&kind) && kind != "tmpfs" {
        rustix::mount::fsconfig_set_flag(&context, "ro")?;
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// Copies what lies at `target` into the new filesystem `tree`: folders, files and symlinks with mode and owner.
/// No process of the container runs yet, so nothing changes underneath.
fn copy_up(target: &OwnedFd, tree: &OwnedFd) -> io::Result<()> {
    let path = |fd: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    copy_folder(&path(target), &path(tree))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let about = entry.metadata()?;
        if about.is_dir() {
            std::fs::create_dir(&to)?;
            copy_folder(&from, &to)?;
        } else if about.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from)?, &to)?;
        } else if about.is_file() {
            std::fs::copy(&from, &to)?;
        } else {
            continue;
        }
        std::os::unix::fs::lchown(&to, Some(about.uid()), Some(about.gid()))?;
        if !about.is_symlink() {
            // After the owner, whose change takes set-id bits away.
            std::fs::set_permissions(&to, about.permissions())?;
        }
    }
    Ok(())
}
