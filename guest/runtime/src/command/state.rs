//! `state`: what a container is at this moment; and the record it is read from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::Store;
use super::{Ended, place, process};
use crate::error::Error;
use crate::handshake::Line;
use crate::rfc3339;

/// Prints a container's state as JSON.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The container.
    id: String,
}

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Of the specification that the container was made from.
    pub(super) oci_version: String,
    pub(super) id: String,
    /// Its first process; none until its creation is complete.
    pub(super) process: Option<process::Identity>,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// The mount that the root lay on before the container's own mounts, where these are the machine's as well: no
    /// mount namespace.
    #[serde(default)]
    pub(super) covered: Option<u64>,
    /// In nanoseconds since 1970.
    pub(super) created: u64,
    /// The cgroup below the hierarchy's mount.
    pub(super) cgroup: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

/// OCI runtime spec, "State", and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl Record {
    /// What the container is now. Whether it was started its process itself tells: nothing written can go stale.
    pub(super) fn status(&self, socket: &Path) -> Status {
        match &self.process {
            None => Status::Creating,
            Some(process) if !process.is_alive() => Status::Stopped,
            Some(_) if Line::connect(socket).is_ok() => Status::Created,
            Some(_)
                if place::cgroup(&self.cgroup).is_ok_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) =>
            {
                Status::Paused
            }
            Some(_) => Status::Running,
        }
    }
}

/// What is printed, as runc does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    oci_version: String,
    pub(super) id: String,
    pub(super) pid: i32,
    pub(super) status: Status,
    pub(super) bundle: PathBuf,
    rootfs: PathBuf,
    pub(super) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    pub(super) owner: String,
}

impl Shown {
    /// Looks at the container now.
    pub(super) fn look(store: &Store, id: &str) -> Result<Self, Error> {
        let record = store.record(id)?;
        let status = record.status(&store.socket(id)?);
        let pid =
            record.process.as_ref().filter(|_| status != Status::Stopped).map_or(0, |process| process.pid);
        Ok(Self {
            oci_version: record.oci_version,
            id: record.id,
            pid,
            status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: rfc3339::format(record.created),
            annotations: record.annotations,
            owner: "root".into(),
        })
    }
}

/// Prints it.
pub(super) fn run(args: &Args, store: &Store) -> Ended {
    super::print_json(&Shown::look(store, &args.id)?)
}
