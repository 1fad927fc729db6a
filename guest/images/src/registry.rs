//! Registries, by the OCI distribution specification and Docker's habits: pull and push.

mod challenge;
mod connect;
mod decode;
mod documents;
mod download;
mod endpoint;
mod in_flight;
mod own;
mod patience;
mod plain;
mod proxy;
mod pull;
mod push;
mod reason;
mod refusal;
mod search;
mod session;
mod tags;
mod token;
mod unchecked;
mod upload;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::{Method, StatusCode};

use self::connect::Names;
use self::endpoint::Endpoint;
use self::in_flight::InFlight;
use self::session::Session;
pub use decode::decode;
pub use documents::Repository;
pub use plain::{Downloaded, percent_decoded};
pub use search::Found;

use crate::{Digest, Error, Outbound, Platform, Progress, Reference, Result, Store};

/// What the daemon's configuration says of registries.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host[:port]` or networks (`10.0.0.0/8`) where certificates aren't checked and plain HTTP is tried.
    /// 127.0.0.0/8 always is one.
    pub insecure: Vec<String>,
    /// Addresses asked before docker.io for its images.
    pub mirrors: Vec<String>,
    /// The way there.
    pub proxies: Proxies,
    /// Layers that one pull downloads at a time.
    pub downloads: usize,
    /// Layers that one push uploads at a time.
    pub uploads: usize,
    /// Attempts without a single new byte after which a download fails.
    pub attempts: u32,
    /// Folder of `<host:port>/*.crt` with further authorities, `*.cert` and `*.key` for ourselves.
    pub certificates: Option<PathBuf>,
    /// How we call ourselves.
    pub user_agent: String,
}

impl Default for Options {
    /// No registry of the user's, and Docker's own numbers.
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            proxies: Proxies::default(),
            downloads: 3,
            uploads: 5,
            attempts: 5,
            certificates: None,
            user_agent: String::new(),
        }
    }
}

/// The proxies between us and registries, as curl and Docker name them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For plain HTTP, an address such as `http://proxy:3128`.
    pub http: String,
    /// For HTTPS.
    pub https: String,
    /// What is reached without one: names, addresses and networks, separated by commas.
    pub none: String,
}

/// An address with its password hidden, for whoever is shown it.
pub fn masked(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("xxxxx:xxxxx@{host}"),
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => address.to_owned(),
    }
}

impl std::fmt::Debug for Proxies {
    /// Without the addresses, which may hold passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Proxies").field("none", &self.none).finish_non_exhaustive()
    }
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

