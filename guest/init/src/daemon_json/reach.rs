//! How clients reach the engine: its addresses, and TLS on those of a network.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::{DaemonJson, Files};
use crate::listen::Address;

/// What dockerd logs of an address without client certificates.
const OPEN_TO_ALL: &str = "Binding to IP address without --tlsverify is insecure and gives root access on this machine \
                           to everyone who has access to your network.";
const OPEN_TO_BROWSERS: &str = "Binding to an IP address, even on localhost, can also give access to scripts run in a \
                                browser. Be safe out there!";
/// What it tells in `docker info`.
const ATTACK_SURFACE: &str = "\n         Access to the remote API is equivalent to root access on the host. Refer\n         \
                              to the 'Docker daemon attack surface' section in the documentation for\n         more \
                              information: https://docs.docker.com/go/attack-surface/";

/// The flags of TLS, which are keys too.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Tls {
    /// Use TLS on tcp:// addresses; implied by --tlsverify.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls: Option<bool>,
    /// Use TLS on tcp:// addresses and let in clients with a certificate of --tlscacert alone.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tlsverify: Option<bool>,
    /// The authority of the clients' certificates.
    #[arg(long)]
    tlscacert: Option<String>,
    /// The engine's certificate.
    #[arg(long)]
    tlscert: Option<String>,
    /// Its key.
    #[arg(long)]
    tlskey: Option<String>,
}

/// Where the engine listens and how.
pub(crate) struct Reach {
    pub(crate) addresses: Vec<Address>,
    /// For addresses of a network.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    verifies: bool,
}

impl Tls {
    /// What was said on the command line, by key.
    pub(crate) fn said(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<String>| value.clone();
        let flag = |value: Option<bool>| value.map(|value| value.to_string());
        [
            ("tls", flag(self.tls)),
            ("tlsverify", flag(self.tlsverify)),
            ("tlscacert", text(&self.tlscacert)),
            ("tlscert", text(&self.tlscert)),
            ("tlskey", text(&self.tlskey)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

impl Reach {
    /// The addresses of the command line or the file, else the default one, and the TLS of either.
    pub(crate) fn decide(
        json: &DaemonJson,
        files: &Files<'_>,
        flags: &Tls,
        listen: &[Address],
        default: &Address,
    ) -> anyhow::Result<Self> {
        let mut addresses = listen.to_vec();
        for host in json.get_or::<Vec<String>>("hosts", Vec::new())? {
            let address: Address = host.parse().map_err(|why| anyhow::anyhow!("hosts: {why}"))?;
            match (&address, files) {
                (Address::Tcp(_), _) | (Address::Unix(_), Files::Here) => addresses.push(address),
                (Address::Unix(_), Files::OfHost(_)) => {
                    bail!("hosts: {host}: with a VM, the socket is Berth's own: leave it out")
                }
                (Address::Inherited(_), _) => {
                    bail!("hosts: {host}: nobody hands sockets over to this engine")
                }
            }
        }
        if addresses.is_empty() {
            addresses.push(default.clone());
        }
        let verify = flags.tlsverify.or(json.get("tlsverify")?);
        let tls = flags.tls.or(json.get("tls")?);
        // Saying anything of tlsverify turns TLS on, and TLS verifies unless that says no: as in dockerd.
        let wanted = verify.is_some() || tls == Some(true);
        let verifies = wanted && verify.unwrap_or(true);
        let text = |key: &'static str, flag: &Option<String>| {
            let path = flag.clone().or(json.get(key)?);
            let path = path.with_context(|| format!("invalid TLS configuration: {key} isn't given"))?;
            anyhow::Ok((files.read(key, &path)?, path))
        };
        let mut config = None;
        if wanted {
            let authority = verifies.then(|| text("tlscacert", &flags.tlscacert)).transpose()?;
            let (certificate, key) = (text("tlscert", &flags.tlscert)?, text("tlskey", &flags.tlskey)?);
            config = Some(Arc::new(server(authority.as_ref(), &certificate, &key)?));
        }
        Ok(Self { addresses, tls: config, verifies })
    }

    /// What `docker info` warns of; said in the log at once.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let remote = self.addresses.iter().filter_map(|address| match address {
            Address::Tcp(address) if !self.verifies => Some(address),
            _ => None,
        });
        let warn = |address: &String| {
            tracing::warn!(%address, "{OPEN_TO_ALL}");
            tracing::warn!(%address, "{OPEN_TO_BROWSERS}");
            let (scheme, without) = match self.tls {
                Some(_) => ("https", "TLS client verification"),
                None => ("http", "encryption"),
            };
            format!("WARNING: API is accessible on {scheme}://{address} without {without}.{ATTACK_SURFACE}")
        };
        remote.map(warn).collect()
    }
}

