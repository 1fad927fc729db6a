//! Published ports: the guest's set is made so ([`protocol::port`]). What is in it stays open with its
//! connections, what isn't closes, what is new opens or is refused with the reason.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::port::{Forward, Forwarded, Outcome, Refusal, Transport, Wanted};
use protocol::vsock::FORWARD;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use crate::{datagrams, pipe};

/// How long the guest may take to reach the container; it dials for 5 s.
const DIAL: Duration = Duration::from_secs(8);
/// Clients that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The open ports of one machine.
pub(crate) struct Ports {
    vsock: Arc<PathBuf>,
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
    pub(crate) fn new(vsock: &Path) -> Self {
        Self { vsock: Arc::new(vsock.to_path_buf()), open: HashMap::new() }
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
        let vsock = Arc::clone(&self.vsock);
        match transport {
            Transport::Tcp => {
                let listener = listen(address)?;
                Ok((listener.local_addr()?, tokio::spawn(accept(listener, target, vsock))))
            }
            Transport::Udp => {
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

async fn accept(listener: TcpListener, target: SocketAddr, vsock: Arc<PathBuf>) {
    loop {
        match listener.accept().await {
            Ok((client, peer)) => drop(tokio::spawn(carry(client, peer, target, Arc::clone(&vsock)))),
            Err(error) => {
                tracing::warn!(%error, "a published port can't accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One connection; it is reset when the container doesn't take it.
async fn carry(client: TcpStream, peer: SocketAddr, target: SocketAddr, vsock: Arc<PathBuf>) {
    let reach = async {
        let mut guest = pipe::dial(&vsock, FORWARD).await;
        pipe::write(&mut guest, &Forward { transport: Transport::Tcp, target, peer }).await?;
        match pipe::read(&mut guest).await? {
            Forwarded::Connected => Ok(guest),
            Forwarded::Refused => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        }
    };
    match tokio::time::timeout(DIAL, reach).await {
        Ok(Ok(guest)) => {
            let _ = client.set_nodelay(true);
            let _ = pipe::copy(client, guest).await;
        }
        _ => drop(client.set_zero_linger()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(port: u16) -> Wanted {
        wanted_by(Transport::Tcp, port)
    }

    fn wanted_by(transport: Transport, port: u16) -> Wanted {
        let host_ip = "127.0.0.1".parse().unwrap();
        Wanted { transport, host_ip, host_port: port, target: "172.17.0.2:80".parse().unwrap() }
    }

    fn bound(outcome: &Outcome) -> u16 {
        let Outcome::Bound { port } = outcome else { panic!("{outcome:?}") };
        *port
    }

    #[tokio::test]
    async fn a_chosen_port_stays_when_it_is_asked_for_again_and_closes_when_it_is_not() {
        let mut ports = Ports::new(Path::new("/nowhere"));
        let chosen = bound(&ports.reconcile(&[wanted(0)]).await[0]);
        assert_eq!(bound(&ports.reconcile(&[wanted(chosen)]).await[0]), chosen);
        assert!(ports.reconcile(&[]).await.is_empty());
        std::net::TcpListener::bind(("127.0.0.1", chosen)).unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_and_the_others_open() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ports = Ports::new(Path::new("/nowhere"));
        let set = [wanted(taken.local_addr().unwrap().port()), wanted(0)];
        let outcomes = ports.reconcile(&set).await;
        assert_eq!(outcomes[0], Outcome::Refused { reason: Refusal::InUse });
        bound(&outcomes[1]);
    }
    #[tokio::test]
    async fn one_number_is_open_by_both_transports_and_each_closes_by_itself() {
        let mut ports = Ports::new(Path::new("/nowhere"));
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
}
