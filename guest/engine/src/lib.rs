//! The rules of Docker: what a container, an image and a volume may do and what it means, one verb per file.
//!
//! An [`Engine`] is a value: its folders, its cgroup, its network namespace and its name prefix are given to it,
//! and nothing of it is global to the process, so two engines can run on one machine at once. It knows nothing
//! of HTTP: `api` turns requests into calls of its methods and its [`Error`]s into statuses.

pub mod anatomy;
mod archive;
pub mod attach;
mod bundle;
mod check;
mod commit;
mod config;
pub mod container;
mod create;
mod disk_usage;
mod durable;
pub mod endpoint;
mod error;
pub mod events;
pub mod exec;
mod exit;
mod export;
mod filters;
mod follow;
mod guard_link;
mod health;
mod hierarchy;
mod host_paths;
mod identity;
mod image_mounts;
pub mod images;
mod info;
mod inspect;
mod instructions;
mod kill;
mod links;
mod list;
mod local_driver;
mod log_details;
mod log_options;
mod logs;
pub mod network;
pub mod output;
mod parts;
mod pause;
pub mod ports;
mod propagation;
mod prune;
mod registry;
mod remove;
mod rename;
mod restart;
mod restore;
mod sandbox;
mod search;
mod settings;
mod shared_memory;
mod signal;
mod size;
mod spec;
mod start;
pub mod stats;
mod stop;
mod subpath;
mod sys;
mod top;
mod update;
mod view;
mod volume;
pub mod volumes;
mod wait;

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use berth_network::Networks;
use berth_runtime::cgroup::{Cgroup, CgroupRoot};

pub use archive::{Archive, ExtractOptions, PathStat};
pub use berth_runtime::go_duration;
pub use commit::{Commit, Import};
pub use config::Config;
pub use create::{Create, Created};
pub use disk_usage::{ImageUsage, VolumeUsage};
pub use error::{Error, Kind};
pub use export::Export;
pub use filters::Filters;
pub use host_paths::{HostOs, HostPaths, Share};
pub use info::Info;
pub use inspect::Details;
pub use list::List;
pub use logs::{LogLine, LogOptions, Logs};
pub use settings::{ContainerDefaults, Settings};
pub use top::Top;
pub use volume::VolumeWish;
pub use wait::{Condition, Waiting};

use crate::container::Container;
use crate::events::Events;
use crate::exec::Execs;
use crate::registry::Registry;
use crate::volumes::Volumes;

/// One container engine.
pub struct Engine {
    config: Config,
    /// The same after a restart.
    id: String,
    images: berth_images::Store,
    registries: berth_images::registry::Client,
    settings: RwLock<Arc<Settings>>,
    containers: Registry,
    execs: Execs,
    volumes: Volumes,
    events: Arc<Events>,
    networks: Arc<Networks>,
    cgroups: CgroupRoot,
    /// cgroup v2 controllers that hold here.
    controllers: Vec<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the engine on its folders, making them when they aren't there, and takes back the containers that
    /// outlived the last engine.
    ///
    /// # Errors
    /// When a folder, the image store or the cgroup can't be used.
    pub async fn open(config: Config) -> Result<Arc<Self>, Error> {
        for folder in [&config.data_root, &config.exec_root] {
            std::fs::create_dir_all(folder)
                .map_err(|source| Error::Folder { folder: folder.clone(), source })?;
        }
        let (cgroups, controllers) = hierarchy::open(&config)?;
        let events = Arc::new(Events::default());
        let engine = Arc::new(Self {
            id: engine_id(&config)?,
            images: berth_images::Store::open(&config.data_root.join("images"))?,
            registries: berth_images::registry::Client::new(config.settings.registries.clone()),
            settings: RwLock::new(Arc::new(config.settings.clone())),
            volumes: Volumes::open(config.data_root.join("volumes"), events.clone())?,
            containers: Registry::default(),
            execs: Execs::default(),
            networks: Arc::new(open_networks(&config)?),
            events,
            cgroups,
            controllers,
            config,
        });
        // Once the images are ours alone.
        commit::forget_downloads(&engine.config.data_root);
        engine.read_containers()?;
        engine.restore_networks().await;
        engine.restore().await;
        Ok(engine)
    }

    /// What the engine was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What happens.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// A container's folders in the data root and in the exec root.
    fn folders_of(&self, id: &str) -> (PathBuf, PathBuf) {
        let folder = |root: &PathBuf| root.join("containers").join(id);
        (folder(&self.config.data_root), folder(&self.config.exec_root))
    }

    /// A container's cgroup.
    fn cgroup_of(&self, container: &Container) -> Cgroup {
        self.cgroups.at(&self.cgroup_path(container))
    }

    /// Its path below the hierarchy's mount.
    fn cgroup_path(&self, container: &Container) -> String {
        let parent = container.with(|record| record.host_config.resources.cgroup_parent.clone());
        let parent = if parent.is_empty() { &self.config.cgroup_parent } else { &parent };
        format!("/{}/{}", parent.trim_matches('/'), container.id)
    }

    /// Tells everybody what happened to a container.
    fn tell(&self, container: &Container, action: &str) {
        self.events.tell("container", action, &container.id, container.attributes());
    }
}

/// Where containers' network namespaces are.
fn namespaces(config: &Config) -> PathBuf {
    config.exec_root.join("netns")
}

fn open_networks(config: &Config) -> Result<Networks, Error> {
    let options = berth_network::Options {
        records: config.data_root.join("networks"),
        namespaces: namespaces(config),
        name_prefix: config.name_prefix.clone(),
        avoid: config.avoid.clone(),
        defaults: config.networks.clone(),
        door: config.door.clone(),
    };
    Ok(Networks::open(options, config.publisher.clone())?)
}

/// The engine's own id, made at its first start, and anew when it can't be read.
fn engine_id(config: &Config) -> Result<String, Error> {
    let path = config.data_root.join("engine-id.json");
    if path.exists() {
        match durable::read_json(&path) {
            Ok(id) => return Ok(id),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the engine gets a new id");
            }
        }
    }
    let id = identity::fresh()?;
    durable::write_json(&path, &id)?;
    Ok(id)
}
