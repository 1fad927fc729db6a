//! Datagrams and pings: one socket of the host per pair of addresses, connected, so that only who was addressed can
//! answer, and the host's word that nobody is there reaches the guest.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use smoltcp::wire::{IpAddress, IpProtocol};

use crate::emit::{Wire, write_datagram};
use crate::icmp::{self, Echo, Reason};
use crate::packet::Path;
use crate::settings::Settings;
use crate::sys;
use crate::token::{Owner, Tokens};

/// How long a pair may be silent, as connection tracking of Linux has it: before an answer, and after one.
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(120);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// Datagrams of one socket before others have their turn.
const TURN: usize = 64;
/// What a datagram may hold, and more.
const BLOCK: usize = 65_536;

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Udp,
    /// The guest's port is the ping's identifier, and there is no other.
    Echo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    guest: SocketAddr,
    remote: SocketAddr,
}

#[derive(Debug)]
struct Flow {
    key: Key,
    path: Path,
    socket: UdpSocket,
    used: Instant,
    answered: bool,
}

/// Every pair of addresses that exchange datagrams.
pub(crate) struct Datagrams {
    flows: HashMap<Token, Flow>,
    known: HashMap<Key, Token>,
    tokens: Tokens,
    block: Vec<u8>,
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        Self {
            flows: HashMap::new(),
            known: HashMap::new(),
            tokens: Tokens::of(Owner::Datagram),
            block: vec![0; BLOCK],
        }
    }

    /// Passes on a datagram of the guest.
    pub(crate) fn send(
        &mut self,
        path: &Path,
        (from, to): (u16, u16),
        payload: &[u8],
        settings: &Settings,
        registry: &Registry,
        wire: &mut Wire<'_>,
    ) {
        let (guest, remote) = (SocketAddr::new(path.guest, from), SocketAddr::new(path.remote, to));
        self.pass(Key { kind: Kind::Udp, guest, remote }, path, payload, settings, registry, wire);
    }

    /// Passes on a ping: `message` is all of it.
    pub(crate) fn ping(
        &mut self,
        path: &Path,
        echo: &Echo<'_>,
        message: &[u8],
        settings: &Settings,
        registry: &Registry,
        wire: &mut Wire<'_>,
    ) {
        let (guest, remote) = (SocketAddr::new(path.guest, echo.ident), SocketAddr::new(path.remote, 0));
        self.pass(Key { kind: Kind::Echo, guest, remote }, path, message, settings, registry, wire);
    }

    fn pass(
        &mut self,
        key: Key,
        path: &Path,
        payload: &[u8],
        settings: &Settings,
        registry: &Registry,
        wire: &mut Wire<'_>,
    ) {
        let token = match self.known.get(&key) {
            Some(token) => *token,
            None => match self.open(key, path, settings, registry) {
                Ok(token) => token,
                Err(error) => return refuse(&key, path, &error, wire),
            },
        };
        let Some(flow) = self.flows.get_mut(&token) else { return };
        flow.used = Instant::now();
        flow.path = *path;
        // What the first call tells may be of an earlier datagram: this one wasn't sent then.
        let sent = flow.socket.send(payload).or_else(|_| flow.socket.send(payload));
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => refuse(&key, path, &error, wire),
            _ => {}
        }
    }

    fn open(&mut self, key: Key, path: &Path, settings: &Settings, registry: &Registry) -> io::Result<Token> {
        let to = settings.way(key.remote).ok_or(io::ErrorKind::ConnectionRefused)?;
        if self.flows.len() >= settings.most_exchanges {
            self.forget_oldest();
        }
        let socket = match key.kind {
            Kind::Udp => std::net::UdpSocket::bind((any(to.ip()), 0))?,
            Kind::Echo => sys::ping_socket(to.ip())?,
        };
        socket.set_nonblocking(true)?;
        socket.connect(to)?;
        let mut socket = UdpSocket::from_std(socket);
        let token = self.tokens.next();
        registry.register(&mut socket, token, Interest::READABLE)?;
        let flow = Flow { key, path: *path, socket, used: Instant::now(), answered: false };
        self.flows.insert(token, flow);
        self.known.insert(key, token);
        Ok(token)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.used).map(|(token, _)| *token);
        if let Some(flow) = oldest.and_then(|token| self.flows.remove(&token)) {
            self.known.remove(&flow.key);
        }
    }

    /// Passes answers on to the guest; those that it takes too slowly are lost.
    pub(crate) fn ready(&mut self, token: Token, registry: &Registry, wire: &mut Wire<'_>) {
        let Some(flow) = self.flows.get_mut(&token) else { return };
        for _ in 0..TURN {
            match flow.socket.recv(&mut self.block) {
                Ok(length) => {
                    flow.answered = true;
                    flow.used = Instant::now();
                    flow.answer(&self.block[..length], wire);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => refuse(&flow.key, &flow.path, &error, wire),
            }
        }
        // There may be more, which is told only to those who ask anew.
        if let Err(error) = registry.reregister(&mut flow.socket, token, Interest::READABLE) {
            tracing::debug!(%error, "a datagram socket isn't waited for");
        }
    }

    /// Forgets the silent ones; says when to look again.
    pub(crate) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        let known = &mut self.known;
        self.flows.retain(|_, flow| {
            let patience = if flow.answered { ANSWERED } else { UNANSWERED };
            let stays = now.saturating_duration_since(flow.used) < patience;
            if !stays {
                known.remove(&flow.key);
            }
            stays
        });
        (!self.flows.is_empty()).then(|| now + SWEEP)
    }
}

impl Flow {
    fn answer(&self, payload: &[u8], wire: &mut Wire<'_>) {
        let (guest, remote) = (self.key.guest.port(), self.key.remote.port());
        match self.key.kind {
            Kind::Udp => {
                wire.datagram(&self.path, remote, guest, payload);
            }
            Kind::Echo => {
                if let Some(echo) = icmp::echo(protocol(&self.key), payload, true) {
                    icmp::reply(&self.path, &Echo { ident: guest, ..echo }, wire);
                }
            }
        }
    }
}

/// Tells the guest why its datagram didn't arrive.
fn refuse(key: &Key, path: &Path, error: &io::Error, wire: &mut Wire<'_>) {
    let (guest, remote): (IpAddress, IpAddress) = (path.guest.into(), path.remote.into());
    let mut head = [0; 8];
    match key.kind {
        Kind::Udp => {
            write_datagram(&mut head, (guest, key.guest.port()), (remote, key.remote.port()), &[]);
        }
        Kind::Echo => {
            // Type, code, checksum, identifier, number.
            head[0] = if path.remote.is_ipv4() { 8 } else { 128 };
            head[4..6].copy_from_slice(&key.guest.port().to_be_bytes());
        }
    }
    // Nobody pings a port: what may not be pinged is beyond what is permitted.
    let reason = match (key.kind, Reason::of(error)) {
        (Kind::Echo, Reason::Port) => Reason::Prohibited,
        (_, reason) => reason,
    };
    icmp::unreachable(path, protocol(key), &head, reason, wire);
}

fn protocol(key: &Key) -> IpProtocol {
    match (key.kind, key.remote.ip()) {
        (Kind::Udp, _) => IpProtocol::Udp,
        (Kind::Echo, IpAddr::V4(_)) => IpProtocol::Icmp,
        (Kind::Echo, IpAddr::V6(_)) => IpProtocol::Icmpv6,
    }
}

/// The address that stands for any of a family.
pub(crate) fn any(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
