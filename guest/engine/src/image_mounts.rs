//! `--mount type=image`: the files of another image in a container, which can't be written. Each is a snapshot of its own,
//! which keeps the layers as long as the container is there, mounted in the container's folder of the exec root.

use std::path::{Path, PathBuf};

use berth_images::Store;

use crate::container::Container;
use crate::container::mounts::{MountKind, MountPoint};
use crate::container::record::Record;
use crate::{Engine, Error};

impl Engine {
    /// Makes the snapshots of a new container's images, and notes where they will appear. Blocks.
    pub(crate) fn prepare_images(&self, record: &mut Record) -> Result<(), Error> {
        let (_, exec_folder) = self.folders_of(&record.id);
        let id = record.id.clone();
        let images = record.mounts.iter_mut().filter(|mount| mount.kind == MountKind::Image);
        for (index, mount) in images.enumerate() {
            let image = self.images.image(&mount.name)?;
            self.images.prepare_files(&snapshot(&id, index), &image.id)?;
            mount.source = place(&exec_folder, index).to_string_lossy().into_owned();
        }
        Ok(())
    }

    /// Mounts the images of a container that is about to run or to be looked into. Blocks.
    pub(crate) fn mount_images(&self, container: &Container) -> Result<(), Error> {
        for index in 0..container.with(count) {
            let place = place(&container.exec_folder, index);
            std::fs::create_dir_all(&place)
                .map_err(|source| Error::Folder { folder: place.clone(), source })?;
            self.images.unmount(&place)?;
            self.images.mount(&snapshot(&container.id, index), &place)?;
        }
        Ok(())
    }

    /// Takes them away; twice is fine. Blocks.
    pub(crate) fn unmount_images(&self, container: &Container) -> Result<(), Error> {
        for index in 0..container.with(count) {
            let place = place(&container.exec_folder, index);
            self.images.unmount(&place)?;
            drop(std::fs::remove_dir(&place));
        }
        // Of a container that doesn't run, nothing else lies there.
        drop(std::fs::remove_dir(&container.exec_folder));
        Ok(())
    }
}

/// Removes the writable layer of a container, and the snapshots of its images. Blocks.
pub(crate) fn remove_snapshots(store: &Store, id: &str) -> Result<(), Error> {
    let images = format!("{id}{INFIX}");
    for snapshot in store.snapshots() {
        if snapshot == id || snapshot.starts_with(&images) {
            store.remove_snapshot(&snapshot)?;
        }
    }
    Ok(())
}

/// Between a container's id and the number of its image.
const INFIX: &str = "-image-";

fn snapshot(container: &str, index: usize) -> String {
    format!("{container}{INFIX}{index}")
}

fn place(exec_folder: &Path, index: usize) -> PathBuf {
    exec_folder.join(format!("image-{index}"))
}

fn count(record: &Record) -> usize {
    let is_image = |mount: &&MountPoint| mount.kind == MountKind::Image;
    record.mounts.iter().filter(is_image).count()
}
