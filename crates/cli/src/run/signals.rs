//! Without a terminal, signals to the client are meant for the container.

use bollard::query_parameters::KillContainerOptionsBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::Engine;

/// What is forwarded.
const FORWARDED: &[(i32, &str)] =
    &[(1, "HUP"), (2, "INT"), (3, "QUIT"), (10, "USR1"), (12, "USR2"), (15, "TERM")];

/// Sends each signal on until the task is aborted.
pub(super) fn forward(engine: &Engine, id: &str) -> JoinHandle<()> {
    let (docker, id) = (engine.docker.clone(), id.to_owned());
    let (sender, mut inbox) = mpsc::unbounded_channel();
    for (number, name) in FORWARDED {
        let Ok(mut stream) = signal(SignalKind::from_raw(*number)) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(*name).is_err() {
                    return;
                }
            }
        });
    }
    tokio::spawn(async move {
        while let Some(name) = inbox.recv().await {
            // One that ended meanwhile needs no signal.
            let _ = docker
                .kill_container(&id, Some(KillContainerOptionsBuilder::new().signal(name).build()))
                .await;
        }
    })
}
