//! `POST /containers/{id}/update`, and `GET /containers/{id}/top`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::body;
use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::container::{TopQuery, UpdateRequest};

pub(super) async fn update(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let UpdateRequest { resources, restart_policy } = body::json(&body)?;
    let warnings = engine.update(&name, resources, restart_policy).await?;
    Ok(Json(json!({ "Warnings": warnings })))
}

pub(super) async fn top(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<TopQuery>,
) -> Result<Json<Value>, Failure> {
    let top = engine.top(&name, &query.ps_args).await?;
    Ok(Json(json!({ "Titles": top.titles, "Processes": top.processes })))
}
