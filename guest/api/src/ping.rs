//! `GET|HEAD /_ping`: whether the engine answers; clients negotiate their version on its headers.

use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::response::IntoResponse;

/// Answers `OK`, uncached.
pub(crate) async fn ping() -> impl IntoResponse {
    // Clients build through /session and /grpc when they can.
    let builder = HeaderName::from_static("builder-version");
    let headers =
        [(CACHE_CONTROL, "no-cache, no-store, must-revalidate"), (PRAGMA, "no-cache"), (builder, "2")];
    (headers, "OK")
}
