//! Registries, by the OCI distribution specification and Docker's habits: pull and push.

use std::path::PathBuf;

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

/// What a push left in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's length.
    pub size: u64,
}

/// A client of registries. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    options: Options,
}

impl Client {
    /// A client with these options.
    ///
    /// # Errors
    /// When an option makes no sense.
    pub fn new(options: Options) -> Result<Self> {
        Ok(Self { options })
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
        let _ = (store, reference, platform, credentials, report, &self.options);
        Err(Error::Interrupted("pull"))
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
        let _ = (store, reference, credentials, report);
        Err(Error::Interrupted("push"))
    }

    /// Checks credentials at a registry (`docker login`); gives an identity token where the registry has some.
    ///
    /// # Errors
    /// When the registry refuses them.
    pub async fn login(&self, domain: &str, credentials: &Credentials) -> Result<Option<String>> {
        let _ = (domain, credentials);
        Err(Error::Interrupted("login"))
    }
}
