//! One registry during one operation: its address, what it wants to see of us, and requests to it.

use std::io;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::challenge::{self, Challenge};
use super::connect::{Body, Http};
use super::patience::{self, PATIENCE, Taken};
use super::reason::{NOT_ANSWERED, innermost, reason};
use super::refusal::Refusal;
use super::{Credentials, token};
use crate::{Error, Result};

/// Redirects in a row; storage behind a registry needs one.
const REDIRECTS: usize = 5;

/// A registry that answered.
pub(super) struct Session {
    http: Http,
    /// `https://host:port`.
    base: String,
    user_agent: String,
    credentials: Option<Credentials>,
    scope: String,
    /// The value of the Authorization header that works, once known.
    proof: Mutex<Option<HeaderValue>>,
}

/// A request, kept as parts so that it can be sent again with a proof.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// A path of the registry or an absolute address.
    pub(super) target: &'a str,
    pub(super) headers: &'a [(HeaderName, &'a str)],
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, target: &'a str) -> Self {
        Self { method, target, headers: &[] }
    }
}

/// No body.
pub(super) fn empty() -> Body {
    full(Bytes::new())
}

pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

impl Session {
    /// What asks a registry at `base`, which may not be there.
    pub(super) fn new(
        http: Http,
        base: String,
        user_agent: &str,
        credentials: Option<Credentials>,
        scope: String,
    ) -> Self {
        let (user_agent, proof) = (user_agent.to_owned(), Mutex::new(None));
        Self { http, base, user_agent, credentials, scope, proof }
    }

    /// Asks whether the registry is there, and what it wants.
    pub(super) async fn opened(self) -> Result<Self> {
        let session = self;
        let url = session.url("/v2/");
        let response = session.send(&Ask::new(Method::GET, &url), &url, empty(), None).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => {
                // A registry that lets everybody read may still say so here: without credentials go on and see.
                let proof = session.prove(response.headers()).await;
                match proof {
                    Ok(proof) => *session.proof.lock().await = Some(proof),
                    Err(error) => tracing::debug!(%error, "no proof yet"),
                }
                Ok(session)
            }
            _ => Ok(session),
        }
    }

    pub(super) fn url(&self, target: &str) -> String {
        if target.starts_with('/') { format!("{}{target}", self.base) } else { target.to_owned() }
    }

    /// Sends a request without a body, proving who we are when asked, following redirects.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        self.ask_with(ask, &|| empty()).await
    }

    /// The same with a body, which may have to be made again.
    pub(super) async fn ask_with(
        &self,
        ask: &Ask<'_>,
        body: &(dyn Fn() -> Body + Send + Sync),
    ) -> Result<Response<Incoming>> {
        let url = self.url(ask.target);
        let proof = self.proof.lock().await.clone();
        let response = self.follow(ask, &url, body, proof).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let proof = self.prove(response.headers()).await?;
        *self.proof.lock().await = Some(proof.clone());
        self.follow(ask, &url, body, Some(proof)).await
    }

    async fn follow(
        &self,
        ask: &Ask<'_>,
        url: &str,
        body: &(dyn Fn() -> Body + Send + Sync),
        proof: Option<HeaderValue>,
    ) -> Result<Response<Incoming>> {
        let mut at = url.to_owned();
        for _ in 0..=REDIRECTS {
            // The proof is for this registry; where it sends us knows us by the address it gave.
            let proof = proof.clone().filter(|_| same_host(&at, &self.base));
            let response = self.send(ask, &at, body(), proof).await?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let next = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match next {
                Some(next) if is_redirect && matches!(ask.method, Method::GET | Method::HEAD) => {
                    at = absolute(&at, next)
                        .ok_or(Error::BadAnswer { url: at, problem: "it redirects to nowhere" })?;
                }
                _ => return Ok(response),
            }
        }
        Err(Error::BadAnswer { url: at, problem: "it redirects in circles" })
    }

    async fn send(
        &self,
        ask: &Ask<'_>,
        url: &str,
        body: Body,
        proof: Option<HeaderValue>,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(ask.method.clone()).uri(url);
        if !self.user_agent.is_empty() {
            request = request.header(USER_AGENT, &self.user_agent);
        }
        for (name, value) in ask.headers {
            request = request.header(name, *value);
        }
        if let Some(proof) = proof {
            request = request.header(AUTHORIZATION, proof);
        }
        let bad = |_| Error::BadAnswer { url: url.to_owned(), problem: "it isn't an address" };
        let taken = Taken::default();
        let request = request.body(taken.count(body)).map_err(bad)?;
        match patience::answer(self.http.request(request), &taken).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(self.unreachable(&ask.method, url, reason(&error, &destination(url)))),
            None => Err(self.unreachable(&ask.method, url, NOT_ANSWERED.to_owned())),
        }
    }

    /// What to put into the Authorization header, by the registry's challenge.
    async fn prove(&self, headers: &HeaderMap) -> Result<HeaderValue> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = challenges.filter_map(challenge::parse).next();
        let value = match (challenge, &self.credentials) {
            (_, Some(credentials)) if !credentials.registry_token.is_empty() => {
                format!("Bearer {}", credentials.registry_token)
            }
            (Some(Challenge::Basic), Some(credentials)) if !credentials.username.is_empty() => {
                basic(credentials)
            }
            (Some(Challenge::Bearer { realm, service, scope }), credentials) => {
                let scope = if scope.is_empty() { self.scope.clone() } else { scope };
                let wanted = token::Wanted { realm, service, scope, offline: false };
                let granted = token::fetch(self, &wanted, credentials.as_ref()).await?;
                format!("Bearer {}", granted.token)
            }
            (Some(Challenge::Basic), _) => return Err(Error::NoCredentials),
            (None, _) => {
                return Err(Error::Unauthorized { said: "unauthorized: authentication required".to_owned() });
            }
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| Error::BadAnswer { url: self.base.clone(), problem: "its token isn't one" })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The challenge that `/v2/` gives, for `login`.
    pub(super) async fn challenge(&self) -> Result<Option<Challenge>> {
        let url = self.url("/v2/");
        let response = self.send(&Ask::new(Method::GET, &url), &url, empty(), None).await?;
        let values = response.headers().get_all(WWW_AUTHENTICATE).iter();
        Ok(values.filter_map(|value| value.to_str().ok()).filter_map(challenge::parse).next())
    }

    /// Sends to an address that isn't the registry's own, a token server's.
    pub(super) async fn send_elsewhere(
        &self,
        ask: &Ask<'_>,
        body: Body,
        proof: Option<HeaderValue>,
    ) -> Result<Response<Incoming>> {
        self.send(ask, ask.target, body, proof).await
    }

    fn unreachable(&self, method: &Method, url: &str, reason: String) -> Error {
        let method = match method.as_str() {
            "GET" => "Get",
            "HEAD" => "Head",
            "PATCH" => "Patch",
            "POST" => "Post",
            _ => "Put",
        };
        // Addresses of storage and of uploads carry signatures behind the question mark.
        let is_told = method == "Get" && same_host(url, &self.base);
        let url = if is_told { url } else { url.split('?').next().unwrap_or_default() };
        Error::Unreachable { method, url: url.to_owned(), reason }
    }

    /// The host the registry was reached at.
    pub(super) fn base(&self) -> &str {
        &self.base
    }
}

