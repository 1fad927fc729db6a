//! `POST /containers/prune` and `/images/prune`, and `GET /system/df`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use berth_builder::Builder;
use berth_engine::{Error, List};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::build;
use crate::wire::container::Summary;
use crate::wire::image::{self, Deleted};
use crate::wire::query::{self, FilterQuery};
use crate::wire::volume::Volume;

pub(crate) async fn containers(
    State(engine): State<Shared>,
    Query(query): Query<FilterQuery>,
) -> Result<Json<Value>, Failure> {
    let filters = query::filters(query.filters.as_deref())?;
    let (deleted, reclaimed) = engine.container_prune(&filters).await?;
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(Json(json!({ "ContainersDeleted": deleted, "SpaceReclaimed": reclaimed })))
}

pub(crate) async fn images(
    State(engine): State<Shared>,
    Query(query): Query<FilterQuery>,
) -> Result<Json<Value>, Failure> {
    let filters = query::filters(query.filters.as_deref())?;
    let pruned = tokio::task::spawn_blocking(move || engine.image_prune(&filters));
    let (gone, reclaimed) = pruned.await.map_err(Error::from)??;
    let deleted: Vec<Deleted> = gone.into_iter().map(Deleted::from).collect();
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(Json(json!({ "ImagesDeleted": deleted, "SpaceReclaimed": reclaimed })))
}

/// Without a `type`, everything; with some, only those.
pub(crate) async fn disk_usage(
    State(engine): State<Shared>,
    Extension(builder): Extension<Arc<Builder>>,
    uri: Uri,
) -> Result<Json<Value>, Failure> {
    let wanted = query::all(uri.query().unwrap_or_default(), "type");
    let known = ["container", "image", "volume", "build-cache"];
    if let Some(other) = wanted.iter().find(|kind| !known.contains(&kind.as_str())) {
        return Err(Failure::bad_request(format!("unknown object type: {other}")));
    }
    let wants = |kind: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == kind);
    let mut usage =
        json!({ "LayersSize": 0, "Images": null, "Containers": null, "Volumes": null, "BuildCache": null });
    if wants("container") {
        usage["Containers"] = json!(containers_usage(&engine).await?);
    }
    if wants("image") {
        usage["LayersSize"] = json!(engine.layers_size());
        let images = engine.image_usage();
        usage["Images"] = json!(images.iter().map(image::Summary::with_usage).collect::<Vec<_>>());
    }
    if wants("volume") {
        let shared = engine.clone();
        let volumes =
            tokio::task::spawn_blocking(move || shared.volume_usage()).await.map_err(Error::from)?;
        let volumes = volumes.into_iter().map(|usage| Volume::with_usage(&engine, usage));
        usage["Volumes"] = json!(volumes.collect::<Vec<_>>());
    }
    if wants("build-cache") {
        let records =
            tokio::task::spawn_blocking(move || builder.usage()).await.map_err(berth_builder::Error::from)?;
        usage["BuildCache"] = records.iter().map(build::record).collect();
    }
    Ok(Json(usage))
}

async fn containers_usage(engine: &Shared) -> Result<Vec<Summary>, Failure> {
    let now = Timestamp::now();
    let mut summaries = Vec::new();
    for record in engine.list(&List { all: true, ..List::default() })? {
        let sizes = engine.sizes(&record.id).await.ok();
        let open = engine.open_ports(&record);
        summaries.push(Summary::new(record, &open, sizes, now));
    }
    Ok(summaries)
}
