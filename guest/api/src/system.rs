//! The routes of the engine itself.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use crate::routes::Shared;
use crate::wire::system;
use crate::{events, ping, prune};

/// Every route of the engine itself.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/_ping", get(ping::ping).head(ping::ping))
        .route("/version", get(version))
        .route("/info", get(info))
        .route("/system/df", get(prune::disk_usage))
        .route("/events", get(events::events))
}

async fn version(State(engine): State<Shared>) -> Json<Value> {
    Json(system::version(&engine.info()))
}

async fn info(State(engine): State<Shared>) -> Json<Value> {
    let now = jiff::Timestamp::now().to_string();
    Json(system::info(&engine.info(), &engine.settings(), &engine.config().data_root, &now))
}
