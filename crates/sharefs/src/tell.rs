//! From what happens on the host to what the guest's kernel is told: what it no longer may believe first, then the
//! event for those who watch, so that whoever is woken reads what is new.
//!
//! Long lifetimes rest on this. When changes were lost, every watch is given up and the kernel told to ask for
//! everything again; so it is of one folder whose watch is lost, and of everything when nothing can be watched any
//! longer. What is said from then on is short, until a folder is looked at and watched anew.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::echo::Expected;
use crate::place::Place;
use crate::server::Server;
use crate::sys::{self, HostEvent, Watcher, event};
use crate::wire::notification::{self, Stale};

/// How long a burst of events is gathered: far below what a user feels.
const SETTLE: Duration = Duration::from_millis(5);
/// How long the guest may take to look at files that it doesn't know.
const LOOKS: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(1);
/// What fits into a notification of a page.
const LONGEST_PATH: usize = 4000;

/// Why changes are carried no longer.
#[derive(PartialEq, Eq)]
enum Ended {
    NobodyListens,
    /// More happened at once than the host keeps.
    ChangesLost,
}

/// What is told of one round of events.
#[derive(Default)]
struct Round {
    messages: Vec<u8>,
    /// Whether a file's latest change was the guest's: asked once, since the round's events all came before.
    is_guests: HashMap<u64, bool>,
}

impl Server {
    /// Watches the folders that the guest looks into, and writes what changes there to `kernel` as FUSE notifications,
    /// until that fails or ends. `kernel` never says anything. One message isn't FUSE's: 0x4002 holds a path beneath
    /// the mount, at which its carrier is to look, so that the kernel knows it.
    ///
    /// # Errors
    /// When nothing can be watched or `kernel` no longer listens.
    pub fn tell_changes(&self, mut kernel: impl Write + AsFd) -> io::Result<()> {
        let told = self.keep_telling(&mut kernel);
        if self.watches.end() && told.is_err() {
            // Of what the kernel was told for long nobody hears any more; if it is he who is gone, the next one begins so.
            let _ = self.take_back(&mut kernel);
        }
        told
    }

    fn keep_telling(&self, kernel: &mut (impl Write + AsFd)) -> io::Result<()> {
        loop {
            let watcher = Arc::new(Watcher::new()?);
            // Another queue, so that no event of before is taken for one of now.
            self.watches.begin(Arc::clone(&watcher));
            *self.expected() = Expected::default();
            // The kernel may have been told things that nobody was there to take back.
            self.take_back(kernel)?;
            if self.carry(&watcher, kernel)? == Ended::NobodyListens {
                return Ok(());
            }
            tracing::info!("changes of shared folders were lost: everything is looked at and watched anew");
        }
    }

    /// Carries changes until nobody listens or some were lost.
    fn carry(&self, watcher: &Watcher, kernel: &mut (impl Write + AsFd)) -> io::Result<Ended> {
        while watcher.wait(kernel.as_fd())? {
            let mut round = Round::default();
            let (mut last, mut unknown, mut unwatched) = (None, Vec::new(), HashSet::new());
            for event in watcher.events(SETTLE)? {
                if event.mask & event::OVERFLOW != 0 {
                    kernel.write_all(&round.messages)?;
                    return Ok(Ended::ChangesLost);
                }
                // Writing a large file is one change after the other: one is enough.
                if last.as_ref() == Some(&event) {
                    continue;
                }
                if event.mask & event::IGNORED != 0 {
                    unwatched.extend(self.watches.lost(event.watch));
                } else if let Some(place) = self.is_unknown(&event) {
                    self.ask_to_look(&place, &mut round.messages);
                    unknown.push((place, event.clone()));
                } else {
                    self.translate(&event, &mut round);
                }
                last = Some(event);
            }
            kernel.write_all(&round.messages)?;
            round.messages.clear();
            let deadline = Instant::now() + LOOKS;
            for (place, event) in unknown {
                while self.is_awaited(&place) && Instant::now() < deadline {
                    std::thread::sleep(PAUSE);
                }
                self.translate(&event, &mut round);
            }
            kernel.write_all(&round.messages)?;
            if !unwatched.is_empty() {
                self.take_back_of(&unwatched, kernel)?;
            }
        }
        Ok(Ended::NobodyListens)
    }

    /// The place of a changed file that the guest's kernel doesn't know, by this name or another.
    fn is_unknown(&self, happened: &HostEvent) -> Option<Place> {
        if happened.mask & event::FILES == 0 || happened.name.is_empty() {
            return None;
        }
        let place = self.at(self.watches.folder(happened.watch)?, &happened.name).place();
        let is_known = self.nodes().at(&place).is_some() || self.found(place.folder, &place.name).is_some();
        (!is_known && !self.expected().was_taken_away(&place)).then_some(place)
    }

    /// Whether the guest is still to look at a file that it doesn't know: what is gone again it never will.
    fn is_awaited(&self, place: &Place) -> bool {
        self.nodes().at(place).is_none() && self.open_name(place.folder, &place.name).is_ok()
    }

