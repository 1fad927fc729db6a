//! Connections from outside: the host has accepted them, and the guest is asked to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use smoltcp::wire::EthernetAddress;

use super::flow::{self, Flow, Opening};
use super::{Connections, Key};
use crate::door::Arrival;
use crate::packet::Path;
use crate::settings::Settings;

/// From where Linux calls of itself (`ip_local_port_range`). Containers see a hidden peer at the guest's own address: from
/// such a port both could call at once.
const OF_THE_GUEST: RangeInclusive<u16> = 32_768..=60_999;
/// The first port that isn't a service's.
const FIRST: u16 = 1024;

impl Connections {
    /// Calls the guest; a connection that can't be carried is reset.
    pub(crate) fn call(
        &mut self,
        arrival: Arrival,
        settings: &Settings,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        let Arrival { socket, peer, target } = arrival;
        let Some(key) = self.key_for(peer, target, settings) else {
            return flow::reset(&socket);
        };
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        let token = self.tokens.next();
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let opening = Opening {
            path: Path {
                card: EthernetAddress(settings.card),
                ours: EthernetAddress(settings.door),
                guest: key.guest.ip(),
                remote: key.remote.ip(),
            },
            guest: key.guest.port(),
            remote: key.remote.port(),
            first: self.first_number(key, now),
            mtu: settings.mtu,
            ways: Vec::new(),
        };
        self.insert(token, key, Flow::call(socket, opening, now)?);
        self.queue(token);
        Ok(())
    }

    /// Under which name the guest gets to know the connection. None when there are too many connections.
    fn key_for(&self, peer: SocketAddr, target: SocketAddr, settings: &Settings) -> Option<Key> {
        let address = settings.seen(peer.ip(), target.ip());
        let is_hidden = address == settings.gateway(target.ip());
        (!self.is_full(settings)).then(|| self.free_key(address, is_hidden, peer.port(), target)).flatten()
    }

    /// With the peer's own port, or the next that is free; a hidden peer's isn't one [`OF_THE_GUEST`].
    fn free_key(&self, address: IpAddr, is_hidden: bool, port: u16, target: SocketAddr) -> Option<Key> {
        let may_be = |port: &u16| *port != 0 && !(is_hidden && OF_THE_GUEST.contains(port));
        let first = if may_be(&port) { port } else { FIRST + port.saturating_sub(*OF_THE_GUEST.start()) };
        let ports = (0..=u16::MAX).map(|further| first.wrapping_add(further)).filter(may_be);
        let mut keys = ports.map(|port| Key { guest: target, remote: SocketAddr::new(address, port) });
        keys.find(|key| !self.known.contains_key(key))
    }

    /// Calls once more in the gateway's name: a guest that has a network of its own with the peer's address answers to
    /// that one, and not to us.
    pub(super) fn call_hidden(&mut self, token: Token, settings: &Settings) {
        let Some(flow) = self.flows.get_mut(&token) else { return };
        let ((guest, remote), hidden) = (flow.key(), settings.gateway(flow.key().0.ip()));
        if remote.ip() == hidden {
            return;
        }
        let Some(key) = self.free_key(hidden, true, remote.port(), guest) else { return };
        if let Some(flow) = self.flows.get_mut(&token) {
            flow.rename(key.remote);
            self.known.remove(&Key { guest, remote });
            self.known.insert(key, token);
        }
    }

    /// The guest, or a network behind it, says that a call can't reach its target. Of a connection that is there it says
    /// nothing: that may come back (RFC 5461).
    pub(crate) fn unreachable(&mut self, guest: SocketAddr, remote: SocketAddr) {
        let Some(token) = self.known.get(&Key { guest, remote }).copied() else { return };
        if self.flows.get(&token).is_some_and(Flow::calls) {
            self.remove(token);
        }
    }
}
