//! Progress streams: one JSON object per line while something takes its time, an error as the last line.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use berth_engine::Error;
use berth_engine::images::Progress;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Failure, with_causes};

/// Where a long operation tells how far it is. A client that doesn't read must not hold the operation up, and what
/// an operation says is small: so no limit.
pub(crate) type Lines = mpsc::UnboundedSender<Value>;

/// Runs `work` on its own, so that it goes on when the client leaves, and answers with what it says. An error
/// before its first line is a plain failure; a later one is the last line.
pub(crate) async fn answer<F>(work: impl FnOnce(Lines) -> F) -> Result<Response, Failure>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, mut lines) = mpsc::unbounded_channel();
    let task = tokio::spawn(work(sender));
    let Some(first) = lines.recv().await else {
        task.await.map_err(Error::from)??;
        return Ok(with_kind(Body::empty()));
    };
    Ok(streamed(Some(first), lines, task))
}

/// Like [`answer`], but an error is always the last line: the answer of a request that dockerd answers before it works.
pub(crate) fn answer_at_once<F>(work: impl FnOnce(Lines) -> F) -> Response
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, lines) = mpsc::unbounded_channel();
    streamed(None, lines, tokio::spawn(work(sender)))
}

fn streamed(
    first: Option<Value>,
    lines: mpsc::UnboundedReceiver<Value>,
    task: JoinHandle<Result<(), Error>>,
) -> Response {
    let rest = stream::unfold(lines, |mut lines| async move { Some((lines.recv().await?, lines)) });
    let end = stream::once(async move {
        let error = match task.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => with_causes(&error),
            Err(error) => error.to_string(),
        };
        Some(json!({ "errorDetail": { "message": error }, "error": error }))
    });
    let all = stream::iter(first).chain(rest).chain(end.filter_map(|end| async move { end }));
    with_kind(Body::from_stream(all.map(|line| Ok::<_, std::convert::Infallible>(format!("{line}\r\n")))))
}

fn with_kind(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A progress report as Docker writes it.
pub(crate) fn line(progress: &Progress) -> Value {
    let mut line = json!({ "status": progress.status });
    if !progress.id.is_empty() {
        line["id"] = json!(progress.id);
    }
    if let Some(detail) = progress.detail {
        line["progressDetail"] = match detail.total {
            0 => json!({ "current": detail.current }),
            total => json!({ "current": detail.current, "total": total }),
        };
    } else if !progress.id.is_empty() {
        line["progressDetail"] = json!({});
    }
    line
}