    fn ask_to_look(&self, place: &Place, messages: &mut Vec<u8>) {
        if let Some(path) = self.nodes().path(place)
            && path.len() <= LONGEST_PATH
        {
            notification::look(messages, &path);
        }
    }

    fn translate(&self, happened: &HostEvent, round: &mut Round) {
        let Some(folder) = self.watches.folder(happened.watch) else { return };
        if happened.name.is_empty() {
            return self.of_folder(folder, happened, &mut round.messages);
        }
        if happened.mask & event::NAMES != 0 {
            self.of_name(folder, happened, &mut round.messages);
        } else if happened.mask & event::FILES != 0 {
            self.of_file(folder, happened, round);
        }
    }

    /// Something happened to a watched folder itself.
    fn of_folder(&self, folder: u64, happened: &HostEvent, messages: &mut Vec<u8>) {
        notification::stale(messages, folder, Stale::Attributes);
        let itself = happened.mask & (event::DELETE_SELF | event::MOVE_SELF);
        if itself != 0 {
            notification::event(messages, folder, Some(folder), itself | event::OF_FOLDER, 0, c"");
        }
    }

    /// A name came, went or moved.
    fn of_name(&self, folder: u64, happened: &HostEvent, messages: &mut Vec<u8>) {
        let kind = happened.mask & event::NAMES;
        let place = self.at(folder, &happened.name).place();
        let echo = self.expected().take(&place, kind);
        let is_echo = echo.is_some();
        let other = echo.map_or_else(|| self.nodes().other_name(&place), |echo| echo.other);
        if let Some(other) = other {
            notification::stale_name(messages, folder, &other);
        }
        if is_echo {
            return;
        }
        notification::stale_name(messages, folder, &happened.name);
        notification::stale(messages, folder, Stale::Attributes);
        let child = if kind & (event::DELETE | event::MOVED_FROM) != 0 {
            self.nodes().displaced(&place)
        } else {
            self.found(folder, &happened.name)
        };
        match child {
            Some(child) => notification::stale(messages, child, Stale::Attributes),
            // Whatever the guest knows by this name is gone.
            None => {
                self.nodes().displaced(&place);
            }
        }
        let mask = kind | happened.mask & event::OF_FOLDER;
        notification::event(messages, folder, child, mask, happened.cookie, &happened.name);
        if kind == event::DELETE
            && let Some(child) = child
            && self.has_no_name(child)
        {
            notification::event(messages, folder, Some(child), event::DELETE_SELF, 0, &happened.name);
        }
    }

    /// A file changed.
    fn of_file(&self, folder: u64, happened: &HostEvent, Round { messages, is_guests }: &mut Round) {
        let kind = happened.mask & event::FILES;
        let place = self.at(folder, &happened.name).place();
        if kind == event::CLOSE_WRITE && self.expected().take(&place, kind).is_some() {
            return;
        }
        let known = self.nodes().at(&place);
        // Gone again, or nobody there to look at it: there is nothing that the kernel could be told of.
        let Some(child) = known.or_else(|| self.found(folder, &happened.name)) else { return };
        let mut is_guests = || *is_guests.entry(child).or_insert_with(|| self.is_guests_change(child));
        if kind != event::CLOSE_WRITE && is_guests() {
            return;
        }
        let what = if kind & event::MODIFY != 0 { Stale::Content } else { Stale::Attributes };
        notification::stale(messages, child, what);
        let mask = kind | happened.mask & event::OF_FOLDER;
        notification::event(messages, folder, Some(child), mask, 0, &happened.name);
    }

    /// The node of what a name leads to now, if the guest knows it by any name.
    fn found(&self, folder: u64, name: &CStr) -> Option<u64> {
        let file = self.open_name(folder, name).ok()?;
        let status = sys::status(file.as_fd()).ok()?;
        let place = self.at(folder, name).place();
        self.nodes().moved(&status, place)
    }

    fn has_no_name(&self, node: u64) -> bool {
        let held = self.nodes().held(node);
        held.and_then(|file| sys::status(file.as_fd()).ok()).is_none_or(|status| status.links == 0)
    }

    /// Nothing that the kernel was told may be believed any longer.
    fn take_back(&self, kernel: &mut impl Write) -> io::Result<()> {
        let mut messages = Vec::new();
        // What was said before arrives first.
        std::thread::sleep(SETTLE);
        for (node, place) in self.nodes().doubt(|_| true) {
            notification::stale_name(&mut messages, place.folder, &place.name);
            notification::stale(&mut messages, node, Stale::Content);
        }
        kernel.write_all(&messages)
    }

    /// The same of what it was told of these folders and of what is in them. (Content is read anew where attributes say
    /// that it changed.)
    fn take_back_of(&self, folders: &HashSet<u64>, kernel: &mut impl Write) -> io::Result<()> {
        let mut messages = Vec::new();
        std::thread::sleep(SETTLE);
        for folder in folders {
            notification::stale(&mut messages, *folder, Stale::Attributes);
        }
        for (node, place) in self.nodes().doubt(|place| folders.contains(&place.folder)) {
            notification::stale_name(&mut messages, place.folder, &place.name);
            notification::stale(&mut messages, node, Stale::Attributes);
        }
        kernel.write_all(&messages)
    }
}
