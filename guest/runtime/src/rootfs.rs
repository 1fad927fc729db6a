//! The root filesystem of a container, built with the kernel's mount descriptors (open_tree, fsopen, move_mount).
//!
//! ```text
//! prepare    copy the trees of every bind source and of the root, as the engine sees them; make new filesystems
//! mount_all  cut propagation to the engine, attach the root, then each mount, devices, masks
//! enter      pivot_root, and the old root is gone; chroot without a mount namespace of the container's own, whose
//!            mounts then stay on the machine until it is deleted
//! ```
//!
//! Every path inside is resolved beneath the root (`RESOLVE_IN_ROOT`) and used through its descriptor, never by
//! name: images are hostile, and a symlink may be swapped between two looks at it.

pub(crate) mod attributes;
pub mod beneath;
mod devices;
pub(crate) mod idmap;
mod masks;
mod mounts;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, Spec};
use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::error::{Doing, Error};
use crate::labels;
use crate::namespaces::Plan;
use crate::sys;
use attributes::Attributes;
use idmap::Mapped;
use mounts::Prepared;

/// A root filesystem on its way.
pub(crate) struct Rootfs<'a> {
    linux: Option<&'a Linux>,
    path: PathBuf,
    tree: OwnedFd,
    readonly: bool,
    mounts: Vec<Prepared<'a>>,
    null: OwnedFd,
    may_make_nodes: bool,
    /// Whether the mounts are seen by the container alone.
    has_namespace: bool,
}

impl<'a> Rootfs<'a> {
    /// Takes copies of all trees that will be mounted, before anything changes; of id-mapped ones the parent did.
    pub(crate) fn prepare(
        spec: &'a Spec,
        bundle: &Path,
        plan: &Plan,
        mut mapped: Mapped,
    ) -> Result<Self, Error> {
        let root = spec.root().as_ref().ok_or(Error::Spec("no root"))?;
        let path = bundle.join(root.path());
        let tree = copy_tree(&path, true)?;
        let mounts = spec.mounts().iter().flatten().enumerate();
        let label = spec.linux().as_ref().and_then(|linux| labels::wanted(linux.mount_label()));
        let mounts = mounts.map(|(place, mount)| Prepared::new(mount, bundle, label, mapped.take(place)));
        let mounts = mounts.collect::<Result<_, _>>()?;
        Ok(Self {
            linux: spec.linux().as_ref(),
            path,
            tree,
            readonly: root.readonly().unwrap_or(false),
            mounts,
            null: masks::open_null()?,
            may_make_nodes: !plan.has_user(),
            has_namespace: plan.has(libc::CLONE_NEWNS),
        })
    }

    /// The root folder.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }

    /// Attaches the root and everything below it.
    pub(crate) fn mount_all(&self) -> Result<(), Error> {
        // Nothing done from here on may reach the engine's mounts; theirs may still reach the container's
        // through a bind that asks for it, since its tree was copied before.
        if self.has_namespace {
            let cut = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", cut).on("cut mount propagation of", "/")?;
        }
        sys::mount_setattr(self.root(), true, 0, 0, libc::MS_PRIVATE).on("make private", &self.path)?;
        rustix::mount::move_mount(&self.tree, "", CWD, &self.path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .on("attach the root at", &self.path)?;
        for mount in &self.mounts {
            mount.attach(self.root())?;
        }
        devices::make_all(self.root(), self.linux, self.null.as_fd(), self.may_make_nodes)?;
        let paths = self.linux.map(|linux| (linux.readonly_paths(), linux.masked_paths()));
        if let Some((readonly, masked)) = paths {
            masks::make_readonly(self.root(), readonly.as_deref().unwrap_or_default())?;
            masks::mask(self.root(), masked.as_deref().unwrap_or_default(), self.null.as_fd())?;
        }
        Ok(())
    }

    /// Makes sure that the folder exists inside.
    pub(crate) fn make_folder(&self, folder: &Path) -> Result<(), Error> {
        beneath::make_folders(self.root(), folder).map(drop)
    }

    /// Puts the terminal at `/dev/console`.
    pub(crate) fn bind_console(&self, terminal: BorrowedFd<'_>) -> Result<(), Error> {
        devices::bind_console(self.root(), terminal)
    }

    /// Makes it the root of the calling process and lets go of the engine's.
    pub(crate) fn enter(self, no_pivot: bool) -> Result<(), Error> {
        rustix::process::fchdir(&self.tree).on("enter", &self.path)?;
        if !self.has_namespace {
            // The machine's own root stays where everybody else has it.
            rustix::process::chroot(".").on("change the root to", &self.path)?
        } else if no_pivot {
            self.cover_old_root()?
        } else {
            self.leave_old_root()?
        }
        rustix::process::chdir("/").on("enter", "/")?;
        if let Some(propagation) = self.linux.and_then(|linux| linux.rootfs_propagation().as_deref()) {
            let wanted = Attributes::parse(&[propagation.to_owned()]);
            wanted.apply_propagation(self.tree.as_fd()).on("set the propagation of", "/")?;
        }
        if self.readonly {
            sys::mount_setattr(self.tree.as_fd(), false, libc::MOUNT_ATTR_RDONLY, 0, 0)
                .on("make read-only", "/")?;
        }
        Ok(())
    }

    fn leave_old_root(&self) -> Result<(), Error> {
        // pivot_root(2): with the same folder twice the old root lies on top of the new one, and is the one
        // that an unmount of "." takes away.
        rustix::process::pivot_root(".", ".").on("pivot the root to", &self.path)?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).doing("let go of the engine's root")
    }

    /// For a machine that still runs from its first root filesystem, which can't be left (pivot_root(2)).
    fn cover_old_root(&self) -> Result<(), Error> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&self.tree, "", CWD, "/", flags).on("move the root to", "/")?;
        rustix::process::chroot(".").on("change the root to", &self.path)
    }
}

/// A copy of the mount tree at `path`, attached nowhere.
fn copy_tree(path: &Path, recursive: bool) -> Result<OwnedFd, Error> {
    clone_tree(path, recursive).on("open the mount source", path)
}

fn clone_tree(path: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let recursive = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | recursive;
    rustix::mount::open_tree(CWD, path, flags)
}

/// A copy of the mount behind `fd`, which may be a file.
fn copy_mount(fd: BorrowedFd<'_>, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let recursive = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | recursive;
    rustix::mount::open_tree(fd, "", flags)
}

/// Attaches `mount` on top of what `target` refers to.
fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags)
}
