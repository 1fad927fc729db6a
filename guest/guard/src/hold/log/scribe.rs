//! The guard's end of the scribe: records that wait for it, as many as may.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use berth_guard::Stream;
use berth_guard::log::Record;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::log_file::THIS_PROGRAM;
use crate::scribe::SCRIBE;

/// A pipe's sizes: what it holds waits, too.
const PIPE: (u64, u64) = (4 * 1024, 64 * 1024);

/// A process that writes the log, and what waits for it.
pub(crate) struct Scribe {
    child: Option<Child>,
    records: Option<OwnedFd>,
    /// Readable when more is in the file.
    written: Option<OwnedFd>,
    waiting: Vec<u8>,
    sent: usize,
    most: u64,
}

impl Scribe {
    /// Starts it in the guard's folder, which is the working folder.
    pub(crate) fn start(most: u64) -> io::Result<Self> {
        let (input, records) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (written, output) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Smaller than asked for does no harm.
        let _ = rustix::pipe::fcntl_setpipe_size(&records, most.clamp(PIPE.0, PIPE.1) as usize);
        rustix::io::ioctl_fionbio(&records, true)?;
        let mut command = Command::new(THIS_PROGRAM);
        command.args([SCRIBE, "."]).stdin(Stdio::from(input)).stdout(Stdio::from(output));
        let child = Some(command.spawn()?);
        let (records, written) = (Some(records), Some(written));
        Ok(Self { child, records, written, waiting: Vec::new(), sent: 0, most })
    }

    /// Adds a record, unless others wait and there is no room: then it is lost, as in Docker.
    pub(crate) fn push(&mut self, stream: Stream, time: u64, bytes: &[u8]) {
        let waits = self.waiting.len() - self.sent;
        let has_room = waits == 0 || (waits + bytes.len()) as u64 <= self.most;
        if has_room && self.records.is_some() {
            Record::encode(stream, time, bytes, &mut self.waiting);
        }
    }

    /// Hands over what the scribe takes now.
    pub(crate) fn deliver(&mut self) -> io::Result<()> {
        while self.sent < self.waiting.len() {
            let Some(records) = &self.records else { break };
            match rustix::io::write(records, &self.waiting[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.hang_up();
                    return Err(errno.into());
                }
            }
        }
        // What was sent goes once it is the greater part, so that each byte is moved once at most.
        if self.sent * 2 >= self.waiting.len() {
            self.waiting.drain(..self.sent);
            self.sent = 0;
            self.waiting.shrink_to(64 * 1024);
        }
        Ok(())
    }

    fn hang_up(&mut self) {
        self.records = None;
        (self.waiting, self.sent) = (Vec::new(), 0);
    }

    /// The way to the scribe, while something waits for it.
    pub(crate) fn wants_writing(&self) -> Option<BorrowedFd<'_>> {
        self.records.as_ref().filter(|_| self.sent < self.waiting.len()).map(AsFd::as_fd)
    }

    /// What is readable when more is in the file.
    pub(crate) fn says(&self) -> Option<BorrowedFd<'_>> {
        self.written.as_ref().map(AsFd::as_fd)
    }

    /// Hears whether more is in the file.
    pub(crate) fn has_written(&mut self) -> bool {
        let Some(written) = &self.written else { return false };
        match rustix::io::read(written, &mut [0_u8; 1024][..]) {
            Ok(0) => {
                self.written = None;
                false
            }
            heard => heard.is_ok(),
        }
    }

    /// Takes note of the end of a child process, if it is the scribe.
    pub(crate) fn child_ended(&mut self, pid: i32) {
        if self.child.take_if(|child| child.id() == pid.cast_unsigned()).is_some() {
            self.hang_up();
        }
    }

    /// Nothing is added any more: the scribe ends after what waits. Returns whether it has.
    pub(crate) fn is_complete(&mut self) -> bool {
        if self.waiting.is_empty() {
            self.records = None;
        }
        self.child.is_none()
    }

    /// Ends the scribe, whatever it hasn't written.
    pub(crate) fn give_up(&mut self) {
        self.hang_up();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
