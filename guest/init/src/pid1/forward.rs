//! Published ports, the guest's half: one stream per connection, opened by [`protocol::port::Forward`], carried to
//! the container and back with each side ending its own half.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use berth_network::Peers;
use protocol::port::{Forward, Forwarded, Transport};

use super::{control, datagrams, network, vsock};

/// How long a container may take to accept; it is a bridge away.
const DIAL: Duration = Duration::from_secs(5);
/// What names of PID 1's own rules begin with; the engine has its own.
const NAME_PREFIX: &str = "berth-init";
/// As long as a vsock packet.
const BLOCK: usize = 64 * 1024;

/// Serves connections for ever, on threads of its own.
pub(super) fn serve(listener: OwnedFd) -> anyhow::Result<()> {
    let peers = Peers::prepare(NAME_PREFIX, network::CARD).unwrap_or_else(|error| {
        tracing::warn!(%error, "containers don't see who connects to their ports");
        Peers::hidden()
    });
    vsock::serve_each("forward", listener, move |stream| {
        if let Err(error) = carry(stream, &peers) {
            tracing::debug!("a published connection ended: {error:#}");
        }
    })
}

/// One connection.
fn carry(mut host: UnixStream, peers: &Peers) -> anyhow::Result<()> {
    host.set_read_timeout(Some(DIAL))?;
    let wanted: Forward = control::read(&mut host)?;
    host.set_read_timeout(None)?;
    if wanted.transport == Transport::Udp {
        return datagrams::carry(host, || peers.datagrams(wanted.peer, wanted.target));
    }
    let container = match peers.connect(wanted.peer, wanted.target, DIAL) {
        Ok(container) => container,
        Err(error) => {
            control::write(&mut host, &Forwarded::Refused)?;
            return Err(error.into());
        }
    };
    container.set_nodelay(true)?;
    control::write(&mut host, &Forwarded::Connected)?;
    copy_both(host, container)?;
    Ok(())
}

/// Copies until both directions have ended.
fn copy_both(host: UnixStream, container: TcpStream) -> io::Result<()> {
    let (from_container, to_host) = (container.try_clone()?, host.try_clone()?);
    let back = std::thread::Builder::new().name("forward back".to_owned()).spawn(move || {
        let copied = copy(from_container, &to_host);
        // What can't be passed on ends the other side's sending, too.
        let end = if copied.is_ok() { Shutdown::Write } else { Shutdown::Both };
        let _ = to_host.shutdown(end);
    })?;
    let copied = copy(host, &container);
    let end = if copied.is_ok() { Shutdown::Write } else { Shutdown::Both };
    let _ = container.shutdown(end);
    let _ = back.join();
    copied
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&block[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn forward_to(target: std::net::SocketAddr) -> UnixStream {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || carry(theirs, &Peers::hidden()));
        let peer = "192.0.2.1:4000".parse().unwrap();
        control::write(&mut ours, &Forward { transport: Transport::Tcp, target, peer }).unwrap();
        ours
    }

    #[test]
    fn bytes_flow_and_each_side_ends_its_own_half() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut host = forward_to(listener.local_addr().unwrap());
        assert_eq!(control::read::<Forwarded>(&mut host).unwrap(), Forwarded::Connected);
        let (mut container, _) = listener.accept().unwrap();
        host.write_all(b"ask").unwrap();
        host.shutdown(Shutdown::Write).unwrap();
        let mut asked = String::new();
        container.read_to_string(&mut asked).unwrap();
        assert_eq!(asked, "ask");
        container.write_all(b"answer").unwrap();
        drop(container);
        let mut answered = String::new();
        host.read_to_string(&mut answered).unwrap();
        assert_eq!(answered, "answer");
    }

    #[test]
    fn a_container_that_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut host = forward_to(address);
        assert_eq!(control::read::<Forwarded>(&mut host).unwrap(), Forwarded::Refused);
    }
}