/// `Basic user:password`.
pub(super) fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.username, credentials.password);
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// A body of at most `limit` bytes.
pub(super) async fn read(response: Response<Incoming>, limit: usize) -> Result<Bytes> {
    let wrong = |reason: &str| Error::Stream {
        operation: "read the registry's answer",
        source: io::Error::other(reason.to_owned()),
    };
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    loop {
        match timeout(PATIENCE, body.frame()).await {
            Err(_) => return Err(wrong("no more bytes before the deadline")),
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Err(error))) => return Err(wrong(&innermost(&error))),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    if bytes.len() + data.len() > limit {
                        return Err(wrong("it is larger than such an answer may be"));
                    }
                    bytes.extend_from_slice(&data);
                }
            }
        }
    }
}

/// What a failed answer says.
pub(super) async fn refusal(response: Response<Incoming>) -> Refusal {
    let status = response.status().as_u16();
    let body = read(response, 1 << 16).await.unwrap_or_default();
    Refusal::read(status, &body)
}

/// The `host:port` that an address leads to.
pub(super) fn destination(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return String::new() };
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(usual))
}

pub(super) fn same_host(a: &str, b: &str) -> bool {
    let authority = |text: &str| text.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
    authority(a).is_some() && authority(a) == authority(b)
}

/// Where a Location header points, seen from `base`.
pub(super) fn absolute(base: &str, location: &str) -> Option<String> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.to_owned());
    }
    let base: Uri = base.parse().ok()?;
    location
        .starts_with('/')
        .then(|| Some(format!("{}://{}{location}", base.scheme_str()?, base.authority()?)))?
}
