//! Builds that have ended, and all that was told of them: one file each, `builder/history/<digest of the reference>`.
//!
//! A file is whole or absent whenever the engine is killed. Nobody waits for the disk: a power cut may halve the last
//! ones. One without a whole record is none, and one that ends early has told less.

mod filter;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_images::Digest;
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;

pub(super) use self::filter::Filters;
use super::LARGEST_MESSAGE;
use super::messages::control::{HistoryRecord, StatusResponse};
use crate::{Error, Result};

/// The format of a file.
const VERSION: u32 = 1;
/// What a file's name starts with until it is whole.
const UNFINISHED: &str = ".tmp-";

/// How long builds are remembered. Pinned ones stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// So many last ones stay whatever their age,
    pub most: usize,
    /// others until they are so old.
    pub oldest: Duration,
}

impl Default for Memory {
    /// BuildKit's own.
    fn default() -> Self {
        Self { most: 50, oldest: Duration::from_secs(48 * 3600) }
    }
}

/// What a file starts with.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    record: Option<HistoryRecord>,
}

/// All that have ended. Its methods block on the disk.
pub(super) struct History {
    folder: PathBuf,
    memory: Memory,
    records: Mutex<HashMap<String, HistoryRecord>>,
}

/// What was told of a build, from its beginning.
pub(super) struct Told(Bytes);

impl Iterator for Told {
    type Item = StatusResponse;

    fn next(&mut self) -> Option<Self::Item> {
        StatusResponse::decode_length_delimited(&mut self.0).ok()
    }
}

