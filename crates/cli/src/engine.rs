//! Reaching the engine: the one that `DOCKER_HOST` names, else Berth's own, started on demand.

use std::path::PathBuf;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use protocol::control::Wish;
use protocol::machine::{Kind, State};

use crate::control::Conversation;
use crate::daemon;
use crate::failure::Failure;
use crate::start;

/// A wait for a container's end may last for as long as the user likes: nothing here ends it but the user. What must
/// be quick has its deadline in the engine.
const FOREVER: u64 = 10 * 365 * 24 * 3600;
/// The engine's first answer, which tells its version.
const GREETING: Duration = Duration::from_secs(30);

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`, in the clear.
    Tcp(String),
}

/// An engine that answers.
pub(crate) struct Engine {
    /// Its client.
    pub(crate) docker: Docker,
    /// For streams that the client doesn't carry unchanged.
    pub(crate) address: Address,
    /// Its version of the API, as `1.51`.
    pub(crate) api: String,
}

/// Connects; without a `DOCKER_HOST` the machine is started when it doesn't run.
pub(crate) async fn connect() -> Result<Engine, Failure> {
    let named = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let (address, is_ours) = match named {
        Some(host) => (parse(&host)?, false),
        None => (Address::Unix(own().await?), true),
    };
    let connected = match &address {
        Address::Unix(path) => {
            Docker::connect_with_unix(&path.to_string_lossy(), FOREVER, API_DEFAULT_VERSION)
        }
        Address::Tcp(host) => {
            Docker::connect_with_http(&format!("tcp://{host}"), FOREVER, API_DEFAULT_VERSION)
        }
    };
    let docker = connected.map_err(|error| match error {
        bollard::errors::Error::SocketNotFoundError(_) => unreachable(&address, is_ours),
        other => other.into(),
    })?;
    let negotiated = tokio::time::timeout(GREETING, docker.negotiate_version()).await;
    let docker = negotiated.map_err(|_| unreachable(&address, is_ours))?.map_err(|error| match error {
        bollard::errors::Error::HyperLegacyError { .. } | bollard::errors::Error::SocketNotFoundError(_) => {
            unreachable(&address, is_ours)
        }
        other => other.into(),
    })?;
    let api = docker.client_version().to_string();
    Ok(Engine { docker, address, api })
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

fn parse(host: &str) -> Result<Address, Failure> {
    match host.split_once("://") {
        Some(("unix", path)) => Ok(Address::Unix(path.into())),
        Some(("tcp", address)) => Ok(Address::Tcp(address.trim_end_matches('/').to_owned())),
        Some((scheme, _)) => Err(Failure::new(format!("DOCKER_HOST: {scheme}:// isn't supported yet"))),
        None => Err(Failure::new(format!("unable to parse docker host `{host}`"))),
    }
}

/// Docker's words for an engine that isn't there, and for ours the way out.
fn unreachable(address: &Address, is_ours: bool) -> Failure {
    let shown = match address {
        Address::Unix(path) => format!("unix://{}", path.display()),
        Address::Tcp(host) => format!("tcp://{host}"),
    };
    let hint = if is_ours { "\nSee `berth status`." } else { "" };
    Failure::new(format!(
        "Cannot connect to the Docker daemon at {shown}. Is the docker daemon running?{hint}"
    ))
}
