//! What was read of a folder's files, so that the next build needn't read them again: a context has thousands of files,
//! and one of them changed.
//!
//! A file is told by its inode and the time of that inode's last change, which nobody can set: whatever writes, links or
//! replaces a file moves it on. The record lies beside the folder and holds for as long as this machine runs, since a
//! context's content isn't synced. A record that is missing, older or damaged costs reading the files again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Stat;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;

/// The record's first bytes, its format's version among them.
const MAGIC: &[u8; 16] = b"berth known 1\n\0\0";
/// Changes with every start of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// An entry's bytes: inode, size, the time's seconds and nanoseconds, the content's hash.
const ENTRY: usize = 4 * 8 + 32;
/// A record larger than that isn't read: as many entries as a context may have.
const LARGEST: u64 = 4_000_000 * ENTRY as u64;

/// How a record is called while it is written.
const UNFINISHED: &str = "new";

/// The SHA-256 of a file's content.
pub(crate) type Hash = [u8; 32];

/// What is known of one folder's files; written down when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Where it is written down; nowhere for a folder that goes with its build.
    record: Option<PathBuf>,
    files: Mutex<Files>,
    /// The folder is nobody else's for as long as somebody reads it, also after its build was cancelled.
    _alone: Option<OwnedMutexGuard<()>>,
}

#[derive(Debug, Default)]
struct Files {
    by_inode: HashMap<u64, Entry>,
    is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    size: i64,
    changed: (i64, i64),
    hash: Hash,
}

impl Known {
    /// What was written down at `record`, for whoever has locked the folder.
    pub(crate) fn at(record: PathBuf, alone: OwnedMutexGuard<()>) -> Self {
        let by_inode = read(&record).unwrap_or_default();
        let files = Mutex::new(Files { by_inode, is_changed: false });
        Self { record: Some(record), files, _alone: Some(alone) }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of the file that `stat` describes.
    pub(crate) fn find(&self, stat: &Stat) -> Option<Hash> {
        let files = self.files();
        let entry = files.by_inode.get(&stat.st_ino)?;
        (entry.size == stat.st_size && entry.changed == changed(stat)).then_some(entry.hash)
    }

    /// Notes the content of a file that `stat` describes since before it was read, or since after it was written.
    pub(crate) fn note(&self, stat: &Stat, hash: Hash) {
        let entry = Entry { size: stat.st_size, changed: changed(stat), hash };
        let mut files = self.files();
        files.is_changed |= files.by_inode.insert(stat.st_ino, entry) != Some(entry);
    }

    /// Forgets all files but these.
    pub(crate) fn retain(&self, inodes: &HashSet<u64>) {
        let mut files = self.files();
        let before = files.by_inode.len();
        files.by_inode.retain(|inode, _| inodes.contains(inode));
        files.is_changed |= files.by_inode.len() != before;
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let files = self.files.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = self.record.as_ref().filter(|_| files.is_changed)
            && let Err(error) = write(record, &files.by_inode)
        {
            tracing::debug!(%error, "a context's files are read again by the next build");
        }
    }
}

fn changed(stat: &Stat) -> (i64, i64) {
    (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(-1))
}

fn read(record: &Path) -> Option<HashMap<u64, Entry>> {
    if std::fs::metadata(record).ok()?.len() > LARGEST {
        return None;
    }
    let bytes = std::fs::read(record).ok()?;
    let (content, sum) = bytes.split_last_chunk::<32>()?;
    let entries = content.strip_prefix(start()?.as_slice())?;
    if Sha256::digest(content).as_slice() != sum || entries.len() % ENTRY != 0 {
        return None;
    }
    entries.chunks_exact(ENTRY).map(entry).collect()
}

fn entry(bytes: &[u8]) -> Option<(u64, Entry)> {
    let (inode, rest) = bytes.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (seconds, rest) = rest.split_first_chunk()?;
    let (nanoseconds, hash) = rest.split_first_chunk()?;
    let changed = (i64::from_le_bytes(*seconds), i64::from_le_bytes(*nanoseconds));
    let entry = Entry { size: i64::from_le_bytes(*size), changed, hash: hash.try_into().ok()? };
    Some((u64::from_le_bytes(*inode), entry))
}

fn write(record: &Path, by_inode: &HashMap<u64, Entry>) -> std::io::Result<()> {
    let mut bytes = start().ok_or(std::io::ErrorKind::NotFound)?;
    for (inode, Entry { size, changed: (seconds, nanoseconds), hash }) in by_inode {
        bytes.extend_from_slice(&inode.to_le_bytes());
        for number in [size, seconds, nanoseconds] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(hash);
    }
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    let beside = record.with_extension(UNFINISHED);
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, record)
}

/// Removes a record, and what a crash has left of writing it.
pub(crate) fn remove(record: &Path) -> std::io::Result<()> {
    for path in [record.with_extension(UNFINISHED), record.to_owned()] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What a record of this start of the machine begins with.
fn start() -> Option<Vec<u8>> {
    let boot = std::fs::read(BOOT).ok()?;
    Some([MAGIC.as_slice(), Sha256::digest(boot).as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lock;

    fn stat(path: &Path) -> Stat {
        rustix::fs::stat(path).unwrap()
    }

    fn known_at(record: PathBuf) -> Known {
        Known::at(record, Lock::default().try_lock_owned().unwrap())
    }

    #[test]
    fn a_file_is_known_until_it_changes_even_with_its_old_times() {
        let folder = tempfile::tempdir().unwrap();
        let (file, record) = (folder.path().join("file"), folder.path().join("record.known"));
        std::fs::write(&file, "one").unwrap();
        let before = stat(&file);
        known_at(record.clone()).note(&before, [1; 32]);
        let known = known_at(record.clone());
        assert_eq!(known.find(&before), Some([1; 32]));
        let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
        // The kernel's clock for files is coarse.
        while changed(&stat(&file)) == changed(&before) {
            std::fs::write(&file, "two").unwrap();
            std::fs::File::open(&file).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(known.find(&stat(&file)), None);
        known.retain(&HashSet::new());
        drop(known);
        assert_eq!(known_at(record).find(&before), None);
    }

    #[test]
    fn a_damaged_record_knows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record.known");
        let about = stat(folder.path());
        known_at(record.clone()).note(&about, [1; 32]);
        let sound = std::fs::read(&record).unwrap();
        for (at, length) in [(0, sound.len()), (20, sound.len()), (60, sound.len()), (0, 70), (0, 0)] {
            let mut bytes = sound[..length].to_vec();
            if length == sound.len() {
                bytes[at] ^= 1;
            }
            std::fs::write(&record, bytes).unwrap();
            assert_eq!(known_at(record.clone()).find(&about), None, "{at} {length}");
        }
        std::fs::write(&record, sound).unwrap();
        assert_eq!(known_at(record).find(&about), Some([1; 32]));
    }

    #[test]
    fn nothing_stays_of_a_record_whose_writing_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record.known");
        known_at(record.clone()).note(&stat(folder.path()), [1; 32]);
        std::fs::write(record.with_extension(UNFINISHED), "half of").unwrap();
        remove(&record).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        remove(&record).unwrap();
    }
}
