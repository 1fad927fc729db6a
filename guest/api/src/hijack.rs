//! A connection that stops being HTTP: attach and exec take it over, with `Upgrade: tcp` as the API asks for since
//! 1.22, and carry raw bytes both ways.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use crate::error::Failure;

/// The media type of a terminal's bytes.
const RAW: &str = "application/vnd.docker.raw-stream";
/// The media type of multiplexed stdout and stderr.
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// The connection after the answer.
pub(crate) type Connection = TokioIo<Upgraded>;

/// A request that wants its connection.
pub(crate) struct Hijack(OnUpgrade);

impl Hijack {
    /// Whether the client asked to upgrade; takes the connection if so.
    pub(crate) fn of(request: &mut Request) -> Result<Self, Failure> {
        let asked = request.headers().contains_key(UPGRADE);
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked);
        upgrade.map(Self).ok_or_else(|| {
            Failure::bad_request(
                "this request takes over its connection: send Connection: Upgrade and Upgrade: tcp",
            )
        })
    }

    /// Answers 101; `converse` gets the connection once the answer is out.
    pub(crate) fn answer<F>(
        self,
        terminal: bool,
        converse: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        tokio::spawn(async move {
            match self.0.await {
                Ok(upgraded) => converse(TokioIo::new(upgraded)).await,
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a client left before its stream began"
                ),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
        headers.insert(CONTENT_TYPE, media_type(terminal));
        response
    }
}

/// How output is framed.
pub(crate) fn media_type(terminal: bool) -> HeaderValue {
    HeaderValue::from_static(if terminal { RAW } else { MULTIPLEXED })
}
