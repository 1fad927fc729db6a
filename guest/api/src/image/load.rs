//! `POST /images/load` and `GET /images/get`: images as archives.

use std::io::{self, Write};

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use berth_engine::Error;
use berth_engine::images::Loaded;
use bytes::Bytes;
use futures_util::stream::{self, TryStreamExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::error::Failure;
use crate::progress;
use crate::routes::Shared;
use crate::wire::image::{LoadQuery, SaveQuery};

/// Chunks of an archive that wait for a slow client.
const BACKLOG: usize = 16;

pub(super) async fn load(
    State(engine): State<Shared>,
    Query(query): Query<LoadQuery>,
    request: Request,
) -> Result<Response, Failure> {
    let body = request.into_body().into_data_stream().map_err(io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(body)));
    progress::answer(move |lines| async move {
        let work = move || {
            let mut report = |step| {
                if !query.quiet {
                    drop(lines.send(progress::line(&step)));
                }
            };
            let loaded = engine.load(reader, &mut report)?;
            for item in loaded {
                let what = match item {
                    Loaded::Name(name) => format!("Loaded image: {name}\n"),
                    Loaded::Id(id) => format!("Loaded image ID: {id}\n"),
                };
                drop(lines.send(json!({ "stream": what })));
            }
            Ok(())
        };
        tokio::task::spawn_blocking(work).await?
    })
    .await
}

pub(super) async fn save(State(engine): State<Shared>, uri: axum::http::Uri) -> Result<Response, Failure> {
    let SaveQuery { names } = SaveQuery::parse(uri.query().unwrap_or_default());
    if names.is_empty() {
        return Err(Failure::bad_request("no image was named"));
    }
    for name in &names {
        engine.image(name)?;
    }
    Ok(archive(engine, names))
}

/// The archive of images that are there. It is made while it is sent; a failure cuts it off.
pub(super) fn archive(engine: Shared, names: Vec<String>) -> Response {
    let (sender, chunks) = mpsc::channel::<io::Result<Bytes>>(BACKLOG);
    tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::with_capacity(64 << 10, Sender(sender.clone()));
        let saved = engine.save(&names, &mut writer);
        let flushed = writer.flush();
        if let Err(error) = saved.and(flushed.map_err(|source| Error::Log { source })) {
            tracing::warn!(error = &error as &dyn std::error::Error, "an archive was cut off");
            drop(sender.blocking_send(Err(io::Error::other("the archive is incomplete"))));
        }
    });
    let chunks = stream::unfold(chunks, |mut chunks| async move { Some((chunks.recv().await?, chunks)) });
    ([(CONTENT_TYPE, "application/x-tar")], Body::from_stream(chunks)).into_response()
}

/// Hands bytes from a thread that blocks to a response.
struct Sender(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
