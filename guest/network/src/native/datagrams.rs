//! Datagrams that the kernel can't translate are copied here, as connections are by the [copier](super::copy): from IPv6
//! to a container that has IPv4 alone, and from this machine's own `::1`.
//!
//! One thread waits for all sockets. Each peer gets a socket of its own towards the container, so that answers find back.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

/// More peers at once aren't served, the one that was silent longest has to go.
const MOST: usize = 1024;
/// A peer that said and heard nothing for so long is forgotten, as by Docker's own proxy.
const IDLE: Duration = Duration::from_secs(90);
/// The largest datagram (RFC 768).
const LARGEST: usize = 65_535;
/// Datagrams taken from one socket before the others have their turn.
const TURN: usize = 64;

/// A socket and where its datagrams lead.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) target: SocketAddr,
}

/// The thread that waits for all windows; it ends with the value.
pub(super) struct Datagrams(Arc<Shared>);

struct Shared {
    /// Rung when the windows change.
    bell: OwnedFd,
    /// `None` when the thread is to end.
    windows: Mutex<Option<Vec<Window>>>,
}

impl Datagrams {
    pub(super) fn start() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { bell, windows: Mutex::new(Some(Vec::new())) });
        let waiting = Arc::clone(&shared);
        Builder::new().name("datagrams".to_owned()).spawn(move || wait(&waiting))?;
        Ok(Self(shared))
    }

    /// Makes these the windows; peers of earlier ones are forgotten.
    pub(super) fn open(&self, windows: Vec<Window>) {
        self.change(Some(windows));
    }

    fn change(&self, windows: Option<Vec<Window>>) {
        *self.0.windows.lock().unwrap_or_else(PoisonError::into_inner) = windows;
        // A bell that can't ring any louder has been heard.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.change(None);
    }
}

/// A peer of a window.
struct Peer {
    window: Window,
    address: SocketAddr,
    /// Towards the container.
    inside: UdpSocket,
    heard: Instant,
}

impl Peer {
    fn new(window: &Window, address: SocketAddr) -> io::Result<Self> {
        let any = match window.target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let inside = UdpSocket::bind((any, 0))?;
        inside.set_nonblocking(true)?;
        inside.connect(window.target)?;
        Ok(Self { window: window.clone(), address, inside, heard: Instant::now() })
    }

    /// The window's own socket is what it is known by: a port can change hands.
    fn is_of(&self, window: &Window) -> bool {
        Arc::ptr_eq(&self.window.socket, &window.socket) && self.window.target == window.target
    }
}

fn wait(shared: &Shared) {
    let mut peers: HashMap<(usize, SocketAddr), Peer> = HashMap::new();
    let mut buffer = vec![0; LARGEST];
    while let Some(windows) = { shared.windows.lock().unwrap_or_else(PoisonError::into_inner).clone() } {
        peers
            .retain(|_, peer| peer.heard.elapsed() < IDLE && windows.iter().any(|window| peer.is_of(window)));
        let (rung, outside, inside) = ready(shared.bell.as_fd(), &windows, &peers);
        if rung {
            let _ = rustix::io::read(&shared.bell, &mut [0; 8]);
        }
        for index in outside {
            take_in(&windows[index], &mut peers, &mut buffer);
        }
        for key in inside {
            if let Some(peer) = peers.get_mut(&key) {
                give_back(peer, &mut buffer);
            }
        }
    }
}

/// Waits until something can be read: the bell, windows by their place, and peers.
fn ready(
    bell: BorrowedFd<'_>,
    windows: &[Window],
    peers: &HashMap<(usize, SocketAddr), Peer>,
) -> (bool, Vec<usize>, Vec<(usize, SocketAddr)>) {
    let readable = |socket| PollFd::from_borrowed_fd(socket, PollFlags::IN);
    let keys: Vec<_> = peers.keys().copied().collect();
    let mut waiting = vec![readable(bell)];
    waiting.extend(windows.iter().map(|window| readable(window.socket.as_fd())));
    waiting.extend(peers.values().map(|peer| readable(peer.inside.as_fd())));
    // With peers there is something to forget by and by.
    let patience = Timespec { tv_sec: IDLE.as_secs().cast_signed(), tv_nsec: 0 };
    let patience = Some(&patience).filter(|_| !peers.is_empty());
    if rustix::event::poll(&mut waiting, patience).is_err() {
        return (false, Vec::new(), Vec::new());
    }
    let is_ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
    let (outside, inside) = is_ready[1..].split_at(windows.len());
    let outside = outside.iter().enumerate().filter(|(_, ready)| **ready).map(|(index, _)| index);
    let inside = keys.into_iter().zip(inside).filter(|(_, ready)| **ready).map(|(key, _)| key);
    (is_ready[0], outside.collect(), inside.collect())
}

/// Passes on what came at a window. A datagram that can't be is lost, as datagrams are.
fn take_in(window: &Window, peers: &mut HashMap<(usize, SocketAddr), Peer>, buffer: &mut [u8]) {
    for _ in 0..TURN {
        let Ok((length, address)) = window.socket.recv_from(buffer) else { return };
        let key = (Arc::as_ptr(&window.socket).addr(), address);
        if !peers.contains_key(&key) {
            if peers.len() >= MOST {
                let silent = peers.iter().min_by_key(|(_, peer)| peer.heard).map(|(key, _)| *key);
                silent.map(|key| peers.remove(&key));
            }
            match Peer::new(window, address) {
                Ok(peer) => drop(peers.insert(key, peer)),
                Err(error) => {
                    tracing::debug!(target = %window.target, "a datagram is lost: {error}");
                    continue;
                }
            }
        }
        if let Some(peer) = peers.get_mut(&key) {
            peer.heard = Instant::now();
            let _ = peer.inside.send(&buffer[..length]);
        }
    }
}

/// Passes on what the container answered.
fn give_back(peer: &mut Peer, buffer: &mut [u8]) {
    for _ in 0..TURN {
        let Ok(length) = peer.inside.recv(buffer) else { return };
        peer.heard = Instant::now();
        let _ = peer.window.socket.send_to(&buffer[..length], peer.address);
    }
}
