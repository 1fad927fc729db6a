//! epoll, with a timerfd beside the streams. An epoll descriptor is itself something to wait on, so a device
//! plugs into whatever loop its transport has.

mod memory;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

pub(crate) use memory::{read_at, write_at};

/// Marks the timer's own event.
const TIMER: u64 = u64::MAX;
/// Events taken per wait; the rest come with the next one.
const BATCH: usize = 64;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The time of [`Poller::wake_in`] has passed.
    Timer,
    /// A stream changed; told once per change.
    Stream {
        /// As given to [`Poller::add_stream`].
        token: u64,
        /// Bytes or the end may be read.
        readable: bool,
        /// Bytes may be written.
        writable: bool,
        /// The peer is gone in both directions.
        gone: bool,
    },
}

/// Waits for many streams and one timer.
pub(crate) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self { epoll, timer })
    }

    /// Readable when [`Self::events`] has something to tell.
    pub(crate) fn readiness(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Adds a listener: told as long as somebody waits to be accepted.
    pub(crate) fn add_listener(&self, listener: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, listener, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Adds a stream: told once per change, so read and write until they would block. It leaves when it is closed.
    pub(crate) fn add_stream(&self, stream: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(token), flags)?)
    }

    /// Asks for one [`Event::Timer`]; a later call replaces an earlier one.
    pub(crate) fn wake_in(&self, wait: Duration) -> io::Result<()> {
        // Zero would disarm the timer.
        let wait = wait.max(Duration::from_micros(1));
        let value = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        let never_again = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: never_again, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// What happened since the last call, without waiting.
    pub(crate) fn events(&self) -> io::Result<Vec<Event>> {
        let mut batch = Vec::with_capacity(BATCH);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut batch), Some(&now)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        Ok(batch.iter().map(|event: &epoll::Event| self.event(event)).collect())
    }

    fn event(&self, event: &epoll::Event) -> Event {
        // The fields are packed: copy them out before looking.
        let (data, flags) = (event.data, event.flags);
        if data.u64() == TIMER {
            // It was read or it wasn't due: either way it no longer counts.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
            return Event::Timer;
        }
        Event::Stream {
            token: data.u64(),
            readable: flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP),
            writable: flags.contains(EventFlags::OUT),
            gone: flags.intersects(EventFlags::HUP | EventFlags::ERR),
        }
    }
}
