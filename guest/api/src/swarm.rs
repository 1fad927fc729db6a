//! Swarm mode and plugins, as an engine answers that is in no swarm and has none. Clients ask on the way to other
//! things: `docker info`, `docker service ls`, a test that leaves whatever swarm there may be.

use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::routes::Shared;

/// dockerd's words to whoever asks a manager.
const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                          this node to swarm and try again.";

/// Every route of swarm mode and plugins.
pub(crate) fn routes() -> Router<Shared> {
    let mut routes = Router::new()
        .route(
            "/swarm/leave",
            post(async |_: Bytes| Failure::unavailable("This node is not part of a swarm")),
        )
        .route("/swarm/init", post(not_yet))
        .route("/swarm/join", post(not_yet))
        .route("/plugins", get(async || Json(json!([]))))
        .route("/plugins/{*name}", get(plugin));
    for resource in ["swarm", "services", "tasks", "nodes", "secrets", "configs"] {
        for path in [format!("/{resource}"), format!("/{resource}/{{*rest}}")] {
            routes = routes.route(&path, any(async |_: Bytes| Failure::unavailable(NO_MANAGER)));
        }
    }
    routes
}

/// The body is heard to its end: a client that is still speaking when the connection closes doesn't read the answer.
async fn not_yet(_: Bytes) -> Failure {
    Failure::not_implemented("swarm mode is not supported by this engine yet")
}

/// A plugin, of which there is none.
async fn plugin(Path(name): Path<String>) -> Result<Json<Value>, Failure> {
    let name = name.trim_end_matches("/json");
    Err(Failure::not_found(format!("plugin {name:?} not found")))
}
