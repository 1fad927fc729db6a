//! The rules of Docker: what a container, an image and a volume may do and what it means, one verb per file.
//!
//! An [`Engine`] is a value: its folders, its cgroup, its network namespace and its name prefix are given to it,
//! and nothing of it is global to the process, so two engines can run on one machine at once. It knows nothing
//! of HTTP: `api` turns requests into calls of its methods and its [`Error`]s into statuses.

mod config;
mod error;
mod host_paths;

pub use config::Config;
pub use error::{Error, Kind};
pub use host_paths::{HostOs, HostPaths, Share};

/// One container engine.
#[derive(Debug)]
pub struct Engine {
    config: Config,
}

impl Engine {
    /// Opens the engine on its folders, making them when they aren't there.
    ///
    /// # Errors
    /// When a folder can't be made.
    pub fn open(config: Config) -> Result<Self, Error> {
        for folder in [&config.data_root, &config.exec_root] {
            std::fs::create_dir_all(folder)
                .map_err(|source| Error::Folder { folder: folder.clone(), source })?;
        }
        Ok(Self { config })
    }

    /// What the engine was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
