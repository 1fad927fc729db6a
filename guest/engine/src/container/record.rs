//! What a container is, as it lies on disk: one self-describing file beside what it describes.

use std::collections::BTreeMap;
use std::path::Path;

use berth_network::{Endpoint, PublishedPort};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::container::config::Config;
use crate::container::host_config::HostConfig;
use crate::container::mounts::MountPoint;
use crate::container::state::State;
use crate::durable;
use crate::endpoint::EndpointSettings;

/// The version of [`Record`]'s shape; a newer one is left alone by an older engine.
const FORMAT: u32 = 1;
/// The record's file in the container's folder.
pub(crate) const FILE: &str = "record.json";

/// Everything that survives an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without the slash.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The image's id.
    pub image: String,
    /// What it runs, merged with the image's own wishes.
    pub config: Config,
    /// How it meets this machine.
    pub host_config: HostConfig,
    /// What it is doing.
    pub state: State,
    /// Its networks by name.
    pub networks: BTreeMap<String, EndpointSettings>,
    /// Card addresses that the user asked for, by network, while it runs: `networks` has those in use.
    #[serde(default)]
    pub asked_macs: BTreeMap<String, String>,
    /// What is mounted in it beside its root.
    pub mounts: Vec<MountPoint>,
    /// Its places in networks, while it runs.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Its open ports, while it runs.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Variables that tell of linked containers, while it runs.
    #[serde(default)]
    pub link_env: Vec<String>,
}

impl Record {
    /// The record of a fresh container.
    pub fn new(id: String, name: String, image: String, config: Config, host_config: HostConfig) -> Self {
        Self {
            format: FORMAT,
            id,
            name,
            created: Timestamp::now(),
            image,
            config,
            host_config,
            state: State::default(),
            networks: BTreeMap::new(),
            asked_macs: BTreeMap::new(),
            mounts: Vec::new(),
            endpoints: Vec::new(),
            ports: Vec::new(),
            link_env: Vec::new(),
        }
    }

    /// Reads the record of the container in `folder`.
    ///
    /// # Errors
    /// When it isn't there, isn't a record, or is of a newer format.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let record: Self = durable::read_json(&path)?;
        if record.format > FORMAT {
            return Err(Error::NewerFormat { path, found: record.format, known: FORMAT });
        }
        Ok(record)
    }

    /// Writes the record so that a power cut leaves the old one or the new one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        durable::write_json(&folder.join(FILE), self)
    }

    /// The program's path and its arguments: entrypoint, then command.
    pub fn argv(&self) -> Vec<String> {
        let words = [&self.config.entrypoint, &self.config.cmd];
        words.into_iter().flatten().flat_map(|words| words.0.iter().cloned()).collect()
    }

    /// The first twelve digits of the id.
    pub fn short_id(&self) -> &str {
        &self.id[..12]
    }
}
