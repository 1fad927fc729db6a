//! One process of the container, with the guard's ends of its streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use berth_guard::log::Lines;
use berth_guard::{ExitRecord, Stream};
use berth_runtime::{Stdio, Terminal, WindowSize};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::error::{Doing, Error};

/// After a process's end its output is waited for so long, as Docker does: a child left behind may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);

/// A process and what the guard holds of it.
pub(crate) struct Process {
    pub(crate) pid: i32,
    pidfd: OwnedFd,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) inlet: Inlet,
    terminal: Option<Terminal>,
    /// How it ended, known before its output is drained.
    pub(crate) exit: Option<ExitRecord>,
    pub(crate) drained_by: Option<Instant>,
    /// Whether the end of its output was told.
    pub(crate) is_silent: bool,
    /// Whether its end was told, with all its output.
    pub(crate) is_over: bool,
}

/// One stream of output.
pub(crate) struct Outlet {
    pub(crate) fd: OwnedFd,
    pub(crate) stream: Stream,
    pub(crate) lines: Lines,
}

/// The way to a process's standard input.
#[derive(Default)]
pub(crate) struct Inlet {
    fd: Option<OwnedFd>,
    waiting: Vec<u8>,
    is_closing: bool,
    is_terminal: bool,
    /// Delivered and not yet told to the engine.
    taken: usize,
}

/// The guard's ends of the pipes given to a process.
#[derive(Default)]
pub(crate) struct Ends {
    stdin: Option<OwnedFd>,
    outlets: Vec<Outlet>,
}

/// Makes the streams of a process to be: its side and the guard's.
pub(crate) fn streams(terminal: bool, size: Option<WindowSize>, stdin: bool) -> Result<(Stdio, Ends), Error> {
    if terminal {
        return Ok((Stdio::Terminal(size), Ends::default()));
    }
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).doing("make a pipe");
    let (input, stdin) = if stdin {
        let (input, end) = pipe()?;
        (input, Some(end))
    } else {
        (std::fs::File::open("/dev/null").doing("open /dev/null")?.into(), None)
    };
    let (out_end, stdout) = pipe()?;
    let (error_end, stderr) = pipe()?;
    for end in [&out_end, &error_end].into_iter().chain(&stdin) {
        not_blocking(end)?;
    }
    let outlets = vec![outlet(out_end, Stream::Stdout), outlet(error_end, Stream::Stderr)];
    Ok((Stdio::Pipes { stdin: input, stdout, stderr }, Ends { stdin, outlets }))
}

fn outlet(fd: OwnedFd, stream: Stream) -> Outlet {
    Outlet { fd, stream, lines: Lines::default() }
}

fn not_blocking(fd: &OwnedFd) -> Result<(), Error> {
    let flags = rustix::fs::fcntl_getfl(fd).doing("read a stream's flags")?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK).doing("set a stream's flags")
}

impl Process {
    /// Takes over a process just made.
    pub(crate) fn new(
        pid: i32,
        pidfd: BorrowedFd<'_>,
        terminal: Option<Terminal>,
        mut ends: Ends,
    ) -> Result<Self, Error> {
        let pidfd = pidfd.try_clone_to_owned().doing("keep the process's descriptor")?;
        let mut inlet = Inlet { fd: ends.stdin, ..Inlet::default() };
        if let Some(terminal) = &terminal {
            let copy = || terminal.as_fd().try_clone_to_owned().doing("keep the terminal");
            let output = copy()?;
            not_blocking(&output)?;
            ends.outlets.push(outlet(output, Stream::Stdout));
            inlet = Inlet { fd: Some(copy()?), is_terminal: true, ..Inlet::default() };
        }
        Ok(Self {
            pid,
            pidfd,
            outlets: ends.outlets,
            inlet,
            terminal,
            exit: None,
            drained_by: None,
            is_silent: false,
            is_over: false,
        })
    }

    /// The process itself.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Changes the size of its terminal, if it has one.
    pub(crate) fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.terminal {
            // A terminal that is closing takes no size; nobody would see it.
            let _ = terminal.resize(size);
        }
    }

    /// Notes its end.
    pub(crate) fn end(&mut self, exit: ExitRecord) {
        self.exit = Some(exit);
        self.drained_by = Some(Instant::now() + DRAIN);
        self.inlet.shut();
    }
}

impl Inlet {
    /// Queues input; where nobody reads, it counts as delivered.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.fd.is_some() && !self.is_closing {
            self.waiting.extend_from_slice(bytes);
        } else {
            self.taken += bytes.len();
        }
    }

    /// Closes it after what waits. A terminal has no end of input: it stays.
    pub(crate) fn close(&mut self) {
        if !self.is_terminal {
            self.is_closing = true;
        }
    }

    fn shut(&mut self) {
        self.fd = None;
        self.taken += self.waiting.len();
        self.waiting = Vec::new();
    }

    /// The descriptor, while it has something to deliver.
    pub(crate) fn wants_writing(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }

    /// How much waits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Delivers what fits; gives the bytes to report, if any.
    pub(crate) fn deliver(&mut self) -> Option<u32> {
        if let Some(fd) = self.fd.as_ref().filter(|_| !self.waiting.is_empty()) {
            match rustix::io::write(fd, &self.waiting) {
                Ok(written) => {
                    self.waiting.drain(..written);
                    self.waiting.shrink_to(64 * 1024);
                    self.taken += written;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Nobody reads any more.
                Err(_) => self.shut(),
            }
        }
        if self.is_closing && self.waiting.is_empty() {
            self.fd = None;
        }
        let taken = std::mem::take(&mut self.taken);
        (taken > 0).then_some(taken as u32)
    }
}
