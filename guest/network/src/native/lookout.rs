//! The thread that waits for what the kernel can't translate: connections at [doors](Door), datagrams at
//! [windows](Window), and what containers answer to those.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use super::copy::{Copier, Door};
use super::datagrams::{Peers, Window};

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
    /// `None` when the thread is to end.
    posts: Mutex<Option<Posts>>,
}

impl Lookout {
    pub(super) fn start() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { bell, posts: Mutex::new(Some(Posts::default())) });
        let waiting = Arc::clone(&shared);
        Builder::new().name("ports".to_owned()).spawn(move || wait(&waiting))?;
        Ok(Self(shared))
    }

    /// Makes these the posts. Connections through earlier ones go on; peers of earlier ones are forgotten.
    pub(super) fn open(&self, posts: Posts) {
        self.change(Some(posts));
    }

    fn change(&self, posts: Option<Posts>) {
        *self.0.posts.lock().unwrap_or_else(PoisonError::into_inner) = posts;
        // A bell that can't ring any louder has been heard.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.change(None);
    }
}

fn wait(shared: &Shared) {
    let (copier, mut peers) = (Copier::default(), Peers::new());
    while let Some(posts) = { shared.posts.lock().unwrap_or_else(PoisonError::into_inner).clone() } {
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
