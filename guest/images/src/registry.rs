//! Registries, by the OCI distribution specification and Docker's habits: pull and push.

mod challenge;
mod connect;
mod download;
mod endpoint;
mod plain;
mod pull;
mod push;
mod refusal;
mod session;
mod token;
mod unchecked;

use std::path::PathBuf;
use std::sync::Arc;

use self::connect::Names;
use self::endpoint::Endpoint;
use self::pull::InFlight;
use self::session::Session;
pub use plain::Downloaded;

use crate::{Digest, Error, Platform, Progress, Reference, Result, Store};

/// What the daemon's configuration says of registries.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `host[:port]` or networks (`10.0.0.0/8`) where certificates aren't checked and plain HTTP is tried.
    /// 127.0.0.0/8 always is one.
    pub insecure: Vec<String>,
    /// Addresses asked before docker.io for its images.
    pub mirrors: Vec<String>,
    /// Folder of `<host:port>/*.crt` with further authorities, `*.cert` and `*.key` for ourselves.
    pub certificates: Option<PathBuf>,
    /// How we call ourselves.
    pub user_agent: String,
}

/// Who we are to a registry. Its text never appears in messages.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The user; empty with a token.
    pub username: String,
    /// The password.
    pub password: String,
    /// An identity token (a refresh token), instead of a password.
    pub identity_token: String,
    /// A bearer token to be used as it is.
    pub registry_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Where progress goes. Called from several tasks, never with a lock held.
pub type Report<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub image: Digest,
    /// The manifest's or index' digest, as the registry names it.
    pub digest: Digest,
    /// Whether the name meant another image before, or none.
    pub is_new: bool,
}

/// What a registry has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Of the manifest or index, as the registry names it.
    pub media_type: String,
    /// The manifest's or index' digest.
    pub digest: Digest,
    /// The manifest's or index' length.
    pub size: usize,
    /// What there is an image for.
    pub platforms: Vec<Platform>,
}

/// What a push left in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's length.
    pub size: u64,
}

/// A client of registries. A clone shares what is in flight.
#[derive(Debug, Clone)]
pub struct Client {
    options: Arc<Options>,
    names: Names,
    in_flight: InFlight,
}

impl Client {
    /// A client with these options.
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options), names: Names::configured(), in_flight: InFlight::default() }
    }

    /// Brings an image into the store under `reference` (`latest` when it has neither tag nor digest). With no
    /// platform, this machine's is preferred and an image without choice is taken as it is.
    ///
    /// # Errors
    /// In Docker's words. What was downloaded stays for the next try.
    pub async fn pull(
        &self,
        store: &Store,
        reference: &Reference,
        platform: Option<&Platform>,
        credentials: Option<&Credentials>,
        report: Report<'_>,
    ) -> Result<Pulled> {
        let reference = &reference.clone().or_latest();
        let endpoints = endpoint::candidates(&self.options, reference.domain(), true);
        let mut failed = None;
        for endpoint in &endpoints {
            let opened = self.open(endpoint, credentials, scope(reference, "pull")).await;
            let pulled = match opened {
                Ok(session) => {
                    let (session, in_flight) = (Arc::new(session), Arc::clone(&self.in_flight));
                    pull::Pull { session, store, reference, platform, in_flight, report }.run().await
                }
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            match pulled {
                // What a mirror lacks or spoils, the registry itself may have.
                Err(error) if endpoint.is_mirror => failed = Some(error),
                pulled => return pulled,
            }
        }
        Err(failed.unwrap_or(Error::Interrupted("pull")))
    }

    /// What a registry says of an image, without bringing it here.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn inspect(
        &self,
        store: &Store,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Remote> {
        let reference = &reference.clone().or_latest();
        let mut failed = None;
        for endpoint in endpoint::candidates(&self.options, reference.domain(), true) {
            let opened = self.open(&endpoint, credentials, scope(reference, "pull")).await;
            let looked = match opened {
                Ok(session) => {
                    let (session, in_flight) = (Arc::new(session), Arc::clone(&self.in_flight));
                    let report = &|_| ();
                    pull::Pull { session, store, reference, platform: None, in_flight, report }.look().await
                }
                Err(error) => Err(error),
            };
            match looked {
                Ok(remote) => return Ok(remote),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or(Error::Interrupted("inspect")))
    }

    /// Brings the image that `reference` names to its registry.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn push(
        &self,
        store: &Store,
        reference: &Reference,
        credentials: Option<&Credentials>,
        report: Report<'_>,
    ) -> Result<Pushed> {
        let reference = &reference.clone().or_latest();
        let image = store.image(&reference.to_string()).map_err(|error| match error {
            Error::NoSuchImage(_) => Error::NothingToPush(reference.to_string()),
            error => error,
        })?;
        let session = self.first(reference.domain(), credentials, scope(reference, "pull,push")).await?;
        push::Push { session: Arc::new(session), store, reference, report }.run(&image).await
    }

    /// Checks credentials at a registry (`docker login`); gives an identity token where the registry has some.
    ///
    /// # Errors
    /// When the registry refuses them.
    pub async fn login(&self, domain: &str, credentials: &Credentials) -> Result<Option<String>> {
        let session = self.first(domain, Some(credentials), String::new()).await?;
        if let Some(challenge::Challenge::Bearer { realm, service, scope }) = session.challenge().await? {
            let wanted = token::Wanted { realm, service, scope, offline: true };
            return Ok(token::fetch(&session, &wanted, Some(credentials)).await?.identity);
        }
        let response = session.ask(&session::Ask::new(hyper::Method::GET, "/v2/")).await?;
        match response.status().is_success() {
            true => Ok(None),
            false => Err(session::refusal(response).await.into_plain_error()),
        }
    }

    /// The first address of a registry that answers.
    async fn first(&self, domain: &str, credentials: Option<&Credentials>, scope: String) -> Result<Session> {
        let mut failed = None;
        for endpoint in endpoint::candidates(&self.options, domain, false) {
            match self.open(&endpoint, credentials, scope.clone()).await {
                Ok(session) => return Ok(session),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or(Error::Interrupted("reaching the registry")))
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        credentials: Option<&Credentials>,
        scope: String,
    ) -> Result<Session> {
        let certificates = self.options.certificates.as_ref().map(|folder| folder.join(&endpoint.host));
        let http = connect::client(self.names.clone(), endpoint.is_insecure, certificates.as_deref())?;
        // Credentials are the registry's, not its mirrors'.
        let credentials = credentials.filter(|_| !endpoint.is_mirror).cloned();
        Session::open(http, endpoint.base.clone(), &self.options.user_agent, credentials, scope).await
    }
}

/// What a token is for, when the registry's challenge doesn't say.
fn scope(reference: &Reference, actions: &str) -> String {
    format!("repository:{}:{actions}", reference.path())
}
