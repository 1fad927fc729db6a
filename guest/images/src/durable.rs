//! Files that are there wholly or not at all, whatever moment the machine dies: temp, fsync, rename, fsync folder.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// What every unfinished file's or folder's name starts with; start-up removes them.
pub(crate) const UNFINISHED: &str = ".tmp-";

/// A name in `folder` that nobody else uses.
pub(crate) fn unfinished(folder: &Path) -> PathBuf {
    // Unique within the process is enough: what an earlier process left is removed at start-up.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    folder.join(format!("{UNFINISHED}{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Makes `path` hold `bytes`.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let temporary = unfinished(folder);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(source) = written {
        let _ = fs::remove_file(&temporary);
        return Err(Error::File { operation: "write", path: temporary, source });
    }
    rename(&temporary, path)
}

/// Makes `path` hold `record` as JSON.
pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    write(path, &encoded(record)?)
}

/// As [`write_record`], for a record that a power cut may lose or halve: readers must know a half when they see one.
pub(crate) fn write_record_soon(path: &Path, record: &impl Serialize) -> Result<()> {
    let temporary = unfinished(path.parent().unwrap_or(Path::new("/")));
    let json = encoded(record)?;
    fs::write(&temporary, json).map_err(Error::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::file("rename to", path))
}

fn encoded(record: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|source| Error::Json { subject: "record", source })
}

/// Reads a record, or nothing when it isn't one: what a dying disk left must not stop the engine.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "record can't be read");
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "record is damaged"))
        .ok()
}

/// Moves a finished file or folder to its place for good.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::file("rename to", to))?;
    sync_folder(to.parent().unwrap_or(Path::new("/")))
}

/// Removes a file for good; one that isn't there is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    discard(path)?;
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

/// Removes a file whose removal needn't be for good yet: a power cut may bring it back. One that isn't there is fine.
pub(crate) fn discard(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { operation: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Takes a file or folder away from its name, so that a crash leaves no half of it there; gives what is left to delete.
pub(crate) fn detach(path: &Path) -> Result<Option<PathBuf>> {
    let doomed = unfinished(path.parent().unwrap_or(Path::new("/")));
    match fs::rename(path, &doomed) {
        Ok(()) => Ok(Some(doomed)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { operation: "remove", path: path.to_owned(), source }),
    }
}

/// Removes a folder with all in it; one that isn't there is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match detach(path)? {
        Some(doomed) => fs::remove_dir_all(&doomed).map_err(Error::file("remove", doomed)),
        None => Ok(()),
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("make folder", path))
}

/// Removes what was left unfinished in a folder. Only at start-up, when nobody is at work in it.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    for name in names(folder)?.iter().filter(|name| name.starts_with(UNFINISHED)) {
        let path = folder.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "an unfinished file stays");
        }
    }
    Ok(())
}

/// The finished names in a folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<String>> {
    let mut names = names(folder)?;
    names.retain(|name| !name.starts_with(UNFINISHED));
    Ok(names)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let read = || -> std::io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    read().map_err(Error::file("read folder", folder))
}

/// Makes what was renamed and removed in a folder stay so.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file("sync folder", folder))
}
