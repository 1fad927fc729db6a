//! The route table: which request calls what. A resource's routes stand at the top of its module.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router};
use berth_engine::Engine;

use crate::{body, build, builds, container, error, exec, image, network, swarm, system, version, volume};

/// What every handler gets.
pub(crate) type Shared = Arc<Engine>;

/// The whole API of an engine, and of the builder beside it, for which `builds` are the settings. Paths stand without
/// their version: [`version::strip`] takes it off first.
///
/// # Errors
/// When the builder can't be opened beside the engine.
pub fn router(engine: Arc<Engine>, builds: builds::Settings) -> Result<Router, berth_builder::Error> {
    let builder = build::open(&engine, builds)?;
    let routes = Router::new()
        .merge(system::routes())
        .merge(container::routes())
        .merge(exec::routes())
        .merge(image::routes())
        .merge(build::routes(&engine, &builder))
        .merge(volume::routes())
        .merge(network::routes())
        .merge(swarm::routes())
        .fallback(error::page_not_found)
        .method_not_allowed_fallback(error::page_not_found)
        .layer(Extension(builder))
        .layer(DefaultBodyLimit::max(body::LONGEST))
        .with_state(engine);
    Ok(version::strip(routes))
}
