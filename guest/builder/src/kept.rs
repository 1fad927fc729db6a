//! Folders that builds keep for later ones: the caches that RUN mounts, and what clients sent of folders of their own.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use berth_images::Digest;
use jiff::Timestamp;

use crate::prune::{UsageKind, name};
use crate::{Builder, Error, Lock, Result, Usage, known};

/// What lies beside a client's folder and says what its files hold.
const KNOWN: &str = "known";

impl Builder {
    /// Where the cache with this key lies, and who works with it. Private ones have more folders, by number, for steps that
    /// run at once.
    pub(crate) fn cache_folder(&self, id: &Digest, number: u32) -> (PathBuf, Lock) {
        let name = if number == 0 { name(id) } else { format!("{}.{number}", name(id)) };
        (self.mounts_folder().join(&name), self.lock_for(&name))
    }

    /// Where what a client sends is kept, the record of what its files hold, and who may change both.
    pub(crate) fn client_folder(&self, key: &Digest) -> (PathBuf, PathBuf, Lock) {
        let folder = self.synced().join(name(key));
        (folder.clone(), folder.with_extension(KNOWN), self.lock_for(&lock_name(&name(key))))
    }

    fn mounts_folder(&self) -> PathBuf {
        self.data_root.join("mounts")
    }

    fn synced(&self) -> PathBuf {
        self.data_root.join("folders")
    }

    /// Every one of them.
    pub(crate) fn kept_folders(&self) -> Vec<Usage> {
        let caches = folders(&self.mounts_folder()).into_iter().map(|(id, folder)| Usage {
            in_use: self.is_busy(&id),
            ..usage(id, &folder, UsageKind::CacheMount, "cached mount of a RUN step")
        });
        let sources = folders(&self.synced()).into_iter().map(|(id, folder)| Usage {
            in_use: self.is_busy(&lock_name(&id)),
            ..usage(id, &folder, UsageKind::LocalSource, "local source of a client")
        });
        caches.chain(sources).collect()
    }

    /// Removes one; says whether it is gone, which it isn't while a build works with it.
    pub(crate) fn remove_kept(&self, usage: &Usage) -> Result<bool> {
        if usage.kind == UsageKind::CacheMount {
            return remove(&self.mounts_folder().join(&usage.id)).map(|()| true);
        }
        let lock = self.lock_for(&lock_name(&usage.id));
        let Ok(_alone) = lock.try_lock() else { return Ok(false) };
        let folder = self.synced().join(&usage.id);
        // Before the folder: without it nobody would look for the record.
        known::remove(&folder.with_extension(KNOWN)).map_err(Error::file("remove", &folder))?;
        remove(&folder).map(|()| true)
    }
}

/// Notes that a folder is used now.
pub(crate) fn touch(folder: &Path) -> Result<()> {
    let touched = File::open(folder).and_then(|folder| folder.set_modified(SystemTime::now()));
    touched.map_err(Error::file("date", folder))
}

fn lock_name(id: &str) -> String {
    format!("folder {id}")
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(Error::file("remove", folder))
}

fn folders(parent: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

fn usage(id: String, folder: &Path, kind: UsageKind, description: &str) -> Usage {
    let about = folder.metadata();
    let moment = |read: fn(&Metadata) -> io::Result<SystemTime>| {
        let time = about.as_ref().ok().and_then(|about| read(about).ok());
        time.and_then(|time| Timestamp::try_from(time).ok())
    };
    let last_used = moment(Metadata::modified).unwrap_or_default();
    Usage {
        id,
        parent: None,
        kind,
        description: description.to_owned(),
        size: size(folder),
        shared: false,
        in_use: false,
        created: moment(Metadata::created).unwrap_or(last_used),
        last_used,
        uses: 1,
    }
}

/// The sizes of the files beneath a folder; links aren't followed.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
        _ => 0,
    });
    sizes.sum()
}
