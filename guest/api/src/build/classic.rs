//! `POST /build`: a context in, dockerd's stream of texts out.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use berth_builder::Builder;
use berth_builder::classic::{Input, Lines};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::Failure;
use crate::image::auth;
use crate::routes::Shared;
use crate::transfer;
use crate::wire::build::BuildQuery;

pub(super) async fn build(
    State(engine): State<Shared>,
    Extension(builder): Extension<Arc<Builder>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let query = BuildQuery::parse(uri.query().unwrap_or_default())?;
    let options = query.options(auth::all_credentials(&headers)?)?;
    let input = match query.remote.as_str() {
        "" | "client-session" => Input::Archive(Box::new(transfer::upload(body).0)),
        url => Input::Remote(url.to_owned()),
    };
    let (sender, mut lines) = mpsc::unbounded_channel::<Value>();
    let cancel = CancellationToken::new();
    // The answer holds it: a client that leaves drops the answer, and the build with it.
    let attended = cancel.clone().drop_guard();
    let task = tokio::spawn(async move {
        let say: Lines = Arc::new(move |line| drop(sender.send(line)));
        let tags = options.tags.clone();
        let id = builder.build_classic(input, options, query.quiet, say, cancel).await?;
        engine.tell_built(&id, &tags);
        Ok::<_, berth_builder::Error>(())
    });
    let Some(first) = lines.recv().await else {
        task.await.map_err(berth_builder::Error::from)??;
        return Ok(([(CONTENT_TYPE, "application/json")], Body::empty()).into_response());
    };
    let rest = stream::unfold((lines, attended), |(mut lines, attended)| async move {
        Some((lines.recv().await?, (lines, attended)))
    });
    let end = stream::once(async move {
        match task.await.map_err(berth_builder::Error::from) {
            Ok(Ok(())) => None,
            Ok(Err(error)) | Err(error) => Some(error.line()),
        }
    });
    let all = stream::once(async move { first }).chain(rest).chain(end.filter_map(|end| async move { end }));
    let body = Body::from_stream(all.map(|line| Ok::<_, Infallible>(format!("{line}\r\n"))));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}
