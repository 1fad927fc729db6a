//! The only place that knows which HTTP status an engine error has, and Docker's error JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use berth_engine::Kind;

/// A failed request: Docker's `{"message": …}` with the status of the engine error's kind.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    /// A request that can't be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// A request for something that isn't there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    /// A request that needs something which isn't so now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// The same, on the way of what `doing` says.
    pub(crate) fn during(self, doing: &str) -> Self {
        Self { message: format!("{doing}: {}", self.message), ..self }
    }

    /// A request for something that this engine doesn't do.
    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_IMPLEMENTED, message: message.into() }
    }
}

impl From<berth_engine::Error> for Failure {
    fn from(error: berth_engine::Error) -> Self {
        let status = status(error.kind());
        if status.is_server_error() {
            tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        }
        Self { status, message: with_causes(&error) }
    }
}

impl From<berth_builder::Error> for Failure {
    fn from(error: berth_builder::Error) -> Self {
        let status = match error.kind() {
            berth_builder::Kind::InvalidParameter => StatusCode::BAD_REQUEST,
            berth_builder::Kind::NotFound => StatusCode::NOT_FOUND,
            berth_builder::Kind::System => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: error.describe() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "message": self.message }))).into_response()
    }
}

/// The answer to a path that no route has, in Docker's words.
pub(crate) async fn page_not_found() -> Failure {
    Failure { status: StatusCode::NOT_FOUND, message: "page not found".to_owned() }
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::InvalidParameter => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::System => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer to a body that breaks off or is too long.
pub(crate) fn unreadable(error: axum::Error) -> Failure {
    Failure::bad_request(format!("can't read the request's body: {error}"))
}

/// An error and its causes in one line, as Docker chains them: `what: why: why`.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
