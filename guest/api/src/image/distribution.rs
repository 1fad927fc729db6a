//! `GET /distribution/{name}/json`: what a registry has under a name.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::auth;
use crate::error::{self, Failure};
use crate::routes::Shared;

pub(super) async fn inspect(
    State(engine): State<Shared>,
    Path(rest): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Some(name) = rest.strip_suffix("/json") else { return Err(error::page_not_found().await) };
    let remote = engine.inspect_remote(name, auth::credentials(&headers)?.as_ref()).await?;
    let platforms = remote.platforms.iter().map(|platform| {
        let mut shown = json!({ "architecture": platform.architecture, "os": platform.os });
        if !platform.variant.is_empty() {
            shown["variant"] = json!(platform.variant);
        }
        shown
    });
    Ok(Json(json!({
        "Descriptor": { "mediaType": remote.media_type, "digest": remote.digest.to_string(), "size": remote.size },
        "Platforms": platforms.collect::<Vec<_>>(),
    })))
}
