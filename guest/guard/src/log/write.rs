//! The writing side: appends records, rotates files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use super::{Format, aged};
use crate::launch::{LogDriver, LogFile};
use crate::message::Stream;

/// The log of one container.
#[derive(Debug)]
pub struct LogWriter {
    format: Format,
    settings: LogFile,
    file: File,
    size: u64,
    pending: Vec<u8>,
}

impl LogWriter {
    /// Opens the log for appending; `None` for a driver that keeps nothing.
    pub fn open(driver: &LogDriver) -> io::Result<Option<Self>> {
        let (format, settings) = match driver {
            LogDriver::None => return Ok(None),
            LogDriver::JsonFile(settings) => (Format::JsonFile, settings),
            LogDriver::Local(settings) => (Format::Local, settings),
        };
        let file = open(&settings.path)?;
        mend(&file, format)?;
        let size = file.metadata()?.len();
        Ok(Some(Self { format, settings: settings.clone(), file, size, pending: Vec::new() }))
    }

    /// Adds a record; it is in the file after the next [`flush`](Self::flush).
    pub fn append(&mut self, stream: Stream, time: u64, bytes: &[u8]) -> io::Result<()> {
        let before = self.pending.len();
        self.format.encode(stream, time, bytes, &mut self.pending);
        let total = self.size + self.pending.len() as u64;
        let full = self.settings.max_size.is_some_and(|most| total > most);
        if full && self.size + before as u64 > 0 {
            let record = self.pending.split_off(before);
            self.flush()?;
            self.rotate()?;
            self.pending = record;
        }
        Ok(())
    }

    /// Hands everything to the kernel in one write.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.pending);
        self.size += self.pending.len() as u64;
        self.pending.clear();
        // One burst of output must not stay in memory for the container's life.
        self.pending.shrink_to(64 * 1024);
        written
    }

    /// Ages every file by one and begins a new one. Docker's order, oldest first, so that no name is ever taken.
    fn rotate(&mut self) -> io::Result<()> {
        let path = self.settings.path.clone();
        let kept = self.settings.max_file.max(1);
        if kept == 1 {
            // The reader sees the newest file shrink; what it hasn't read is gone, as it is with Docker.
            self.file.set_len(0)?;
        } else {
            for age in (0..kept - 1).rev() {
                match std::fs::rename(aged(&path, age), aged(&path, age + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            self.file = open(&path)?;
        }
        self.size = 0;
        Ok(())
    }
}

/// Takes away the half record that a crash left at the end: the next one must begin afresh.
fn mend(file: &File, format: Format) -> io::Result<()> {
    let end = file.metadata()?.len();
    let whole = super::tail::whole(file, end, format)?;
    if whole < end { file.set_len(whole) } else { Ok(()) }
}

fn open(path: &PathBuf) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}
