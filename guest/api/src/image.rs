//! The routes of images. An image's name has slashes, so what follows it is split off here.

pub(crate) mod auth;
mod commit;
mod distribution;
mod load;
mod pull;
mod search;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::error::{self, Failure};
use crate::prune;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::image::{
    AboutQuery, Deleted, HistoryItem, Inspect, ListQuery, RemoveQuery, Summary, TagQuery,
};
use crate::wire::{self, query};

/// The first minor version without a `filter` beside `filters`.
const HAS_REFERENCE_FILTER: u16 = 41;
/// The first minor version that tells what images share.
const TELLS_SHARED: u16 = 42;
/// The first minor version in which an image without names has none.
const HAS_NAMELESS: u16 = 43;
/// The first minor version without `VirtualSize`.
const HAS_ONE_SIZE: u16 = 44;
/// The first minor versions that choose among an image's platforms: for its history and archive, and to tell of it.
const HAS_PLATFORMS: u16 = 48;
const INSPECT_HAS_PLATFORMS: u16 = 49;
/// The first minor version that counts an image's containers.
const COUNTS_CONTAINERS: u16 = 51;

/// Every route of an image.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/images/json", get(list))
        .route("/commit", post(commit::commit))
        .route("/images/create", post(pull::create))
        .route("/images/prune", post(prune::images))
        .route("/images/load", post(load::load))
        .route("/images/get", get(load::save))
        .route("/images/search", get(search::search))
        .route("/auth", post(auth::login))
        .route("/images/{*rest}", get(about).post(act).delete(remove))
        .route("/distribution/{*rest}", get(distribution::inspect))
}

async fn list(
    State(engine): State<Shared>,
    version: ApiVersion,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Summary>>, Failure> {
    let mut filters = query::filters(query.filters.as_deref())?;
    if version.is_before(HAS_REFERENCE_FILTER) && !query.filter.is_empty() {
        filters.set("reference", &query.filter);
    }
    let users = engine.image_users();
    let images = engine.images(&filters, query.all)?;
    let count = |id: &str| users.get(id).copied().unwrap_or_default();
    let mut summaries: Vec<_> =
        images.iter().map(|image| Summary::new(image, count(&image.id.to_string()))).collect();
    if query.shared_size && !version.is_before(TELLS_SHARED) {
        let shared = engine.shared_sizes();
        for (image, summary) in images.iter().zip(&mut summaries) {
            summary.tell_shared(shared.get(&image.id.to_string()).copied().unwrap_or_default());
        }
    }
    if version.is_before(HAS_NAMELESS) {
        summaries.iter_mut().for_each(Summary::name_nameless);
    }
    if version.is_before(HAS_ONE_SIZE) {
        summaries.iter_mut().for_each(Summary::repeat_size);
    }
    if version.is_before(COUNTS_CONTAINERS) {
        summaries.iter_mut().for_each(Summary::hide_containers);
    }
    Ok(Json(summaries))
}

/// `GET /images/{name}/json|history|get`.
async fn about(
    State(engine): State<Shared>,
    version: ApiVersion,
    Path(rest): Path<String>,
    Query(query): Query<AboutQuery>,
) -> Result<Response, Failure> {
    let wanted = |since: u16| {
        let asked = query.platform.as_deref().filter(|_| !version.is_before(since));
        wire::image::platform(asked)
    };
    match rest.rsplit_once('/') {
        Some((name, "json")) => {
            let platform = wanted(INSPECT_HAS_PLATFORMS)?;
            let mut image = Inspect::new(&engine.image_for(name, platform.as_deref())?);
            if version.is_before(HAS_ONE_SIZE) {
                image.repeat_size();
            }
            Ok(Json(image).into_response())
        }
        Some((name, "history")) => {
            let platform = wanted(HAS_PLATFORMS)?;
            let history = engine.image_history(&engine.image_for(name, platform.as_deref())?);
            Ok(Json(history.into_iter().map(HistoryItem::from).collect::<Vec<_>>()).into_response())
        }
        Some((name, "get")) => load::archive(engine, vec![name.to_owned()], wanted(HAS_PLATFORMS)?),
        _ => Ok(error::page_not_found().await.into_response()),
    }
}

/// `POST /images/{name}/tag|push`.
async fn act(
    State(engine): State<Shared>,
    Path(rest): Path<String>,
    Query(query): Query<TagQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    match rest.rsplit_once('/') {
        Some((name, "tag")) => {
            engine.tag(name, &query.repo, &query.tag)?;
            Ok(StatusCode::CREATED.into_response())
        }
        Some((name, "push")) => pull::push(engine, name, &query, &headers).await,
        _ => Ok(error::page_not_found().await.into_response()),
    }
}

async fn remove(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<Json<Vec<Deleted>>, Failure> {
    let work = move || engine.remove_image(&name, query.force, query.noprune);
    let removed = tokio::task::spawn_blocking(work).await.map_err(berth_engine::Error::from)??;
    Ok(Json(removed.into_iter().map(Deleted::from).collect()))
}
