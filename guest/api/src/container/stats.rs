//! `GET /containers/{id}/stats`.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use berth_engine::stats::{Measured, Sample};
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::stats::{StatsQuery, line};

/// Between two samples.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn stats(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<StatsQuery>,
) -> Result<Response, Failure> {
    let measured = engine.measure(&name)?;
    let body =
        if query.stream() { follow(measured) } else { Body::from(once(&measured, query.one_shot).await) };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// One sample; unless the client is in a hurry, after another one, so that it can tell a rate.
async fn once(measured: &Measured, one_shot: bool) -> Vec<u8> {
    let mut before = None;
    if !one_shot {
        before = measured.sample().await;
        if before.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    line(measured, measured.sample().await.as_ref(), before.as_ref())
}

/// A sample a second until the container is removed.
fn follow(measured: Measured) -> Body {
    let start: (Option<Sample>, Instant) = (None, Instant::now());
    let lines = stream::unfold((measured, start), |(measured, (before, due))| async move {
        sleep_until(due).await;
        if measured.is_gone() {
            return None;
        }
        let sample = measured.sample().await;
        let line = line(&measured, sample.as_ref(), before.as_ref());
        Some((Ok::<_, Infallible>(line), (measured, (sample, due.max(Instant::now() - PAUSE) + PAUSE))))
    });
    Body::from_stream(lines)
}
