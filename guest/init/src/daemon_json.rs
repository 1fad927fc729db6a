//! `daemon.json`, with dockerd's keys. What this engine can't honour is refused by name: a setting that is ignored
//! is worse than one that is missing.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// The keys that have an effect here.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(crate) struct DaemonJson {
    /// Registries whose certificates aren't checked and that may speak plain HTTP: `host[:port]` or a network.
    pub(crate) insecure_registries: Vec<String>,
    /// Addresses that are asked for Docker Hub's images first.
    pub(crate) registry_mirrors: Vec<String>,
}

impl DaemonJson {
    /// Parses the text; empty text is no configuration.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text).context("daemon.json: remove what this engine doesn't know, or mend it")
    }

    /// Reads the file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_are_taken_and_others_refused_by_name() {
        let parsed = DaemonJson::parse(r#"{"insecure-registries": ["reg:5000"]}"#).unwrap();
        assert_eq!(parsed.insecure_registries, ["reg:5000"]);
        let error = DaemonJson::parse(r#"{"storage-driver": "zfs"}"#).unwrap_err();
        assert!(format!("{error:#}").contains("storage-driver"), "{error:#}");
        assert_eq!(DaemonJson::parse(" ").unwrap(), DaemonJson::default());
    }
}
