//! Published UDP ports, the guest's half: one stream per peer of the host, on which each datagram follows its length.
//! A container sees each peer as a socket of its own, whose answers go back to that peer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::port::{DatagramLength, Forwarded, LONGEST_DATAGRAM};

use super::control;

/// Carries one peer's datagrams until the host ends the stream, through the socket that `open` makes.
pub(super) fn carry(
    mut host: UnixStream,
    open: impl FnOnce() -> io::Result<UdpSocket>,
) -> anyhow::Result<()> {
    let container = match open() {
        Ok(container) => Arc::new(container),
        Err(error) => {
            control::write(&mut host, &Forwarded::Refused)?;
            return Err(error.into());
        }
    };
    control::write(&mut host, &Forwarded::Connected)?;
    let over = Arc::new(AtomicBool::new(false));
    let (from_container, to_host, seen) = (Arc::clone(&container), host.try_clone()?, Arc::clone(&over));
    let back = std::thread::Builder::new().name("datagrams back".to_owned()).spawn(move || {
        if let Err(error) = answer(&from_container, &to_host, &seen) {
            tracing::debug!(%error, "answers by datagram end");
        }
        let _ = to_host.shutdown(Shutdown::Both);
    })?;
    let passed = pass_on(host, &container);
    over.store(true, Ordering::Release);
    // Wakes the thread that waits for an answer.
    let _ = rustix::net::shutdown(&*container, rustix::net::Shutdown::Both);
    let _ = back.join();
    Ok(passed?)
}

/// From the host to the container. One that a container doesn't take is lost, as datagrams are.
fn pass_on(mut host: UnixStream, container: &UdpSocket) -> io::Result<()> {
    let mut datagram = vec![0; LONGEST_DATAGRAM];
    loop {
        let mut length = DatagramLength::default();
        match host.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let length = usize::from(u16::from_le_bytes(length));
        let datagram = datagram.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
        host.read_exact(datagram)?;
        // What the first call tells is of an earlier one: nobody listened then.
        let _ = container.send(datagram).or_else(|_| container.send(datagram));
    }
}

/// From the container to the host.
fn answer(container: &UdpSocket, mut host: &UnixStream, over: &AtomicBool) -> io::Result<()> {
    const PREFIX: usize = size_of::<DatagramLength>();
    let mut frame = vec![0; PREFIX + LONGEST_DATAGRAM];
    loop {
        let received = container.recv(&mut frame[PREFIX..]);
        if over.load(Ordering::Acquire) {
            return Ok(());
        }
        // That nobody listens now says nothing of later.
        let Ok(length) = received else { continue };
        let prefix = u16::try_from(length).unwrap_or(u16::MAX);
        frame[..PREFIX].copy_from_slice(&prefix.to_le_bytes());
        host.write_all(&frame[..PREFIX + length])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_network::Peers;

    fn send(host: &mut UnixStream, datagram: &[u8]) {
        host.write_all(&u16::try_from(datagram.len()).unwrap().to_le_bytes()).unwrap();
        host.write_all(datagram).unwrap();
    }

    fn receive(host: &mut UnixStream) -> Vec<u8> {
        let mut length = DatagramLength::default();
        host.read_exact(&mut length).unwrap();
        let mut datagram = vec![0; u16::from_le_bytes(length).into()];
        host.read_exact(&mut datagram).unwrap();
        datagram
    }

    #[test]
    fn datagrams_keep_their_borders_both_ways_and_end_with_the_stream() {
        let container = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut host, theirs) = UnixStream::pair().unwrap();
        let target = container.local_addr().unwrap();
        let carried = std::thread::spawn(move || carry(theirs, || Peers::hidden().datagrams(target, target)));
        assert_eq!(control::read::<Forwarded>(&mut host).unwrap(), Forwarded::Connected);
        for datagram in [&b"one"[..], b"", &[7; 60_000]] {
            send(&mut host, datagram);
            let mut arrived = vec![0; 70_000];
            let (length, peer) = container.recv_from(&mut arrived).unwrap();
            assert!(arrived[..length] == *datagram);
            container.send_to(datagram, peer).unwrap();
            assert!(receive(&mut host) == datagram);
        }
        drop(host);
        carried.join().unwrap().unwrap();
    }
}
