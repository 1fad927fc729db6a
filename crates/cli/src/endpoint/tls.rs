//! How TLS is spoken: by the options, `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH`, as Docker's client does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::text;
use super::unchecked::Unchecked;
use crate::failure::Failure;
use crate::global::Global;

/// The texts of what TLS is made of.
#[derive(Default)]
pub(super) struct Material {
    /// The authority of the engine's certificate.
    pub(super) authority: Option<String>,
    /// Our certificate and its key.
    pub(super) own: Option<(String, String)>,
}

/// What the command line and the environment want; none is no TLS.
pub(super) fn wanted(global: &Global, folder: &Path) -> Result<Option<ClientConfig>, Failure> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // Saying anything of tlsverify turns TLS on.
    let verify = global.tlsverify.unwrap_or_else(|| set("DOCKER_TLS_VERIFY"));
    let tls = global.tls.unwrap_or_else(|| set("DOCKER_TLS"));
    if !(tls || verify || global.tlsverify.is_some()) {
        return Ok(None);
    }
    let certificates = std::env::var_os("DOCKER_CERT_PATH").filter(|path| !path.is_empty());
    let certificates = certificates.map_or_else(|| folder.to_path_buf(), PathBuf::from);
    let said = |flag: &Option<String>| flag.as_ref().map(PathBuf::from);
    let file = |flag: &Option<String>, name: &str| said(flag).unwrap_or_else(|| certificates.join(name));
    let authority = verify.then(|| text(&file(&global.tlscacert, "ca.pem"))).transpose()?;
    // Without the options, files that aren't there are no certificate.
    let there = |flag: &Option<String>, name: &str| {
        Some(file(flag, name)).filter(|path| flag.is_some() || path.exists())
    };
    let own = match (there(&global.tlscert, "cert.pem"), there(&global.tlskey, "key.pem")) {
        (Some(certificate), Some(key)) => Some((text(&certificate)?, text(&key)?)),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            return Err(Failure::new(format!(
                "could not load X509 key pair: {} is there alone: a certificate and its key belong together",
                alone.display()
            )));
        }
    };
    config(&Material { authority, own }, verify).map(Some)
}

/// TLS of these texts. Without verifying, and with no authority named while verifying, nobody is trusted blindly: the
/// former is what the user said, the latter is refused.
pub(super) fn config(material: &Material, verify: bool) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Failure::from_error)?;
    let builder = match &material.authority {
        _ if !verify => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(authority)? {
                roots.add(root).map_err(Failure::from_error)?;
            }
            builder.with_root_certificates(roots)
        }
        None => {
            return Err(Failure::new(
                "no CA certificate is named to verify the engine with: see --tlscacert",
            ));
        }
    };
    let Some((certificate, key)) = &material.own else { return Ok(builder.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
        Failure::new("could not load X509 key pair: the key isn't one in PEM without a password")
    })?;
    builder
        .with_client_auth_cert(certificates(certificate)?, key)
        .map_err(|error| Failure::new(format!("could not load X509 key pair: {error}")))
}

/// At least one certificate in PEM.
fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(Failure::new("failed to parse certificates: there is none in PEM")),
    }
}
