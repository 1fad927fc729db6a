//! The reading side: records across rotated files, oldest first, compressed or not, and whatever is appended later.

use std::collections::VecDeque;
use std::io;

use super::cursor::Cursor;
use super::source::Source;
use super::{Format, Record, rotated, tail};
use crate::launch::{LogDriver, LogFile};

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
    settings: LogFile,
    selection: Selection,
    /// Files to read before the newest one, oldest first.
    older: VecDeque<Source>,
    current: Option<Cursor>,
    /// Records to leave out first, which a tail is too short for.
    left_out: u64,
    done: bool,
}

impl LogReader {
    /// Opens the log; `None` for a driver that keeps nothing. A log that doesn't exist yet is empty.
    pub fn open(driver: &LogDriver, selection: Selection) -> io::Result<Option<Self>> {
        let (format, settings) = match driver {
            LogDriver::None => return Ok(None),
            LogDriver::JsonFile(settings) => (Format::JsonFile, settings),
            LogDriver::Local(settings) => (Format::Local, settings),
        };
        let mut older = VecDeque::from(rotated::open(&settings.path, settings.max_file.max(1), |_| true)?);
        older.make_contiguous().reverse();
        let settings = settings.clone();
        let mut reader = Self { format, settings, selection, older, current: None, left_out: 0, done: false };
        match selection.tail {
            Some(wanted) => reader.seek_tail(wanted)?,
            None => reader.advance(),
        }
        Ok(Some(reader))
    }

    /// The next wanted record; `None` when there is none now.
    ///
    /// # Errors
    /// `InvalidData` when the rest of a compressed file is damaged: reading goes on with the next file. Any other
    /// error ends the reading.
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
        while !self.done {
            match self.current.as_mut().map_or(Ok(None), Cursor::next_record) {
                Ok(Some(_)) if self.left_out > 0 => self.left_out -= 1,
                Ok(Some(record)) => return Ok(Some(record)),
                Ok(None) if self.next_file()? => {}
                Ok(None) => return Ok(None),
                Err(error) => {
                    if error.kind() == io::ErrorKind::InvalidData {
                        // Without its stamp, nothing tells what is younger.
                        self.done = self.older.is_empty();
                        self.advance();
                    }
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// At the end of a file: goes on to the next one; false if there is none.
    fn next_file(&mut self) -> io::Result<bool> {
        if self.older.is_empty() {
            if !self.find_younger()? {
                return Ok(false);
            }
            // Bytes may have come to the old file between its end and its rotation.
            if self.current.as_mut().map_or(Ok(false), Cursor::fill)? {
                return Ok(true);
            }
        }
        self.advance();
        Ok(true)
    }

    /// Finds the files that are younger than the current one: the log was rotated, perhaps more than once.
    fn find_younger(&mut self) -> io::Result<bool> {
        let (path, kept) = (&self.settings.path, self.settings.max_file.max(1));
        let current = self.current.as_ref().map(|cursor| &cursor.source);
        let younger = rotated::open(path, kept, |source| !current.is_some_and(|own| own.is(source)))?;
        self.older.extend(younger.into_iter().rev());
        Ok(!self.older.is_empty())
    }

    fn advance(&mut self) {
        self.current = self.older.pop_front().map(|source| Cursor::new(source, self.format));
    }

    /// Begins so many records before the end, looking into as few files as needed.
    fn seek_tail(&mut self, wanted: u64) -> io::Result<()> {
        let mut files = std::mem::take(&mut self.older);
        let mut missing = wanted;
        while let Some(file) = files.pop_back() {
            let (file, found, left_out) = self.tail_of(file, missing)?;
            self.older.push_front(file);
            missing -= found;
            if missing == 0 || files.is_empty() {
                self.left_out = left_out;
                break;
            }
        }
        self.advance();
        Ok(())
    }

    /// A file, how many of its last records are wanted, and how many are to be left out before them.
    fn tail_of(&self, source: Source, wanted: u64) -> io::Result<(Source, u64, u64)> {
        match source {
            Source::Plain { file, .. } => {
                let end = file.metadata()?.len();
                let (place, found) = tail::find(&file, end, self.format, wanted)?;
                Ok((Source::Plain { file, place }, found, 0))
            }
            compressed @ Source::Compressed(_) => {
                let mut cursor = Cursor::new(compressed, self.format);
                let all = cursor.count();
                let found = all.min(wanted);
                Ok((cursor.source.rewind()?, found, all - found))
            }
        }
    }
}

#[cfg(test)]
mod tests;
