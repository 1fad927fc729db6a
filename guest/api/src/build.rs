//! The routes of builds.

mod classic;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use berth_builder::buildkit::BuildKit;
use berth_builder::{Builder, Filter, Prune, Settings, Surroundings};
use berth_engine::{Engine, Filters};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::build::PruneQuery;
use crate::wire::query;

/// What a prune may be limited by.
const FILTERS: &[&str] = &[
    "until",
    "unused-for",
    "id",
    "parent",
    "type",
    "description",
    "inuse",
    "shared",
    "private",
    "label",
    "label!",
];

/// Opens the engine's builder, which shares its images and networks.
pub(crate) fn open(engine: &Engine, settings: Settings) -> Result<Arc<Builder>, berth_builder::Error> {
    let config = engine.config();
    let folder = |root: &PathBuf| root.join("builder");
    Builder::open(Surroundings {
        data_root: folder(&config.data_root),
        exec_root: folder(&config.exec_root),
        store: engine.image_store().clone(),
        registries: engine.registries().clone(),
        networks: engine.shared_networks(),
        cgroups: engine.cgroups().clone(),
        cgroup_parent: config.builds_cgroup(),
        runtime_program: config.guard_program.with_file_name("berth-runtime"),
        settings,
    })
}

/// Every route of a build.
pub(crate) fn routes(engine: &Arc<Engine>, builder: &Arc<Builder>) -> Router<Shared> {
    let told = engine.clone();
    let kit = BuildKit::new(builder.clone(), Arc::new(move |id, names| told.tell_built(id, names)));
    Router::new()
        // A context is as long as it is.
        .route("/build", post(classic::build).layer(DefaultBodyLimit::disable()))
        .route("/build/prune", post(prune))
        .route("/build/cancel", post(cancel))
        .route("/session", post(session::session))
        .route("/grpc", post(session::grpc))
        .route("/moby.buildkit.v1.Control/{method}", post(session::call))
        .route("/moby.buildkit.v1.frontend.LLBBridge/{method}", post(session::call))
        .route("/grpc.health.v1.Health/{method}", post(session::call))
        .layer(Extension(kit))
}

async fn prune(
    State(engine): State<Shared>,
    Extension(builder): Extension<Arc<Builder>>,
    Query(query): Query<PruneQuery>,
) -> Result<Json<Value>, Failure> {
    let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
    let given = query::filters(query.filters.as_deref())?;
    let refused = |failure: Failure| failure.during("failed to prune build cache");
    let (unused_for, filters) = conditions(&given).map_err(refused)?;
    let wish = Prune {
        all: query.all,
        reserved: number(query.reserved_space.or(query.keep_storage)),
        most: number(query.max_used_space),
        free: number(query.min_free_space),
        unused_for,
        filters,
    };
    let pruned = tokio::task::spawn_blocking(move || builder.prune(&wish));
    let pruned = pruned.await.map_err(berth_builder::Error::from).and_then(|done| done);
    let pruned = pruned.map_err(|error| refused(error.into()))?;
    engine.tell_pruned("builder", pruned.freed);
    let ids: Vec<&str> = pruned.removed.iter().map(|usage| usage.id.as_str()).collect();
    Ok(Json(json!({ "CachesDeleted": ids, "SpaceReclaimed": pruned.freed })))
}

/// What a prune's filters say, in dockerd's words where they make no sense: an age, and conditions on records.
fn conditions(given: &Filters) -> Result<(Option<Duration>, Vec<Filter>), Failure> {
    if let Some(key) = given.unknown(FILTERS) {
        return Err(Failure::bad_request(format!("invalid filter '{key}'")));
    }
    let (mut age, mut filters) = (None, Vec::new());
    for key in FILTERS {
        let (name, operator) = match *key {
            "id" => ("id", "~="),
            "label!" => ("label", "!="),
            key => (key, "=="),
        };
        match (*key, given.values(key)) {
            (_, None) => {}
            ("until" | "unused-for", Some([text])) if age.is_none() => {
                age = Some(query::age(key, text)?);
            }
            ("until" | "unused-for", Some([_])) => {
                return Err(Failure::bad_request("conflicting filters: \"until\" and \"unused-for\""));
            }
            // Records have no labels, so that several say no more than one.
            ("label" | "label!", Some([value, ..])) | (_, Some([value])) => {
                let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
                filters.push(Filter::new(&format!("{name}{operator}\"{quoted}\""))?);
            }
            _ => return Err(Failure::bad_request("filters expect only one value")),
        }
    }
    Ok((age, filters))
}

/// A classic build is cancelled by closing its connection; builds of a session are the session's.
async fn cancel() -> Result<(), Failure> {
    Err(Failure::bad_request("no build with this id: close the build's connection to cancel it"))
}
