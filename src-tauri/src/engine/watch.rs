//! Keeps the desk's lists true: one listing when the engine answers, another after each of its events.
//!
//! There is no polling. The events are asked for from a little before the first listing on, so that nothing falls
//! between the two; an event that the listing already shows costs one more listing and changes nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt;

use super::{connect, container, image};
use crate::desk::Desk;
use crate::failure::{Failure, FailureCode};
use crate::news::Engine;

/// How soon an engine that doesn't answer is tried again.
const AGAIN: Duration = Duration::from_millis(400);
/// How far back the first events are asked for. It covers the listing's duration and clocks that differ a little.
const OVERLAP: Duration = Duration::from_secs(10);
/// The most events that one listing answers.
const BURST: usize = 256;

/// Watches the engine for ever, wherever it listens at the time.
pub(crate) async fn watch(desk: Arc<Desk>) {
    let mut socket = desk.socket();
    loop {
        let path = socket.borrow_and_update().clone();
        let Some(path) = path else {
            desk.lay_engine_away(Engine::Waiting);
            if socket.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            failure = follow(&desk, &path) => {
                tracing::debug!(?failure, "the engine doesn't answer");
                desk.lay_engine_away(Engine::Down { failure });
                tokio::time::sleep(AGAIN).await;
            }
            _ = socket.changed() => {}
        }
    }
}

/// Follows the engine until it doesn't answer any more; returns why.
async fn follow(desk: &Desk, path: &str) -> Failure {
    match listen(desk, path).await {
        Ok(()) => Failure::new(FailureCode::EngineDown, "the engine ended the conversation"),
        Err(failure) => failure,
    }
}

async fn listen(desk: &Desk, path: &str) -> Result<(), Failure> {
    let (docker, version) = connect(path).await?;
    let options = EventsOptions { since: Some(some_time_ago()), ..EventsOptions::default() };
    let mut events = pin!(docker.events(Some(options)).ready_chunks(BURST));
    let mut stale = Stale { containers: true, images: true };
    stale.refresh(desk, &docker).await?;
    desk.lay_engine_up(docker.clone(), version);
    while let Some(burst) = events.next().await {
        for event in burst {
            stale.mark(&event?);
        }
        stale.refresh(desk, &docker).await?;
    }
    Ok(())
}

/// A moment before now, as the API wants it.
fn some_time_ago() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(OVERLAP).as_secs().to_string()
}

/// What has to be listed again.
struct Stale {
    containers: bool,
    images: bool,
}

impl Stale {
    fn mark(&mut self, event: &EventMessage) {
        let action = event.action.as_deref().unwrap_or_default();
        match event.typ {
            // What runs inside a container isn't shown.
            Some(EventMessageTypeEnum::CONTAINER) => {
                self.containers |= !action.starts_with("exec_");
                // An image shows how many containers are made from it.
                self.images |= matches!(action, "create" | "destroy");
            }
            Some(EventMessageTypeEnum::IMAGE) => {
                // A container shows its image's name, which a tag can take away.
                self.images = true;
                self.containers = true;
            }
            _ => {}
        }
    }

    async fn refresh(&mut self, desk: &Desk, docker: &Docker) -> Result<(), Failure> {
        if std::mem::take(&mut self.containers) {
            desk.lay_containers(container::list(docker).await?);
        }
        if std::mem::take(&mut self.images) {
            desk.lay_images(image::list(docker).await?);
        }
        Ok(())
    }
}
