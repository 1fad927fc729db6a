//! A process told from a later one of the same number.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its number.
    pub(super) pid: i32,
    /// When it started, in clock ticks since boot (proc_pid_stat(5)).
    start: u64,
}

impl Identity {
    /// Of a process that exists.
    pub(super) fn of(pid: i32) -> Result<Self, Error> {
        let (_, start) = stat(pid).ok_or(Error::ChildVanished)?;
        Ok(Self { pid, start })
    }

    /// Whether it hasn't ended; one that nobody has reaped has.
    pub(super) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, start)| start == self.start && !matches!(state, 'Z' | 'X' | 'x'))
    }

    /// Itself, or nothing once it has ended.
    pub(super) fn open(&self) -> Option<OwnedFd> {
        let pidfd = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Looked at after the descriptor was taken: the number can't have changed hands in between.
        self.is_alive().then_some(pidfd)
    }
}

/// Waits for a process's end; whether it came in time.
pub(super) fn await_end(pidfd: &OwnedFd, limit: Duration) -> Result<bool, Error> {
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    loop {
        match rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other.doing("wait for the container's end")? > 0),
        }
    }
}

/// State and start time.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, parentheses too.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}
