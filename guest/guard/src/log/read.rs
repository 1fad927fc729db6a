//! The reading side: records across rotated files, oldest first, and whatever is appended later.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use super::{Format, Record, aged, tail};
use crate::launch::LogDriver;

/// Which records are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only records at or after this time, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// Only records at or before this time.
    pub until: Option<u64>,
    /// Only so many of the last records that are there now (counted before `since` and `until`, as Docker does).
    pub tail: Option<u64>,
}

/// A position in a log. [`next_record`](Self::next_record) gives `None` at the present end; after more was
/// appended, it goes on, also into a new file after a rotation.
#[derive(Debug)]
pub struct LogReader {
    format: Format,
    path: PathBuf,
    selection: Selection,
    /// Files to read before the newest one.
    older: VecDeque<File>,
    current: Option<File>,
    place: u64,
    /// Bytes read and not yet decoded; they end at `place`.
    bytes: Vec<u8>,
    start: usize,
    done: bool,
}

/// How much is read at a time.
const BLOCK: usize = 64 * 1024;

impl LogReader {
    /// Opens the log; `None` for a driver that keeps nothing. A log that doesn't exist yet is empty.
    pub fn open(driver: &LogDriver, selection: Selection) -> io::Result<Option<Self>> {
        let (format, settings) = match driver {
            LogDriver::None => return Ok(None),
            LogDriver::JsonFile(settings) => (Format::JsonFile, settings),
            LogDriver::Local(settings) => (Format::Local, settings),
        };
        let mut files = VecDeque::new();
        for age in 0..settings.max_file.max(1) {
            match File::open(aged(&settings.path, age)) {
                Ok(file) => files.push_front(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut reader = Self {
            format,
            path: settings.path.clone(),
            selection,
            older: files,
            current: None,
            place: 0,
            bytes: Vec::new(),
            start: 0,
            done: false,
        };
        match selection.tail {
            Some(wanted) => reader.seek_tail(wanted)?,
            None => reader.advance(),
        }
        Ok(Some(reader))
    }

    /// The next wanted record; `None` when there is none now.
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        while let Some(record) = self.next_any()? {
            if self.selection.until.is_some_and(|until| record.time > until) {
                self.done = true;
                return Ok(None);
            }
            if self.selection.since.is_none_or(|since| record.time >= since) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Whether a record after `until` was met: nothing wanted comes any more.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn next_any(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.done {
                return Ok(None);
            }
            if let Some((length, record)) = self.format.decode(&self.bytes[self.start..]) {
                self.start += length;
                if record.is_some() {
                    return Ok(record);
                }
                continue;
            }
            if !self.fill()? && !self.follow_rotation()? {
                return Ok(None);
            }
        }
    }

    /// Reads more of the current file; false at its end.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(file) = &self.current else { return Ok(false) };
        if file.metadata()?.len() < self.place {
            // Emptied by a rotation that keeps only one file.
            (self.place, self.start) = (0, 0);
            self.bytes.clear();
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        let length = self.bytes.len();
        self.bytes.resize(length + BLOCK, 0);
        let read = file.read_at(&mut self.bytes[length..], self.place);
        self.bytes.truncate(length + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.place += read as u64;
        Ok(read > 0)
    }

    /// At the end of a file: goes on to the next one, if there is one. What is left undecoded is half a record
    /// that a crash left behind.
    fn follow_rotation(&mut self) -> io::Result<bool> {
        if !self.older.is_empty() {
            self.advance();
            return Ok(true);
        }
        let newest = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let identity = |file: &File| file.metadata().map(|data| (data.dev(), data.ino()));
        match &self.current {
            Some(current) if identity(current)? == identity(&newest)? => return Ok(false),
            Some(current) => {
                // Rotated, perhaps more than once: everything younger than the current file follows.
                let own = identity(current)?;
                let mut younger = VecDeque::from([newest]);
                for age in 1.. {
                    let Ok(file) = File::open(aged(&self.path, age)) else { break };
                    if identity(&file)? == own {
                        break;
                    }
                    younger.push_front(file);
                }
                self.older = younger;
            }
            None => self.older.push_back(newest),
        }
        // Bytes may have come to the old file between its end and its rotation.
        if self.current.is_some() && self.fill()? {
            return Ok(true);
        }
        self.advance();
        Ok(true)
    }

    fn advance(&mut self) {
        self.current = self.older.pop_front();
        (self.place, self.start) = (0, 0);
        self.bytes.clear();
    }

    /// Begins so many records before the end, looking into as few files as needed.
    fn seek_tail(&mut self, wanted: u64) -> io::Result<()> {
        let mut files = std::mem::take(&mut self.older);
        let mut missing = wanted;
        while let Some(file) = files.pop_back() {
            let end = file.metadata()?.len();
            let (place, found) = tail::find(&file, end, self.format, missing)?;
            missing -= found;
            if missing == 0 || files.is_empty() {
                self.current = Some(file);
                self.place = place;
                return Ok(());
            }
            self.older.push_front(file);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
