//! Published ports: the guest's set is made so ([`protocol::port`]). What is in it stays open with its
//! connections, what isn't closes, what is new opens or is refused with the reason. Connections are carried by the
//! machine's process (door), datagrams by streams to the guest.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::port::{Outcome, Refusal, Transport, Wanted};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::datagrams;
use crate::door::Door;

/// Clients that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The open ports of one machine.
pub(crate) struct Ports {
    vsock: Arc<PathBuf>,
    door: Arc<Door>,
    open: HashMap<Key, Open>,
}

/// What is open: the transport, the address that is bound and the container it leads to.
type Key = (Transport, SocketAddr, SocketAddr);

/// One listening port; it closes when dropped, its connections go on.
struct Open(JoinHandle<()>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ports {
    /// Of a machine whose vsock ports and whose door are at these paths.
    pub(crate) fn new(vsock: &Path, door: &Path) -> io::Result<Self> {
        let (vsock, door) = (Arc::new(vsock.to_path_buf()), Arc::new(Door::of(door)?));
        Ok(Self { vsock, door, open: HashMap::new() })
    }

    /// Makes `wanted` the complete set; one outcome per entry, in order.
    pub(crate) async fn reconcile(&mut self, wanted: &[Wanted]) -> Vec<Outcome> {
        let stays = |key: &Key| wanted.iter().any(|port| key_of(port) == *key);
        let leaving: Vec<_> = self.open.keys().filter(|key| !stays(key)).copied().collect();
        for key in leaving {
            if let Some(mut closed) = self.open.remove(&key) {
                closed.0.abort();
                // Its address is free once the task is gone.
                let _ = (&mut closed.0).await;
            }
        }
        wanted.iter().map(|port| self.open(port)).collect()
    }

    /// As `address:port/transport`, for the status.
    pub(crate) fn shown(&self) -> Vec<String> {
        let name = |transport: &Transport| match transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        let mut shown: Vec<_> =
            self.open.keys().map(|(transport, bound, _)| format!("{bound}/{}", name(transport))).collect();
        shown.sort();
        shown
    }

    fn open(&mut self, port: &Wanted) -> Outcome {
        let key = key_of(port);
        if self.open.contains_key(&key) {
            return Outcome::Bound { port: port.host_port };
        }
        match self.serve(key) {
            Ok((bound, serving)) => {
                self.open.insert((port.transport, bound, port.target), Open(serving));
                Outcome::Bound { port: bound.port() }
            }
            Err(error) => Outcome::Refused { reason: refusal(&error) },
        }
    }

    /// Opens the port; returns where.
    fn serve(&self, (transport, address, target): Key) -> io::Result<(SocketAddr, JoinHandle<()>)> {
        match transport {
            Transport::Tcp => {
                let listener = listen(address)?;
                Ok((listener.local_addr()?, tokio::spawn(accept(listener, target, Arc::clone(&self.door)))))
            }
            Transport::Udp => {
                let vsock = Arc::clone(&self.vsock);
                let socket = UdpSocket::from_std(bind(address, SocketType::DGRAM)?.into())?;
                Ok((socket.local_addr()?, tokio::spawn(datagrams::serve(socket, target, vsock))))
            }
        }
    }
}

fn key_of(port: &Wanted) -> Key {
    (port.transport, SocketAddr::new(port.host_ip, port.host_port), port.target)
}

/// Listens for connections.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, SocketType::STREAM)?;
    rustix::net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A bound socket; `[::]` means IPv6 alone, since `0.0.0.0` is published beside it.
fn bind(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    // Connections that ended a moment ago don't keep a port from being opened. Of datagrams the same would mean that
    // two may listen.
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Refusal::NotPermitted,
        io::ErrorKind::AddrNotAvailable => Refusal::NoSuchAddress,
        io::ErrorKind::Unsupported => Refusal::Unsupported,
        _ => Refusal::InUse,
    }
}

