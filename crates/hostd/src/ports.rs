//! Published ports: the guest's set is made so ([`protocol::port`]). What is in it stays open with its
//! connections, what isn't closes, what is new opens or is refused with the reason.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::port::{Forward, Forwarded, Outcome, Refusal, Transport, Wanted};
use protocol::vsock::FORWARD;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::pipe;

/// How long the guest may take to reach the container; it dials for 5 s.
const DIAL: Duration = Duration::from_secs(8);
/// Clients that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The open ports of one machine.
pub(crate) struct Ports {
    vsock: Arc<PathBuf>,
    /// By the address that is bound and the container it leads to.
    open: HashMap<(SocketAddr, SocketAddr), Open>,
}

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
        let stays = |bound: &SocketAddr, target: &SocketAddr| {
            wanted.iter().any(|port| {
                port.transport == Transport::Tcp
                    && SocketAddr::new(port.host_ip, port.host_port) == *bound
                    && port.target == *target
            })
        };
        let leaving: Vec<_> =
            self.open.keys().filter(|(bound, target)| !stays(bound, target)).copied().collect();
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
        let mut shown: Vec<_> = self.open.keys().map(|(bound, _)| format!("{bound}/tcp")).collect();
        shown.sort();
        shown
    }

    fn open(&mut self, port: &Wanted) -> Outcome {
        if port.transport != Transport::Tcp {
            return Outcome::Refused { reason: Refusal::Unsupported };
        }
        let address = SocketAddr::new(port.host_ip, port.host_port);
        if self.open.contains_key(&(address, port.target)) {
            return Outcome::Bound { port: port.host_port };
        }
        let listener = match listen(address) {
            Ok(listener) => listener,
            Err(error) => return Outcome::Refused { reason: refusal(&error) },
        };
        let Ok(bound) = listener.local_addr() else { return Outcome::Refused { reason: Refusal::InUse } };
        let serving = tokio::spawn(accept(listener, port.target, Arc::clone(&self.vsock)));
        self.open.insert((bound, port.target), Open(serving));
        Outcome::Bound { port: bound.port() }
    }
}

/// Listens; `[::]` means IPv6 alone, since `0.0.0.0` is published beside it.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
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
        let host_ip = "127.0.0.1".parse().unwrap();
        Wanted {
            transport: Transport::Tcp,
            host_ip,
            host_port: port,
            target: "172.17.0.2:80".parse().unwrap(),
        }
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
}
