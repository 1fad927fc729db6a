//! What is known of containers: one folder each below `--root`.
//!
//! ```text
//! <root>/<id>/lock         held by whoever changes the container: a lock of the process's own (fcntl(2)), which the
//!                          container's process, a fork, doesn't share
//!             state.json   written beside and renamed: whole or absent, read without the lock
//!             config.json  the specification as it was at creation, which is what counts from then on
//!             start.sock   where the created process waits for its start
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::Record;
use crate::error::{Doing, Error};

/// How long another verb may hold a container, its hooks included.
const PATIENCE: Duration = Duration::from_secs(60);
/// A lock can't be waited for with a limit: it is tried this often.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest name: a file's.
const LONGEST_ID: usize = 255;

/// The folder of all containers.
pub(super) struct Store {
    root: PathBuf,
}

/// A container's folder, locked.
pub(super) struct Held {
    folder: PathBuf,
    _lock: File,
}

impl Store {
    /// The folder may not be there yet.
    pub(super) fn new(root: &Path) -> Result<Self, Error> {
        Ok(Self { root: std::path::absolute(root).on("make absolute", root)? })
    }

    /// Makes a new container's folder and locks it.
    pub(super) fn claim(&self, id: &str) -> Result<Held, Error> {
        let folder = self.folder(id)?;
        std::fs::create_dir_all(&self.root).on("make the folder", &self.root)?;
        match rustix::fs::mkdir(&folder, Mode::from_raw_mode(0o711)) {
            Err(Errno::EXIST) => return Err(Error::Exists(id.into())),
            other => other.on("make the folder", &folder)?,
        }
        self.lock(id)
    }

    /// Locks a container's folder.
    pub(super) fn lock(&self, id: &str) -> Result<Held, Error> {
        let folder = self.folder(id)?;
        let deadline = Instant::now() + PATIENCE;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = folder.join("lock");
        let lock = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::NOENT) => return Err(Error::NotExist(id.into())),
            other => File::from(other.on("open", &path)?),
        };
        loop {
            match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::AGAIN | Errno::ACCESS) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                other => break other.on("lock", &path)?,
            }
        }
        // Deleted while this waited: the lock is one of a file that nobody finds any more.
        if rustix::fs::fstat(&lock).on("look at", &path)?.st_nlink == 0 {
            return Err(Error::NotExist(id.into()));
        }
        Ok(Held { folder, _lock: lock })
    }

    /// A container's record, at this moment.
    pub(super) fn record(&self, id: &str) -> Result<Record, Error> {
        read(&self.folder(id)?.join("state.json"))?.ok_or_else(|| Error::NotExist(id.into()))
    }

    /// Its specification.
    pub(super) fn spec(&self, id: &str) -> Result<Spec, Error> {
        read(&self.folder(id)?.join("config.json"))?.ok_or_else(|| Error::NotExist(id.into()))
    }

    /// Where its created process waits.
    pub(super) fn socket(&self, id: &str) -> Result<PathBuf, Error> {
        Ok(self.folder(id)?.join("start.sock"))
    }

    /// The names of all containers, sorted.
    pub(super) fn ids(&self) -> Result<Vec<String>, Error> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.on("list", &self.root)?,
        };
        let mut ids: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    fn folder(&self, id: &str) -> Result<PathBuf, Error> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
        let fits =
            (1..=LONGEST_ID).contains(&id.len()) && id.chars().all(is_plain) && id != "." && id != "..";
        if fits {
            Ok(self.root.join(id))
        } else {
            Err(Error::Value { what: "invalid container ID", value: id.into() })
        }
    }
}

impl Held {
    /// The record; `None` where the container's creation was cut off before it.
    pub(super) fn record(&self) -> Result<Option<Record>, Error> {
        read(&self.folder.join("state.json"))
    }

    /// Replaces the record.
    pub(super) fn put_record(&self, record: &Record) -> Result<(), Error> {
        write(&self.folder, "state.json", record)
    }

    /// The specification; `None` where the creation was cut off before it.
    pub(super) fn spec(&self) -> Result<Option<Spec>, Error> {
        read(&self.folder.join("config.json"))
    }

    /// Keeps the specification.
    pub(super) fn put_spec(&self, spec: &Spec) -> Result<(), Error> {
        write(&self.folder, "config.json", spec)
    }

    /// Where the created process waits.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("start.sock")
    }

    /// Forgets the container.
    pub(super) fn remove(self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.folder).on("remove", &self.folder)
    }
}

/// Written beside, then renamed: whole at any moment. Not synced: a power cut ends what the record is of.
fn write(folder: &Path, name: &str, value: &impl Serialize) -> Result<(), Error> {
    let (path, beside) = (folder.join(name), folder.join(format!("{name}.new")));
    let json = serde_json::to_vec(value).map_err(Error::Handshake)?;
    std::fs::write(&beside, json).on("write", &beside)?;
    std::fs::rename(&beside, &path).on("rename to", &path)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Json { path: path.into(), source }),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(error) => Err(error).on("read", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_climb() {
        let store = Store::new(Path::new("/nowhere")).unwrap();
        for name in ["", ".", "..", "a/b", "../x", "a\0b"] {
            assert!(store.record(name).is_err_and(|error| matches!(error, Error::Value { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_name_is_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path()).unwrap();
        let _held = store.claim("a").unwrap();
        assert!(matches!(store.claim("a"), Err(Error::Exists(_))));
    }
}