/// Hands each client to the machine; one that it doesn't take is reset.
async fn accept(listener: TcpListener, target: SocketAddr, door: Arc<Door>) {
    loop {
        match listener.accept().await {
            Ok((client, peer)) => {
                if let Err(error) = door.hand(&client, peer, target).await {
                    tracing::warn!(%error, "the machine takes no connection");
                    drop(client.set_zero_linger());
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a published port can't accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn wanted(port: u16) -> Wanted {
        wanted_by(Transport::Tcp, port)
    }

    fn wanted_by(transport: Transport, port: u16) -> Wanted {
        let host_ip = "127.0.0.1".parse().unwrap();
        Wanted { transport, host_ip, host_port: port, target: "172.17.0.2:80".parse().unwrap() }
    }

    /// Of a machine that takes connections, while its end lives.
    fn ports() -> (Ports, (tempfile::TempDir, UnixDatagram)) {
        let folder = tempfile::tempdir().unwrap();
        let door = folder.path().join("door.sock");
        let end = UnixDatagram::bind(&door).unwrap();
        (Ports::new(Path::new("/nowhere"), &door).unwrap(), (folder, end))
    }

    fn bound(outcome: &Outcome) -> u16 {
        let Outcome::Bound { port } = outcome else { panic!("{outcome:?}") };
        *port
    }

    #[tokio::test]
    async fn a_chosen_port_stays_when_it_is_asked_for_again_and_closes_when_it_is_not() {
        let (mut ports, _door) = ports();
        let chosen = bound(&ports.reconcile(&[wanted(0)]).await[0]);
        assert_eq!(bound(&ports.reconcile(&[wanted(chosen)]).await[0]), chosen);
        assert!(ports.reconcile(&[]).await.is_empty());
        std::net::TcpListener::bind(("127.0.0.1", chosen)).unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_and_the_others_open() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut ports, _door) = ports();
        let set = [wanted(taken.local_addr().unwrap().port()), wanted(0)];
        let outcomes = ports.reconcile(&set).await;
        assert_eq!(outcomes[0], Outcome::Refused { reason: Refusal::InUse });
        bound(&outcomes[1]);
    }
    #[tokio::test]
    async fn one_number_is_open_by_both_transports_and_each_closes_by_itself() {
        let (mut ports, _door) = ports();
        let chosen = bound(&ports.reconcile(&[wanted(0)]).await[0]);
        let both = [wanted(chosen), wanted_by(Transport::Udp, chosen)];
        let outcomes = ports.reconcile(&both).await;
        assert_eq!((bound(&outcomes[0]), bound(&outcomes[1])), (chosen, chosen));
        let shown = [format!("127.0.0.1:{chosen}/tcp"), format!("127.0.0.1:{chosen}/udp")];
        assert_eq!(ports.shown(), shown);
        ports.reconcile(&both[..1]).await;
        let taken = std::net::UdpSocket::bind(("127.0.0.1", chosen)).unwrap();
        let again = ports.reconcile(&both).await;
        assert_eq!(again[1], Outcome::Refused { reason: Refusal::InUse });
        drop(taken);
    }

    #[tokio::test]
    async fn a_connection_is_handed_to_the_machine_and_reset_when_that_is_gone() {
        let (mut ports, (folder, machine)) = ports();
        let at = ("127.0.0.1", bound(&ports.reconcile(&[wanted(0)]).await[0]));
        machine.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut taken = std::net::TcpStream::connect(at).unwrap();
        let peer = taken.local_addr().unwrap();
        let said = tokio::task::spawn_blocking(move || {
            let mut said = [0; 1024];
            let length = machine.recv(&mut said).unwrap();
            serde_json::from_slice::<protocol::port::Forward>(&said[..length]).unwrap()
        });
        assert_eq!(said.await.unwrap(), protocol::port::Forward { target: wanted(0).target, peer });
        // Its descriptor wasn't taken out of the message, and the daemon keeps none.
        let ended = tokio::task::spawn_blocking(move || taken.read(&mut [0]));
        assert_eq!(ended.await.unwrap().unwrap(), 0);
        drop(folder);
        let mut lost = std::net::TcpStream::connect(at).unwrap();
        let ended = tokio::task::spawn_blocking(move || lost.read(&mut [0]));
        assert_eq!(ended.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
