//! `GET /images/search`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use berth_engine::images::Found;
use serde_json::{Value, json};

use super::auth;
use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::image::SearchQuery;
use crate::wire::query;

pub(super) async fn search(
    State(engine): State<Shared>,
    Query(query): Query<SearchQuery>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Failure> {
    let filters = query::filters(query.filters.as_deref())?;
    let credentials = auth::credentials(&headers)?;
    let limit = query.limit.as_deref().filter(|text| !text.is_empty()).map(|text| {
        let wrong = format!("invalid limit specified: strconv.Atoi: parsing {text:?}: invalid syntax");
        text.parse().map_err(|_| Failure::bad_request(wrong))
    });
    let found = engine.search(&query.term, limit.transpose()?, &filters, credentials.as_ref()).await?;
    Ok(Json(found.into_iter().map(shown).collect()))
}

fn shown(found: Found) -> Value {
    json!({
        "star_count": found.star_count,
        "is_official": found.is_official,
        "name": found.name,
        "is_automated": found.is_automated,
        "description": found.description,
    })
}