/// A text and where it is from.
type Named = (String, String);

fn server(authority: Option<&Named>, certificate: &Named, key: &Named) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match authority {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(authority)? {
                roots
                    .add(root)
                    .with_context(|| format!("{} isn't an authority's certificate", authority.1))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.with_context(|| authority.1.clone())?)
        }
        None => builder.with_no_client_auth(),
    };
    let private = PrivateKeyDer::from_pem_slice(key.0.as_bytes())
        .map_err(|_| anyhow::anyhow!("{} holds no private key in PEM without a password", key.1))?;
    let mut config = builder
        .with_single_cert(certificates(certificate)?, private)
        .with_context(|| format!("{} and {} don't belong together", certificate.1, key.1))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// At least one certificate in PEM.
fn certificates((text, path): &Named) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let all = all.map_err(|_| anyhow::anyhow!("{path} isn't PEM"))?;
    if all.is_empty() {
        bail!("{path} holds no certificate in PEM");
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(text: &str, flags: &Tls, listen: &[Address]) -> Result<Reach, String> {
        let json = DaemonJson::parse(text, false).map_err(|error| format!("{error:#}"))?;
        let default = Address::Unix("/run/b.sock".into());
        Reach::decide(&json, &Files::Here, flags, listen, &default).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_files_addresses_take_the_place_of_the_default() {
        let here = Tls::default();
        assert_eq!(decide("", &here, &[]).unwrap().addresses, [Address::Unix("/run/b.sock".into())]);
        let reach = decide(r#"{"hosts": ["tcp://127.0.0.1:2375"]}"#, &here, &[]).unwrap();
        assert_eq!(reach.addresses, [Address::Tcp("127.0.0.1:2375".to_owned())]);
        assert!(reach.tls.is_none());
        assert!(reach.warnings()[0].contains("http://127.0.0.1:2375 without encryption"));
        assert!(decide(r#"{"hosts": ["npipe:////./pipe"]}"#, &here, &[]).is_err());
    }

    #[test]
    fn verifying_needs_its_files() {
        let refused = decide(r#"{"tlsverify": true}"#, &Tls::default(), &[]).err().unwrap();
        assert_eq!(refused, "invalid TLS configuration: tlscacert isn't given");
        let refused = decide(r#"{"tls": true, "tlsverify": false}"#, &Tls::default(), &[]).err().unwrap();
        assert_eq!(refused, "invalid TLS configuration: tlscert isn't given");
        let flags = Tls { tlscacert: Some("/no/ca.pem".to_owned()), tls: Some(true), ..Tls::default() };
        assert!(decide("", &flags, &[]).err().unwrap().contains("/no/ca.pem"));
    }

    #[test]
    fn in_a_vm_the_socket_is_berths_own() {
        let texts = std::collections::BTreeMap::new();
        let json = DaemonJson::parse(r#"{"hosts": ["unix:///x"]}"#, true).unwrap();
        let default = Address::Unix("/run/b.sock".into());
        let refused = Reach::decide(&json, &Files::OfHost(&texts), &Tls::default(), &[], &default);
        assert!(refused.err().unwrap().to_string().contains("unix:///x"));
    }
}
