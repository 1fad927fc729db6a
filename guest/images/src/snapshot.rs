//! A container's file system: its own writable folder on top of an image's layers, joined by overlayfs.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::overlay::{self, Syncing};
use crate::{Digest, Error, Result, Store, changes, durable, pack};

pub use crate::changes::{Change, ChangeKind};

/// The file in a container's root by which programs know where they are, as in Docker. It is no change of the container's.
pub const MARK: &str = ".dockerenv";

/// The format of `snapshot.json`.
const VERSION: u32 = 1;

/// Where the parts of a container's file system lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose it is.
    pub container: String,
    /// The image it was made from; none for an empty root.
    pub image: Option<Digest>,
    /// The lower folders, lowest first.
    pub lowers: Vec<PathBuf>,
    /// The writable folder.
    pub upper: PathBuf,
    /// Overlayfs' own folder.
    pub work: PathBuf,
    /// Whether it has the file by which programs know that they are in a container, [`MARK`].
    pub is_marked: bool,
}

/// `snapshots/<container>/snapshot.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotRecord {
    version: u32,
    image: Option<Digest>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_marked: bool,
    /// Chain ids, lowest first.
    pub(crate) layers: Vec<Digest>,
}

impl Store {
    /// Makes a writable snapshot of an image (an id, or none for an empty root) for a container.
    ///
    /// # Errors
    /// When the image isn't there or the container has a snapshot already.
    pub fn prepare(&self, container: &str, image: Option<&Digest>) -> Result<Snapshot> {
        self.prepare_image(container, image, true)
    }

