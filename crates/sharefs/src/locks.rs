//! Locks of the guest's programs, held on the host's files, so that they exclude the host's programs too.
//!
//! A `flock` is that of the guest's open file, which is an open file here as well and takes it along when it is closed.
//! POSIX's locks belong to an owner, a process of the guest: each owner has an open file of its own for each file that it
//! locks. It goes when the guest tells that the owner has closed the file, or that the open file through which it was
//! locked is no more.
//!
//! Nobody who asks waits here: a lock that isn't free is tried again by one thread, at once when the guest gives one
//! back and now and then when the host may have, until whoever wants it has it or was signalled.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::carrier::{Carrier, Later};
use crate::server::Server;
use crate::sys::{self, Errno};
use crate::wire::lock;
use crate::wire::reply::{Reply, bare};
use crate::wire::request::{Header, Lock, SetLock};

/// How often a lock is tried that the host's programs may have given back.
const AGAIN: Duration = Duration::from_millis(10);
/// So many may wait: each keeps a place of its queue.
const MOST_WAITING: usize = 256;
/// Interruptions kept of requests that haven't come yet: they overtake them.
const MOST_EARLY: usize = 256;

/// The locks.
#[derive(Default)]
pub(crate) struct Locks {
    state: Mutex<State>,
    /// A lock was given back, or somebody was interrupted.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By node and owner.
    holders: HashMap<(u64, u64), Holder>,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    early: VecDeque<u64>,
    /// The thread that tries again.
    is_running: bool,
}

/// An owner's locks of one file.
struct Holder {
    file: Arc<OwnedFd>,
    is_writable: bool,
    /// The guest's open file through which it locked last.
    handle: u64,
    pid: u32,
}

/// Somebody who waits for a lock.
struct Waiting {
    unique: u64,
    file: Arc<OwnedFd>,
    wish: SetLock,
    is_interrupted: bool,
    later: Later,
}

impl Waiting {
    /// Tries again; none when it is still to wait.
    fn outcome(&self) -> Option<Result<(), Errno>> {
        match attempt(self.file.as_fd(), &self.wish) {
            Err(Errno::AGAIN) if self.is_interrupted => Some(Err(Errno::INTR)),
            Err(Errno::AGAIN) => None,
            ended => Some(ended),
        }
    }
}

impl Locks {
    /// Open files that hold locks.
    pub(crate) fn held(&self) -> usize {
        self.state().holders.len()
    }

    /// Whoever waits for the answer to a request waits no longer.
    pub(crate) fn interrupt(&self, unique: u64) {
        let mut state = self.state();
        let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.unique == unique) else {
            if state.early.len() == MOST_EARLY {
                state.early.pop_front();
            }
            return state.early.push_back(unique);
        };
        waiting.is_interrupted = true;
        self.changed.notify_one();
    }

    /// The guest has given one back.
    pub(crate) fn given_back(&self) {
        self.changed.notify_one();
    }

    /// Gives everything back; who waits never hears.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.holders.clear();
        state.waiting.clear();
        state.early.clear();
    }

    /// Lets somebody wait.
    fn wait(self: &Arc<Self>, mut waiting: Waiting) -> Result<(), Errno> {
        let mut state = self.state();
        if state.waiting.len() >= MOST_WAITING {
            return Err(Errno::NOLCK);
        }
        if !state.is_running {
            let locks = Arc::clone(self);
            let thread = std::thread::Builder::new().name("locks".to_owned());
            thread.spawn(move || locks.try_again()).map_err(|_| Errno::NOLCK)?;
            state.is_running = true;
        }
        waiting.is_interrupted = state.early.contains(&waiting.unique);
        state.waiting.push(waiting);
        Ok(())
    }

    /// Tries for everybody who waits, until nobody does.
    fn try_again(&self) {
        let mut state = self.state();
        loop {
            let mut ended = Vec::new();
            for waiting in std::mem::take(&mut state.waiting) {
                match waiting.outcome() {
                    Some(outcome) => ended.push((waiting, outcome)),
                    None => state.waiting.push(waiting),
                }
            }
            if !ended.is_empty() {
                // A carrier may have its queue locked while it waits for us.
                drop(state);
                for (waiting, outcome) in ended {
                    (waiting.later)(&bare(waiting.unique, outcome));
                }
                state = self.state();
                continue;
            }
            if state.waiting.is_empty() {
                state.is_running = false;
                return;
            }
            let woken = self.changed.wait_timeout(state, AGAIN);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The thread that tries again ends with the last who waits.
        self.locks.end();
    }
}

