//! What a writable folder changes against the layers below it, read off overlayfs' own marks.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute within the container.
    pub path: PathBuf,
    /// How it changed.
    pub kind: ChangeKind,
}

/// How a path changed; the numbers are Docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChangeKind {
    /// `C`
    Modified = 0,
    /// `A`
    Added = 1,
    /// `D`
    Deleted = 2,
}

/// Every change of `upper` against `lowers` (lowest first), by path.
pub(crate) fn between(lowers: &[PathBuf], upper: &Path) -> Result<Vec<Change>> {
    let mut found = Vec::new();
    walk(lowers, upper, Path::new(""), &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Lists the changes in one folder and says whether there are any beneath it.
fn walk(lowers: &[PathBuf], upper: &Path, folder: &Path, found: &mut Vec<Change>) -> Result<bool> {
    let before = found.len();
    let here = upper.join(folder);
    for entry in fs::read_dir(&here).map_err(Error::file("read folder", &here))? {
        let entry = entry.map_err(Error::file("read folder", &here))?;
        let path = folder.join(entry.file_name());
        let metadata = entry.metadata().map_err(Error::file("look at", entry.path()))?;
        let below = visible_below(lowers, &path);
        let shown = Path::new("/").join(&path);
        if is_whiteout(&metadata) {
            if below.is_some() {
                found.push(Change { path: shown, kind: ChangeKind::Deleted });
            }
            continue;
        }
        let kind = if below.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        let changed_within = metadata.is_dir() && walk(lowers, upper, &path, found)?;
        if changed_within || !is_mere_copy(&metadata, below.as_ref()) {
            found.push(Change { path: shown, kind });
        }
    }
    Ok(found.len() > before)
}

/// Removes folders from `upper` that were copied up for something that is gone again, and are as below.
pub(crate) fn prune_copies(lowers: &[PathBuf], upper: &Path) -> Result<()> {
    prune(lowers, upper, Path::new("")).map(drop)
}

/// Prunes beneath one folder and says whether it is empty now.
fn prune(lowers: &[PathBuf], upper: &Path, folder: &Path) -> Result<bool> {
    let here = upper.join(folder);
    let mut is_empty = true;
    for entry in fs::read_dir(&here).map_err(Error::file("read folder", &here))? {
        let entry = entry.map_err(Error::file("read folder", &here))?;
        let (path, kind) = (folder.join(entry.file_name()), entry.file_type());
        let looking = || Error::file("look at", entry.path());
        // Before anything in it goes, which changes its time.
        let before = match kind.map_err(looking())?.is_dir() {
            true => Some(entry.metadata().map_err(looking())?),
            false => None,
        };
        let unchanged = match before {
            None => false,
            Some(before) => {
                prune(lowers, upper, &path)?
                    && !is_opaque(&entry.path())
                    && is_mere_copy(&before, visible_below(lowers, &path).as_ref())
            }
        };
        if unchanged {
            fs::remove_dir(entry.path()).map_err(Error::file("remove", entry.path()))?;
        } else {
            is_empty = false;
        }
    }
    Ok(is_empty)
}

/// A folder that overlayfs copied up to hold something and that is as it was.
fn is_mere_copy(metadata: &Metadata, below: Option<&Metadata>) -> bool {
    let times = |m: &Metadata| (m.mtime(), m.mtime_nsec(), m.mode(), m.uid(), m.gid());
    metadata.is_dir() && below.is_some_and(|below| below.is_dir() && times(below) == times(metadata))
}

/// What is at `path` in the layers, as overlayfs shows it.
fn visible_below(lowers: &[PathBuf], path: &Path) -> Option<Metadata> {
    lowers.iter().rev().find_map(|lower| match look(lower, path) {
        Look::Found(metadata) => Some(Some(metadata)),
        Look::Hidden => Some(None),
        Look::Absent => None,
    })?
}

enum Look {
    Found(Metadata),
    /// This layer hides what lies further down.
    Hidden,
    Absent,
}

fn look(lower: &Path, path: &Path) -> Look {
    let mut current = lower.to_owned();
    let mut is_opaque = false;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        current.push(part);
        let Ok(metadata) = fs::symlink_metadata(&current) else {
            return if is_opaque { Look::Hidden } else { Look::Absent };
        };
        if is_whiteout(&metadata) {
            return Look::Hidden;
        }
        if parts.peek().is_none() {
            return Look::Found(metadata);
        }
        if !metadata.is_dir() {
            return Look::Hidden;
        }
        is_opaque |= self::is_opaque(&current);
    }
    Look::Absent
}

/// A 0/0 character device, overlayfs' mark of something deleted.
fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Whether a folder hides the folders of its name below.
pub(crate) fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 1];
    matches!(rustix::fs::lgetxattr(folder, "trusted.overlay.opaque", &mut value[..]), Ok(1) if value == *b"y")
}
