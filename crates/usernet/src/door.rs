//! What brings connections from outside: somebody connected to a port of the host that leads to the guest.

use std::io;
use std::net::{SocketAddr, TcpStream};

/// A connection that the host accepted.
#[derive(Debug)]
pub struct Arrival {
    /// The host's end of it.
    pub socket: TcpStream,
    /// Who connected.
    pub peer: SocketAddr,
    /// Where in the guest, or behind it, it leads.
    pub target: SocketAddr,
}

/// Arrivals. It is registered for readiness, and drained before it is waited for again.
pub trait Door: mio::event::Source {
    /// Takes the next arrival; none when there is none now.
    ///
    /// # Errors
    /// When the host can't bring any more.
    fn next(&mut self) -> io::Result<Option<Arrival>>;
}
