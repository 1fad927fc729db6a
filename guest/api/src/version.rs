//! The API version in a path (`/v1.50/…`) and the headers that every response carries.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

use crate::error::Failure;

/// The newest API version that this engine speaks.
pub(crate) const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 51 };
/// The oldest one.
pub(crate) const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 24 };

/// A version of the Docker Engine API. Every request carries one in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// Whether it is older than 1.`minor`.
    pub(crate) fn is_before(self, minor: u16) -> bool {
        self < Self { major: 1, minor }
    }
}

impl<S: Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(NEWEST))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self { major: major.parse().map_err(|_| ())?, minor: minor.parse().map_err(|_| ())? })
    }
}

/// `routes` behind the version: takes it off the path, refuses what we don't speak, adds Docker's headers.
pub(crate) fn strip(routes: Router) -> Router {
    Router::new().fallback(move |request: Request| answer(routes.clone(), request))
}

async fn answer(routes: Router, mut request: Request) -> Response {
    let mut response = match take_off(&mut request) {
        Ok(()) => routes.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {}),
        Err(failure) => failure.into_response(),
    };
    let newest = HeaderValue::from_str(&NEWEST.to_string());
    let server = concat!("Berth/", env!("CARGO_PKG_VERSION"), " (linux)");
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("server"), HeaderValue::from_static(server));
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false"));
    if let Ok(newest) = newest {
        headers.insert(HeaderName::from_static("api-version"), newest);
    }
    response
}

/// Moves the version from the path into the request's extensions.
fn take_off(request: &mut Request) -> Result<(), Failure> {
    let path_and_query = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let mut version = NEWEST;
    if let Some((found, rest)) = versioned(path_and_query) {
        check(found)?;
        version = found;
        *request.uri_mut() =
            Uri::from_str(rest).map_err(|_| Failure::bad_request("the path is malformed"))?;
    }
    request.extensions_mut().insert(version);
    Ok(())
}

/// `/v1.50/rest` as its version and `/rest`.
fn versioned(path: &str) -> Option<(ApiVersion, &str)> {
    let path = path.strip_prefix("/v")?;
    let end = path.find('/')?;
    Some((path[..end].parse().ok()?, &path[end..]))
}

/// Refuses a version that we don't speak, in Docker's words.
fn check(version: ApiVersion) -> Result<(), Failure> {
    if version < OLDEST {
        return Err(Failure::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is {OLDEST}, \
             please upgrade your client to a newer version"
        )));
    }
    if version > NEWEST {
        return Err(Failure::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {NEWEST}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_off_and_the_query_stays() {
        let (version, rest) = versioned("/v1.44/containers/json?all=1").unwrap();
        assert_eq!(version.to_string(), "1.44");
        assert_eq!(rest, "/containers/json?all=1");
    }

    #[test]
    fn a_path_that_only_looks_versioned_is_left_alone() {
        assert!(versioned("/volumes/x").is_none());
        assert!(versioned("/v1/volumes").is_none());
    }

    #[test]
    fn an_old_client_is_refused_in_dockers_words() {
        let refused = check("1.23".parse().unwrap()).unwrap_err();
        assert!(format!("{refused:?}").contains("client version 1.23 is too old"));
    }
}
