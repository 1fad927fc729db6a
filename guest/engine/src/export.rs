//! `docker export` and `docker diff`: a container's root as an archive, and what it changed in it.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use berth_images::{Change, ChangeKind};

use crate::view::View;
use crate::{Engine, Error};

/// What is made in a root for our own mounts. Nobody put it there, so nobody is told of it.
pub(crate) const MOUNT_POINTS: &[&str] =
    &["dev", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sbin/docker-init", "sys"];

/// A root that is about to be exported.
#[derive(Debug)]
pub struct Export(View);

impl Engine {
    /// Opens a container's root, for [`Export::write`].
    ///
    /// # Errors
    /// When there is no such container or its root can't be opened.
    pub async fn export(&self, name: &str) -> Result<Export, Error> {
        let container = self.containers.find(name)?;
        let view = self.bare_view(&container).await?;
        self.tell(&container, "export");
        Ok(Export(view))
    }

    /// What a container changed in its image, by path.
    ///
    /// # Errors
    /// When there is no such container or the disk can't be read.
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>, Error> {
        let container = self.containers.find(name)?;
        let images = self.images.clone();
        tokio::task::spawn_blocking(move || Ok(without_ours(images.changes(&container.id)?))).await?
    }
}

impl Export {
    /// Writes the tar. Blocks.
    ///
    /// # Errors
    /// When something can't be read, or nobody listens.
    pub fn write(self, writer: impl Write) -> Result<(), Error> {
        Ok(berth_images::export(self.0.root.as_fd(), writer)?)
    }
}

/// Leaves out our own mount points, and the folders that only they changed.
fn without_ours(changes: Vec<Change>) -> Vec<Change> {
    let ours: BTreeSet<PathBuf> = MOUNT_POINTS.iter().map(|path| Path::new("/").join(path)).collect();
    let (made, others): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|change| change.kind == ChangeKind::Added && ours.contains(&change.path));
    let touched: BTreeSet<PathBuf> =
        made.iter().filter_map(|change| change.path.parent()).map(Path::to_owned).collect();
    let is_left = |change: &Change| {
        !touched.contains(&change.path)
            || others.iter().any(|other| other.path != change.path && other.path.starts_with(&change.path))
    };
    others.iter().filter(|change| is_left(change)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, kind: ChangeKind) -> Change {
        Change { path: path.into(), kind }
    }

    #[test]
    fn our_mount_points_are_no_changes() {
        let etc = change("/etc", ChangeKind::Modified);
        let hosts = change("/etc/hosts", ChangeKind::Added);
        let motd = change("/etc/motd", ChangeKind::Added);
        assert_eq!(without_ours(vec![etc.clone(), hosts.clone()]), []);
        assert_eq!(without_ours(vec![etc.clone(), hosts, motd.clone()]), [etc, motd]);
    }
}
