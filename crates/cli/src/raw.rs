//! Requests whose streams must arrive unchanged. A terminal's bytes may be anything, while bollard guesses from the
//! first one whether a stream is multiplexed; so attach, exec, logs and progress go this way.

use bollard::errors::Error as DockerError;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::failure::Failure;

/// A request's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A connection that was taken over.
pub(crate) type Hijacked = TokioIo<Upgraded>;

/// `?name=value&…`, the empty ones left out.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    format!("?{}", query.finish())
}

/// A name as a part of a path.
pub(crate) fn escaped(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A body that is there already.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// `GET path`, decoded.
pub(crate) async fn get(engine: &Engine, path: &str) -> Result<serde_json::Value, Failure> {
    let answer = send(engine, Method::GET, path, whole(""), &[]).await?;
    let body = answer.into_body().collect().await.map_err(Failure::from_error)?;
    serde_json::from_slice(&body.to_bytes()).map_err(Failure::from_error)
}

/// Sends a request; its answer's body is a stream. `headers` are the request's own ones.
pub(crate) async fn send(
    engine: &Engine,
    method: Method,
    path: &str,
    body: Body,
    headers: &[(&str, &str)],
) -> Result<Response<Incoming>, Failure> {
    let mut request = Request::builder().method(method).uri(format!("/v{}{path}", engine.api));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body).map_err(Failure::from_error)?;
    let answer = exchange(&engine.endpoint, request).await?;
    if answer.status().is_success() || answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer);
    }
    let body = answer.into_body().collect().await.map_err(Failure::from_error)?.to_bytes();
    let error: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let message = error.and_then(|error| error.get("message")?.as_str().map(str::to_owned));
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
    Err(Failure::new(format!("Error response from daemon: {message}")))
}

/// Sends a request over a connection of its own; the answer's body, and what an upgrade makes of it, live as long as
/// they are used.
pub(crate) async fn exchange<B>(
    endpoint: &Endpoint,
    mut request: Request<B>,
) -> Result<Response<Incoming>, DockerError>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = endpoint.dial().await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    // A server is asked for a path; the host is a header.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse().map_err(hyper::http::Error::from)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    Ok(sender.send_request(request).await?)
}

/// `POST path`, after which the connection carries raw bytes both ways.
pub(crate) async fn hijack(engine: &Engine, path: &str, body: Vec<u8>) -> Result<Hijacked, Failure> {
    let headers = [
        (CONNECTION.as_str(), "Upgrade"),
        (UPGRADE.as_str(), "tcp"),
        (CONTENT_TYPE.as_str(), "application/json"),
    ];
    let answer = send(engine, Method::POST, path, whole(body), &headers).await?;
    let upgraded = hyper::upgrade::on(answer).await.map_err(Failure::from_error)?;
    Ok(TokioIo::new(upgraded))
}
