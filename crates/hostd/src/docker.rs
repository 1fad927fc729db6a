//! The Docker socket: each client's bytes go to the guest and back, unread.

use std::path::PathBuf;
use std::time::Duration;

use protocol::machine::State;
use protocol::vsock::DOCKER_API;
use tokio::net::{UnixListener, UnixStream};

use crate::pipe;
use crate::state::Shared;

/// How long a client waits for a machine that is on its way up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves clients for ever.
pub(crate) async fn serve(listener: UnixListener, vsock: PathBuf, state: Shared) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(carry(client, vsock.clone(), state.clone()))),
            Err(error) => {
                tracing::warn!(%error, "a docker client can't be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One client. It is closed when there is no machine and none is coming.
async fn carry(client: UnixStream, vsock: PathBuf, state: Shared) {
    let mut status = state.watch();
    let up = status.wait_for(|status| status.state != State::Starting);
    let is_running = match tokio::time::timeout(PATIENCE, up).await {
        Ok(Ok(status)) => status.state == State::Running,
        _ => false,
    };
    if !is_running {
        return;
    }
    let Ok(guest) = tokio::time::timeout(PATIENCE, pipe::dial(&vsock, DOCKER_API)).await else { return };
    if let Err(error) = pipe::copy(client, guest).await {
        tracing::debug!(%error, "a docker client's stream broke");
    }
}
