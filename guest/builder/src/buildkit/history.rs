//! Builds that have ended, and all that was told of them: one file each, `builder/history/<digest of the reference>`.
//!
//! A file is whole or absent whenever the engine is killed. Nobody waits for the disk: a power cut may halve the last
//! ones. One without a whole record is none, and one that ends early has told less.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use berth_images::Digest;
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;

use super::LARGEST_MESSAGE;
use super::messages::control::{HistoryRecord, StatusResponse};
use crate::{Error, Result};

/// The format of a file.
const VERSION: u32 = 1;
/// What a file's name starts with until it is whole.
const UNFINISHED: &str = ".tmp-";
/// The last ones stay whatever their age, others until they are so many seconds old (as in BuildKit).
const MOST: usize = 50;
const OLDEST: i64 = 48 * 3600;

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
    pub(super) fn open(folder: PathBuf) -> Self {
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
        let history = Self { folder, records: Mutex::new(records) };
        history.tidy(Timestamp::now());
        history
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, HistoryRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a build that has ended, and forgets those that are too many and too old.
    pub(super) fn put(&self, record: HistoryRecord, told: &[StatusResponse]) -> Result<()> {
        let reference = record.reference.clone();
        let mut bytes =
            Head { version: VERSION, record: Some(record.clone()) }.encode_length_delimited_to_vec();
        for event in told {
            bytes.extend(event.encode_length_delimited_to_vec());
        }
        let path = self.path(&reference);
        let unfinished = self.folder.join(format!("{UNFINISHED}{}", crate::identity::fresh()?));
        let written = fs::write(&unfinished, bytes).map_err(Error::file("write", &unfinished));
        let written = written.and_then(|()| {
            // Of two that put or forget the same, the one that changes the file last changes the record last.
            let mut records = self.known();
            fs::rename(&unfinished, &path).map_err(Error::file("rename to", &path))?;
            records.insert(reference, record);
            Ok(())
        });
        if written.is_err() {
            drop(fs::remove_file(&unfinished));
        }
        self.tidy(Timestamp::now());
        written
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

    /// Forgets what is too old and isn't among the last.
    fn tidy(&self, now: Timestamp) {
        let completed = |record: &HistoryRecord| record.completed_at.map_or(0, |moment| moment.seconds);
        let mut records = self.records();
        records.sort_by_key(|record| std::cmp::Reverse(completed(record)));
        for record in records.into_iter().skip(MOST) {
            if now.as_second().saturating_sub(completed(&record)) > OLDEST
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
    let mut file = BufReader::new(File::open(path).ok()?);
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
    let record = record.filter(|_| version <= VERSION)?;
    let name = path.file_name()?.to_str()?;
    (name == Digest::of(record.reference.as_bytes()).hex()).then_some(record)
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

    fn said(text: &str) -> StatusResponse {
        let log = VertexLog { message: text.as_bytes().to_vec(), ..VertexLog::default() };
        StatusResponse { logs: vec![log], ..StatusResponse::default() }
    }

    #[test]
    fn what_has_ended_is_there_when_the_engine_is_again() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().to_owned());
        let now = Timestamp::now().as_second();
        history.put(record("one", now), &[said("a"), said("b")]).unwrap();
        history.put(record("../two", now), &[]).unwrap();
        fs::write(folder.path().join(".tmp-x"), "half").unwrap();
        let history = History::open(folder.path().to_owned());
        assert_eq!(history.told("one").unwrap().collect::<Vec<_>>(), [said("a"), said("b")]);
        assert_eq!(history.told("../two").unwrap().count(), 0);
        assert!(history.told("three").is_none());
        let mut records = history.records();
        records.sort_by(|a, b| b.reference.cmp(&a.reference));
        assert_eq!(records, [record("one", now), record("../two", now)]);
        history.forget("one").unwrap();
        history.forget("one").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!History::open(folder.path().to_owned()).has("one"));
    }

    #[test]
    fn of_what_a_power_cut_halved_the_rest_is_read_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::now().as_second();
        History::open(folder.path().to_owned()).put(record("one", now), &[said("a"), said("b")]).unwrap();
        let path = folder.path().join(Digest::of(b"one").hex());
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let history = History::open(folder.path().to_owned());
            match history.told("one") {
                Some(told) => assert!(told.count() < 2, "{length}"),
                None => assert!(!path.exists(), "{length}"),
            }
        }
        fs::write(&path, [0xff; 64]).unwrap();
        assert!(History::open(folder.path().to_owned()).records().is_empty());
    }

    #[test]
    fn the_last_ones_stay_and_of_the_others_the_young_ones() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().to_owned());
        let now = Timestamp::now().as_second();
        for number in 0..60 {
            history.put(record(&format!("old {number}"), now - OLDEST - 1000 + number), &[]).unwrap();
        }
        assert_eq!(history.records().len(), MOST);
        assert!(history.has("old 10") && !history.has("old 9"));
        for number in 0..60 {
            history.put(record(&format!("new {number}"), now - number), &[]).unwrap();
        }
        assert_eq!(history.records().len(), 60);
        assert_eq!(History::open(folder.path().to_owned()).records().len(), 60);
    }
}
