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
    below: Vec<Digest>,
    mounted: bool,
}

impl Workspace {
    /// Mounts `files` for changes. Blocks.
    pub(crate) fn open(builder: &Arc<Builder>, files: &Files) -> Result<Self> {
        let name = format!("{PREFIX}{}", crate::identity::fresh()?);
        let folder = builder.exec_root.join(&name);
        let below = files.chain();
        builder.store.prepare_on(&name, &below)?;
        let mut workspace = Self { store: builder.store.clone(), name, folder, below, mounted: false };
        let root = workspace.root();
        std::fs::create_dir_all(&root).map_err(Error::file("make folder", &root))?;
        workspace.store.mount(&workspace.name, &root)?;
        workspace.mounted = true;
        Ok(workspace)
    }

    /// Where the files are.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("rootfs")
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
        self.store.unmount(&self.root())?;
        self.mounted = false;
        let below = below.unwrap_or(&self.below).to_vec();
        Ok(self.store.commit_layer(&self.name, &below)?)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.mounted {
            drop(self.store.unmount(&self.root()));
        }
        if let Err(error) = self.store.remove_snapshot(&self.name) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a build's snapshot stays");
        }
        // Never into the mount, should it still be there.
        if std::fs::remove_dir(self.root()).is_ok() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}
