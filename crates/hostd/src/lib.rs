//! The host daemon, one per user. It owns the sockets, the machine's process and the published ports, and says at
//! any time which phase a start is in, what it waits for and until when.
//!
//! It copies bytes between the Docker socket and the guest and never parses them. The machine runs in a process of
//! its own (`vmm`), so that its crash isn't a crash here; when this process dies, that one sees the end of its
//! input and powers the guest off in order.

mod boot;
mod control;
mod docker;
mod guest;
mod machine;
mod pipe;
mod ports;
pub mod settings;
mod socket;
mod state;
mod subnets;

use std::io;
use std::path::PathBuf;

use settings::Settings;

/// Why the daemon can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon of this user runs.
    #[error("another Berth daemon of this user is running")]
    AlreadyRunning,
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
    let _lock = socket::lock(&settings.run_dir)?;
    let docker = socket::listen(&settings.docker_socket())?;
    let control = socket::listen(&settings.control_socket())?;
    let (state, wishes, inbox) = state::new(&settings);
    tokio::spawn(docker::serve(docker, settings.vsock_socket(), state.clone()));
    tokio::spawn(control::serve(control, state.clone(), wishes.clone()));
    tokio::spawn(stop_at_signal(wishes));
    machine::run(settings.clone(), state, inbox).await;
    for path in [settings.docker_socket(), settings.control_socket()] {
        drop(std::fs::remove_file(path));
    }
    Ok(())
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
