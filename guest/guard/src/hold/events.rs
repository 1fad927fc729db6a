//! The loop: wait for something to happen, do what follows.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use berth_guard::{CONTAINER, ExitRecord, FromGuard, STDIN_WINDOW, Stream};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::WaitOptions;

use super::connection::Gone;
use super::error::{Doing, Error};
use super::log::Log;
use super::process::{Outlet, Process};
use super::session::{Session, now};

/// How much output is read at a time: the size of a pipe.
const BLOCK: usize = 64 * 1024;
/// The engine gets what waits for it within this time, when the guard ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a polled descriptor is.
#[derive(Clone, Copy)]
enum Source {
    Children,
    Listener,
    Connection,
    Inlet,
    Outlet(u32, Stream),
    /// The scribe takes more.
    Records,
    /// The scribe has written more.
    Written,
}

impl Session {
    /// Until the container is over and the engine knows.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        let mut block = vec![0; BLOCK];
        while !self.is_finished {
            for (source, events) in self.wait()? {
                self.handle(source, events, &mut block)?;
            }
            self.deliver_input();
            self.conclude_all();
            self.flush();
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.is_finished = true;
            }
        }
        self.say_farewell();
        Ok(())
    }

    /// Waits for events, or for the nearest deadline.
    fn wait(&self) -> Result<Vec<(Source, PollFlags)>, Error> {
        let mut sources = Vec::with_capacity(8);
        let mut set = Vec::with_capacity(8);
        let mut watch = |source, fd, events| {
            sources.push(source);
            set.push(PollFd::from_borrowed_fd(fd, events));
        };
        watch(Source::Children, self.children.as_fd(), PollFlags::IN);
        watch(Source::Listener, self.listener.as_fd(), PollFlags::IN);
        let is_full = self.connection.as_ref().is_some_and(|connection| connection.is_full());
        if let Some(connection) = &self.connection {
            let mut events = PollFlags::empty();
            // An engine that sends more input than agreed waits, with everything else it has to say.
            if self.processes.values().all(|process| process.inlet.waiting() <= STDIN_WINDOW) {
                events |= PollFlags::IN;
            }
            if connection.has_waiting() {
                events |= PollFlags::OUT;
            }
            watch(Source::Connection, connection.as_fd(), events);
        }
        if let Some(scribe) = self.log.as_ref().and_then(Log::scribe) {
            if let Some(fd) = scribe.wants_writing() {
                watch(Source::Records, fd, PollFlags::OUT);
            }
            if let Some(fd) = scribe.says().filter(|_| !is_full) {
                watch(Source::Written, fd, PollFlags::IN);
            }
        }
        for (id, process) in &self.processes {
            if let Some(fd) = process.inlet.wants_writing() {
                watch(Source::Inlet, fd, PollFlags::OUT);
            }
            for outlet in process.outlets.iter().filter(|_| !is_full) {
                watch(Source::Outlet(*id, outlet.stream), outlet.fd.as_fd(), PollFlags::IN);
            }
        }
        let timeout = self.next_deadline().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        match rustix::event::poll(&mut set, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).doing("wait for events"),
        }
        let happened = sources.into_iter().zip(set.iter().map(PollFd::revents));
        Ok(happened.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let drains = self.processes.values().filter(|process| !process.is_silent);
        drains.filter_map(|process| process.drained_by).chain(self.deadline).chain(self.log_by).min()
    }

    fn handle(&mut self, source: Source, events: PollFlags, block: &mut [u8]) -> Result<(), Error> {
        match source {
            Source::Children => self.reap(block),
            Source::Listener => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                if let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
                    self.welcome(socket);
                }
            }
            Source::Connection => {
                if self.converse(events, block).is_err() {
                    self.forget_engine();
                }
            }
            // Delivered below, for all.
            Source::Inlet => {}
            Source::Outlet(id, stream) => self.read_output(id, stream, block)?,
            Source::Records => tell(self.log.as_mut().map_or(Ok(()), Log::flush)),
            Source::Written => {
                if self.log.as_mut().is_some_and(Log::has_written) {
                    self.say(&FromGuard::Logged);
                }
            }
        }
        Ok(())
    }

    fn converse(&mut self, events: PollFlags, block: &mut [u8]) -> Result<(), Gone> {
        if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.connection.as_mut().ok_or(Gone)?.receive(block)?;
        }
        while let Some(message) = self.connection.as_mut().ok_or(Gone)?.hear()? {
            self.obey(message);
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.connection.as_mut().is_some_and(|connection| connection.flush().is_err()) {
            self.forget_engine();
        }
    }

    fn deliver_input(&mut self) {
        let taken: Vec<_> = self
            .processes
            .iter_mut()
            .filter_map(|(id, process)| Some((*id, process.inlet.deliver()?)))
            .collect();
        for (process, bytes) in taken {
            self.say(&FromGuard::StdinTaken { process, bytes });
        }
    }

    /// Collects every child that has ended: processes of the container, and orphans that came to the subreaper.
    fn reap(&mut self, block: &mut [u8]) {
        let _ = rustix::io::read(&self.children, &mut block[..1024]);
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let ended =
                self.processes.values_mut().find(|process| process.pid == pid && process.exit.is_none());
            if let Some(process) = ended {
                let signal = status.terminating_signal();
                let code = status.exit_status().unwrap_or_else(|| 128 + signal.unwrap_or(0));
                process.end(ExitRecord { code, signal, oom_killed: false, at: now() });
            } else if let Some(log) = &mut self.log {
                tell(log.child_ended(pid, status.exit_status() == Some(0)));
            }
        }
        if self.processes.get(&CONTAINER).is_some_and(|container| container.exit.is_some()) {
            self.kill_the_rest();
        }
    }

    /// Reads once from a stream: into the log, and to the engine.
    fn read_output(&mut self, id: u32, stream: Stream, block: &mut [u8]) -> Result<(), Error> {
        let Some(process) = self.processes.get_mut(&id) else { return Ok(()) };
        let Some(place) = process.outlets.iter().position(|outlet| outlet.stream == stream) else {
            return Ok(());
        };
        let log = self.log.as_mut().filter(|_| id == CONTAINER);
        let outlet = &mut process.outlets[place];
        match rustix::io::read(&outlet.fd, &mut *block) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO is how a terminal tells that its other side is closed.
            Ok(0) | Err(_) => {
                let mut outlet = process.outlets.swap_remove(place);
                finish(&mut outlet, log);
            }
            Ok(length) => {
                let at = now();
                let bytes = &block[..length];
                if let Some(log) = log {
                    keep(outlet, log, bytes, at);
                }
                if let Some(connection) = &mut self.connection {
                    connection.say_output(id, stream, at, bytes);
                }
            }
        }
        Ok(())
    }

    /// Concludes processes that have ended and whose output is drained, or has been waited for long enough.
    fn conclude_all(&mut self) {
        let now = Instant::now();
        let is_full = self.connection.as_ref().is_some_and(|connection| connection.is_full());
        let mut silent = Vec::new();
        for (id, process) in &mut self.processes {
            if process.exit.is_some() && process.drained_by.is_some_and(|deadline| now >= deadline) {
                if is_full {
                    // The engine is slow, not the pipe.
                    process.drained_by = Some(now + Duration::from_millis(100));
                } else {
                    finish_all(process.outlets.drain(..), self.log.as_mut().filter(|_| *id == CONTAINER));
                }
            }
            if process.outlets.is_empty() && !process.is_silent {
                process.is_silent = true;
                silent.push(*id);
            }
        }
        for process in silent {
            self.say(&FromGuard::OutputEnd { process });
        }
        let over = |process: &Process| process.exit.is_some() && process.is_silent && !process.is_over;
        let ids: Vec<_> =
            self.processes.iter().filter(|(_, process)| over(process)).map(|(id, _)| *id).collect();
        // Execs first: the container's end ends the session.
        for id in ids.into_iter().rev() {
            let waits = id == CONTAINER
                && (self.processes.iter().any(|(id, exec)| *id != CONTAINER && !exec.is_over)
                    || !self.is_log_complete());
            if !waits {
                self.conclude(id);
            }
        }
    }

    /// Sends what still waits, for a while.
    fn say_farewell(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        while let Some(connection) = self.connection.as_mut().filter(|connection| connection.has_waiting()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if connection.flush().is_err() || left.is_zero() {
                return;
            }
            let left =
                rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut set = [PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::OUT)];
            let _ = rustix::event::poll(&mut set, Some(&left));
        }
    }
}

/// A full disk must not stop the container, so a failure is only told.
fn tell(result: std::io::Result<()>) {
    if let Err(error) = result {
        eprintln!("berth-guard: write the log: {error}");
    }
}

/// Adds output to the log.
fn keep(outlet: &mut Outlet, log: &mut Log, bytes: &[u8], at: u64) {
    let stream = outlet.stream;
    let mut kept = Ok(());
    outlet.lines.push(bytes, at, |line, time| {
        kept = std::mem::replace(&mut kept, Ok(())).and_then(|()| log.append(stream, time, line));
    });
    tell(kept.and_then(|()| log.flush()));
}

fn finish(outlet: &mut Outlet, log: Option<&mut Log>) {
    let Some(log) = log else { return };
    let stream = outlet.stream;
    let mut kept = Ok(());
    outlet.lines.finish(|line, time| kept = log.append(stream, time, line));
    tell(kept.and_then(|()| log.flush()));
}

fn finish_all(outlets: impl Iterator<Item = Outlet>, mut log: Option<&mut Log>) {
    for mut outlet in outlets {
        finish(&mut outlet, log.as_deref_mut());
    }
}
