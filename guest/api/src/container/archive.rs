//! `/containers/{id}/archive`: `docker cp`; `/containers/{id}/export` and `/changes`.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use berth_engine::ExtractOptions;

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::transfer;
use crate::wire::archive::{ArchiveQuery, Change, PathStat};

/// Tells about a path beside its archive.
const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

pub(super) async fn stat(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<ArchiveQuery>,
) -> Result<Response, Failure> {
    let stat = engine.archive_stat(&name, query.path()?).await?;
    Ok([(STAT, header(stat)?)].into_response())
}

pub(super) async fn get(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<ArchiveQuery>,
) -> Result<Response, Failure> {
    let archive = engine.archive(&name, query.path()?).await?;
    let stat = header(archive.stat.clone())?;
    let mut response = transfer::download("application/x-tar", move |writer| archive.write(writer));
    response.headers_mut().insert(STAT, stat);
    Ok(response)
}

pub(super) async fn put(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<ArchiveQuery>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let options = ExtractOptions {
        no_overwrite_dir_non_dir: query.no_overwrite_dir_non_dir,
        copy_uid_gid: query.copy_uid_gid,
    };
    let path = query.path()?;
    let (archive, leftover) = transfer::upload(request.into_body());
    let extracted = engine.extract(&name, path, options, archive).await;
    if extracted.is_err() {
        leftover.drained().await;
    }
    Ok(extracted.map(|()| StatusCode::OK)?)
}

pub(super) async fn export(
    State(engine): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let export = engine.export(&name).await?;
    Ok(transfer::download("application/octet-stream", move |writer| export.write(writer)))
}

pub(super) async fn changes(
    State(engine): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Vec<Change>>, Failure> {
    Ok(Json(engine.changes(&name).await?.into_iter().map(Change::from).collect()))
}

fn header(stat: berth_engine::PathStat) -> Result<HeaderValue, Failure> {
    let json = serde_json::to_vec(&PathStat::from(stat)).unwrap_or_default();
    HeaderValue::from_str(&BASE64.encode(json)).map_err(|_| Failure::bad_request("the path can't be told"))
}
