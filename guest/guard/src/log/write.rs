//! The writing side: appends records, rotates files. It doesn't compress them itself: whoever holds the writer has
//! that done beside it, since a container waits for what is done here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Format, rotated};
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
    /// Whether there may be files that are to be compressed.
    is_rotated: bool,
    /// The age of the file that is being compressed; `max_file` and more when it is gone.
    compressing: Option<u32>,
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
        if settings.compress {
            rotated::mend(&settings.path, settings.max_file)?;
        }
        let size = file.metadata()?.len();
        let (settings, pending) = (settings.clone(), Vec::new());
        Ok(Some(Self { format, settings, file, size, pending, is_rotated: true, compressing: None }))
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

    /// What is to be compressed now, and where: the oldest file that was rotated and isn't compressed. It has this name
    /// until the next rotation. `None` while [`compressed`](Self::compressed) hasn't been told of the one before.
    pub fn next_to_compress(&mut self) -> Option<(PathBuf, PathBuf)> {
        if !self.settings.compress || !self.is_rotated || self.compressing.is_some() {
            return None;
        }
        let path = &self.settings.path;
        let age = rotated::oldest_plain(path, self.settings.max_file);
        (self.is_rotated, self.compressing) = (age.is_some(), age);
        age.map(|age| (rotated::plain(path, age), rotated::aside(path)))
    }

    /// Takes note that a compression has ended; what it made takes the place of the file, which may have aged
    /// meanwhile. After a failure, the next rotation is another occasion.
    pub fn compressed(&mut self, is_whole: bool) -> io::Result<()> {
        let Some(age) = self.compressing.take() else { return Ok(()) };
        let path = &self.settings.path;
        let aside = rotated::aside(path);
        if !is_whole || age >= self.settings.max_file {
            self.is_rotated &= is_whole;
            return rotated::absent(std::fs::remove_file(aside));
        }
        std::fs::rename(aside, rotated::compressed(path, age))?;
        std::fs::remove_file(rotated::plain(path, age))
    }

    /// Ages every file by one and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        let kept = self.settings.max_file.max(1);
        if kept == 1 {
            // The reader sees the newest file shrink; what it hasn't read is gone, as it is with Docker.
            self.file.set_len(0)?;
        } else {
            let shifted = rotated::shift(path, kept)?;
            self.compressing = self.compressing.map(|age| if age < shifted { age + 1 } else { age });
            self.is_rotated = true;
            self.file = open(path)?;
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

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}
