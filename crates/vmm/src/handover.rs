//! Connections to published ports on their way from the host daemon, which accepted them, to the process of the machine,
//! whose network brings them into the guest: each is a datagram on a unix socket, of who connected and where it leads,
//! with the connection's descriptor. Nothing comes back; what can't be carried is reset.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;

use mio::event::Source;
use mio::net::UnixDatagram;
use mio::{Interest, Registry, Token};
use protocol::port::Forward;
use usernet::{Arrival, Door};

use crate::sys;

/// Longer than what is said of any connection.
const LONGEST: usize = 1024;

/// Hands a connection over, through a socket that is connected to the machine's door.
///
/// # Errors
/// When the machine is gone; as the socket, when it doesn't block and there is no room now.
pub fn send(door: impl AsFd, connection: impl AsFd, forward: &Forward) -> io::Result<()> {
    sys::send_descriptors(door.as_fd(), &[connection.as_fd()], &serde_json::to_vec(forward)?)
}

/// The machine's end.
pub(crate) struct Handed(UnixDatagram);

impl Handed {
    /// Waits at a path, where a machine that was killed may have left a socket.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        drop(std::fs::remove_file(path));
        Ok(Self(UnixDatagram::bind(path)?))
    }
}

impl Door for Handed {
    fn next(&mut self) -> io::Result<Option<Arrival>> {
        let mut said = [0; LONGEST];
        loop {
            let (length, connections) = match sys::receive_descriptors(self.0.as_fd(), &mut said) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let forward = serde_json::from_slice::<Forward>(said.get(..length).unwrap_or_default());
            match (forward, connections.into_iter().next()) {
                (Ok(Forward { target, peer }), Some(connection)) => {
                    return Ok(Some(Arrival { socket: TcpStream::from(connection), peer, target }));
                }
                // For want of descriptors, for one.
                (forward, _) => tracing::warn!(?forward, "a connection to the guest is lost"),
            }
        }
    }
}

impl Source for Handed {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.0.deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn forward() -> Forward {
        Forward { target: "172.17.0.2:80".parse().unwrap(), peer: "[2001:db8::7]:4321".parse().unwrap() }
    }

    #[test]
    fn a_connection_arrives_with_its_peer_and_place_and_is_the_machines_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let mut handed = Handed::bind(&path).unwrap();
        assert!(handed.next().unwrap().is_none());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let door = std::os::unix::net::UnixDatagram::unbound().unwrap();
        door.connect(&path).unwrap();
        send(&door, &accepted, &forward()).unwrap();
        drop(accepted);
        let mut arrival = handed.next().unwrap().unwrap();
        assert_eq!((arrival.peer, arrival.target), (forward().peer, forward().target));
        arrival.socket.write_all(b"hello").unwrap();
        drop(arrival);
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
    }

    #[test]
    fn what_is_no_connection_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let mut handed = Handed::bind(&path).unwrap();
        let door = std::os::unix::net::UnixDatagram::unbound().unwrap();
        door.connect(&path).unwrap();
        door.send(&serde_json::to_vec(&forward()).unwrap()).unwrap();
        door.send(&[b'x'; 2 * LONGEST]).unwrap();
        send(&door, &door, &Forward { target: forward().peer, ..forward() }).unwrap();
        assert_eq!(handed.next().unwrap().unwrap().target, forward().peer);
        assert!(handed.next().unwrap().is_none());
    }
}
