//! `docker start`: the story of how a container comes to life.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::container::Container;
use crate::container::state::Status;
use crate::guard_link::{self, Started};
use crate::{Engine, Error};

impl Engine {
    /// Starts a container that doesn't run.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`] when it runs. When a step fails, the earlier ones are undone and the state says
    /// why.
    pub async fn start(self: &Arc<Self>, name: &str) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        match container.state().status {
            Status::Created | Status::Exited | Status::Restarting => {}
            Status::Running => return Err(Error::AlreadyStarted),
            Status::Paused => return Err(Error::StartPaused),
            Status::Removing | Status::Dead => return Err(Error::StartRemoving),
        }
        container.change(|record| record.state.restart_count = 0)?;
        self.bring_up(&container).await
    }

    /// Starts a container whose verb lock is held.
    pub(crate) async fn bring_up(self: &Arc<Self>, container: &Arc<Container>) -> Result<(), Error> {
        let Err(error) = self.try_bring_up(container).await else {
            return Ok(());
        };
        self.tear_down(container).await;
        self.remove_exec_folder(container).await;
        let code = if let Error::ProgramRefused { code, .. } = error { code } else { 128 };
        container.change(|record| {
            record.state.ended(code, false, Timestamp::now());
            record.state.error = error.to_string();
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

    async fn try_bring_up(self: &Arc<Self>, container: &Arc<Container>) -> Result<(), Error> {
        let root = self.mount_root(container).await?;
        let joined = self.join_networks(container).await?;
        self.publish_ports(container).await?;
        let launch = self.write_bundle(container, root, joined).await?;
        let guard = &self.config.guard_program;
        let connection = guard_link::launch(guard, &container.exec_folder, &launch).await?;
        let Started { link, frames, pid } = connection.start().await?;
        container.set_guard(Some(link));
        container.change(|record| record.state.began(pid, Timestamp::now()))?;
        self.tell(container, "start");
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
    pub(crate) async fn tear_down(&self, container: &Container) {
        container.set_guard(None);
        self.leave_networks(container).await;
        let images = self.images.clone();
        let (root, cgroup) = (container.exec_folder.join("rootfs"), self.cgroup_of(container));
        let undone = tokio::task::spawn_blocking(move || {
            cgroup.remove()?;
            images.unmount(&root)?;
            Ok::<_, Error>(())
        });
        if let Ok(Err(error)) = undone.await {
            tracing::warn!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "can't clean up"
            );
        }
    }

    /// Removes the bundle and what the guard left in it.
    pub(crate) async fn remove_exec_folder(&self, container: &Container) {
        let folder = container.exec_folder.clone();
        let removed = tokio::task::spawn_blocking(move || crate::remove::remove_folder(&folder));
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "can't clean up"
            );
        }
    }
}
