//! What a guard is told at its start: one JSON file, `launch.json`.

use std::path::PathBuf;

use berth_runtime::WindowSize;
use serde::{Deserialize, Serialize};

/// How a guard makes and keeps its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The container's id, for messages.
    pub id: String,
    /// The folder with `config.json`, the OCI specification.
    pub bundle: PathBuf,
    /// Where a cgroup v2 hierarchy is mounted; without, the container gets no cgroup of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_mount: Option<PathBuf>,
    /// The container's cgroup below the mount; made by the guard from the specification's resources and removed
    /// by it at the end.
    #[serde(default)]
    pub cgroup_path: String,
    /// The cgroup below the mount that the guard itself moves to, so that it doesn't count as the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard_cgroup: Option<String>,
    /// How many files the guard and its container may open (the soft limit), when fewer than whoever started the guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Whether the container has a terminal; `Some` also without a size known yet.
    #[serde(default)]
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<WindowSize>,
    /// What its standard input is.
    #[serde(default)]
    pub stdin: StdinMode,
    /// Where its output is written.
    #[serde(default)]
    pub log: LogDriver,
    /// With a number, the container never waits for its log: at most so many bytes of output wait to be written, and
    /// lines that come when they do are lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_buffer: Option<u64>,
}

/// A container's standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// `/dev/null`.
    #[default]
    None,
    /// A pipe that stays open for later writers (`OpenStdin`).
    Open,
    /// A pipe that closes when the first engine connection that wrote to it goes away (`StdinOnce`).
    Once,
}

/// Where output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum LogDriver {
    /// Nowhere.
    #[default]
    None,
    /// Docker's json-file.
    JsonFile(LogFile),
    /// The compact binary form.
    Local(LogFile),
}

/// A log file that rotates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The newest file; older ones are `<path>.1`, `<path>.2` …, or `<path>.1.gz` …
    pub path: PathBuf,
    /// Rotate when the file would grow beyond so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Keep so many files, the newest included; at least 1.
    #[serde(default = "one")]
    pub max_file: u32,
    /// Whether older files are compressed; they end in `.gz` then.
    #[serde(default)]
    pub compress: bool,
}

fn one() -> u32 {
    1
}
