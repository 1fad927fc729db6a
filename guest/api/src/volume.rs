//! The routes of volumes.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use berth_engine::VolumeWish;

use crate::body;
use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::query;
use crate::wire::volume::{CreateRequest, List, ListQuery, Pruned, Volume};

/// The first minor version that prunes anonymous volumes alone, unless told otherwise.
const PRUNES_ANONYMOUS: u16 = 42;

/// Every route of a volume.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove).put(update))
}

async fn list(State(engine): State<Shared>, Query(query): Query<ListQuery>) -> Result<Json<List>, Failure> {
    let volumes = engine.volumes(&query::filters(query.filters.as_deref())?)?;
    let volumes = volumes.into_iter().map(|volume| Volume::new(&engine, volume)).collect();
    Ok(Json(List { volumes, warnings: None }))
}

async fn create(State(engine): State<Shared>, body: Bytes) -> Result<(StatusCode, Json<Volume>), Failure> {
    let request: CreateRequest = body::json(&body)?;
    let wish = VolumeWish {
        name: request.name.unwrap_or_default(),
        driver: request.driver.unwrap_or_default(),
        options: request.driver_opts.unwrap_or_default(),
        labels: request.labels.unwrap_or_default(),
    };
    let volume = engine.volume_create(wish)?;
    Ok((StatusCode::CREATED, Json(Volume::new(&engine, volume))))
}

async fn inspect(State(engine): State<Shared>, Path(name): Path<String>) -> Result<Json<Volume>, Failure> {
    let volume = engine.volume(&name)?;
    Ok(Json(Volume::new(&engine, volume)))
}

/// Only a swarm's volumes change after they were made.
async fn update(_: Bytes) -> Failure {
    Failure::unavailable("volume update only valid for cluster volumes, but swarm is unavailable")
}

async fn remove(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<StatusCode, Failure> {
    engine.volume_remove(&name, query.force)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn prune(
    State(engine): State<Shared>,
    version: ApiVersion,
    Query(query): Query<ListQuery>,
) -> Result<Json<Pruned>, Failure> {
    let mut filters = query::filters(query.filters.as_deref())?;
    if version.is_before(PRUNES_ANONYMOUS) {
        filters.set("all", "true");
    }
    let (volumes_deleted, space_reclaimed) = engine.volume_prune(&filters)?;
    Ok(Json(Pruned { volumes_deleted, space_reclaimed }))
}
