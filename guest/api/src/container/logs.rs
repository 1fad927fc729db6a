//! `GET /containers/{id}/logs`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use berth_engine::{LogLine, LogOptions};
use futures_util::stream;
use jiff::Timestamp;

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::container::StreamQuery;
use crate::wire::query::moment;
use crate::{hijack, multiplex};

pub(super) async fn logs(
    State(engine): State<Shared>,
    version: ApiVersion,
    Path(name): Path<String>,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Failure> {
    if !query.stdout && !query.stderr {
        return Err(Failure::bad_request("Bad parameters: you must choose at least one stream"));
    }
    let nanoseconds = |text: Option<&str>| -> Result<Option<u64>, Failure> {
        let at = moment(text)?;
        // What lies beyond the range of a log's times is before all of them, or after.
        Ok(at.map(|at| u64::try_from(at.as_nanosecond().max(0)).unwrap_or(u64::MAX)))
    };
    let tail = match query.tail.as_deref() {
        None | Some("" | "all") => None,
        // Docker takes what isn't a number for everything.
        Some(text) => text.parse::<u64>().ok(),
    };
    let logs = engine
        .logs(
            &name,
            LogOptions {
                follow: query.follow,
                stdout: query.stdout,
                stderr: query.stderr,
                since: nanoseconds(query.since.as_deref())?,
                until: nanoseconds(query.until.as_deref())?,
                tail,
            },
        )
        .await?;
    let (timestamps, terminal) = (query.timestamps, logs.terminal);
    let details = query.details.then(|| details(&logs.details));
    let lines = stream::unfold((logs.lines, details), move |(mut lines, details)| async move {
        let mut line = lines.recv().await?;
        if let Some(details) = &details {
            line.bytes.splice(0..0, details.bytes());
        }
        Some((Ok::<_, std::convert::Infallible>(framed(&line, timestamps, terminal)), (lines, details)))
    });
    let kind = [(CONTENT_TYPE, hijack::media_type(version, terminal))];
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// `a=1,b=2 `, escaped as in a query, in front of every line.
fn details(details: &[(String, String)]) -> String {
    let escape = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pairs = details.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    format!("{} ", pairs.collect::<Vec<_>>().join(","))
}

fn framed(line: &LogLine, timestamps: bool, terminal: bool) -> Vec<u8> {
    if !timestamps {
        return multiplex::frame(line.stream, &line.bytes, terminal);
    }
    let at = Timestamp::from_nanosecond(i128::from(line.time)).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut bytes = format!("{at:.9} ").into_bytes();
    bytes.extend_from_slice(&line.bytes);
    multiplex::frame(line.stream, &bytes, terminal)
}
