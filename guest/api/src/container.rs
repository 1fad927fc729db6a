//! The routes of containers.

mod archive;
mod attach;
mod create;
mod list;
mod logs;
mod stats;
mod update;
mod wait;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use berth_engine::Error;
use berth_engine::anatomy::Anatomy;

use crate::error::{self, Failure};
use crate::prune;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::container::{Inspect, InspectQuery, VerbQuery};

pub(crate) use attach::{Wanted, converse};

/// Every route of a container.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/containers/create", post(create::create))
        .route("/containers/json", get(list::list))
        .route("/containers/prune", post(prune::containers))
        .route("/containers/{name}/json", get(inspect))
        .route("/containers/{name}/start", post(start))
        .route("/containers/{name}/stop", post(stop))
        .route("/containers/{name}/restart", post(restart))
        .route("/containers/{name}/kill", post(kill))
        .route("/containers/{name}/pause", post(pause))
        .route("/containers/{name}/unpause", post(unpause))
        .route("/containers/{name}/rename", post(rename))
        .route("/containers/{name}/resize", post(resize))
        .route("/containers/{name}/wait", post(wait::wait))
        .route("/containers/{name}/attach", post(attach::attach))
        .route("/containers/{name}/attach/ws", get(attach::attach_websocket))
        .route("/containers/{name}/logs", get(logs::logs))
        .route("/berth/containers/{name}/anatomy", get(anatomy))
        .route("/containers/{name}/stats", get(stats::stats))
        .route("/containers/{name}/top", get(update::top))
        .route("/containers/{name}/update", post(update::update))
        .route("/containers/{name}/archive", get(archive::get).head(archive::stat).put(archive::put))
        .route("/containers/{name}/export", get(archive::export))
        .route("/containers/{name}/changes", get(archive::changes))
        .route("/containers/{name}/checkpoints", get(no_checkpoints).post(no_checkpoints))
        .route("/containers/{name}/checkpoints/{checkpoint}", delete(no_checkpoints))
        .route("/containers/{name}/{alias}", delete(remove_link))
        .route("/containers/{name}", delete(remove))
}

/// The first minor version in which a stop may name its signal.
const STOPS_BY_SIGNAL: u16 = 42;

type Verb = Query<VerbQuery>;
type Name = Path<String>;

async fn inspect(
    State(engine): State<Shared>,
    Path(name): Name,
    Query(query): Query<InspectQuery>,
) -> Result<Json<Inspect>, Failure> {
    let sizes = if query.size { Some(engine.sizes(&name).await?) } else { None };
    Ok(Json(Inspect::new(engine.inspect(&name)?, sizes)))
}

/// Berth's own: the container, taken apart.
async fn anatomy(State(engine): State<Shared>, Path(name): Path<String>) -> Result<Json<Anatomy>, Failure> {
    Ok(Json(engine.anatomy(&name).await?))
}

async fn start(State(engine): State<Shared>, Path(name): Name) -> Result<StatusCode, Failure> {
    done(engine.start(&name).await)
}

async fn stop(
    State(engine): State<Shared>,
    version: ApiVersion,
    Path(name): Name,
    Query(query): Verb,
) -> Result<StatusCode, Failure> {
    done(engine.stop(&name, stop_signal(version, &query), query.timeout).await)
}

async fn restart(
    State(engine): State<Shared>,
    version: ApiVersion,
    Path(name): Name,
    Query(query): Verb,
) -> Result<StatusCode, Failure> {
    done(engine.restart(&name, stop_signal(version, &query), query.timeout).await)
}

/// The signal to stop with, in versions whose requests have one.
fn stop_signal(version: ApiVersion, query: &VerbQuery) -> Option<&str> {
    query.signal.as_deref().filter(|_| !version.is_before(STOPS_BY_SIGNAL))
}

async fn kill(
    State(engine): State<Shared>,
    Path(name): Name,
    Query(query): Verb,
) -> Result<StatusCode, Failure> {
    done(engine.kill(&name, query.signal.as_deref()).await)
}

async fn pause(State(engine): State<Shared>, Path(name): Name) -> Result<StatusCode, Failure> {
    done(engine.pause(&name).await)
}

async fn unpause(State(engine): State<Shared>, Path(name): Name) -> Result<StatusCode, Failure> {
    done(engine.unpause(&name).await)
}

async fn rename(
    State(engine): State<Shared>,
    Path(name): Name,
    Query(query): Verb,
) -> Result<StatusCode, Failure> {
    done(engine.rename(&name, &query.name).await)
}

async fn resize(
    State(engine): State<Shared>,
    Path(name): Name,
    Query(query): Verb,
) -> Result<Response, Failure> {
    let (rows, columns) = size(&query)?;
    engine.resize(&name, rows, columns).await?;
    Ok(StatusCode::OK.into_response())
}

async fn remove(
    State(engine): State<Shared>,
    Path(name): Name,
    Query(query): Verb,
) -> Result<StatusCode, Failure> {
    if query.link {
        return done(engine.remove_link(&name, "").await);
    }
    done(engine.remove(&name, query.force, query.v).await)
}

/// `DELETE /containers/web/alias?link=1`: the link goes, not the container.
async fn remove_link(
    State(engine): State<Shared>,
    Path((name, alias)): Path<(String, String)>,
    Query(query): Verb,
) -> Result<StatusCode, Failure> {
    if !query.link {
        return Err(error::page_not_found().await);
    }
    done(engine.remove_link(&name, &alias).await)
}

/// Docker's experimental checkpoints need CRIU.
async fn no_checkpoints() -> Failure {
    Failure::not_implemented("checkpoints are not supported by this engine: stop the container instead")
}

/// Docker's `?h=…&w=…`.
pub(crate) fn size(query: &VerbQuery) -> Result<(u16, u16), Failure> {
    let number = |value: Option<i64>, name: &str| {
        let invalid = |value: &str| {
            Failure::bad_request(format!("invalid resize {name} {value:?}: a number up to 65535 is needed"))
        };
        let value = value.ok_or_else(|| invalid(""))?;
        u16::try_from(value).map_err(|_| invalid(&value.to_string()))
    };
    Ok((number(query.h, "height")?, number(query.w, "width")?))
}

/// 204, or 304 when there was nothing to do.
fn done(outcome: Result<(), Error>) -> Result<StatusCode, Failure> {
    match outcome {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(Error::AlreadyStarted | Error::AlreadyStopped) => Ok(StatusCode::NOT_MODIFIED),
        Err(error) => Err(error.into()),
    }
}
