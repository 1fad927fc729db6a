//! `docker start`: the story of how a container comes to life.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_runtime::cgroup::Cgroup;
use jiff::Timestamp;

use crate::anatomy::StartSpan;
use crate::container::Container;
use crate::container::state::Status;
use crate::guard_link::{self, Started};
use crate::{Engine, Error, health, propagation, shared_memory, subpath};

/// How long killed processes may take to be gone.
const EMPTY_DEADLINE: Duration = Duration::from_secs(10);

impl Engine {
    /// Starts a container that doesn't run.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`] when it runs. When a step fails, the earlier ones are undone and the state says
    /// why.
    pub async fn start(self: &Arc<Self>, name: &str) -> Result<(), Error> {
        let asked = Instant::now();
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        match container.state().status {
            Status::Created | Status::Exited | Status::Restarting => {}
            Status::Running => return Err(Error::AlreadyStarted),
            Status::Paused => return Err(Error::StartPaused),
            Status::Removing | Status::Dead => return Err(Error::StartRemoving),
        }
        container.change(|record| record.state.restart_count = 0)?;
        self.bring_up(&container, asked).await
    }

    /// Starts a container whose verb lock is held, as somebody `asked` at that moment.
    pub(crate) async fn bring_up(
        self: &Arc<Self>,
        container: &Arc<Container>,
        asked: Instant,
    ) -> Result<(), Error> {
        let Err(error) = self.try_bring_up(container, asked).await else {
            return Ok(());
        };
        self.tear_down(container).await;
        self.remove_exec_folder(container).await;
        let code = if let Error::ProgramRefused { code, .. } = error { code } else { 128 };
        container.change(|record| {
            record.state.ended(code, false, Timestamp::now());
            record.state.error = error.describe();
            if record.state.started_at.is_none() {
                record.state.status = Status::Created;
            }
        })?;
        container.output.end();
        container.exited();
        if container.with(|record| record.host_config.auto_remove) {
            self.remove_automatically(container).await;
        }
        Err(error)
    }

    async fn try_bring_up(self: &Arc<Self>, container: &Arc<Container>, asked: Instant) -> Result<(), Error> {
        let mut watch = Stopwatch { since: asked, spans: Vec::new() };
        watch.lap("API");
        let root = self.mount_root(container).await?;
        watch.lap("layers");
        let joined = self.join_networks(container).await?;
        self.tell_networks_of(container, "connect");
        watch.lap("network");
        self.publish_ports(container).await?;
        watch.lap("ports");
        let (engine, shown) = (self.clone(), container.clone());
        let binds = tokio::task::spawn_blocking(move || {
            engine.mount_volumes(&shown)?;
            engine.mount_images(&shown)?;
            shared_memory::mount(&shown)?;
            let mut binds = engine.binds(&shown.record())?;
            for bind in binds.iter().filter(|bind| bind.held.is_none()) {
                propagation::check(&bind.source, &bind.propagation)?;
            }
            subpath::mount(&mut binds, &shown.exec_folder)?;
            Ok::<_, Error>(binds)
        });
        let binds = binds.await??;
        self.tell_volumes_of(container, "mount");
        let launch = self.write_bundle(container, root, joined, binds).await?;
        watch.lap("bundle");
        let guard = &self.config.guard_program;
        let connection = guard_link::launch(guard, &container.exec_folder, &launch).await?;
        let Started { link, frames, pid, spans } = connection.start().await?;
        watch.lap_around("guard", spans);
        subpath::unmount(&container.exec_folder)?;
        container.set_guard(Some(link));
        watch.lap("ready");
        container.change(|record| {
            record.state.began(pid, Timestamp::now());
            record.state.health = health::fresh(&record.config);
            record.state.spans = watch.spans;
        })?;
        self.tell(container, "start");
        self.watch_health(container);
        tokio::spawn(self.clone().follow_guard(container.clone(), frames));
        Ok(())
    }

    /// Mounts the container's root: the image's layers and its own writable one.
    async fn mount_root(&self, container: &Container) -> Result<PathBuf, Error> {
        let images = self.images.clone();
        let (id, root) = (container.id.clone(), container.exec_folder.join("rootfs"));
        tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&root)
                .map_err(|source| Error::Folder { folder: root.clone(), source })?;
            images.mount(&id, &root)?;
            Ok(root)
        })
        .await?
    }

    /// Takes back what [`Self::try_bring_up`] made; every step may have happened or not.
    pub(crate) async fn tear_down(self: &Arc<Self>, container: &Arc<Container>) {
        container.set_guard(None);
        self.leave_networks(container).await;
        let images = self.images.clone();
        let (root, cgroup) = (container.exec_folder.join("rootfs"), self.cgroup_of(container));
        let (engine, container) = (self.clone(), container.clone());
        let undone = tokio::task::spawn_blocking(move || {
            let id = &container.id;
            // One that fails must not keep the next from being tried.
            report(id, empty(&cgroup).map_err(Error::from));
            report(id, images.unmount(&root).map_err(Error::from));
            report(id, subpath::unmount(&container.exec_folder));
            report(id, shared_memory::unmount(&container.exec_folder));
            report(id, engine.unmount_volumes(&container));
            report(id, engine.unmount_images(&container));
        });
        drop(undone.await);
    }

    /// Removes the bundle and what the guard left in it.
    pub(crate) async fn remove_exec_folder(&self, container: &Container) {
        let (id, folder) = (container.id.clone(), container.exec_folder.clone());
        let removed = tokio::task::spawn_blocking(move || {
            report(&id, remove_flat(&folder).map_err(|source| Error::Remove { path: folder, source }));
        });
        drop(removed.await);
    }
}

/// Measures the parts of a start, one after another.
struct Stopwatch {
    since: Instant,
    spans: Vec<StartSpan>,
}

impl Stopwatch {
    /// Ends the current part under `name` and begins the next.
    fn lap(&mut self, name: &str) {
        let now = Instant::now();
        let micros = u64::try_from((now - self.since).as_micros()).unwrap_or(u64::MAX);
        self.spans.push(StartSpan { name: name.to_owned(), micros });
        self.since = now;
    }

    /// Ends the current part, of which `inner` are parts of their own.
    fn lap_around(&mut self, name: &str, inner: Vec<StartSpan>) {
        self.lap(name);
        let within: u64 = inner.iter().map(|span| span.micros).sum();
        if let Some(last) = self.spans.last_mut() {
            last.micros = last.micros.saturating_sub(within);
        }
        self.spans.extend(inner);
    }
}

/// Ends whatever still lives in a cgroup, for instance because the guard was killed, and removes it.
fn empty(cgroup: &Cgroup) -> Result<(), berth_runtime::Error> {
    if !cgroup.path().exists() {
        return Ok(());
    }
    cgroup.kill()?;
    cgroup.await_empty(EMPTY_DEADLINE)?;
    cgroup.remove()
}

/// Removes a folder of files and empty folders. Never looks into a folder: if the root is still mounted there, its
/// files are the container's.
fn remove_flat(folder: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}

fn report(container: &str, done: Result<(), Error>) {
    if let Err(error) = done {
        tracing::warn!(container, error = &error as &dyn std::error::Error, "can't clean up");
    }
}
