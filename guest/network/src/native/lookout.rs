//! The thread that waits for what the kernel can't translate: connections at [doors](Door), datagrams at
//! [windows](Window), and what containers answer to those.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use super::copy::{Copier, Door};
use super::datagrams::{Peers, Window};

/// How long the thread may take to let go of earlier posts: what it does with one connection or datagram.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is waited for.
#[derive(Clone, Default)]
pub(super) struct Posts {
    pub(super) doors: Vec<Door>,
    pub(super) windows: Vec<Window>,
}

/// The thread; it ends with the value.
pub(super) struct Lookout(Arc<Shared>);

struct Shared {
    /// Rung when the posts change.
    bell: OwnedFd,
    orders: Mutex<Orders>,
    taken: Condvar,
}

struct Orders {
    /// `None` when the thread is to end.
    posts: Option<Posts>,
    /// Whether the thread has no others any more.
    are_taken: bool,
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread waits for from now on.
    fn take(&self) -> Option<Posts> {
        let mut orders = self.orders();
        orders.are_taken = true;
        self.taken.notify_all();
        orders.posts.clone()
    }
}

impl Lookout {
    pub(super) fn start() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let orders = Mutex::new(Orders { posts: Some(Posts::default()), are_taken: false });
        let shared = Arc::new(Shared { bell, orders, taken: Condvar::new() });
        let waiting = Arc::clone(&shared);
        Builder::new().name("ports".to_owned()).spawn(move || wait(&waiting))?;
        Ok(Self(shared))
    }

    /// Makes these the posts; earlier ones are let go. Connections through those go on; their peers are forgotten.
    pub(super) fn open(&self, posts: Posts) {
        self.change(Some(posts));
    }

    fn change(&self, posts: Option<Posts>) {
        let mut orders = self.0.orders();
        *orders = Orders { posts, are_taken: false };
        // A bell that can't ring any louder has been heard.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
        let waited = self.0.taken.wait_timeout_while(orders, PATIENCE, |orders| !orders.are_taken);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            tracing::warn!("published ports that were closed may stay open for a moment");
        }
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.change(None);
    }
}

fn wait(shared: &Shared) {
    let (copier, mut peers) = (Copier::default(), Peers::new());
    while let Some(posts) = shared.take() {
        wait_once(&shared.bell, &posts, &copier, &mut peers);
    }
}

/// Waits until something can be read, and sees to it.
fn wait_once(bell: &OwnedFd, posts: &Posts, copier: &Copier, peers: &mut Peers) {
    let patience = peers.forget(&posts.windows);
    let patience = patience.map(|most| Timespec { tv_sec: most.as_secs().cast_signed(), tv_nsec: 0 });
    let readable = |socket| PollFd::from_borrowed_fd(socket, PollFlags::IN);
    let (answering, answers): (Vec<_>, Vec<_>) = peers.sockets().unzip();
    let mut waiting = vec![readable(bell.as_fd())];
    waiting.extend(posts.doors.iter().map(|door| readable(door.listener.as_fd())));
    waiting.extend(posts.windows.iter().map(|window| readable(window.socket.as_fd())));
    waiting.extend(answers.into_iter().map(readable));
    if rustix::event::poll(&mut waiting, patience.as_ref()).is_err() {
        return;
    }
    let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
    let mut ready = ready.into_iter();
    if ready.next() == Some(true) {
        let _ = rustix::io::read(bell, &mut [0; 8]);
    }
    for (door, _) in posts.doors.iter().zip(ready.by_ref()).filter(|(_, ready)| *ready) {
        copier.accept(door);
    }
    for (window, _) in posts.windows.iter().zip(ready.by_ref()).filter(|(_, ready)| *ready) {
        peers.take_in(window);
    }
    for (peer, _) in answering.into_iter().zip(ready).filter(|(_, ready)| *ready) {
        peers.give_back(peer);
    }
}