    /// The same of an image's files alone, nothing of a container's in them.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_files(&self, name: &str, image: &Digest) -> Result<Snapshot> {
        self.prepare_image(name, Some(image), false)
    }

    fn prepare_image(&self, container: &str, image: Option<&Digest>, is_marked: bool) -> Result<Snapshot> {
        let layers = match image {
            None => Vec::new(),
            Some(id) => {
                let state = self.state();
                let stored = state.images.get(id).ok_or_else(|| Error::NoSuchImage(id.to_string()))?;
                stored.layers.iter().map(|layer| layer.chain_id.clone()).collect()
            }
        };
        let _kept = self.pin(layers.iter().cloned());
        self.prepare_layers(container, image, layers, is_marked)
    }

    fn prepare_layers(
        &self,
        container: &str,
        image: Option<&Digest>,
        layers: Vec<Digest>,
        is_marked: bool,
    ) -> Result<Snapshot> {
        let record = SnapshotRecord { version: VERSION, image: image.cloned(), is_marked, layers };
        self.place(container, record, |place, record| {
            let folder = durable::unfinished(&self.inner.root.join("snapshots"));
            make_parts(&folder)?;
            durable::write_record(&folder.join("snapshot.json"), record)?;
            durable::rename(&folder, place)
        })
    }

    pub(crate) fn prepare_passing(&self, name: &str, layers: Vec<Digest>) -> Result<Snapshot> {
        let record = SnapshotRecord { version: VERSION, image: None, is_marked: false, layers };
        self.place(name, record, |place, _| make_parts(place))
    }

    /// Notes a snapshot that `make` puts in its place.
    fn place(
        &self,
        container: &str,
        record: SnapshotRecord,
        make: impl FnOnce(&Path, &SnapshotRecord) -> Result<()>,
    ) -> Result<Snapshot> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if container.is_empty() || container.len() > 128 || !container.chars().all(is_name) {
            return Err(Error::InvalidSnapshotName(container.to_owned()));
        }
        let mut state = self.state();
        if state.snapshots.contains_key(container) {
            return Err(Error::SnapshotExists(container.to_owned()));
        }
        let place = self.snapshot_folder(container);
        // Without a record in memory, what is there is damage.
        durable::remove_tree(&place)?;
        make(&place, &record)?;
        let snapshot = self.snapshot_of(container, &record);
        state.snapshots.insert(container.to_owned(), record);
        Ok(snapshot)
    }

    /// Removes what a crash left of snapshots without a record. Only at start-up, when nothing of them is mounted.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_unrecorded_snapshots(&self) -> Result<()> {
        let state = self.state();
        let mut doomed = Vec::new();
        for name in durable::entries(&self.inner.root.join("snapshots"))? {
            if !state.snapshots.contains_key(&name) {
                doomed.extend(durable::detach(&self.snapshot_folder(&name))?);
            }
        }
        self.inner.trash.throw(doomed)
    }

    /// A container's snapshot.
    ///
    /// # Errors
    /// When it has none.
    pub fn snapshot(&self, container: &str) -> Result<Snapshot> {
        let state = self.state();
        let record =
            state.snapshots.get(container).ok_or_else(|| Error::NoSuchSnapshot(container.to_owned()))?;
        Ok(self.snapshot_of(container, record))
    }

    /// The containers that have snapshots.
    pub fn snapshots(&self) -> Vec<String> {
        self.state().snapshots.keys().cloned().collect()
    }

    /// Mounts a container's snapshot at the folder `target`, in the caller's mount namespace.
    ///
    /// # Errors
    /// When it has none or the kernel refuses.
    pub fn mount(&self, container: &str, target: &Path) -> Result<()> {
        overlay::mount(&self.snapshot(container)?, &self.inner.root, target, Syncing::Heeded)
    }

    /// The same of a snapshot that a crash ends anyway: programs in it never wait for the disk, nor does who unmounts it.
    /// Once only.
    ///
    /// # Errors
    /// As [`Self::mount`].
    pub fn mount_passing(&self, name: &str, target: &Path) -> Result<()> {
        overlay::mount(&self.snapshot(name)?, &self.inner.root, target, Syncing::Ignored)
    }

    /// Unmounts what is mounted at `target`, now or when its last user goes. Nothing mounted is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn unmount(&self, target: &Path) -> Result<()> {
        overlay::unmount(target)
    }

    /// Removes a container's snapshot; none is fine. It must not be mounted any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_snapshot(&self, container: &str) -> Result<()> {
        let known = self.state().snapshots.contains_key(container);
        if !known {
            return Ok(());
        }
        let doomed = durable::detach(&self.snapshot_folder(container))?;
        self.state().snapshots.remove(container);
        self.inner.trash.throw(doomed.into_iter().collect())?;
        // Its image may have been removed by force before it.
        self.collect()?;
        Ok(())
    }

    /// What the container changed against its image, by path, as `docker diff` lists it.
    ///
    /// # Errors
    /// When it has no snapshot or the disk refuses.
    pub fn changes(&self, container: &str) -> Result<Vec<Change>> {
        let snapshot = self.snapshot(container)?;
        changes::between(&snapshot.lowers, &snapshot.upper)
    }

    /// The bytes in the container's writable folder (`SizeRw`).
    ///
    /// # Errors
    /// When it has no snapshot or the disk refuses.
    pub fn snapshot_size(&self, container: &str) -> Result<u64> {
        pack::size(&self.snapshot(container)?.upper)
    }

    /// Writes the container's changes as a layer's tar, whiteouts included.
    ///
    /// # Errors
    /// When it has no snapshot, or the disk or the writer refuses.
    pub fn write_diff(&self, container: &str, writer: impl std::io::Write) -> Result<()> {
        pack::layer(&self.snapshot(container)?.upper, &[], writer).map(drop)
    }

    fn snapshot_folder(&self, container: &str) -> PathBuf {
        self.inner.root.join("snapshots").join(container)
    }

    fn snapshot_of(&self, container: &str, record: &SnapshotRecord) -> Snapshot {
        let folder = self.snapshot_folder(container);
        Snapshot {
            container: container.to_owned(),
            image: record.image.clone(),
            lowers: record.layers.iter().map(|layer| self.layers().path(layer)).collect(),
            upper: folder.join("upper"),
            work: folder.join("work"),
            is_marked: record.is_marked,
        }
    }
}

/// Makes the folders of a snapshot's own.
fn make_parts(folder: &Path) -> Result<()> {
    durable::make_folder(&folder.join("upper"))?;
    durable::make_folder(&folder.join("work"))
}

/// Writes a whole folder, a mounted root file system, as a tar (`docker export`).
///
/// # Errors
/// When the disk or the writer refuses.
pub fn export(rootfs: BorrowedFd<'_>, writer: impl std::io::Write) -> Result<()> {
    pack::tree(rootfs, writer)
}