impl Server {
    /// Takes a lock or gives one back; none when the carrier hears of it later.
    pub(crate) fn set_lock(
        &self,
        header: &Header,
        wish: &SetLock,
        carrier: &dyn Carrier,
    ) -> Option<Result<(), Errno>> {
        let file = match self.lockable(wish) {
            Ok(Some(file)) => file,
            // What isn't locked is given back.
            Ok(None) => return Some(Ok(())),
            Err(error) => return Some(Err(error)),
        };
        let outcome = attempt(file.as_fd(), wish);
        if wish.lock.kind == lock::NONE {
            self.locks.given_back();
        }
        if outcome != Err(Errno::AGAIN) || !wish.waits {
            return Some(outcome);
        }
        let (unique, later) = (header.unique, carrier.later());
        let waiting = Waiting { unique, file, wish: *wish, is_interrupted: false, later };
        self.locks.wait(waiting).err().map(Err)
    }

    /// A lock that would keep an owner from taking this one.
    pub(crate) fn get_lock(
        &self,
        handle: u64,
        owner: u64,
        wish: Lock,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let (node, file) = self.file_of(handle)?;
        let state = self.locks.state();
        let held = state.holders.get(&(node, owner)).map_or(&file, |holder| &holder.file);
        let free = Lock { kind: lock::NONE, ..wish };
        let mut found = sys::conflict(held.as_fd(), &wish)?.unwrap_or(free);
        // A process of the host has no number in the guest. One of the guest has, when there is but one that it can be.
        let of_open_file = found.pid == u32::MAX || found.pid == 0;
        let mut others = state.holders.iter().filter(|((of, by), _)| *of == node && *by != owner);
        found.pid = match (others.next(), others.next()) {
            (Some((_, holder)), None) if of_open_file && found.kind != lock::NONE => holder.pid,
            _ => 0,
        };
        reply.lock(&found);
        Ok(())
    }

    /// An owner has closed one of its descriptors of a file: that ends all its locks there. A guest that can do without
    /// being told of each is asked to tell of those alone that have locks, which our kernel does.
    pub(crate) fn flush(&self, handle: u64, owner: u64) -> Result<(), Errno> {
        let (node, _) = self.file_of(handle)?;
        let held = self.locks.state().holders.remove(&(node, owner));
        let held = held.ok_or(Errno::NOSYS)?;
        self.let_go(node, held);
        Ok(())
    }

    /// A handle is closed: what was locked through it is no longer.
    pub(crate) fn release_locks(&self, node: u64, handle: u64) {
        let mut state = self.locks.state();
        let of_handle = |(of, _): &(u64, u64), holder: &mut Holder| *of == node && holder.handle == handle;
        let released: Vec<_> = state.holders.extract_if(of_handle).collect();
        drop(state);
        for (_, holder) in released {
            self.let_go(node, holder);
        }
    }

    fn let_go(&self, node: u64, holder: Holder) {
        if holder.is_writable {
            self.expect_close(node);
        }
        drop(holder);
        self.locks.given_back();
    }

    /// The open file that has or is to have the lock; none when there is nothing to give back.
    fn lockable(&self, wish: &SetLock) -> Result<Option<Arc<OwnedFd>>, Errno> {
        let (node, file) = self.file_of(wish.handle)?;
        if wish.is_flock {
            return Ok(Some(file));
        }
        if let Some(holder) = self.locks.state().holders.get_mut(&(node, wish.owner)) {
            holder.handle = wish.handle;
            holder.pid = wish.lock.pid;
            return Ok(Some(Arc::clone(&holder.file)));
        }
        if wish.lock.kind == lock::NONE {
            return Ok(None);
        }
        self.have_room()?;
        let (file, is_writable) = self.open_to_lock(node)?;
        let holder = Holder { file: Arc::new(file), is_writable, handle: wish.handle, pid: wish.lock.pid };
        // Another thread of the owner may have been faster.
        let mut state = self.locks.state();
        let holder = state.holders.entry((node, wish.owner)).or_insert(holder);
        Ok(Some(Arc::clone(&holder.file)))
    }

    /// Opens a file as far as the host allows, and says whether for writing: a lock for reading needs one that is open for
    /// reading, and so for writing.
    fn open_to_lock(&self, node: u64) -> Result<(OwnedFd, bool), Errno> {
        let file = self.nodes().file(node)?;
        let open = |flags| Ok((sys::reopen(file.as_fd(), flags)?, flags != sys::READ_ONLY));
        open(sys::READ_WRITE).or_else(|_: Errno| open(sys::READ_ONLY)).or_else(|_| open(sys::WRITE_ONLY))
    }
}

/// Takes a lock or gives it back, without waiting.
fn attempt(file: BorrowedFd<'_>, wish: &SetLock) -> Result<(), Errno> {
    if wish.is_flock { sys::flock(file, wish.lock.kind) } else { sys::lock(file, &wish.lock) }
}
