//! Datagrams that the kernel can't translate are copied here, as connections are by the [copier](super::copy): from IPv6
//! to a container that has IPv4 alone, and from this machine's own `::1`.
//!
//! Each peer gets a socket of its own towards the container, so that answers find back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// A window's socket, and who sent there.
pub(super) type Key = (usize, SocketAddr);

/// All peers of all windows.
pub(super) struct Peers {
    known: HashMap<Key, Peer>,
    buffer: Vec<u8>,
}

impl Peers {
    pub(super) fn new() -> Self {
        Self { known: HashMap::new(), buffer: vec![0; LARGEST] }
    }

    /// Forgets those that were silent for long or whose window is no more; says when to do that again.
    pub(super) fn forget(&mut self, windows: &[Window]) -> Option<Duration> {
        let stays = |peer: &Peer| windows.iter().any(|window| peer.is_of(window));
        self.known.retain(|_, peer| peer.heard.elapsed() < IDLE && stays(peer));
        (!self.known.is_empty()).then_some(IDLE)
    }

    /// Where containers answer.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (Key, BorrowedFd<'_>)> {
        self.known.iter().map(|(key, peer)| (*key, peer.inside.as_fd()))
    }

    /// Passes on what came at a window. A datagram that can't be is lost, as datagrams are.
    pub(super) fn take_in(&mut self, window: &Window) {
        for _ in 0..TURN {
            let Ok((length, address)) = window.socket.recv_from(&mut self.buffer) else { return };
            if let Err(error) = self.pass_on(window, address, length) {
                tracing::debug!(target = %window.target, "a datagram is lost: {error}");
            }
        }
    }

    /// Passes on what lies in the buffer.
    fn pass_on(&mut self, window: &Window, address: SocketAddr, length: usize) -> io::Result<()> {
        let key = (Arc::as_ptr(&window.socket).addr(), address);
        if !self.known.contains_key(&key) && self.known.len() >= MOST {
            let silent = self.known.iter().min_by_key(|(_, peer)| peer.heard).map(|(key, _)| *key);
            silent.map(|key| self.known.remove(&key));
        }
        let peer = match self.known.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Peer::new(window, address)?),
        };
        peer.heard = Instant::now();
        peer.inside.send(&self.buffer[..length]).map(drop)
    }

    /// Passes on what the container answered.
    pub(super) fn give_back(&mut self, key: Key) {
        let Some(peer) = self.known.get_mut(&key) else { return };
        for _ in 0..TURN {
            let Ok(length) = peer.inside.recv(&mut self.buffer) else { return };
            peer.heard = Instant::now();
            let _ = peer.window.socket.send_to(&self.buffer[..length], peer.address);
        }
    }
}
