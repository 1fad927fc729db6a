//! Where the container's output is kept: written by the guard itself, or by a scribe that nobody waits for.

mod scribe;

use std::io;

use berth_guard::{Launch, Stream};

use super::error::{Doing, Error};
use crate::log_file::FileLog;
use scribe::Scribe;

/// The container's log.
pub(crate) enum Log {
    /// The guard writes, and the container waits for it.
    File(FileLog),
    /// Another process writes.
    Scribe(Scribe),
}

impl Log {
    /// Opens the log; `None` for a driver that keeps nothing.
    pub(crate) fn open(launch: &Launch) -> Result<Option<Self>, Error> {
        let Some(file) = FileLog::open(&launch.log).doing("open the log")? else { return Ok(None) };
        match launch.log_buffer {
            None => Ok(Some(Self::File(file))),
            Some(most) => Scribe::start(most).map(Self::Scribe).map(Some).doing("start the log's scribe"),
        }
    }

    /// Adds a record.
    pub(crate) fn append(&mut self, stream: Stream, time: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(log) => log.append(stream, time, bytes),
            Self::Scribe(scribe) => {
                scribe.push(stream, time, bytes);
                Ok(())
            }
        }
    }

    /// Sees to it that what was added is in the file, or on its way.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(log) => log.flush(),
            Self::Scribe(scribe) => scribe.deliver(),
        }
    }

    /// The scribe, if one writes.
    pub(crate) fn scribe(&self) -> Option<&Scribe> {
        if let Self::Scribe(scribe) = self { Some(scribe) } else { None }
    }

    /// Hears from the scribe whether more is in the file.
    pub(crate) fn has_written(&mut self) -> bool {
        if let Self::Scribe(scribe) = self { scribe.has_written() } else { false }
    }

    /// Takes note of the end of a child process that isn't the container's.
    pub(crate) fn child_ended(&mut self, pid: i32, is_success: bool) -> io::Result<()> {
        match self {
            Self::File(log) => log.child_ended(pid, is_success),
            Self::Scribe(scribe) => {
                scribe.child_ended(pid);
                Ok(())
            }
        }
    }

    /// Nothing is added any more. Returns whether everything is written, and compressed.
    pub(crate) fn is_complete(&mut self) -> bool {
        match self {
            Self::File(log) => !log.is_busy(),
            Self::Scribe(scribe) => scribe.is_complete(),
        }
    }

    /// Waits no longer for what isn't done.
    pub(crate) fn give_up(&mut self) {
        match self {
            Self::File(log) => log.give_up(),
            Self::Scribe(scribe) => scribe.give_up(),
        }
    }
}
