//! A file system mounted for a step: to be changed by it, or only to be looked at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_images::{Digest, Kept, Layer, Store};

use crate::files::Files;
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
    below: Vec<Digest>,
    mounted: bool,
}

impl Workspace {
    /// Mounts `files` for changes. Blocks.
    pub(crate) fn open(builder: &Arc<Builder>, files: &Files) -> Result<Self> {
        let (mut workspace, _) = Self::prepare(builder, files)?;
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
        let (mut workspace, upper) = Self::prepare(builder, files)?;
        workspace.root = upper;
        Ok(workspace)
    }

    /// A workspace that isn't mounted, and where its changes will lie.
    fn prepare(builder: &Arc<Builder>, files: &Files) -> Result<(Self, PathBuf)> {
        let name = format!("{PREFIX}{}", crate::identity::fresh()?);
        let folder = builder.exec_root.join(&name);
        let below = files.chain();
        let upper = builder.store.prepare_on(&name, &below)?.upper;
        let root = mount_point(&folder);
        let workspace = Self { store: builder.store.clone(), name, folder, root, below, mounted: false };
        std::fs::create_dir_all(&workspace.root).map_err(Error::file("make folder", &workspace.root))?;
        Ok((workspace, upper))
    }

    /// Where the files are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of the step's own, which goes with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What tells it from others.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes a layer of what was changed, on top of `below` or of what it was opened with. Blocks.
    pub(crate) fn commit(mut self, below: Option<&[Digest]>) -> Result<Option<(Layer, Kept)>> {
        if self.mounted {
            self.store.unmount(&self.root)?;
            self.mounted = false;
        }
        let below = below.unwrap_or(&self.below).to_vec();
        Ok(self.store.commit_layer(&self.name, &below)?)
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
