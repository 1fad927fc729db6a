//! Builds images: a Dockerfile becomes stages, stages become steps, steps become layers in the image store.
//!
//! A [`Builder`] is a value that an engine opens beside its image store. What it needs of its surroundings it is
//! given: the store, registries, networks, a cgroup. It knows nothing of HTTP.
//!
//! [`dockerfile`] reads text; `solve` walks the stages that the target needs, each step looked up in the cache by a
//! key of all that goes into it, and run when it isn't there; [`classic`] speaks the old build API's words.

mod beneath;
pub mod buildkit;
mod cache;
mod checksum;
mod chmod;
pub mod classic;
mod container;
mod depot;
pub mod dockerfile;
mod error;
mod files;
mod filter;
mod git;
mod history;
mod identity;
mod ignore;
mod interpreter;
mod kept;
mod known;
mod observe;
pub mod options;
mod process;
mod prune;
mod solve;
mod sources;
mod state;
mod steps;
mod transfer;
mod user;
mod workspace;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use berth_images::{Digest, Platform, Store, registry};
use berth_network::Networks;
use berth_runtime::cgroup::CgroupRoot;

pub use error::{Error, Kind, Result};
pub use filter::Filter;
pub use prune::{Prune, Pruned, Usage, UsageKind};

use crate::cache::Cache;
use crate::options::Grants;

/// What a builder is given.
pub struct Surroundings {
    /// Persistent state: the cache, and folders that `--mount=type=cache` keeps.
    pub data_root: PathBuf,
    /// State that ends with the machine: mounts and bundles of running steps.
    pub exec_root: PathBuf,
    /// The engine's images.
    pub store: Store,
    /// The engine's way to registries.
    pub registries: registry::Client,
    /// The engine's networks.
    pub networks: Arc<Networks>,
    /// The hierarchy of cgroups.
    pub cgroups: CgroupRoot,
    /// The cgroup below which steps get theirs.
    pub cgroup_parent: String,
    /// The program that runs a step (`berth-runtime`).
    pub runtime_program: PathBuf,
    /// What is decided for all builds.
    pub settings: Settings,
}

/// What an engine's user decides for all builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What builds may be granted.
    pub allowed: Grants,
    /// How long builds are remembered.
    pub history: buildkit::Memory,
}

impl Default for Settings {
    /// dockerd's own.
    fn default() -> Self {
        Self { allowed: Grants { host_network: true, insecure: false }, history: buildkit::Memory::default() }
    }
}

/// One engine's builder.
pub struct Builder {
    data_root: PathBuf,
    exec_root: PathBuf,
    store: Store,
    registries: registry::Client,
    networks: Arc<Networks>,
    cgroups: CgroupRoot,
    cgroup_parent: String,
    runtime_program: PathBuf,
    settings: Settings,
    cache: Cache,
    /// Steps being made, so that two builds that need the same make it once, and caches in use by one.
    busy: Mutex<HashMap<String, Lock>>,
}

/// Who holds it is alone with what it is named after; who has it works with that.
pub(crate) type Lock = Arc<tokio::sync::Mutex<()>>;

impl std::fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Builder").field("data_root", &self.data_root).finish_non_exhaustive()
    }
}

impl Builder {
    /// Opens the builder on its folders and removes what a crash left of running steps. Blocks.
    ///
    /// # Errors
    /// When a folder can't be used.
    pub fn open(surroundings: Surroundings) -> Result<Arc<Self>> {
        let Surroundings {
            data_root,
            exec_root,
            store,
            registries,
            networks,
            cgroups,
            cgroup_parent,
            runtime_program,
            settings,
        } = surroundings;
        for folder in [&data_root, &exec_root] {
            std::fs::create_dir_all(folder).map_err(Error::file("make folder", folder))?;
        }
        let cache = Cache::open(&data_root.join("cache"), &store)?;
        let busy = Mutex::default();
        let builder = Self {
            data_root,
            exec_root,
            store,
            registries,
            networks,
            cgroups,
            cgroup_parent,
            runtime_program,
            settings,
            cache,
            busy,
        };
        builder.sweep()?;
        Ok(Arc::new(builder))
    }

    /// Removes what an engine that was killed left: processes, mounts, snapshots, half-received contexts.
    fn sweep(&self) -> Result<()> {
        let cgroup = self.cgroups.at(&self.cgroup_parent);
        if cgroup.path().exists() {
            cgroup.kill()?;
            cgroup.await_empty(std::time::Duration::from_secs(10))?;
            cgroup.remove()?;
        }
        let entries =
            std::fs::read_dir(&self.exec_root).map_err(Error::file("read folder", &self.exec_root))?;
        for entry in entries.flatten() {
            let root = entry.path().join("rootfs");
            self.store.unmount(&root)?;
            if !root.exists() || std::fs::remove_dir(&root).is_ok() {
                drop(std::fs::remove_dir_all(entry.path()));
            }
        }
        self.store.remove_unrecorded_snapshots()?;
        let contexts = self.contexts();
        drop(std::fs::remove_dir_all(&contexts));
        std::fs::create_dir_all(&contexts).map_err(Error::file("make folder", contexts))
    }

    /// Where contexts are unpacked.
    fn contexts(&self) -> PathBuf {
        self.data_root.join("contexts")
    }

    /// Whether a build works with what a lock's name begins with.
    fn is_busy(&self, start: &str) -> bool {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.iter().any(|(name, lock)| name.starts_with(start) && Arc::strong_count(lock) > 1)
    }

    /// One lock per name: a step's key, a cache's id.
    fn lock_for(&self, name: &str) -> Lock {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, lock| Arc::strong_count(lock) > 1);
        busy.entry(name.to_owned()).or_default().clone()
    }
}

/// The arguments that every Dockerfile has, with their values where build and target are this machine.
pub(crate) fn platform_arguments() -> Vec<(String, String)> {
    arguments_for(&Platform::local(), &Platform::local())
}

pub(crate) fn arguments_for(build: &Platform, target: &Platform) -> Vec<(String, String)> {
    let of = |prefix: &str, platform: &Platform| {
        [
            (format!("{prefix}PLATFORM"), platform.to_string()),
            (format!("{prefix}OS"), platform.os.clone()),
            (format!("{prefix}ARCH"), platform.architecture.clone()),
            (format!("{prefix}VARIANT"), platform.variant.clone()),
        ]
    };
    of("BUILD", build).into_iter().chain(of("TARGET", target)).collect()
}

/// A digest of several texts that no other texts have.
pub(crate) fn key_of(parts: &[&str]) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Digest::of(&bytes)
}
