//! The host daemon, one per user. It owns the sockets, the machine's process and the published ports, and says at
//! any time which phase a start is in, what it waits for and until when.
//!
//! It copies bytes between the Docker socket and the guest and never parses them. The machine runs in a process of
//! its own (`vmm`), so that its crash isn't a crash here; when this process dies, that one sees the end of its
//! input and powers the guest off in order.

mod boot;
mod certificates;
mod clock;
mod context;
mod control;
mod daemon_json;
mod datagrams;
mod docker;
mod door;
mod guest;
mod machine;
mod open_files;
mod pipe;
mod ports;
mod proxies;
pub mod settings;
mod socket;
mod state;
mod subnets;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use settings::Settings;

/// Why the daemon can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon of this user runs.
    #[error("another Berth daemon of this user is running")]
    AlreadyRunning,
    /// The user's settings can't be honoured.
    #[error("{}: {reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// The machine's process failed; its parent was told.
    #[error("the machine ended")]
    Machine(#[from] vmm::Error),
    /// An address of `daemon.json` can't be listened on.
    #[error("hosts: can't listen on tcp://{address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A socket or folder can't be made.
    #[error("can't {doing} {}", path.display())]
    Prepare {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Runs the daemon until a client asks it to stop.
///
/// # Errors
/// When another one runs or its sockets can't be made.
pub async fn run(settings: Settings) -> Result<(), Error> {
    // Held until this process ends: whoever waits for it finds nothing left.
    std::mem::forget(socket::lock(&settings.run_dir)?);
    open_files::raise();
    let docker = socket::listen(&settings.docker_socket())?;
    let control = socket::listen(&settings.control_socket())?;
    let remote = daemon_json::addresses(&settings).into_iter().map(docker::listen);
    let remote = remote.collect::<Result<Vec<_>, _>>()?;
    let (state, wishes, inbox) = state::new(&settings);
    tokio::spawn(docker::serve(docker, settings.vsock_socket(), state.clone()));
    for listener in remote {
        tokio::spawn(docker::serve_remote(listener, settings.vsock_socket(), state.clone()));
    }
    tokio::spawn(control::serve(control, state.clone(), wishes.clone()));
    tokio::spawn(stop_at_signal(wishes));
    let context = context::Store::of_user();
    if let Err(error) = context.add(&settings.docker_socket()) {
        tracing::warn!(%error, "the docker context can't be made");
    }
    machine::run(settings.clone(), state, inbox).await;
    if let Err(error) = context.remove(&settings.docker_socket()) {
        tracing::warn!(%error, "the docker context can't be removed");
    }
    for path in [settings.docker_socket(), settings.control_socket()] {
        drop(std::fs::remove_file(path));
    }
    Ok(())
}

/// Whether no daemon of these settings is left: its sockets, its machine and its `docker context` are gone.
///
/// # Errors
/// When its lock can't be asked.
pub fn is_gone(settings: &Settings) -> Result<bool, Error> {
    match socket::lock(&settings.run_dir) {
        Ok(_) => Ok(true),
        Err(Error::AlreadyRunning) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the `docker context` named `berth` the one that `docker` uses.
///
/// # Errors
/// When Docker's configuration can't be read or written.
pub fn use_context() -> io::Result<()> {
    context::Store::of_user().select()
}

/// The whole life of the machine's process, which the daemon starts as `vmm CONFIG`. Not for a thread of an async
/// runtime: the emulator dies with the thread that starts it.
///
/// # Errors
/// As the machine's, after telling the parent.
pub fn machine(config: &Path) -> Result<(), Error> {
    let read = vmm::process::read_config(config);
    let config =
        read.map_err(|source| Error::Prepare { doing: "read", path: config.to_path_buf(), source })?;
    // Held until this process ends: the next daemon waits for it, also when this one's was killed.
    let lock = boot::machine_lock(&config.data_disk)?;
    let Some(_held) = socket::hold(&lock)? else { return Err(Error::AlreadyRunning) };
    open_files::raise();
    Ok(vmm::process::run(config)?)
}

/// SIGTERM and SIGINT are wishes to stop.
async fn stop_at_signal(wishes: tokio::sync::mpsc::Sender<state::Change>) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let _ = wishes.send(state::Change::Stop).await;
    }
}
