//! Which engine is meant and how it is reached: what the command line says, else the environment, else Docker's
//! contexts, else Berth's own engine.

mod context;
mod dial;
mod tls;
mod unchecked;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use crate::failure::Failure;
use crate::global::Global;

/// Docker's ports where an address names none.
const PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;
/// The context that is none, and the one that leads to Berth's own engine.
const DEFAULT: &str = "default";
const OWN: &str = "berth";

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// An engine's address, and how to speak there.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Where.
    pub(crate) address: Address,
    /// None speaks in the clear; a unix socket needs no more.
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// A unix socket.
    pub(crate) fn unix(path: PathBuf) -> Self {
        Self { address: Address::Unix(path), tls: None }
    }

    /// The one that is meant; none is Berth's own.
    ///
    /// # Errors
    /// When it can't be understood, or a file of its TLS can't be used. Nobody is spoken to in the clear instead.
    pub(crate) fn meant(global: &Global) -> Result<Option<Self>, Failure> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if global.host.is_some() && global.context.is_some() {
            return Err(Failure::new("conflicting options: cannot specify both --host and --context"));
        }
        let folder = context::folder();
        let host =
            global.host.clone().or_else(|| environment("DOCKER_HOST").filter(|_| global.context.is_none()));
        if let Some(host) = host {
            let tls = tls::wanted(global, &folder)?;
            return endpoint(&host, tls).map(Some);
        }
        let chosen = || context::current(&folder).filter(|_| global.follows_context);
        let context = global.context.clone().or_else(|| environment("DOCKER_CONTEXT")).or_else(chosen);
        match context.as_deref() {
            None | Some(DEFAULT | OWN) => Ok(None),
            Some(name) => context::read(&folder, name).map(Some),
        }
    }

    /// Whether what is said there is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// How it is shown: `tcp://host:port`.
    pub(crate) fn shown(&self) -> String {
        match &self.address {
            Address::Unix(path) => format!("unix://{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => format!("tcp://[{host}]:{port}"),
            Address::Tcp { host, port } => format!("tcp://{host}:{port}"),
        }
    }
}

fn endpoint(host: &str, tls: Option<ClientConfig>) -> Result<Endpoint, Failure> {
    let address = parse(host, tls.is_some())?;
    let tls = tls.filter(|_| matches!(address, Address::Tcp { .. })).map(Arc::new);
    Ok(Endpoint { address, tls })
}

/// `unix://PATH`, `tcp://HOST[:PORT]`, or `HOST:PORT`.
fn parse(text: &str, with_tls: bool) -> Result<Address, Failure> {
    let invalid = || Failure::new(format!("invalid bind address format: {text}"));
    let rest = match text.trim().split_once("://") {
        Some(("unix", "")) => return Ok(Address::Unix("/var/run/docker.sock".into())),
        Some(("unix", path)) => return Ok(Address::Unix(path.into())),
        Some(("ssh", _)) => {
            return Err(Failure::new(format!(
                "{text}: engines over SSH aren't supported: forward the socket with `ssh -L` and name it by unix://"
            )));
        }
        Some(("tcp", rest)) => rest.trim_end_matches('/'),
        Some(_) => return Err(invalid()),
        None => text.trim(),
    };
    if rest.contains('/') {
        return Err(invalid());
    }
    let port = if with_tls { TLS_PORT } else { PORT };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, "")) => (host, port),
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| invalid())?),
        _ => (rest, port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

/// A file's text.
fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(format!("unable to resolve docker endpoint: open {}: {why}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, with_tls: bool) -> Result<String, String> {
        let address = parse(text, with_tls).map_err(|failure| failure.message().to_owned())?;
        Ok(Endpoint { address, tls: None }.shown())
    }

    #[test]
    fn an_address_has_dockers_defaults() {
        assert_eq!(shown("tcp://", false).unwrap(), "tcp://localhost:2375");
        assert_eq!(shown("tcp://a.example", true).unwrap(), "tcp://a.example:2376");
        assert_eq!(shown("10.0.0.1:99", false).unwrap(), "tcp://10.0.0.1:99");
        assert_eq!(shown("tcp://[::1]:99", false).unwrap(), "tcp://[::1]:99");
        assert_eq!(shown("unix:///run/x.sock", true).unwrap(), "unix:///run/x.sock");
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        assert!(shown("ssh://a.example", false).unwrap_err().contains("SSH"));
        assert_eq!(shown("npipe://x", false).unwrap_err(), "invalid bind address format: npipe://x");
        assert!(shown("tcp://a:b", false).is_err() && shown("tcp://a:1/p", false).is_err());
    }

    #[test]
    fn two_ways_to_say_it_are_one_too_many() {
        let both = Global { host: Some("tcp://a".into()), context: Some("b".into()), ..Global::default() };
        let refused = Endpoint::meant(&both).unwrap_err();
        assert_eq!(refused.message(), "conflicting options: cannot specify both --host and --context");
    }
}
