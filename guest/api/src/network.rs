//! The routes of networks.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use berth_engine::Error;
use serde_json::{Value, json};

use crate::body;
use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::network::{ConnectRequest, CreateRequest, DisconnectRequest, ListQuery, Network};
use crate::wire::query;

/// The first minor version that says whether a network has IPv4.
const HAS_NETWORKS_WITHOUT_IPV4: u16 = 48;

/// Every route of a network.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{name}", get(inspect).delete(remove))
        .route("/networks/{name}/connect", post(connect))
        .route("/networks/{name}/disconnect", post(disconnect))
}

async fn list(
    State(engine): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Network>>, Failure> {
    let networks = engine.network_list(&query::filters(query.filters.as_deref())?)?;
    // A list tells nobody's members, as in Docker.
    Ok(Json(networks.into_iter().map(|network| Network::new(network, Vec::new())).collect()))
}

async fn inspect(State(engine): State<Shared>, Path(name): Path<String>) -> Result<Json<Network>, Failure> {
    let network = engine.network(&name)?;
    let members = engine.members(&network);
    Ok(Json(Network::new(network, members)))
}

async fn create(
    State(engine): State<Shared>,
    version: ApiVersion,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let mut request: CreateRequest = body::json(&body)?;
    if version.is_before(HAS_NETWORKS_WITHOUT_IPV4) {
        request.enable_ipv4 = None;
    }
    if let Some(unsupported) = request.unsupported() {
        return Err(Failure::not_implemented(unsupported));
    }
    let wish = request.into();
    let made =
        tokio::task::spawn_blocking(move || engine.network_create(wish)).await.map_err(Error::from)??;
    Ok((StatusCode::CREATED, Json(json!({ "Id": made.id, "Warning": "" }))))
}

async fn remove(State(engine): State<Shared>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    tokio::task::spawn_blocking(move || engine.network_remove(&name)).await.map_err(Error::from)??;
    Ok(StatusCode::NO_CONTENT)
}

async fn prune(State(engine): State<Shared>, Query(query): Query<ListQuery>) -> Result<Json<Value>, Failure> {
    let filters = query::filters(query.filters.as_deref())?;
    let pruned = tokio::task::spawn_blocking(move || engine.network_prune(&filters));
    Ok(Json(json!({ "NetworksDeleted": pruned.await.map_err(Error::from)?? })))
}

async fn connect(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Failure> {
    let request: ConnectRequest = body::json(&body)?;
    engine.network_connect(&name, &request.container, request.endpoint_config.unwrap_or_default()).await?;
    Ok(StatusCode::OK)
}

async fn disconnect(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Failure> {
    let request: DisconnectRequest = body::json(&body)?;
    engine.network_disconnect(&name, &request.container, request.force).await?;
    Ok(StatusCode::OK)
}
