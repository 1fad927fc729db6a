//! `GET|HEAD /_ping`: whether the engine answers; clients negotiate their version on its headers.

use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::response::IntoResponse;

/// Answers `OK`, uncached.
pub(crate) async fn ping() -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-cache, no-store, must-revalidate"), (PRAGMA, "no-cache")], "OK")
}
