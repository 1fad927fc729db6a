//! `POST /containers/create`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use berth_engine::Create;
use berth_engine::endpoint::EndpointSettings;
use serde_json::Value;

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::version::ApiVersion;
use crate::wire::container::{CreateQuery, CreateRequest, CreateResponse};
use crate::{body, older};

/// The first minor version whose query has `platform`.
const HAS_PLATFORM: u16 = 41;

pub(super) async fn create(
    State(engine): State<Shared>,
    version: ApiVersion,
    Query(query): Query<CreateQuery>,
    body: Bytes,
) -> Result<(StatusCode, Json<CreateResponse>), Failure> {
    let mut body: Value = body::json(&body)?;
    older::creation(version, &mut body)?;
    let request: CreateRequest = body::from_value(body)?;
    let mut warnings = request.warnings();
    let networks = request.networking_config.unwrap_or_default().endpoints_config.unwrap_or_default();
    let mut networks: BTreeMap<_, _> =
        networks.into_iter().map(|(name, wish)| (name, wish.unwrap_or_default())).collect();
    let mut host_config = request.host_config.unwrap_or_default();
    if host_config.runtime.is_empty() {
        host_config.runtime = request.runtime.unwrap_or_default();
    }
    if let Some(mac) = request.mac_address.filter(|mac| !mac.is_empty()) {
        let mode = Some(host_config.network_mode.clone()).filter(|mode| !mode.is_empty());
        let wish: &mut EndpointSettings =
            networks.entry(mode.unwrap_or_else(|| "default".to_owned())).or_default();
        if wish.mac_address.is_empty() {
            wish.mac_address = mac;
        }
    }
    let created = engine
        .create(Create {
            name: query.name,
            platform: if version.is_before(HAS_PLATFORM) { String::new() } else { query.platform },
            config: request.config,
            host_config,
            networks,
        })
        .await?;
    warnings.extend(created.warnings);
    Ok((StatusCode::CREATED, Json(CreateResponse { id: created.id, warnings })))
}
