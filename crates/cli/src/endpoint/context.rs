//! Docker's store of contexts: `contexts/meta/ID/meta.json` and `contexts/tls/ID/docker/*.pem`, where ID is the SHA-256 of
//! the name.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::tls::{self, Material};
use super::{Endpoint, endpoint};
use crate::failure::Failure;

/// Docker's folder of client settings: `$DOCKER_CONFIG`, else `~/.docker`.
pub(super) fn folder() -> PathBuf {
    let named = std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty());
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    named.map_or_else(|| home().join(".docker"), PathBuf::from)
}

/// The context that `docker context use` chose.
pub(super) fn current(folder: &Path) -> Option<String> {
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).ok()?).ok()?;
    Some(config.get("currentContext")?.as_str()?.to_owned()).filter(|name| !name.is_empty())
}

/// A context's engine.
pub(super) fn read(folder: &Path, name: &str) -> Result<Endpoint, Failure> {
    let id: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let meta = folder.join("contexts/meta").join(&id).join("meta.json");
    let unknown = || {
        Failure::new(format!(
            "unable to resolve docker endpoint: context {name:?}: context not found: open {}: no such file or directory",
            meta.display()
        ))
    };
    let meta: Value = std::fs::read_to_string(&meta)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .ok_or_else(unknown)?;
    let docker = meta
        .pointer("/Endpoints/docker")
        .ok_or_else(|| Failure::new(format!("context {name:?}: cannot find docker endpoint in context")))?;
    let host = docker.get("Host").and_then(Value::as_str).unwrap_or_default();
    let skips = docker.get("SkipTLSVerify").and_then(Value::as_bool).unwrap_or_default();
    let pem = |file: &str| {
        std::fs::read_to_string(folder.join("contexts/tls").join(&id).join("docker").join(file)).ok()
    };
    let (authority, certificate, key) = (pem("ca.pem"), pem("cert.pem"), pem("key.pem"));
    let has_tls = skips || authority.is_some() || certificate.is_some() || key.is_some();
    let material = Material { authority, own: certificate.zip(key) };
    let tls = has_tls.then(|| tls::config(&material, !skips)).transpose()?;
    endpoint(host, tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of `far`.
    const FAR: &str = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";

    #[test]
    fn a_context_says_where_the_engine_is() {
        let folder = tempfile::tempdir().unwrap();
        let meta = folder.path().join("contexts/meta").join(FAR);
        std::fs::create_dir_all(&meta).unwrap();
        let text = r#"{"Name": "far", "Endpoints": {"docker": {"Host": "tcp://a.example:99", "SkipTLSVerify": false}}}"#;
        std::fs::write(meta.join("meta.json"), text).unwrap();
        assert_eq!(read(folder.path(), "far").unwrap().shown(), "tcp://a.example:99");
        let missing = read(folder.path(), "near").unwrap_err();
        assert!(
            missing
                .message()
                .starts_with("unable to resolve docker endpoint: context \"near\": context not found")
        );
    }

    #[test]
    fn the_chosen_context_is_in_the_clients_settings() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(current(folder.path()), None);
        std::fs::write(folder.path().join("config.json"), r#"{"currentContext": "far"}"#).unwrap();
        assert_eq!(current(folder.path()).as_deref(), Some("far"));
    }
}
