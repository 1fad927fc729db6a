//! Reaching the engine: the one that is meant, else Berth's own, started on demand.

use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as DockerError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use protocol::control::Wish;
use protocol::machine::{Kind, State};

use crate::control::Conversation;
use crate::endpoint::{Address, Endpoint};
use crate::failure::Failure;
use crate::global::Global;
use crate::{daemon, raw, start};

/// A wait for a container's end may last for as long as the user likes: nothing here ends it but the user. What must
/// be quick has its deadline in the engine.
const FOREVER: u64 = 10 * 365 * 24 * 3600;
/// The engine's first answer, which tells its version.
const GREETING: Duration = Duration::from_secs(30);

/// An engine that answers.
pub(crate) struct Engine {
    /// Its client.
    pub(crate) docker: Docker,
    /// For streams that the client doesn't carry unchanged.
    pub(crate) endpoint: Endpoint,
    /// Its version of the API, as `1.51`.
    pub(crate) api: String,
}

/// Connects; Berth's own machine is started when it doesn't run.
pub(crate) async fn connect(global: &Global) -> Result<Engine, Failure> {
    let meant = Endpoint::meant(global)?;
    let is_ours = meant.is_none();
    let endpoint = match meant {
        Some(endpoint) => endpoint,
        None => Endpoint::unix(own().await?),
    };
    let carried = endpoint.clone();
    let transport = move |request: BollardRequest| {
        let endpoint = carried.clone();
        async move { raw::exchange(&endpoint, request).await }
    };
    // The host is written into each request, and read by nobody: what counts is where it is sent.
    let docker = Docker::connect_with_custom_transport(
        transport,
        Some("http://docker"),
        FOREVER,
        API_DEFAULT_VERSION,
    )?;
    let negotiated = tokio::time::timeout(GREETING, docker.negotiate_version()).await;
    let docker = negotiated
        .map_err(|_| unreachable(&endpoint, is_ours))?
        .map_err(|error| explain(error, &endpoint, is_ours))?;
    let api = docker.client_version().to_string();
    Ok(Engine { docker, endpoint, api })
}

/// The socket of Berth's engine, once it answers.
async fn own() -> Result<PathBuf, Failure> {
    let settings = daemon::settings()?;
    if let Some(stream) = daemon::running(&settings).await {
        let status = Conversation::begin(stream, Wish::Status).await?.next().await?;
        if status.is_some_and(|status| status.state == State::Running) {
            return Ok(settings.docker_socket());
        }
    }
    start::start(&settings, Kind::Auto).await?;
    Ok(settings.docker_socket())
}

/// Why an engine doesn't answer, in Docker's words where it has some.
fn explain(error: DockerError, endpoint: &Endpoint, is_ours: bool) -> Failure {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, TimedOut};
    match error {
        DockerError::IOError { err } if matches!(err.kind(), ConnectionRefused | NotFound | TimedOut) => {
            unreachable(endpoint, is_ours)
        }
        DockerError::IOError { err } => during_connect(endpoint, &err),
        DockerError::HyperResponseError { err } => during_connect(endpoint, &err),
        other => other.into(),
    }
}

/// The connection is made and yet nobody speaks: certificates, or something else listens there.
fn during_connect(endpoint: &Endpoint, error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    let hint = match &endpoint.address {
        Address::Tcp { .. } if !endpoint.is_secure() => {
            " * Are you trying to connect to a TLS-enabled daemon without TLS?"
        }
        _ => "",
    };
    Failure::new(format!("error during connect: {}: {cause}{hint}", endpoint.shown()))
}

/// Docker's words for an engine that isn't there, and for ours the way out.
fn unreachable(endpoint: &Endpoint, is_ours: bool) -> Failure {
    let hint = if is_ours { "\nSee `berth status`." } else { "" };
    Failure::new(format!(
        "Cannot connect to the Docker daemon at {}. Is the docker daemon running?{hint}",
        endpoint.shown()
    ))
}
