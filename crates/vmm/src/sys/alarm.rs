//! A deadline to wait for beside descriptors (timerfd_create(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// Readable when its time has come.
pub(crate) struct Alarm {
    timer: OwnedFd,
    set: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self { timer: rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?, set: None })
    }

    /// Rings then at the latest. One that rings earlier stays: who hears it looks again.
    pub(crate) fn ring_at(&mut self, when: Instant) -> io::Result<()> {
        if self.set.is_some_and(|set| set <= when) {
            return Ok(());
        }
        // Zero would never ring.
        let wait = when.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
        let value = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.set = Some(when);
        Ok(())
    }

    /// Was heard; it rings no more until it is set again.
    pub(crate) fn rang(&mut self) -> io::Result<()> {
        self.set = None;
        match rustix::io::read(&self.timer, &mut [0; 8]) {
            Err(error) if error != rustix::io::Errno::AGAIN => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
