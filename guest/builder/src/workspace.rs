//! A file system mounted for a step: to be changed by it, or only to be looked at.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_images::{Digest, Kept, Layer, Store};
use rustix::fs::Mode;

use crate::beneath::{self, Root};
use crate::files::Files;
use crate::history::Style;
use crate::{Builder, Error, Result};

/// What snapshots of builds are called; those that a crash left go at the next start.
pub(crate) const PREFIX: &str = "build-";

/// A mounted snapshot. Dropped, it is gone, with all that wasn't committed.
#[derive(Debug)]
pub(crate) struct Workspace {
    store: Store,
    name: String,
    folder: PathBuf,
    root: PathBuf,
    /// Where its changes lie.
    upper: PathBuf,
    below: Vec<Digest>,
    mounted: bool,
}

impl Workspace {
    /// Mounts `files` for changes. Blocks.
    pub(crate) fn open(builder: &Arc<Builder>, files: &Files) -> Result<Self> {
        let mut workspace = Self::prepare(builder, files)?;
        workspace.store.mount_passing(&workspace.name, &workspace.root)?;
        workspace.mounted = true;
        Ok(workspace)
    }

    /// As [`Self::open`], for files that are put there one by one: with nothing below, they are written straight to where
    /// the layer has them.
    pub(crate) fn open_for_files(builder: &Arc<Builder>, files: &Files) -> Result<Self> {
        if !files.layers.is_empty() {
            return Self::open(builder, files);
        }
        let mut workspace = Self::prepare(builder, files)?;
        workspace.root.clone_from(&workspace.upper);
        Ok(workspace)
    }

    /// A workspace that isn't mounted.
    fn prepare(builder: &Arc<Builder>, files: &Files) -> Result<Self> {
        let name = format!("{PREFIX}{}", crate::identity::fresh()?);
        let folder = builder.exec_root.join(&name);
        let below = files.chain();
        let upper = builder.store.prepare_on(&name, &below)?.upper;
        let root = mount_point(&folder);
        let store = builder.store.clone();
        let workspace = Self { store, name, folder, root, upper, below, mounted: false };
        std::fs::create_dir_all(&workspace.root).map_err(Error::file("make folder", &workspace.root))?;
        Ok(workspace)
    }

    /// Where the files are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of it as the layer has it. What is put there straight is in the layer; the mount need not show it.
    pub(crate) fn in_layer(&self, folder: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
        if self.mounted {
            // A change brings a folder of a layer below into this one.
            let mode = rustix::fs::fstat(folder)?.st_mode & 0o7777;
            rustix::fs::fchmod(folder, Mode::from_raw_mode(mode))?;
        }
        let (root, path) = (beneath::path_of(Root::open(&self.root)?.as_fd())?, beneath::path_of(folder)?);
        let inner = path.strip_prefix(root).ok().and_then(Path::to_str);
        Ok(inner.and_then(|inner| Root::open(&self.upper).ok()?.folder(inner).ok()))
    }

    /// A folder of the step's own, which goes with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What tells it from others.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes a layer of what was changed, on top of `below` or of what it was opened with; `linked_with` as in the store.
    /// With BuildKit what changed nothing is a layer, too. Blocks.
    pub(crate) fn commit(
        mut self,
        style: Style,
        below: Option<&[Digest]>,
        linked_with: Option<&str>,
    ) -> Result<Option<(Layer, Kept)>> {
        if self.mounted {
            self.store.unmount(&self.root)?;
            self.mounted = false;
        }
        let below = below.unwrap_or(&self.below).to_vec();
        Ok(self.store.commit_layer(&self.name, &below, style == Style::BuildKit, linked_with)?)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.mounted {
            drop(self.store.unmount(&self.root));
        }
        if let Err(error) = self.store.remove_snapshot(&self.name) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a build's snapshot stays");
        }
        // Never into the mount, should it still be there.
        if std::fs::remove_dir(mount_point(&self.folder)).is_ok() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

fn mount_point(folder: &Path) -> PathBuf {
    folder.join("rootfs")
}
