//! Connections that the kernel can't translate are copied here: from IPv6 to a container that has IPv4 alone, and
//! from this machine's own `::1`.
//!
//! One thread waits for all listeners; a connection then has two threads of its own. Should somebody flush the
//! machine's rules, ports that the kernel served go on this way, too.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags};

/// More connections at once are turned away: each costs two threads.
const MOST: usize = 2048;
/// A container on this machine answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Copying needs no more stack than this.
const STACK: usize = 64 * 1024;

/// A listener and where its connections lead.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) listener: Arc<TcpListener>,
    pub(super) target: SocketAddr,
}

/// The thread that waits for all doors; it ends with the value.
pub(super) struct Copier(Arc<Shared>);

struct Shared {
    /// Rung when the doors change.
    bell: OwnedFd,
    /// `None` when the thread is to end.
    doors: Mutex<Option<Vec<Door>>>,
    connections: AtomicUsize,
}

impl Copier {
    pub(super) fn start() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared =
            Arc::new(Shared { bell, doors: Mutex::new(Some(Vec::new())), connections: AtomicUsize::new(0) });
        let waiting = Arc::clone(&shared);
        Builder::new().name("ports".to_owned()).spawn(move || wait(&waiting))?;
        Ok(Self(shared))
    }

    /// Makes these the doors; connections through earlier ones go on.
    pub(super) fn open(&self, doors: Vec<Door>) {
        self.change(Some(doors));
    }

    fn change(&self, doors: Option<Vec<Door>>) {
        *self.0.doors.lock().unwrap_or_else(PoisonError::into_inner) = doors;
        // A bell that can't ring any louder has been heard.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.change(None);
    }
}

fn wait(shared: &Arc<Shared>) {
    while let Some(doors) = { shared.doors.lock().unwrap_or_else(PoisonError::into_inner).clone() } {
        let mut waiting = vec![PollFd::new(&shared.bell, PollFlags::IN)];
        waiting
            .extend(doors.iter().map(|door| PollFd::from_borrowed_fd(door.listener.as_fd(), PollFlags::IN)));
        if rustix::event::poll(&mut waiting, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        if ready[0] {
            let _ = rustix::io::read(&shared.bell, &mut [0; 8]);
        }
        for (door, _) in doors.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            accept(shared, door);
        }
    }
}

/// Takes one connection; whatever goes wrong with it is its own matter.
fn accept(shared: &Arc<Shared>, door: &Door) {
    let Ok((client, _)) = door.listener.accept() else { return };
    if shared.connections.fetch_add(1, Ordering::Relaxed) >= MOST {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (target, counted) = (door.target, Arc::clone(shared));
    let started = Builder::new().name("port".to_owned()).stack_size(STACK).spawn(move || {
        if let Err(error) = copy(&client, target) {
            tracing::debug!(%target, "a copied connection ended: {error}");
        }
        counted.connections.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Copies both ways until both sides have said all; an end in one direction is passed on alone.
fn copy(client: &TcpStream, target: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&target, PATIENCE)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let up = Builder::new()
        .name("port".to_owned())
        .stack_size(STACK)
        .spawn(move || one_way(&from_client, &to_server))?;
    let down = one_way(&server, client);
    let up = up.join().unwrap_or_else(|_| Err(io::Error::other("the other direction panicked")));
    down.and(up)
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.flush());
    let ended = to.shutdown(Shutdown::Write);
    if copied.is_err() {
        // The other direction ends too: nobody reads any more.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
    copied.and(ended)
}
