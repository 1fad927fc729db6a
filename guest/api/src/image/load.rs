//! `POST /images/load` and `GET /images/get`: images as archives.

use axum::extract::{Request, State};
use axum::response::Response;
use berth_engine::Error;
use berth_engine::images::Loaded;
use serde_json::json;

use super::HAS_PLATFORMS;
use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::image::{LoadQuery, SaveQuery, platform};
use crate::{progress, transfer};

pub(super) async fn load(
    State(engine): State<Shared>,
    version: ApiVersion,
    Query(query): Query<LoadQuery>,
    request: Request,
) -> Result<Response, Failure> {
    let asked = SaveQuery::parse(request.uri().query().unwrap_or_default()).platforms;
    let platform = if version.is_before(HAS_PLATFORMS) { None } else { only(&asked)? };
    let (reader, _) = transfer::upload(request.into_body());
    Ok(progress::answer_at_once(move |lines| async move {
        let work = move || {
            let mut report = |step| {
                if !query.quiet {
                    drop(lines.send(progress::line(&step)));
                }
            };
            let loaded = engine.load(reader, platform.as_deref(), &mut report)?;
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
    }))
}

/// The platform that is asked for, of which there may be one.
fn only(platforms: &[String]) -> Result<Option<String>, Failure> {
    if platforms.len() > 1 {
        return Err(Failure::bad_request("multiple platform parameters not supported"));
    }
    platform(platforms.first().map(String::as_str))
}

pub(super) async fn save(State(engine): State<Shared>, uri: axum::http::Uri) -> Result<Response, Failure> {
    let SaveQuery { names, platforms } = SaveQuery::parse(uri.query().unwrap_or_default());
    if names.is_empty() {
        return Err(Failure::bad_request("no image was named"));
    }
    archive(engine, names, only(&platforms)?)
}

/// The archive of images, which must be there, and this platform's if one is given.
pub(super) fn archive(
    engine: Shared,
    names: Vec<String>,
    platform: Option<String>,
) -> Result<Response, Failure> {
    let chosen = engine.choose_to_save(&names, platform.as_deref()).map_err(|error| match error {
        Error::WrongPlatform { wanted, .. } => {
            Failure::not_found(format!("no suitable export target found for platform {wanted}"))
        }
        error => error.into(),
    })?;
    Ok(transfer::download("application/x-tar", move |writer| engine.save(&chosen, writer)))
}
