//! A listener of this host's whose connections lead to the guest, and a door that stays shut.

use std::io;
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use usernet::{Arrival, Door};

/// Connections to a listener lead there; of nobody nothing comes.
pub(crate) struct Listening {
    to: Option<(TcpListener, SocketAddr)>,
    /// Who is said to connect; who does, if nobody else is.
    pub(crate) peer: Option<SocketAddr>,
}

impl Listening {
    /// Leads to a place in the guest.
    pub(crate) fn leading_to(target: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        (Self { to: Some((listener, target)), peer: None }, address)
    }

    /// Leads nowhere.
    pub(crate) fn to_nobody() -> Self {
        Self { to: None, peer: None }
    }
}

impl Door for Listening {
    fn next(&mut self) -> io::Result<Option<Arrival>> {
        let Some((listener, target)) = &self.to else { return Ok(None) };
        match listener.accept() {
            Ok((socket, peer)) => {
                let peer = self.peer.unwrap_or(peer);
                Ok(Some(Arrival { socket: socket.into(), peer, target: *target }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Source for Listening {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.to.as_mut().map_or(Ok(()), |(listener, _)| listener.register(registry, token, interests))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.to.as_mut().map_or(Ok(()), |(listener, _)| listener.reregister(registry, token, interests))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.to.as_mut().map_or(Ok(()), |(listener, _)| listener.deregister(registry))
    }
}
