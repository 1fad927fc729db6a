//! `POST /images/create` (pull) and `POST /images/{name}/push`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use berth_engine::images::Pushed;
use serde_json::json;

use super::auth;
use crate::error::Failure;
use crate::progress;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::archive::CommitQuery;
use crate::wire::image::{CreateQuery, TagQuery, platform};

pub(super) async fn create(
    State(engine): State<Shared>,
    Query(query): Query<CreateQuery>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Failure> {
    if !query.from_src.is_empty() {
        let changes = CommitQuery::parse(uri.query().unwrap_or_default()).changes;
        return super::commit::import(engine, query, changes, body).await;
    }
    if query.from_image.is_empty() {
        return Err(Failure::bad_request("invalid reference format"));
    }
    let credentials = auth::credentials(&headers)?;
    let separator = if query.tag.contains(':') { "@" } else { ":" };
    let name = match query.tag.as_str() {
        "" => query.from_image,
        tag => format!("{}{separator}{tag}", query.from_image),
    };
    progress::answer(move |lines| async move {
        let report = |step| drop(lines.send(progress::line(&step)));
        let platform = Some(query.platform.as_str()).filter(|platform| !platform.is_empty());
        engine.pull(&name, platform, credentials.as_ref(), &report).await?;
        Ok(())
    })
    .await
}

pub(super) async fn push(
    engine: Shared,
    name: &str,
    query: &TagQuery,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let credentials = auth::credentials(headers)?;
    let tag = query.tag.as_str();
    let name = if tag.is_empty() { name.to_owned() } else { format!("{name}:{tag}") };
    if let Some(platform) = platform(query.platform.as_deref())? {
        engine.image_for(&name, Some(&platform))?;
    }
    progress::answer(move |lines| async move {
        let report = |step| drop(lines.send(progress::line(&step)));
        let pushed = |tag: &str, pushed: Pushed| {
            let aux = json!({ "Tag": tag, "Digest": pushed.digest.to_string(), "Size": pushed.size });
            drop(lines.send(json!({ "progressDetail": {}, "aux": aux })));
        };
        engine.push(&name, credentials.as_ref(), &report, &pushed).await
    })
    .await
}
