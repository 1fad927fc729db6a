//! The engine, reached as any Docker client reaches it.

pub(crate) mod container;
pub(crate) mod image;
pub(crate) mod logs;
pub(crate) mod watch;

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::failure::Failure;

/// How long a request may take, in seconds. Stopping waits for the container's own stop timeout.
const PATIENCE: u64 = 120;

/// A client of the API at `socket`, in a version that both speak, and the engine's own version.
async fn connect(socket: &str) -> Result<(Docker, String), Failure> {
    let docker = Docker::connect_with_local(socket, PATIENCE, API_DEFAULT_VERSION)?;
    let docker = docker.negotiate_version().await?;
    let version = docker.version().await?.version.unwrap_or_default();
    Ok((docker, version))
}
