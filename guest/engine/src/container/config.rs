//! What a container runs: Docker's `Config`, in Docker's own vocabulary, since clients, images and records all
//! speak it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Go's empty object, as sets are written in Docker's JSON (`{"80/tcp": {}}`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A set of names in Docker's JSON.
pub type Names = BTreeMap<String, Empty>;

/// The portable half of a container's description.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Host name; the short id when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub hostname: String,
    /// NIS domain name.
    #[serde(deserialize_with = "null_is_default")]
    pub domainname: String,
    /// `user[:group]` by name or number; root when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// Whether the client meant to attach to stdin.
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stdin: bool,
    /// Whether the client meant to attach to stdout.
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stdout: bool,
    /// Whether the client meant to attach to stderr.
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stderr: bool,
    /// `80/tcp`: ports that the program listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<Names>,
    /// Whether there is a terminal.
    #[serde(deserialize_with = "null_is_default")]
    pub tty: bool,
    /// Whether stdin is open.
    #[serde(deserialize_with = "null_is_default")]
    pub open_stdin: bool,
    /// Whether stdin closes after the first attached client leaves.
    #[serde(deserialize_with = "null_is_default")]
    pub stdin_once: bool,
    /// `NAME=value`; `NAME` alone removes the image's.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// Arguments, or the whole command when there is no entrypoint.
    pub cmd: Option<Words>,
    /// How to tell that it is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// The image, as the user named it.
    #[serde(deserialize_with = "null_is_default")]
    pub image: String,
    /// Paths that get an anonymous volume.
    pub volumes: Option<Names>,
    /// Working folder.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// The command before `Cmd`.
    pub entrypoint: Option<Words>,
    /// Whether it has no network at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_disabled: Option<bool>,
    /// Builder triggers, carried along.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to stop; SIGTERM when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL; 10 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The builder's shell, carried along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// A command, which older clients send as one string.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(word) => Self(vec![word]),
            OneOrMany::Many(words) => Self(words),
        })
    }
}

/// How to tell that a container is healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", "…"]`; empty inherits the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Nanoseconds between two probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// Nanoseconds before a probe counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Failures in a row before it is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
    /// Nanoseconds after the start in which failures don't count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    /// Nanoseconds between two probes in that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
}

/// JSON `null` where Go clients send a nil value for "not set".
pub(crate) fn null_is_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_a_string_command_are_understood() {
        let config: Config = serde_json::from_str(r#"{"Env": null, "Cmd": "true", "Tty": null}"#).unwrap();
        assert_eq!(config.cmd, Some(Words(vec!["true".to_owned()])));
        assert!(config.env.is_empty() && !config.tty);
    }
}
