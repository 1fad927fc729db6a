//! The log's file as a guard or its scribe writes it, with the process that compresses what was rotated.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use berth_guard::log::LogWriter;
use berth_guard::{LogDriver, Stream};
use rustix::process::Signal;

use crate::hold::error::{Doing, Error};

/// The argument that makes this program compress one file, its standard input.
pub(crate) const COMPRESS: &str = "--compress";
/// This program, whatever became of its path.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// A log that is written here.
pub(crate) struct FileLog {
    writer: LogWriter,
    compressor: Option<Child>,
}

/// Compresses one file: what the process does that a [`FileLog`] starts.
pub(crate) fn compress(to: &Path) -> Result<(), Error> {
    end_with_parent()?;
    // The container's own work goes first; where that can't be said, all are equal.
    let _ = rustix::process::nice(19);
    let from = io::stdin().as_fd().try_clone_to_owned().doing("find the log file to compress")?;
    berth_guard::log::compress(&from.into(), to).doing("compress a log file")
}

/// Has the kernel kill this process when the one that started it ends, so that nobody writes beside the next guard.
pub(crate) fn end_with_parent() -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).doing("end with the guard")
}

impl FileLog {
    /// Opens the log; `None` for a driver that keeps nothing.
    pub(crate) fn open(driver: &LogDriver) -> io::Result<Option<Self>> {
        Ok(LogWriter::open(driver)?.map(|writer| Self { writer, compressor: None }))
    }

    /// Adds a record; it is in the file after the next [`flush`](Self::flush).
    pub(crate) fn append(&mut self, stream: Stream, time: u64, bytes: &[u8]) -> io::Result<()> {
        self.writer.append(stream, time, bytes)
    }

    /// Hands everything to the kernel, and has what was rotated compressed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.compress_next()
    }

    fn compress_next(&mut self) -> io::Result<()> {
        let Some((from, to)) = self.writer.next_to_compress() else { return Ok(()) };
        // Opened here: another file has its name after the next rotation.
        let start = |from: File| {
            Command::new(THIS_PROGRAM).arg(COMPRESS).arg(to).stdin(from).stdout(Stdio::null()).spawn()
        };
        match File::open(from).and_then(start) {
            Ok(child) => self.compressor = Some(child),
            Err(error) => {
                self.writer.compressed(false)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes note of the end of a child process, if it is the one that compresses.
    pub(crate) fn child_ended(&mut self, pid: i32, is_success: bool) -> io::Result<()> {
        if self.compressor.take_if(|child| child.id() == pid.cast_unsigned()).is_none() {
            return Ok(());
        }
        self.writer.compressed(is_success)?;
        self.compress_next()
    }

    /// Whether something is being compressed.
    pub(crate) fn is_busy(&self) -> bool {
        self.compressor.is_some()
    }

    /// Leaves uncompressed what isn't compressed yet.
    pub(crate) fn give_up(&mut self) {
        let Some(mut child) = self.compressor.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
        let _ = self.writer.compressed(false);
    }
}
