//! The routes of builds.

mod classic;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use berth_builder::buildkit::BuildKit;
use berth_builder::{Builder, Prune, Surroundings};
use berth_engine::Engine;
use serde_json::{Value, json};

use crate::error::Failure;
use crate::routes::Shared;
use crate::wire::build::PruneQuery;
use crate::wire::query;

/// Opens the engine's builder, which shares its images and networks.
pub(crate) fn open(engine: &Engine) -> Result<Arc<Builder>, berth_builder::Error> {
    let config = engine.config();
    let folder = |root: &PathBuf| root.join("builder");
    Builder::open(Surroundings {
        data_root: folder(&config.data_root),
        exec_root: folder(&config.exec_root),
        store: engine.image_store().clone(),
        registries: engine.registries().clone(),
        networks: engine.shared_networks(),
        cgroups: engine.cgroups().clone(),
        cgroup_parent: format!("{}-builds", config.cgroup_parent.trim_end_matches('/')),
        runtime_program: config.guard_program.with_file_name("berth-runtime"),
    })
}

/// Every route of a build.
pub(crate) fn routes(engine: &Arc<Engine>, builder: Arc<Builder>) -> Router<Shared> {
    let told = engine.clone();
    let kit = BuildKit::new(builder.clone(), Arc::new(move |id, names| told.tell_built(id, names)));
    Router::new()
        // A context is as long as it is.
        .route("/build", post(classic::build).layer(DefaultBodyLimit::disable()))
        .route("/build/prune", post(prune))
        .route("/build/cancel", post(cancel))
        .route("/session", post(session::session))
        .route("/grpc", post(session::grpc))
        .layer(Extension(builder))
        .layer(Extension(kit))
}

async fn prune(
    State(_engine): State<Shared>,
    Extension(builder): Extension<Arc<Builder>>,
    Query(query): Query<PruneQuery>,
) -> Result<Json<Value>, Failure> {
    let filters = query::filters(query.filters.as_deref())?;
    if let Some(key) = filters.unknown(&[
        "until",
        "unused-for",
        "id",
        "type",
        "inuse",
        "parent",
        "description",
        "shared",
        "private",
        "label",
    ]) {
        return Err(Failure::bad_request(format!("invalid filter '{key}'")));
    }
    let first = |key: &str| filters.values(key).and_then(|values| values.first()).cloned();
    let unused_for = match first("until").or_else(|| first("unused-for")) {
        Some(text) => Some(query::age(&text)?),
        None => None,
    };
    let all = |key: &str| filters.values(key).map(<[String]>::to_vec).unwrap_or_default();
    let keep_bytes = query.reserved_space.or(query.keep_storage).unwrap_or(0);
    let wish = Prune {
        all: query.all,
        keep_bytes: u64::try_from(keep_bytes).unwrap_or(0),
        unused_for,
        ids: all("id"),
        kinds: all("type"),
    };
    let pruned = tokio::task::spawn_blocking(move || builder.prune(&wish));
    let pruned = pruned.await.map_err(berth_builder::Error::from)??;
    let ids: Vec<&str> = pruned.removed.iter().map(|usage| usage.id.as_str()).collect();
    Ok(Json(json!({ "CachesDeleted": ids, "SpaceReclaimed": pruned.freed })))
}

/// A classic build is cancelled by closing its connection; builds of a session are the session's.
async fn cancel() -> Result<(), Failure> {
    Err(Failure::bad_request("no build with this id: close the build's connection to cancel it"))
}
