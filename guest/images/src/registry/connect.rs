//! HTTP and TLS connections. Names are asked of the configured name servers directly: the program this ends in is
//! static, and the C library's resolver doesn't work in one.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::Proxies;
use super::own::Own;
use super::proxy::Proxied;
use super::unchecked::Unchecked;
use crate::{Error, Result};

/// A request's body.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The client underneath.
pub(super) type Http = Client<HttpsConnector<Proxied>, Body>;

/// Where systems keep the authorities that they trust, in the order in which they are looked for.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// How long a connection may take: a registry that is there answers at once, and there may be another to try.
pub(super) const CONNECT: Duration = Duration::from_secs(15);

/// How much is read at once, in bytes: the library's own choice is several times as much, of which a download keeps many.
pub(super) const LONGEST_CHUNK: usize = 128 << 10;

/// Where name servers answer.
const DNS: u16 = 53;

/// Finds addresses of names.
#[derive(Clone)]
pub(super) struct Names {
    resolver: Option<Arc<TokioResolver>>,
    /// Who is asked first.
    server: Option<SocketAddr>,
}

impl Names {
    /// Reads the machine's configuration; without one every name fails.
    pub(super) fn configured() -> Self {
        Self::read().unwrap_or_else(|error| {
            tracing::warn!(%error, "no name servers");
            Self { resolver: None, server: None }
        })
    }

    fn read() -> Result<Self, NetError> {
        let (config, mut options) = read_system_conf()?;
        let server = config.name_servers().first().map(|first| SocketAddr::new(first.ip, DNS));
        // One after the other: a name that the hosts file has for IPv4 alone (`host.docker.internal`) would otherwise
        // wait for name servers that may not be reachable.
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self { resolver: Some(Arc::new(builder.build()?)), server })
    }

    /// Why a name has no address, in Docker's words, which are Go's.
    fn failure(&self, name: &str, error: &NetError) -> String {
        let server = self.server.map(|server| format!(" on {server}")).unwrap_or_default();
        let reason = match error {
            error if error.is_no_records_found() => "no such host".to_owned(),
            NetError::Timeout => "i/o timeout".to_owned(),
            error => error.to_string(),
        };
        format!("dial tcp: lookup {name}{server}: {reason}")
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Names")
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move {
            let resolver =
                names.resolver.as_ref().ok_or_else(|| io::Error::other("no name server is configured"))?;
            let name = name.as_str();
            let found = resolver.lookup_ip(name).await;
            let found = found.map_err(|error| io::Error::other(names.failure(name, &error)))?;
            // The port is the connector's to fill in.
            let addresses: Vec<SocketAddr> = found.iter().map(|address| (address, 0).into()).collect();
            Ok(addresses.into_iter())
        })
    }
}

/// How other machines are reached.
pub(super) struct Way<'a> {
    pub(super) names: Names,
    pub(super) proxies: &'a Proxies,
}

/// A client for one registry: `certificates` is its folder of authorities and keys, if it has one.
pub(super) fn client(way: Way<'_>, is_insecure: bool, certificates: Option<&Path>) -> Result<Http> {
    let tls = tls_config(is_insecure, certificates)?;
    let mut connector = HttpConnector::new_with_resolver(way.names);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Proxied::new(connector, way.proxies));
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_max_idle_per_host(4).http1_max_buf_size(LONGEST_CHUNK);
    Ok(client.build(connector))
}

fn tls_config(is_insecure: bool, certificates: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let bad =
        |_| Error::Certificate { path: PathBuf::new(), problem: "the TLS library refuses its own defaults" };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(bad)?;
    let builder = if is_insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        let (mut roots, mut own) = (authorities().clone(), Vec::new());
        for path in files(certificates, "crt") {
            for certificate in read_certificates(&path)? {
                let problem = "isn't an authority's certificate";
                let added = roots.add(certificate.clone());
                added.map_err(|_| Error::Certificate { path: path.clone(), problem })?;
                own.push(certificate);
            }
        }
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let problem = "the TLS library trusts nobody";
        let usual = usual.map_err(|_| Error::Certificate { path: PathBuf::new(), problem })?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Own { usual, certificates: own }))
    };
    let Some(path) = files(certificates, "cert").into_iter().next() else {
        return Ok(builder.with_no_client_auth());
    };
    let key = path.with_extension("key");
    let problem = "has no usable key beside it";
    let wrong = |path: &Path| Error::Certificate { path: path.to_owned(), problem };
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|_| wrong(&path))?;
    builder.with_client_auth_cert(read_certificates(&path)?, private).map_err(|_| wrong(&path))
}

/// Whom everybody trusts, and whom this system's administrator does, as it was when the engine first asked.
fn authorities() -> &'static RootCertStore {
    static AUTHORITIES: OnceLock<RootCertStore> = OnceLock::new();
    AUTHORITIES.get_or_init(|| {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let file = named.or_else(|| BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()));
        match file.as_deref().map(read_certificates) {
            // What isn't of this decade is of no use, and no reason to trust nobody.
            Some(Ok(certificates)) => drop(roots.add_parsable_certificates(certificates)),
            Some(Err(error)) => tracing::warn!(%error, "the system's authorities aren't trusted"),
            None => {}
        }
        roots
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|_| Error::Certificate { path: path.to_owned(), problem: "can't be read as PEM" })
}

/// The files of a folder with this ending, by name.
fn files(folder: Option<&Path>, extension: &str) -> Vec<PathBuf> {
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}
