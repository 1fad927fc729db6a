//! `POST /containers/create`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use berth_engine::Create;

use crate::body;
use crate::error::Failure;
use crate::routes::Shared;
use crate::wire::container::{CreateQuery, CreateRequest, CreateResponse};

pub(super) async fn create(
    State(engine): State<Shared>,
    Query(query): Query<CreateQuery>,
    body: Bytes,
) -> Result<(StatusCode, Json<CreateResponse>), Failure> {
    let request: CreateRequest = body::json(&body)?;
    let mut warnings = request.warnings();
    let networks = request.networking_config.unwrap_or_default().endpoints_config.unwrap_or_default();
    let created = engine
        .create(Create {
            name: query.name,
            platform: query.platform,
            config: request.config,
            host_config: request.host_config.unwrap_or_default(),
            networks: networks.into_iter().map(|(name, wish)| (name, wish.unwrap_or_default())).collect(),
        })
        .await?;
    warnings.extend(created.warnings);
    Ok((StatusCode::CREATED, Json(CreateResponse { id: created.id, warnings })))
}
