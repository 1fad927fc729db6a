//! The guest's own changes come back from the host's watches. Its kernel has raised their events already, so these
//! echoes are told from the host's own changes and dropped.
//!
//! A change of names is expected before it is made and crossed off when it comes back. A change of a file is known by
//! the time that it left on it, once it is over: events of files are merged, so they can't be counted. Of writes, which are
//! many, it is only known between which moments it is: a file that was looked at has its next change noted at once rather than
//! with the clock's next tick (Linux 6.13), and each `fsync` has that to bring to the disk.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::place::{At, Place};
use crate::server::Server;
use crate::sys::{self, Moment, Status, event};

/// How long it is waited until what the guest does to a file is over.
const UNDER_WAY: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(2);
/// An echo comes at once; what hasn't come by then won't.
const EXPIRES: Duration = Duration::from_secs(2);
/// At so many the expired ones are thrown away.
const MANY: usize = 4096;

/// What is about to come back: changes of names, and the last changes of files whose name the guest took away.
#[derive(Default)]
pub(crate) struct Expected {
    by_place: HashMap<Place, Vec<Echo>>,
    /// How many names there were after the expired ones were last thrown away.
    kept: usize,
}

/// One of them.
pub(crate) struct Echo {
    mask: u32,
    since: Instant,
    /// The kernel may believe this spelling of the name, of which it has changed another one.
    pub(crate) other: Option<Arc<CStr>>,
}

impl Expected {
    /// The guest is about to do this.
    fn add(&mut self, place: Place, mask: u32, other: Option<Arc<CStr>>) {
        if self.by_place.len() >= MANY.max(2 * self.kept) {
            self.by_place.retain(|_, expected| expected.iter().any(|echo| echo.since.elapsed() < EXPIRES));
            self.kept = self.by_place.len();
        }
        self.by_place.entry(place).or_default().push(Echo { mask, since: Instant::now(), other });
    }

    /// It has come back, or wasn't done after all; none when it wasn't expected.
    pub(crate) fn take(&mut self, place: &Place, mask: u32) -> Option<Echo> {
        match self.take_at(place, mask) {
            // The first name that is made in a folder tells that it ignores case: nobody knew when it was expected.
            None if place.ignores_case => self.take_at(&Place { ignores_case: false, ..place.clone() }, mask),
            taken => taken,
        }
    }

    fn take_at(&mut self, place: &Place, mask: u32) -> Option<Echo> {
        let expected = self.by_place.get_mut(place)?;
        expected.retain(|echo| echo.since.elapsed() < EXPIRES);
        let found = expected.iter().position(|echo| echo.mask == mask).map(|at| expected.remove(at));
        if expected.is_empty() {
            self.by_place.remove(place);
        }
        found
    }

    /// Whether the guest has taken this name away lately: what still comes of its file is the guest's.
    pub(crate) fn was_taken_away(&self, place: &Place) -> bool {
        let mut expected = self.by_place.get(place).into_iter().flatten();
        expected.any(|echo| echo.mask == event::FILES && echo.since.elapsed() < EXPIRES)
    }
}

impl Server {
    /// Changes names for the guest: `echoes` (where, and which event) will come back, unless it fails.
    pub(crate) fn change_names<T>(
        &self,
        echoes: &[(At<'_>, u32)],
        change: impl FnOnce() -> Result<T, sys::Errno>,
    ) -> Result<T, sys::Errno> {
        let watched = echoes.iter().filter(|(at, _)| at.case.is_some());
        let watched: Vec<_> = watched.map(|(at, mask)| (at.place(), *mask)).collect();
        for (place, mask) in &watched {
            let other = if place.ignores_case { self.nodes().other_name(place) } else { None };
            self.expected().add(place.clone(), *mask, other);
        }
        let changed = change();
        for (place, mask) in watched {
            if changed.is_err() {
                self.expected().take(&place, mask);
            } else if mask & (event::DELETE | event::MOVED_FROM) != 0 {
                self.expected().add(place, event::FILES, None);
            }
        }
        changed
    }

    /// The guest is about to close a file that it may have written.
    pub(crate) fn expect_close(&self, node: u64) {
        let place = self.nodes().place(node);
        if let Some(place) = place
            && self.watches.has(place.folder)
        {
            self.expected().add(place, event::CLOSE_WRITE, None);
        }
    }

    /// Changes a file for the guest. Its echo may come back before the change is over.
    pub(crate) fn change_file<T>(
        &self,
        node: u64,
        file: impl AsFd,
        change: impl FnOnce() -> Result<T, sys::Errno>,
    ) -> Result<T, sys::Errno> {
        let left = |_: &_| sys::status(file.as_fd()).ok().map(|status| (status.ctime, status.ctime));
        self.change_watched(node, change, left)
    }

    /// The same of a change that says which attributes it left.
    pub(crate) fn change_attributes(
        &self,
        node: u64,
        file: impl AsFd,
        change: impl FnOnce() -> Result<Status, sys::Errno>,
    ) -> Result<Status, sys::Errno> {
        self.change_watched(node, change, |changed| {
            // One that failed may have changed something before.
            let left = changed.as_ref().ok().copied().or_else(|| sys::status(file.as_fd()).ok());
            left.map(|status| (status.ctime, status.ctime))
        })
    }

    /// The same of a file that gets its times from this machine's clock: the change's is known without a look at it.
    pub(crate) fn change_file_by_clock<T>(
        &self,
        node: u64,
        change: impl FnOnce() -> Result<T, sys::Errno>,
    ) -> Result<T, sys::Errno> {
        let earliest = sys::last_tick();
        self.change_watched(node, change, |_| Some((earliest, sys::now())))
    }

    fn change_watched<T>(
        &self,
        node: u64,
        change: impl FnOnce() -> Result<T, sys::Errno>,
        left: impl FnOnce(&Result<T, sys::Errno>) -> Option<(Moment, Moment)>,
    ) -> Result<T, sys::Errno> {
        if !self.watches.are_on() {
            return change();
        }
        self.nodes().change_begins(node);
        let changed = change();
        self.nodes().change_ends(node, left(&changed));
        changed
    }

    /// Whether the latest change of a file was the guest's own.
    pub(crate) fn is_guests_change(&self, node: u64) -> bool {
        let deadline = Instant::now() + UNDER_WAY;
        loop {
            let before = self.nodes().changes(node);
            let Ok(file) = self.nodes().file(node) else { return false };
            let Ok(status) = sys::status(file.as_fd()) else { return false };
            let nodes = self.nodes();
            // A change that is under way has left its time on the file already, and only it will tell which.
            if before.is_settled() && nodes.changes(node) == before {
                return before.has_left(status.ctime);
            }
            drop(nodes);
            if Instant::now() >= deadline {
                // The guest is writing all the time: what comes next is asked about again.
                return true;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
