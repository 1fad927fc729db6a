//! `POST /commit`, and `POST /images/create?fromSrc=`: images of containers and of root file systems.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use berth_engine::container::config::Config;
use berth_engine::{Commit, Import};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::routes::Shared;
use crate::wire::archive::CommitQuery;
use crate::wire::image::CreateQuery;
use crate::{body, progress, transfer};

pub(super) async fn commit(
    State(engine): State<Shared>,
    uri: Uri,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let query = CommitQuery::parse(uri.query().unwrap_or_default());
    let config: Option<Config> = body::json_or_default(&body)?;
    let wish = Commit {
        repository: query.repo,
        tag: query.tag,
        author: query.author,
        comment: query.comment,
        changes: query.changes,
        pause: query.pause,
        config: config.unwrap_or_default(),
    };
    let image = engine.commit(&query.container, wish).await?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": image.to_string() }))))
}

/// Makes an image of the root file system in the body.
pub(super) async fn import(
    engine: Shared,
    query: CreateQuery,
    changes: Vec<String>,
    body: Body,
) -> Result<Response, Failure> {
    progress::answer(move |lines| async move {
        let wish = Import {
            repository: query.repo,
            tag: query.tag,
            source: query.from_src,
            message: query.message,
            platform: query.platform,
            changes,
        };
        let image = if wish.source == "-" {
            let (archive, _) = transfer::upload(body);
            tokio::task::spawn_blocking(move || engine.import(wish, archive)).await??
        } else {
            let is_whole = wish.source.contains("://");
            let url = if is_whole { wish.source.clone() } else { format!("http://{}", wish.source) };
            drop(lines.send(json!({ "status": format!("Downloading from {url}") })));
            let report = |step| drop(lines.send(progress::line(&step)));
            let archive = engine.download(&url, &report).await?;
            tokio::task::spawn_blocking(move || engine.import(wish, archive)).await??
        };
        drop(lines.send(json!({ "status": image.to_string() })));
        Ok(())
    })
    .await
}
