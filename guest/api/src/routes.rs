//! The route table: which request calls what.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use berth_engine::Engine;

use crate::{error, ping, version};

/// The whole API. Paths stand without their version: [`version::strip`] takes it off first.
pub fn router(engine: Arc<Engine>) -> Router {
    let routes = Router::new()
        .route("/_ping", get(ping::ping).head(ping::ping))
        .fallback(error::page_not_found)
        .with_state(engine);
    version::strip(routes)
}
