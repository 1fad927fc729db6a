//! Published UDP ports: one socket, and behind it one stream to the guest per peer ([`protocol::port::Transport::Udp`]),
//! as long as either side says something.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use protocol::port::{DatagramLength, Forward, Forwarded, LONGEST_DATAGRAM};
use protocol::vsock::FORWARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UdpSocket, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::pipe;

/// How long the guest may take.
const DIAL: Duration = Duration::from_secs(8);
/// How long a peer and the container may be silent, as Docker's own proxy has it.
const SILENCE: Duration = Duration::from_secs(90);
/// Peers of one port at once; datagrams of more are dropped.
const MOST_PEERS: usize = 1024;
/// A peer's datagrams that wait for the guest; those that come beyond are dropped.
const MOST_WAITING: usize = 64;

/// Passes datagrams on for ever.
pub(crate) async fn serve(socket: UdpSocket, target: SocketAddr, vsock: Arc<PathBuf>) {
    let socket = Arc::new(socket);
    let mut peers: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut block = vec![0; LONGEST_DATAGRAM];
    loop {
        let (length, peer) = match socket.recv_from(&mut block).await {
            Ok(received) => received,
            Err(error) => {
                // Of an answer that somebody didn't want, or for want of memory.
                tracing::debug!(%error, "a published port receives nothing");
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        };
        let datagram = block[..length].to_vec();
        let Err(mpsc::error::TrySendError::Closed(datagram)) = known(&peers, peer, datagram) else {
            continue;
        };
        peers.retain(|_, peer| !peer.is_closed());
        if peers.len() < MOST_PEERS {
            let (sender, datagrams) = mpsc::channel(MOST_WAITING);
            let _ = sender.try_send(datagram);
            peers.insert(peer, sender);
            tokio::spawn(carry(Arc::downgrade(&socket), peer, target, Arc::clone(&vsock), datagrams));
        }
    }
}

/// Gives the datagram to its peer's task; it comes back as closed when there is none.
fn known(
    peers: &HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
    peer: SocketAddr,
    datagram: Vec<u8>,
) -> Result<(), mpsc::error::TrySendError<Vec<u8>>> {
    match peers.get(&peer) {
        Some(sender) => sender.try_send(datagram),
        None => Err(mpsc::error::TrySendError::Closed(datagram)),
    }
}

/// One peer, until both sides are silent, the port closes or the guest leaves. The socket is the port's: it closes with
/// that, so that its address is free at once.
async fn carry(
    socket: Weak<UdpSocket>,
    peer: SocketAddr,
    target: SocketAddr,
    vsock: Arc<PathBuf>,
    datagrams: mpsc::Receiver<Vec<u8>>,
) {
    let Ok(Ok(guest)) = tokio::time::timeout(DIAL, reach(&vsock, target, peer)).await else { return };
    let (from_guest, to_guest) = guest.into_split();
    let heard = Mutex::new(Instant::now());
    let ended = tokio::select! {
        passed = pass_on(datagrams, to_guest, &heard) => passed,
        answered = answer(from_guest, &socket, peer, &heard) => answered,
        () = silence(&heard) => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a peer's datagrams end");
    }
}

async fn reach(vsock: &Path, target: SocketAddr, peer: SocketAddr) -> io::Result<UnixStream> {
    let mut guest = pipe::dial(vsock, FORWARD).await;
    pipe::write(&mut guest, &Forward { target, peer }).await?;
    match pipe::read(&mut guest).await? {
        Forwarded::Connected => Ok(guest),
        Forwarded::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

/// From the peer to the guest, until the port closes.
async fn pass_on(
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    mut guest: OwnedWriteHalf,
    heard: &Mutex<Instant>,
) -> io::Result<()> {
    while let Some(datagram) = datagrams.recv().await {
        hear(heard);
        let length = u16::try_from(datagram.len()).map_err(io::Error::other)?;
        guest.write_all(&[&length.to_le_bytes(), &datagram[..]].concat()).await?;
    }
    Ok(())
}

/// From the guest to the peer; what the host can't send now is lost.
async fn answer(
    mut guest: OwnedReadHalf,
    socket: &Weak<UdpSocket>,
    peer: SocketAddr,
    heard: &Mutex<Instant>,
) -> io::Result<()> {
    let mut block = vec![0; LONGEST_DATAGRAM];
    loop {
        let mut length = DatagramLength::default();
        guest.read_exact(&mut length).await?;
        let datagram =
            block.get_mut(..u16::from_le_bytes(length).into()).ok_or(io::ErrorKind::InvalidData)?;
        guest.read_exact(datagram).await?;
        hear(heard);
        let Some(socket) = socket.upgrade() else { return Ok(()) };
        if let Err(error) = socket.try_send_to(datagram, peer) {
            tracing::debug!(%error, %peer, "an answer can't be sent");
        }
    }
}

/// Ends when nothing was heard for long.
async fn silence(heard: &Mutex<Instant>) {
    loop {
        let until = *heard.lock().unwrap_or_else(PoisonError::into_inner) + SILENCE;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

fn hear(heard: &Mutex<Instant>) {
    *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A guest whose containers say each datagram and who its peer is.
    fn guest(vsock: &Path) {
        let listener = UnixListener::bind(vsock).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut host, _)) = listener.accept() {
                std::thread::spawn(move || {
                    let mut port = [0; 4];
                    host.read_exact(&mut port).unwrap();
                    assert_eq!(u32::from_le_bytes(port), FORWARD);
                    host.write_all(&[vmm::connect::CONNECTED]).unwrap();
                    let mut prefix = [0; protocol::frame::PREFIX];
                    host.read_exact(&mut prefix).unwrap();
                    let mut body = vec![0; protocol::frame::body_length(prefix).unwrap()];
                    host.read_exact(&mut body).unwrap();
                    let wanted: Forward = protocol::frame::decode(&body).unwrap();
                    host.write_all(&protocol::frame::encode(&Forwarded::Connected).unwrap()).unwrap();
                    let mut length = DatagramLength::default();
                    while host.read_exact(&mut length).is_ok() {
                        let mut datagram = vec![0; u16::from_le_bytes(length).into()];
                        host.read_exact(&mut datagram).unwrap();
                        datagram.extend_from_slice(wanted.peer.to_string().as_bytes());
                        let length = u16::try_from(datagram.len()).unwrap();
                        host.write_all(&[&length.to_le_bytes(), &datagram[..]].concat()).unwrap();
                    }
                });
            }
        });
    }

    #[tokio::test]
    async fn each_peer_has_its_own_answers_and_the_port_is_free_once_closed() {
        let folder = tempfile::tempdir().unwrap();
        let vsock = folder.path().join("vsock.sock");
        guest(&vsock);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap();
        let serving = tokio::spawn(serve(socket, "172.17.0.2:53".parse().unwrap(), Arc::new(vsock)));
        let (one, other) =
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
        for (peer, datagram) in [(&one, "first "), (&other, "second "), (&one, "third "), (&other, "")] {
            peer.send_to(datagram.as_bytes(), port).await.unwrap();
            let mut answer = [0; 100];
            let received = tokio::time::timeout(Duration::from_secs(20), peer.recv_from(&mut answer)).await;
            let (length, from) = received.unwrap().unwrap();
            let expected = format!("{datagram}{}", peer.local_addr().unwrap());
            assert_eq!((from, &answer[..length]), (port, expected.as_bytes()));
        }
        serving.abort();
        let _ = serving.await;
        UdpSocket::bind(port).await.unwrap();
    }
}
