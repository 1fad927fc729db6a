//! A place in one file of a log: what was read of it and isn't decoded yet.

use std::io;

use super::source::Source;
use super::{Format, Record};

/// How much is read at a time.
const BLOCK: usize = 64 * 1024;
/// More than any record takes: bytes that make none are damage.
const LONGEST: usize = 1024 * 1024 + BLOCK;

/// Reads records of one file.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) source: Source,
    format: Format,
    /// Read and, from `start` on, not yet decoded.
    bytes: Vec<u8>,
    start: usize,
}

impl Cursor {
    pub(super) fn new(source: Source, format: Format) -> Self {
        Self { source, format, bytes: Vec::new(), start: 0 }
    }

    /// The next record; `None` at the present end, where half a record may stand that a crash left behind.
    pub(super) fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            match self.format.decode(&self.bytes[self.start..]) {
                Some((length, record)) => {
                    self.start += length;
                    if record.is_some() {
                        return Ok(record);
                    }
                }
                None if !self.fill()? => return Ok(None),
                None => {}
            }
        }
    }

    /// How many records there are from here to the present end; of a damaged file, to its damage.
    pub(super) fn count(&mut self) -> u64 {
        std::iter::from_fn(|| self.next_record().ok().flatten()).count() as u64
    }

    /// Reads more; false at the end.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.source.was_emptied()? || self.bytes.len() - self.start > LONGEST {
            self.start = self.bytes.len();
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        let length = self.bytes.len();
        self.bytes.resize(length + BLOCK, 0);
        let read = self.source.read(&mut self.bytes[length..]);
        self.bytes.truncate(length + *read.as_ref().unwrap_or(&0));
        read.map(|read| read > 0)
    }
}
