//! What a container is, taken apart while it lives: its namespaces, its cgroup, its mounts, its rights, its processes,
//! its layers, and how long the parts of its start took.
//!
//! Everything is read from where the kernel tells it, at the moment of asking.

mod cgroup;
mod namespaces;
mod process;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Engine, Error};

pub use cgroup::CgroupAnatomy;
pub use namespaces::Namespace;
pub use process::{Mount, Process, Rights};

/// A container, taken apart.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Anatomy {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Docker's word for what it is doing.
    pub status: &'static str,
    /// Its first process; 0 when it doesn't run. What follows is empty then, up to the layers.
    pub pid: i32,
    /// Its namespaces.
    pub namespaces: Vec<Namespace>,
    /// Its cgroup.
    pub cgroup: Option<CgroupAnatomy>,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
    /// What its first process may do.
    pub rights: Option<Rights>,
    /// Its processes.
    pub processes: Vec<Process>,
    /// Its image's layers, lowest first.
    pub layers: Vec<LayerAnatomy>,
    /// What it wrote itself.
    pub writable: WritableAnatomy,
    /// The parts of its last start.
    pub start: Vec<StartSpan>,
}

/// One layer of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayerAnatomy {
    /// The digest of its content.
    pub diff_id: String,
    /// Bytes.
    pub size: u64,
    /// Its folder.
    pub path: PathBuf,
}

/// A container's own layer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WritableAnatomy {
    /// Its folder.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Changed paths, as `docker diff` lists them: `C`, `A` or `D`, and the path.
    pub changes: Vec<(char, PathBuf)>,
}

/// One part of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartSpan {
    /// `API`, `layers`, `network`, `ports`, `bundle`, `guard`, what the guard does (`cgroup` and the runtime's own
    /// parts, to `exec`), `ready`.
    pub name: String,
    /// Its length in microseconds.
    pub micros: u64,
}

impl Engine {
    /// Takes a container apart.
    ///
    /// # Errors
    /// When there is no such container, or it ends meanwhile.
    pub async fn anatomy(&self, name: &str) -> Result<Anatomy, Error> {
        let container = self.containers.find(name)?;
        let changes = self.changes(&container.id).await?;
        let record = container.record();
        let running = record.state.status.has_process();
        let others: Vec<(String, i32)> = self
            .containers
            .all()
            .iter()
            .filter(|other| other.id != container.id && other.state().status.has_process())
            .map(|other| (other.name(), other.state().pid))
            .collect();
        let (images, cgroup) = (self.images.clone(), self.cgroup_of(&container));
        let cgroup_path = self.cgroup_path(&container);
        tokio::task::spawn_blocking(move || {
            let snapshot = images.snapshot(&record.id)?;
            let image = images.image(&record.image).ok();
            let layers = image.iter().flat_map(|image| &image.layers).zip(&snapshot.lowers);
            let layers = layers.map(|(layer, path)| LayerAnatomy {
                diff_id: layer.diff_id.to_string(),
                size: layer.size,
                path: path.clone(),
            });
            let pid = record.state.pid;
            let mut anatomy = Anatomy {
                status: record.state.status.name(),
                pid,
                namespaces: Vec::new(),
                cgroup: None,
                mounts: Vec::new(),
                rights: None,
                processes: Vec::new(),
                layers: layers.collect(),
                writable: WritableAnatomy {
                    size: images.snapshot_size(&record.id)?,
                    path: snapshot.upper,
                    changes: changes.into_iter().map(|change| (letter(change.kind), change.path)).collect(),
                },
                start: record.state.spans,
                id: record.id,
                name: record.name,
            };
            if running {
                let failed = |source| Error::Read { path: format!("/proc/{pid}").into(), source };
                anatomy.namespaces = namespaces::of(pid, &others).map_err(failed)?;
                anatomy.cgroup = Some(cgroup::of(&cgroup, cgroup_path));
                anatomy.mounts = process::mounts(pid).map_err(failed)?;
                anatomy.rights = Some(process::rights(pid).map_err(failed)?);
                anatomy.processes = cgroup.pids()?.into_iter().filter_map(Process::read).collect();
            }
            Ok(anatomy)
        })
        .await?
    }
}

fn letter(kind: berth_images::ChangeKind) -> char {
    match kind {
        berth_images::ChangeKind::Modified => 'C',
        berth_images::ChangeKind::Added => 'A',
        berth_images::ChangeKind::Deleted => 'D',
    }
}
