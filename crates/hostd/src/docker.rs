//! The Docker API's doors: each client's bytes go to the guest and back, unread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::machine::State;
use protocol::vsock::{DOCKER_API, DOCKER_API_REMOTE};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::state::Shared;
use crate::{Error, pipe, ports};

/// How long a client waits for a machine that is on its way up.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a client that couldn't be accepted.
const PAUSE: Duration = Duration::from_millis(50);
/// Clients of one address of the network at once; more of them wait. Whoever reaches the address may hold so many open,
/// and the user's own socket still has descriptors left.
const MOST_REMOTE: usize = 1024;

/// Serves clients of the socket for ever.
pub(crate) async fn serve(listener: UnixListener, vsock: PathBuf, state: Shared) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(carry(client, DOCKER_API, vsock.clone(), state.clone()))),
            Err(error) => {
                tracing::warn!(%error, "a docker client can't be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Opens an address that the user's `daemon.json` names.
///
/// # Errors
/// When this machine hasn't the address or somebody else listens there.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    ports::listen(address).map_err(|source| Error::Listen { address, source })
}

/// Serves clients of such an address for ever. Whether they speak TLS is between them and the guest.
pub(crate) async fn serve_remote(listener: TcpListener, vsock: PathBuf, state: Shared) {
    serve_at_most(MOST_REMOTE, listener, vsock, state).await;
}

async fn serve_at_most(most: usize, listener: TcpListener, vsock: PathBuf, state: Shared) {
    let places = Arc::new(Semaphore::new(most));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((client, _)) => {
                let _ = client.set_nodelay(true);
                let carried = carry(client, DOCKER_API_REMOTE, vsock.clone(), state.clone());
                tokio::spawn(async move {
                    carried.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a docker client of the network can't be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One client. It is closed when there is no machine and none is coming.
async fn carry(mut client: impl AsyncRead + AsyncWrite + Unpin, port: u32, vsock: PathBuf, state: Shared) {
    let mut status = state.watch();
    let up = status.wait_for(|status| status.state != State::Starting);
    let is_running = match tokio::time::timeout(PATIENCE, up).await {
        Ok(Ok(status)) => status.state == State::Running,
        _ => false,
    };
    if !is_running {
        return;
    }
    let Ok(guest) = tokio::time::timeout(PATIENCE, pipe::dial(&vsock, port)).await else { return };
    if let Err(error) = pipe::copy(&mut client, guest).await {
        tracing::debug!(%error, "a docker client's stream broke");
        pipe::linger(client).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    use super::*;
    use crate::settings::Settings;

    /// The machine's end of a client's stream.
    async fn guest(vsock: &UnixListener) -> UnixStream {
        let (mut guest, _) = vsock.accept().await.unwrap();
        assert_eq!(guest.read_u32_le().await.unwrap(), DOCKER_API_REMOTE);
        guest.write_u8(vmm::connect::CONNECTED).await.unwrap();
        guest
    }

    #[tokio::test]
    async fn a_client_beyond_the_most_of_an_address_waits_until_another_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("vsock");
        let vsock = UnixListener::bind(&socket).unwrap();
        let (state, _wishes, _inbox) = crate::state::new(&Settings::of_user(PathBuf::new(), Vec::new()));
        state.change(|status| status.state = State::Running);
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_at_most(1, listener, socket, state));

        let first = TcpStream::connect(address).await.unwrap();
        let first_in_guest = guest(&vsock).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(b"asked").await.unwrap();
        tokio::select! {
            biased;
            _ = vsock.accept() => panic!("the second client got in beside the first"),
            () = async { for _ in 0..100 { tokio::task::yield_now().await; } } => {}
        }
        drop((first, first_in_guest));
        let mut asked = [0; 5];
        guest(&vsock).await.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"asked");
    }
}
