//! `docker inspect`: everything that is known of a container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use berth_guard::LogDriver;

use crate::container::Container;
use crate::container::record::Record;
use crate::ports::OpenPorts;
use crate::{Engine, Error};

/// Everything that is known of a container.
#[derive(Debug)]
pub struct Details {
    /// Its record.
    pub record: Record,
    /// The folder with its `hosts`, `hostname` and `resolv.conf`.
    pub names: PathBuf,
    /// Its log's newest file.
    pub log_path: Option<PathBuf>,
    /// Its living execs.
    pub exec_ids: Vec<String>,
    /// Its ports by `80/tcp`, with where they are open.
    pub ports: OpenPorts,
    /// The path of its network namespace; empty when it has none of its own.
    pub sandbox: String,
    /// The folders of its layers, in Docker's names.
    pub layers: BTreeMap<String, String>,
}

impl Engine {
    /// Everything that is known of a container.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn inspect(&self, name: &str) -> Result<Details, Error> {
        let container = self.containers.find(name)?;
        let record = container.record();
        let log_path = match self.log_driver(&container) {
            Ok(LogDriver::JsonFile(file) | LogDriver::Local(file)) => Some(file.path),
            Ok(LogDriver::None) | Err(_) => None,
        };
        Ok(Details {
            names: self.network_owner(&container).folder.clone(),
            log_path,
            exec_ids: self.execs.of(&container.id),
            ports: self.open_ports(&record),
            sandbox: self.sandbox_path(&record),
            layers: self.layer_folders(&container),
            record,
        })
    }

    /// Where a container's layers lie, as Docker's overlay2 driver names them; the topmost of the lower ones first.
    fn layer_folders(&self, container: &Container) -> BTreeMap<String, String> {
        let Ok(snapshot) = self.images.snapshot(&container.id) else { return BTreeMap::new() };
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let lowers = snapshot.lowers.iter().rev().map(|lower| text(lower)).collect::<Vec<_>>();
        [
            ("ID", container.id.clone()),
            ("LowerDir", lowers.join(":")),
            ("MergedDir", text(&container.exec_folder.join("rootfs"))),
            ("UpperDir", text(&snapshot.upper)),
            ("WorkDir", text(&snapshot.work)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Bytes in a container's writable layer, and in its whole root. Walks the disk.
    ///
    /// # Errors
    /// When there is no such container or the disk can't be read.
    pub async fn sizes(&self, name: &str) -> Result<(u64, u64), Error> {
        let container = self.containers.find(name)?;
        let images = self.images.clone();
        let image = container.with(|record| record.image.clone());
        tokio::task::spawn_blocking(move || {
            let writable = images.snapshot_size(&container.id)?;
            let layers = images.image(&image).map_or(0, |image| image.size());
            Ok((writable, writable + layers))
        })
        .await?
    }
}
