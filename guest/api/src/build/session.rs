//! `POST /session` and `POST /grpc`: connections that become BuildKit's HTTP/2.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use berth_builder::buildkit::{About, BuildKit};
use hyper::upgrade::{OnUpgrade, Upgraded};

use crate::error::Failure;

/// The protocol that the connection changes to.
const H2C: &str = "h2c";

/// A client's own services, which builds ask.
pub(super) async fn session(
    Extension(kit): Extension<Arc<BuildKit>>,
    request: Request,
) -> Result<Response, Failure> {
    let about = About::read(request.headers()).map_err(Failure::bad_request)?;
    change(request, move |connection| async move { kit.attach(about, connection).await })
}

/// Our services, for clients that speak HTTP/2 from the first byte (`buildx create --driver remote`).
pub(super) async fn call(Extension(kit): Extension<Arc<BuildKit>>, request: Request) -> Response {
    kit.answer(request).await.map(Body::new)
}

/// Our services, which a client asks.
pub(super) async fn grpc(
    Extension(kit): Extension<Arc<BuildKit>>,
    request: Request,
) -> Result<Response, Failure> {
    change(request, move |connection| async move { kit.serve(connection).await })
}

/// Answers 101; `converse` gets the connection once the answer is out.
fn change<F>(
    mut request: Request,
    converse: impl FnOnce(Upgraded) -> F + Send + 'static,
) -> Result<Response, Failure>
where
    F: Future<Output = ()> + Send,
{
    let asked = request
        .headers()
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(H2C.as_bytes()));
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked);
    let upgrade =
        upgrade.ok_or_else(|| Failure::bad_request("no upgrade proto in request: send Upgrade: h2c"))?;
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => converse(connection).await,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a client left before its session began"
                );
            }
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(H2C));
    Ok(response)
}