impl History {
    /// Reads what is in a folder; what can't be read is left out.
    pub(super) fn open(folder: PathBuf, memory: Memory) -> Self {
        let mut records = HashMap::new();
        let read = fs::create_dir_all(&folder).and_then(|()| fs::read_dir(&folder));
        match read {
            Ok(entries) => {
                for path in entries.flatten().map(|entry| entry.path()) {
                    match head(&path) {
                        Some(record) => drop(records.insert(record.reference.clone(), record)),
                        None => drop(fs::remove_file(&path)),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the builds' history can't be read"),
        }
        let history = Self { folder, memory, records: Mutex::new(records) };
        history.tidy(Timestamp::now());
        history
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, HistoryRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a build that has ended, and forgets those that are too many and too old.
    pub(super) fn put(&self, record: HistoryRecord, told: &[Arc<StatusResponse>]) -> Result<()> {
        let tell = |file: &mut BufWriter<File>| {
            let mut bytes = Vec::new();
            for event in told {
                bytes.clear();
                event.encode_length_delimited(&mut bytes)?;
                file.write_all(&bytes)?;
            }
            Ok(())
        };
        let written = self.write(&record, tell);
        let placed = written.and_then(|unfinished| self.place(&mut self.known(), record, &unfinished));
        self.tidy(Timestamp::now());
        placed
    }

    /// Says whether a build stays whatever its age; false when there is no such.
    pub(super) fn pin(&self, reference: &str, pinned: bool) -> Result<bool> {
        // Held to the end, so that what is forgotten meanwhile doesn't come back.
        let mut records = self.known();
        let Some(known) = records.get(reference) else { return Ok(false) };
        let record =
            HistoryRecord { pinned, generation: known.generation.saturating_add(1), ..known.clone() };
        let path = self.path(reference);
        let mut file = BufReader::new(File::open(&path).map_err(Error::file("open", &path))?);
        if read_head(&mut file).is_none() {
            return Ok(false);
        }
        let unfinished = self.write(&record, |new| io::copy(&mut file, new).map(drop))?;
        self.place(&mut records, record, &unfinished)?;
        Ok(true)
    }

    /// Writes a record and what `tell` writes behind it into a file that isn't in its place yet.
    fn write(
        &self,
        record: &HistoryRecord,
        tell: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<PathBuf> {
        let path = self.folder.join(format!("{UNFINISHED}{}", crate::identity::fresh()?));
        let head = Head { version: VERSION, record: Some(record.clone()) }.encode_length_delimited_to_vec();
        let written = File::create(&path).and_then(|file| {
            let mut file = BufWriter::new(file);
            file.write_all(&head)?;
            tell(&mut file)?;
            file.flush()
        });
        if written.is_err() {
            drop(fs::remove_file(&path));
        }
        written.map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// Puts a written file in its place. The records are held: of two that put or forget the same, the one that changes
    /// the file last changes the record last.
    fn place(
        &self,
        records: &mut HashMap<String, HistoryRecord>,
        record: HistoryRecord,
        unfinished: &Path,
    ) -> Result<()> {
        let path = self.path(&record.reference);
        if let Err(error) = fs::rename(unfinished, &path) {
            drop(fs::remove_file(unfinished));
            return Err(Error::file("rename to", path)(error));
        }
        records.insert(record.reference.clone(), record);
        Ok(())
    }

    /// Every record, in no order.
    pub(super) fn records(&self) -> Vec<HistoryRecord> {
        self.known().values().cloned().collect()
    }

    /// What is known of a build; nothing when there is no such.
    pub(super) fn record(&self, reference: &str) -> Option<HistoryRecord> {
        self.known().get(reference).cloned()
    }

    pub(super) fn has(&self, reference: &str) -> bool {
        self.known().contains_key(reference)
    }

    /// What was told of a build; nothing when there is no such.
    pub(super) fn told(&self, reference: &str) -> Option<Told> {
        if !self.has(reference) {
            return None;
        }
        let mut bytes = Bytes::from(fs::read(self.path(reference)).ok()?);
        Head::decode_length_delimited(&mut bytes).ok()?;
        Some(Told(bytes))
    }

    /// Forgets a build. One that isn't there is fine.
    pub(super) fn forget(&self, reference: &str) -> Result<()> {
        let mut records = self.known();
        if records.remove(reference).is_none() {
            return Ok(());
        }
        let path = self.path(reference);
        fs::remove_file(&path).map_err(Error::file("remove", path))
    }

    /// Forgets what is too old, isn't pinned and isn't among the last of those.
    pub(super) fn tidy(&self, now: Timestamp) {
        let completed = |record: &HistoryRecord| {
            record.completed_at.map_or((0, 0), |moment| (moment.seconds, moment.nanos))
        };
        let oldest = i64::try_from(self.memory.oldest.as_secs()).unwrap_or(i64::MAX);
        let mut records = self.records();
        records.retain(|record| !record.pinned);
        records.sort_by_key(|record| std::cmp::Reverse(completed(record)));
        for record in records.into_iter().skip(self.memory.most) {
            if now.as_second().saturating_sub(completed(&record).0) > oldest
                && let Err(error) = self.forget(&record.reference)
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "an old build stays in the history");
            }
        }
    }

    fn path(&self, reference: &str) -> PathBuf {
        // References are the clients' own, whatever is in them.
        self.folder.join(Digest::of(reference.as_bytes()).hex())
    }
}

/// The record that a file starts with, if it is whole and the file of its reference.
fn head(path: &Path) -> Option<HistoryRecord> {
    let record = read_head(&mut BufReader::new(File::open(path).ok()?))?;
    let name = path.file_name()?.to_str()?;
    (name == Digest::of(record.reference.as_bytes()).hex()).then_some(record)
}

/// The same of an open file, which is then where the telling begins.
fn read_head(file: &mut impl Read) -> Option<HistoryRecord> {
    let (mut bytes, mut length) = (Vec::new(), None);
    // The length takes at most as many bytes as this.
    while length.is_none() && bytes.len() < 10 {
        let mut byte = [0];
        file.read_exact(&mut byte).ok()?;
        bytes.extend(byte);
        length = prost::decode_length_delimiter(&bytes[..]).ok();
    }
    let length = length.filter(|length| *length <= LARGEST_MESSAGE)?;
    bytes.resize(length, 0);
    file.read_exact(&mut bytes).ok()?;
    let Head { version, record } = Head::decode(&bytes[..]).ok()?;
    record.filter(|_| version <= VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::messages;
    use crate::buildkit::messages::control::VertexLog;

    fn record(reference: &str, completed: i64) -> HistoryRecord {
        let moment = messages::Timestamp { seconds: completed, nanos: 0 };
        let reference = reference.to_owned();
        HistoryRecord { reference, completed_at: Some(moment), total_steps: 3, ..HistoryRecord::default() }
    }

    fn said(text: &str) -> Arc<StatusResponse> {
        let log = VertexLog { message: text.as_bytes().to_vec(), ..VertexLog::default() };
        Arc::new(StatusResponse { logs: vec![log], ..StatusResponse::default() })
    }

    fn open(folder: &tempfile::TempDir) -> History {
        History::open(folder.path().to_owned(), Memory::default())
    }

    fn told(history: &History, reference: &str) -> Option<Vec<Arc<StatusResponse>>> {
        Some(history.told(reference)?.map(Arc::new).collect())
    }

    #[test]
    fn what_has_ended_is_there_when_the_engine_is_again() {
        let folder = tempfile::tempdir().unwrap();
        let history = open(&folder);
        let now = Timestamp::now().as_second();
        history.put(record("one", now), &[said("a"), said("b")]).unwrap();
        history.put(record("../two", now), &[]).unwrap();
        fs::write(folder.path().join(".tmp-x"), "half").unwrap();
        let history = open(&folder);
        assert_eq!(told(&history, "one").unwrap(), [said("a"), said("b")]);
        assert_eq!(told(&history, "../two").unwrap(), []);
        assert!(history.told("three").is_none());
        let mut records = history.records();
        records.sort_by(|a, b| b.reference.cmp(&a.reference));
        assert_eq!(records, [record("one", now), record("../two", now)]);
        history.forget("one").unwrap();
        history.forget("one").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!open(&folder).has("one"));
    }

    #[test]
    fn of_what_a_power_cut_halved_the_rest_is_read_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::now().as_second();
        open(&folder).put(record("one", now), &[said("a"), said("b")]).unwrap();
        let path = folder.path().join(Digest::of(b"one").hex());
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let history = open(&folder);
            match history.told("one") {
                Some(told) => assert!(told.count() < 2, "{length}"),
                None => assert!(!path.exists(), "{length}"),
            }
        }
        fs::write(&path, [0xff; 64]).unwrap();
        assert!(open(&folder).records().is_empty());
    }

    #[test]
    fn the_last_ones_stay_and_of_the_others_the_young_ones() {
        let folder = tempfile::tempdir().unwrap();
        let history = open(&folder);
        let now = Timestamp::now().as_second();
        for number in 0..60 {
            history.put(record(&format!("old {number}"), now - 49 * 3600 + number), &[]).unwrap();
        }
        assert_eq!(history.records().len(), 50);
        assert!(history.has("old 10") && !history.has("old 9"));
        for number in 0..60 {
            history.put(record(&format!("new {number}"), now - number), &[]).unwrap();
        }
        assert_eq!(history.records().len(), 60);
        assert_eq!(open(&folder).records().len(), 60);
    }

    #[test]
    fn what_is_pinned_stays_with_all_that_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory { most: 1, oldest: Duration::ZERO };
        let history = History::open(folder.path().to_owned(), memory);
        let now = Timestamp::now().as_second();
        history.put(record("one", now - 60), &[said("a"), said("b")]).unwrap();
        assert!(history.pin("one", true).unwrap() && !history.pin("none", true).unwrap());
        for number in 0..3 {
            history.put(record(&format!("two {number}"), now - 30 + number), &[]).unwrap();
        }
        // Pinned ones aren't among the last that stay.
        assert!(history.has("one") && history.has("two 2") && !history.has("two 1"));
        let history = History::open(folder.path().to_owned(), memory);
        assert_eq!(told(&history, "one").unwrap(), [said("a"), said("b")]);
        let pinned = HistoryRecord { pinned: true, generation: 1, ..record("one", now - 60) };
        assert!(history.records().contains(&pinned));
        assert!(history.pin("one", false).unwrap());
        history.tidy(Timestamp::now());
        assert!(!history.has("one"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