/// Which image is pulled under a name that has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The one for this machine; an image without choice is taken as it is.
    Local,
    /// The one for a platform; an image without choice is taken as it is.
    Prefer(&'a Platform),
    /// The one for a platform; another is refused with [`Error::OtherPlatform`].
    Only(&'a Platform),
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub image: Digest,
    /// The manifest's or index' digest, as the registry names it.
    pub digest: Digest,
    /// What it is for.
    pub platform: Platform,
    /// Whether the name meant another image before, or none.
    pub is_new: bool,
}

impl Pulled {
    /// Why the image that was pulled as `reference` isn't for that platform; none when it is.
    pub fn not_for(&self, reference: &Reference, platform: &Platform) -> Option<Error> {
        not_for(reference, &self.platform, platform)
    }
}

/// What Docker says at the end of a pull.
pub fn pulled_status(reference: &Reference, is_new: bool) -> Progress {
    let came = if is_new { "Downloaded newer image" } else { "Image is up to date" };
    Progress::say("", format!("Status: {came} for {reference}"))
}

fn not_for(reference: &Reference, found: &Platform, wanted: &Platform) -> Option<Error> {
    let other = || Error::OtherPlatform {
        reference: reference.to_string(),
        found: found.to_string(),
        wanted: wanted.to_string(),
    };
    wanted.distance(found).is_none().then(other)
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

/// A client of registries. A clone shares its options and what is in flight.
#[derive(Debug, Clone)]
pub struct Client {
    options: Arc<RwLock<Arc<Options>>>,
    names: Names,
    in_flight: InFlight,
}

impl Client {
    /// A client with these options.
    pub fn new(options: Options) -> Self {
        let options = Arc::new(RwLock::new(Arc::new(options)));
        Self { options, names: Names::configured(), in_flight: InFlight::default() }
    }

    /// Gives this client and its clones other options; what is under way ends with the old ones.
    pub fn configure(&self, options: Options) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    /// The present options.
    pub fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings an image into the store under `reference` (`latest` when it has neither tag nor digest).
    ///
    /// # Errors
    /// In Docker's words. What was downloaded stays for the next try.
    pub async fn pull(
        &self,
        store: &Store,
        reference: &Reference,
        choice: Choice<'_>,
        credentials: Option<&Credentials>,
        report: Report<'_>,
    ) -> Result<Pulled> {
        let reference = &reference.clone().or_latest();
        let options = &self.options();
        let pull = |session| {
            let in_flight = &self.in_flight;
            let pull = pull::Pull { session, store, reference, choice, in_flight, options, report };
            async move { pull.run().await }
        };
        self.nearest(reference, credentials, pull).await
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
        let options = &self.options();
        let look = |session| {
            let (choice, in_flight, report) = (Choice::Local, &self.in_flight, &|_| ());
            let pull = pull::Pull { session, store, reference, choice, in_flight, options, report };
            async move { pull.look().await }
        };
        self.nearest(reference, credentials, look).await
    }

    /// The answer of the registry's mirrors, or of itself: what a mirror lacks or spoils, the next may have.
    async fn nearest<T, Answer: Future<Output = Result<T>>>(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        ask: impl Fn(Arc<Session>) -> Answer,
    ) -> Result<T> {
        let mut failed = None;
        for endpoint in endpoint::candidates(&self.options(), reference.domain(), true) {
            match self.open(&endpoint, credentials, scope(reference, "pull")).await {
                Ok(session) => match ask(Arc::new(session)).await {
                    Err(error) if endpoint.is_mirror => failed = Some(error),
                    answer => return answer,
                },
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or(Error::Interrupted("reaching the registry")))
    }

    /// Brings the image that `reference` names to its registry, under its tag.
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
            Error::NoSuchImage(_) => Error::NothingToPush(reference.familiar_name()),
            error => error,
        })?;
        self.push_images(store, reference, &[image.id], &Outbound::default(), credentials, report).await
    }

    /// Brings an image to the registry of `reference`, under its tag unless `outbound` says otherwise; of images for several
    /// platforms, an index under the tag.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn push_images(
        &self,
        store: &Store,
        reference: &Reference,
        images: &[Digest],
        outbound: &Outbound,
        credentials: Option<&Credentials>,
        report: Report<'_>,
    ) -> Result<Pushed> {
        let reference = &reference.clone().or_latest();
        let images =
            images.iter().map(|image| store.image(&image.to_string())).collect::<Result<Vec<_>>>()?;
        let session = self.first(reference.domain(), credentials, scope(reference, "pull,push")).await?;
        let (session, uploads) = (Arc::new(session), self.options().uploads);
        let push = push::Push { session, store, reference, outbound, uploads, report };
        match images.as_slice() {
            [image] => push.run(image).await,
            several => push.run_index(several).await,
        }
    }

    /// Checks credentials at a registry (`docker login`); gives an identity token where the registry has some.
    ///
    /// # Errors
    /// When the registry refuses them: by a token server's word it is [`Error::Login`].
    pub async fn login(&self, domain: &str, credentials: &Credentials) -> Result<Option<String>> {
        let session = self.first(domain, Some(credentials), String::new()).await?;
        let url = session.url("/v2/");
        if let Some(challenge::Challenge::Bearer { realm, service, scope }) = session.challenge().await? {
            let wanted = token::Wanted { realm, service, scope, offline: true };
            let granted = token::fetch(&session, &wanted, Some(credentials)).await;
            let granted = granted.map_err(|source| Error::Login { url, source: Box::new(source) })?;
            return Ok(granted.identity);
        }
        let (status, said) = match session.ask(&session::Ask::new(Method::GET, "/v2/")).await {
            Ok(response) if response.status().is_success() => return Ok(None),
            Ok(response) => {
                let status = response.status();
                (status, format!("login attempt to {url} failed with status: {status}"))
            }
            Err(error @ (Error::NoCredentials | Error::Unauthorized { .. })) => {
                (StatusCode::UNAUTHORIZED, format!("Get {url:?}: {error}"))
            }
            Err(error) => return Err(error),
        };
        Err(Error::Registry { status: status.as_u16(), said })
    }

    /// The first address of a registry that answers.
    async fn first(&self, domain: &str, credentials: Option<&Credentials>, scope: String) -> Result<Session> {
        let mut failed = None;
        for endpoint in endpoint::candidates(&self.options(), domain, false) {
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
        self.unasked(endpoint, credentials, scope)?.opened().await
    }

    /// A session with whoever is there.
    fn unasked(
        &self,
        endpoint: &Endpoint,
        credentials: Option<&Credentials>,
        scope: String,
    ) -> Result<Session> {
        let options = self.options();
        let certificates = options.certificates.as_ref().map(|folder| folder.join(&endpoint.host));
        let way = connect::Way { names: self.names.clone(), proxies: &options.proxies };
        let http = connect::client(way, endpoint.is_insecure, certificates.as_deref())?;
        // Credentials are the registry's, not its mirrors'.
        let credentials = credentials.filter(|_| !endpoint.is_mirror).cloned();
        Ok(Session::new(http, endpoint.base.clone(), &options.user_agent, credentials, scope))
    }
}

/// What a token is for, when the registry's challenge doesn't say.
fn scope(reference: &Reference, actions: &str) -> String {
    format!("repository:{}:{actions}", reference.path())
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(masked("http://ann:secret@proxy:3128"), "http://xxxxx:xxxxx@proxy:3128");
        assert_eq!(masked("ann:secret@proxy"), "xxxxx:xxxxx@proxy");
        assert_eq!(masked("http://proxy:3128"), "http://proxy:3128");
    }
}
