//! `daemon.json`, with dockerd's keys (those of Docker 28). Each has its effect or is refused with the reason, and an
//! unknown one is refused by name: a setting that is ignored is worse than one that is missing.
//!
//! [`keys`] is the list; each part of the engine takes its own keys from the parsed file.

mod builder;
mod fixed;
mod keys;
mod networks;
mod reach;
mod registries;
mod settings;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) use builder::builds;
pub(crate) use networks::networks;
pub(crate) use reach::{Reach, Tls};
pub(crate) use registries::usable_proxy;
pub(crate) use settings::{reloaded, settings};

/// A parsed file: what was written, by key.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct DaemonJson(Map<String, Value>);

/// Where the files are that it names.
pub(crate) enum Files<'a> {
    /// On this machine.
    Here,
    /// On the machine of a VM's host, which handed them over by path.
    OfHost(&'a BTreeMap<String, String>),
}

impl DaemonJson {
    /// Parses the text; empty text is no configuration.
    ///
    /// # Errors
    /// When it isn't JSON, or a key isn't known or can't be honoured. `in_machine` says that the engine runs in a VM.
    pub(crate) fn parse(text: &str, in_machine: bool) -> anyhow::Result<Self> {
        // What Windows' editors begin a file with.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut keys: Map<String, Value> = serde_json::from_str(text)?;
        // Go reads null as "not there".
        keys.retain(|_, value| !value.is_null());
        let unknown: Vec<&str> = keys.keys().map(String::as_str).filter(|key| !keys::is_known(key)).collect();
        if !unknown.is_empty() {
            bail!("the following directives don't match any configuration option: {}", unknown.join(", "));
        }
        let parsed = Self(keys);
        fixed::check(&parsed, in_machine)?;
        Ok(parsed)
    }

    /// Reads a file of this machine, in whose way stand `flags`: keys that the command line says, with their values.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and when a key is said twice. The error names the file.
    pub(crate) fn read(path: &Path, flags: &[(&str, String)]) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<Self> {
            let parsed = Self::parse(&std::fs::read_to_string(path)?, false)?;
            parsed.refuse_twice(flags)?;
            Ok(parsed)
        };
        let file = || format!("unable to configure the engine with file {}", path.display());
        read().with_context(file)
    }

    /// The value of a key, when it is written.
    ///
    /// # Errors
    /// When it is of another kind.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &'static str) -> anyhow::Result<Option<T>> {
        debug_assert!(keys::is_known(key), "{key} isn't in the list");
        let value = self.0.get(key).cloned().map(serde_json::from_value);
        value.transpose().with_context(|| format!("invalid value for {key}"))
    }

    /// The same, or the default.
    fn get_or<T: DeserializeOwned>(&self, key: &'static str, default: T) -> anyhow::Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// Whether the key is written.
    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// What the command line says and the file too is neither's to decide.
    fn refuse_twice(&self, flags: &[(&str, String)]) -> anyhow::Result<()> {
        let twice: Vec<String> = flags
            .iter()
            .filter_map(|(key, flag)| {
                let file = text::as_go(self.0.get(*key)?);
                Some(format!("{key}: (from flag: {flag}, from file: {file})"))
            })
            .collect();
        if twice.is_empty() {
            return Ok(());
        }
        bail!(
            "the following directives are specified both as a flag and in the configuration file: {}",
            twice.join(", ")
        )
    }
}

impl Files<'_> {
    /// The text of a file that `key` names.
    fn read(&self, key: &str, path: &str) -> anyhow::Result<String> {
        match self {
            Self::Here => std::fs::read_to_string(path).with_context(|| format!("{key}: can't read {path}")),
            Self::OfHost(texts) => {
                texts.get(path).cloned().with_context(|| format!("{key}: the host didn't hand {path} over"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        format!("{:#}", DaemonJson::parse(text, false).unwrap_err())
    }

    #[test]
    fn unknown_keys_are_refused_in_dockerds_words() {
        let said = refused(r#"{"debug": true, "colour": "red"}"#);
        assert_eq!(said, "the following directives don't match any configuration option: colour");
        assert_eq!(DaemonJson::parse(" ", false).unwrap(), DaemonJson::default());
        assert_eq!(DaemonJson::parse(r#"{"debug": null}"#, false).unwrap(), DaemonJson::default());
    }

    #[test]
    fn a_value_of_another_kind_is_refused_by_its_key() {
        let parsed = DaemonJson::parse(r#"{"debug": "yes"}"#, false).unwrap();
        let said = format!("{:#}", parsed.get::<bool>("debug").unwrap_err());
        assert!(said.contains("debug") && said.contains("boolean"), "{said}");
    }

    #[test]
    fn what_is_said_twice_is_refused_with_both_values() {
        let parsed =
            DaemonJson::parse(r#"{"hosts": ["unix:///a", "tcp://b"], "debug": true}"#, false).unwrap();
        let flags = [("hosts", "[unix:///c]".to_owned()), ("data-root", "/d".to_owned())];
        assert_eq!(
            parsed.refuse_twice(&flags).unwrap_err().to_string(),
            "the following directives are specified both as a flag and in the configuration file: \
             hosts: (from flag: [unix:///c], from file: [unix:///a tcp://b])"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let said = format!("{:#}", DaemonJson::read(Path::new("/no/daemon.json"), &[]).unwrap_err());
        assert!(said.contains("/no/daemon.json"), "{said}");
    }
}
