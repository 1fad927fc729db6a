//! `POST /containers/{id}/wait`: the head of the answer comes at once, so that a client knows the wait has begun
//! before it starts the container; the body comes with the exit.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use berth_engine::Condition;
use futures_util::stream;

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::container::{VerbQuery, WaitResponse};

/// The first minor version with conditions.
const HAS_CONDITIONS: u16 = 30;

pub(super) async fn wait(
    State(engine): State<Shared>,
    version: ApiVersion,
    Path(name): Path<String>,
    Query(query): Query<VerbQuery>,
) -> Result<Response, Failure> {
    let condition = match query.condition.as_str() {
        _ if version.is_before(HAS_CONDITIONS) => Condition::NotRunning,
        "" | "not-running" => Condition::NotRunning,
        "next-exit" => Condition::NextExit,
        "removed" => Condition::Removed,
        other => return Err(Failure::bad_request(format!("invalid condition: \"{other}\""))),
    };
    let waiting = engine.wait(&name, condition)?;
    let answer = stream::once(async move {
        let mut text = serde_json::to_vec(&WaitResponse { status_code: waiting.done().await })?;
        text.push(b'\n');
        Ok::<_, serde_json::Error>(text)
    });
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(answer)).into_response())
}
