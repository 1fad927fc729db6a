//! `GET /containers/json`.

use axum::Json;
use axum::extract::State;
use berth_engine::List;
use jiff::Timestamp;

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::container::{ListQuery, Summary};
use crate::wire::query;

pub(super) async fn list(
    State(engine): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Summary>>, Failure> {
    let list = List {
        all: query.all,
        limit: query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or_default(),
        filters: query::filters(query.filters.as_deref())?,
    };
    let now = Timestamp::now();
    let mut summaries = Vec::new();
    for record in engine.list(&list)? {
        let sizes = if query.size { engine.sizes(&record.id).await.ok() } else { None };
        let open = engine.open_ports(&record);
        summaries.push(Summary::new(record, &open, sizes, now));
    }
    Ok(Json(summaries))
}
