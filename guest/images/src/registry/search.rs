//! Searching: a service of Docker Hub, and of those few registries that still have the first version's API
//! (`GET /v1/search`).

use hyper::Method;
use serde::Deserialize;

use super::endpoint::{self, Endpoint};
use super::reason::NOT_TAKEN;
use super::session::{self, Ask, Session};
use super::token::escape;
use super::{Client, Credentials};
use crate::reference::DEFAULT_DOMAIN;
use crate::{Error, Result};

/// Who answers for Docker Hub.
const HUB: &str = "index.docker.io";
/// The longest answer, in bytes.
const LARGEST: usize = 4 << 20;

/// A repository that a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name, as a pull takes it.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// How many people marked it.
    pub star_count: i64,
    /// Whether Docker looks after it.
    pub is_official: bool,
    /// Whether it was built by the registry.
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Found>,
}

impl Client {
    /// Searches for repositories, at most `limit`, in Docker Hub or where the term says (`host:port/term`).
    ///
    /// # Errors
    /// When nobody answers, or answers otherwise.
    pub async fn search(
        &self,
        term: &str,
        limit: u32,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Found>> {
        let (host, term) = place(term);
        let session = self.searchable(host, credentials).await?;
        let target = format!("/v1/search?q={}&n={limit}", escape(term));
        let response = session.ask(&Ask::new(Method::GET, &target)).await?;
        if !response.status().is_success() {
            return Err(session::refusal(response).await.into_plain_error());
        }
        let body = session::read(response, LARGEST).await?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|source| Error::Json { subject: "search", source })?;
        Ok(answer.results)
    }

    /// Whoever answers at this host, without TLS where that is allowed and nothing else helps. Docker Hub is known to.
    async fn searchable(&self, host: &str, credentials: Option<&Credentials>) -> Result<Session> {
        let mut failed = Vec::new();
        for endpoint in endpoint::candidates(&self.options(), host, false) {
            if host == DEFAULT_DOMAIN {
                return self.unasked(&hub(endpoint), credentials, String::new());
            }
            let session = self.unasked(&endpoint, credentials, String::new())?;
            let url = session.url("/v1/_ping");
            match session.send_elsewhere(&Ask::new(Method::GET, &url), session::empty(), None).await {
                Ok(_) => return Ok(session),
                Err(Error::Unreachable { method, url, reason }) if reason == NOT_TAKEN => {
                    let reason = format!("dial tcp {}: i/o timeout", session::destination(&url));
                    return Err(Error::Unreachable { method, url, reason });
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        Err(Error::InvalidEndpoint(invalid(host, &failed)))
    }
}

/// What dockerd says of a host that answered no question: why not by HTTPS, and by HTTP if that was tried.
fn invalid(host: &str, failed: &[String]) -> String {
    match failed {
        [https, http] => format!("\"http://{host}/v1/\". HTTPS attempt: {https}. HTTP attempt: {http}"),
        failed => format!(
            "https://{host}/v1/: {}. If this private registry supports only HTTP or HTTPS with an unknown CA \
             certificate, please add `--insecure-registry {host}` to the daemon's arguments. In the case of HTTPS, if \
             you have access to the registry's CA certificate, no need for the flag; simply place the CA certificate at \
             /etc/docker/certs.d/{host}/ca.crt",
            failed.concat()
        ),
    }
}

/// Where to search, and for what.
fn place(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((host, rest)) if host == HUB || host == DEFAULT_DOMAIN => (DEFAULT_DOMAIN, rest),
        Some((host, rest)) if host == "localhost" || host.contains(['.', ':']) => (host, rest),
        _ => (DEFAULT_DOMAIN, term),
    }
}

fn hub(endpoint: Endpoint) -> Endpoint {
    Endpoint { base: format!("https://{HUB}"), host: HUB.to_owned(), ..endpoint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        assert_eq!(place("nginx"), (DEFAULT_DOMAIN, "nginx"));
        assert_eq!(place("bitnami/nginx"), (DEFAULT_DOMAIN, "bitnami/nginx"));
        assert_eq!(place("docker.io/nginx"), (DEFAULT_DOMAIN, "nginx"));
        assert_eq!(place("localhost:5000/nginx"), ("localhost:5000", "nginx"));
    }
}
