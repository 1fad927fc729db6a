//! The routes of execs.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use berth_engine::Error;
use berth_engine::exec::ExecConfig;
use berth_engine::output::Stream;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::container::{Wanted, converse, size};
use crate::detach_keys::DetachKeys;
use crate::error::Failure;
use crate::hijack::{Connection, Hijack};
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::container::VerbQuery;
use crate::wire::exec::{CreateRequest, Inspect, StartRequest};
use crate::{body, error, multiplex};

/// Every route of an exec.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/containers/{name}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/resize", post(resize))
        .route("/exec/{id}/json", get(inspect))
}

async fn create(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let config: ExecConfig = body::json::<CreateRequest>(&body)?.into();
    DetachKeys::parse(&config.detach_keys)?;
    let id = engine.exec_create(&name, config)?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": id }))).into_response())
}

async fn start(
    State(engine): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, body::LONGEST).await.map_err(error::unreadable)?;
    let hijack = Hijack::of(Request::from_parts(parts, Body::empty()));
    let wish: StartRequest = body::json_or_default(&body)?;
    let exec = engine.exec(&id)?;
    if wish.detach {
        engine.exec_start(&id, wish.console_size).await?;
        return Ok(StatusCode::OK.into_response());
    }
    let keys = DetachKeys::parse(&exec.config.detach_keys)?;
    let mut attached = match engine.exec_start(&id, wish.console_size).await {
        // The client reads why from the stream, and the exit code from inspect, as with Docker.
        Err(refused @ Error::ExecRefused { .. }) => {
            let text = format!("{refused}\r\n");
            return Ok(hijack.answer(wish.tty, move |connection| refuse(text, wish.tty, connection)));
        }
        other => other?,
    };
    let wanted = Wanted { stdout: exec.config.attach_stdout, stderr: exec.config.attach_stderr };
    // Docker frames unless the start, not the exec, has a terminal.
    attached.terminal = wish.tty;
    let keys = Some(keys).filter(|_| exec.config.tty);
    Ok(hijack.answer(wish.tty, move |connection| converse(attached, wanted, keys, connection)))
}

async fn refuse(text: String, terminal: bool, mut connection: Connection) {
    // A client that is gone needs no reason.
    drop(connection.write_all(&multiplex::frame(Stream::Stdout, text.as_bytes(), terminal)).await);
    drop(connection.shutdown().await);
}

async fn resize(
    State(engine): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<VerbQuery>,
) -> Result<Response, Failure> {
    let (rows, columns) = size(&query)?;
    engine.exec_resize(&id, rows, columns).await?;
    Ok(StatusCode::OK.into_response())
}

async fn inspect(State(engine): State<Shared>, Path(id): Path<String>) -> Result<Json<Inspect>, Failure> {
    let exec = engine.exec(&id)?;
    Ok(Json(Inspect::new(&exec)))
}
