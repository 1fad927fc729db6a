//! A connection that stops being HTTP: attach and exec take it over, with `Upgrade: tcp` as the API asks for since
//! 1.22, and carry raw bytes both ways. A client that doesn't ask for that gets a plain answer that goes on until the
//! end, and what goes in is its request's body.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE, UPGRADE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::Response;
use futures_util::TryStreamExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::version::{ApiVersion, NEWEST};

/// The media type of a terminal's bytes.
const RAW: &str = "application/vnd.docker.raw-stream";
/// The media type of multiplexed stdout and stderr.
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// The first minor version that tells the two apart.
const CALLS_IT_MULTIPLEXED: u16 = 42;

/// Between the answer's head and the first byte for docker-py.
const AFTER_HEAD: Duration = Duration::from_millis(10);
/// Bytes that wait for a slow client.
const BACKLOG: usize = 64 << 10;

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The connection after the answer.
pub(crate) type Connection = Box<dyn Duplex>;

/// A request that wants its connection.
pub(crate) struct Hijack {
    version: ApiVersion,
    way: Way,
}

enum Way {
    /// The client asked for the connection itself, and wants this pause before the first byte.
    Upgrade(OnUpgrade, Duration),
    /// It reads an answer, and what goes in is its body.
    Plain(Body),
}

impl Hijack {
    /// What a request asks for.
    pub(crate) fn of(mut request: Request) -> Self {
        let asked = request.headers().contains_key(UPGRADE);
        let pause = pause(request.headers());
        let version = request.extensions().get().copied().unwrap_or(NEWEST);
        let way = match request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked) {
            Some(upgrade) => Way::Upgrade(upgrade, pause),
            None => Way::Plain(request.into_body()),
        };
        Self { version, way }
    }

    /// Answers; `converse` gets the connection once the answer is out.
    pub(crate) fn answer<F>(
        self,
        terminal: bool,
        converse: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let mut response = match self.way {
            Way::Upgrade(upgrade, pause) => switch(upgrade, pause, converse),
            Way::Plain(body) => go_on(body, converse),
        };
        response.headers_mut().insert(CONTENT_TYPE, media_type(self.version, terminal));
        response
    }
}

/// docker-py reads the answer's head through a buffer and loses what comes along with it; dockerd is too slow for
/// that to show.
fn pause(headers: &HeaderMap) -> Duration {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if agent.starts_with("docker-sdk-python") { AFTER_HEAD } else { Duration::ZERO }
}

/// 101: the connection is the conversation's.
fn switch<F>(
    upgrade: OnUpgrade,
    pause: Duration,
    converse: impl FnOnce(Connection) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                tokio::time::sleep(pause).await;
                converse(Box::new(TokioIo::new(upgraded))).await;
            }
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
    response
}

/// 200 with an answer that ends with the connection: HTTP/1.0 has it without chunks, as such clients read it.
fn go_on<F>(body: Body, converse: impl FnOnce(Connection) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send,
{
    let (ours, theirs) = tokio::io::duplex(BACKLOG);
    let input = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let connection = Box::new(tokio::io::join(Box::pin(input), ours));
    tokio::spawn(async move { converse(connection).await });
    let mut response = Response::new(Body::from_stream(ReaderStream::new(theirs)));
    *response.version_mut() = Version::HTTP_10;
    response
}

/// How output is framed, as the version calls it.
pub(crate) fn media_type(version: ApiVersion, terminal: bool) -> HeaderValue {
    let is_raw = terminal || version.is_before(CALLS_IT_MULTIPLEXED);
    HeaderValue::from_static(if is_raw { RAW } else { MULTIPLEXED })
}
