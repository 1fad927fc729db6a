//! The machine's door: connections to published ports are handed to its process, whose network brings them to the
//! containers. No byte of theirs passes here.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use protocol::port::Forward;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixDatagram};
use vmm::handover;

/// How long the machine's process may have no room: it takes what comes at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to one machine.
pub(crate) struct Door(UnixDatagram);

impl Door {
    /// The machine's whose door is at that path.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }

    /// Hands a connection over as soon as the machine has room; ours may then be closed.
    pub(crate) async fn hand(
        &self,
        connection: &TcpStream,
        peer: SocketAddr,
        target: SocketAddr,
    ) -> io::Result<()> {
        let forward = Forward { target, peer };
        let sent = self.0.async_io(Interest::WRITABLE, || handover::send(&self.0, connection, &forward));
        tokio::time::timeout(PATIENCE, sent).await?
    }
}
