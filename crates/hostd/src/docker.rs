//! The Docker API's doors: each client's bytes go to the guest and back, unread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use protocol::machine::State;
use protocol::vsock::{DOCKER_API, DOCKER_API_REMOTE};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::state::Shared;
use crate::{Error, pipe, ports};

/// How long a client waits for a machine that is on its way up.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a client that couldn't be accepted.
const PAUSE: Duration = Duration::from_millis(50);

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
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let _ = client.set_nodelay(true);
                tokio::spawn(carry(client, DOCKER_API_REMOTE, vsock.clone(), state.clone()));
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
