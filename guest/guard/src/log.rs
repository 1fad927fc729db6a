//! A container's log: the guard writes it, the engine reads it.
//!
//! Two forms, json-file as Docker has it, and a compact binary one. Both are sequences of [`Record`]s in a newest
//! file and older ones beside it (`<path>.1`, `<path>.2` …, with `.gz` when they are compressed). A half-written
//! record at the end, which a crash leaves, is skipped.

mod cursor;
mod json_file;
mod lines;
mod local;
mod read;
mod rotated;
mod source;
mod tail;
mod write;

use serde::{Deserialize, Serialize};

pub use berth_runtime::rfc3339::{format as format_time, parse as parse_time};
pub use lines::Lines;
pub use read::{LogReader, Selection};
pub use source::compress;
pub use write::LogWriter;

use crate::message::Stream;

/// Docker splits lines that are longer than this.
pub const LONGEST_LINE: usize = 16 * 1024;

/// One line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it was written.
    pub stream: Stream,
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// The text with its newline; without one, the next record of the stream goes on with the line.
    pub bytes: Vec<u8>,
}

impl Record {
    /// Appends the record as it travels between a guard and its scribe: the compact form.
    pub fn encode(stream: Stream, time: u64, bytes: &[u8], out: &mut Vec<u8>) {
        local::encode(stream, time, bytes, out);
    }

    /// Takes one record from the front: its length in bytes, and the record unless it is damaged. `None` while it
    /// isn't whole.
    pub fn decode(bytes: &[u8]) -> Option<(usize, Option<Self>)> {
        local::decode(bytes)
    }
}

/// How records lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// One JSON object per line.
    JsonFile,
    /// Length-prefixed binary records.
    Local,
}

impl Format {
    /// Appends the record's bytes to `out`.
    fn encode(self, stream: Stream, time: u64, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::JsonFile => json_file::encode(stream, time, bytes, out),
            Self::Local => local::encode(stream, time, bytes, out),
        }
    }

    /// Takes one record from the front: its length in bytes, and the record unless it can't be read. `None`
    /// while it isn't whole.
    fn decode(self, bytes: &[u8]) -> Option<(usize, Option<Record>)> {
        match self {
            Self::JsonFile => json_file::decode(bytes),
            Self::Local => local::decode(bytes),
        }
    }
}
