//! A file that is read while it is still being written.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a reader waits for the next byte: longer than a download may stand still before it is tried again, and as
/// long as a client may.
const PATIENCE: Duration = Duration::from_secs(600);

/// How far a file has grown, told by whoever writes it.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    /// Whether nothing more comes, and whether all has come.
    ended: Option<bool>,
}

impl Growth {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a file that is whole.
    pub(crate) fn ended() -> Self {
        Self { state: Mutex::new(State { written: u64::MAX, ended: Some(true) }), changed: Condvar::new() }
    }

    /// The file has so many bytes now.
    pub(crate) fn reached(&self, written: u64) {
        self.state().written = written;
        self.changed.notify_all();
    }

    fn end(&self, is_whole: bool) {
        self.state().ended.get_or_insert(is_whole);
        self.changed.notify_all();
    }

    /// Whether all has come.
    pub(crate) fn is_whole(&self) -> bool {
        self.state().ended == Some(true)
    }

    /// Waits until there are more than `read` bytes; false when there never will be.
    fn wait(&self, read: u64) -> io::Result<bool> {
        let mut state = self.state();
        loop {
            match state.ended {
                _ if state.written > read => return Ok(true),
                Some(true) => return Ok(false),
                Some(false) => return Err(io::Error::other("what was to be read wasn't written to its end")),
                None => {}
            }
            let (next, timeout) =
                self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            state = next;
        }
    }
}

/// The writer's side: dropped before [`Self::finish`], writing has failed.
#[derive(Debug)]
pub(crate) struct Growing(pub(crate) Arc<Growth>);

impl Growing {
    /// All has come.
    pub(crate) fn finish(self) {
        self.0.end(true);
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.0.end(false);
    }
}

/// Reads a file as it grows. A clone goes on by itself from where it was made.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    file: Arc<File>,
    growth: Arc<Growth>,
    read: u64,
}

impl Follower {
    /// Of a file that grows so, from its start.
    pub(crate) fn new(file: File, growth: Arc<Growth>) -> Self {
        Self { file: Arc::new(file), growth, read: 0 }
    }
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Bytes count once their writer says so; those of an attempt that starts over come again.
        if !self.growth.wait(self.read)? {
            return Ok(0);
        }
        let count = self.file.read_at(buffer, self.read)?;
        self.read += count as u64;
        if count == 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn follower() -> (tempfile::NamedTempFile, Growing, Follower) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let growth = Arc::new(Growth::default());
        let follower = Follower::new(File::open(file.path()).unwrap(), growth.clone());
        (file, Growing(growth), follower)
    }

    #[test]
    fn a_reader_waits_for_what_is_still_to_come() {
        let (mut file, growing, mut follower) = follower();
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            follower.read_to_string(&mut text).map(|_| text)
        });
        for (at, part) in ["one ", "two ", "three"].into_iter().enumerate() {
            file.write_all(part.as_bytes()).unwrap();
            growing.0.reached([4, 8, 13][at]);
        }
        growing.finish();
        assert_eq!(reading.join().unwrap().unwrap(), "one two three");
    }

    #[test]
    fn a_writer_that_fails_ends_its_readers() {
        let (mut file, growing, mut follower) = follower();
        file.write_all(b"half").unwrap();
        growing.0.reached(4);
        drop(growing);
        let mut bytes = Vec::new();
        assert!(follower.read_to_end(&mut bytes).is_err());
        assert_eq!(bytes, b"half");
    }
}
