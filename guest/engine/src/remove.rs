//! `docker rm`: a container, its writable layer, its log and, if asked, its anonymous volumes.

use std::sync::Arc;

use crate::container::Container;
use crate::container::mounts::MountKind;
use crate::container::state::Status;
use crate::signal::Signal;
use crate::{Engine, Error, image_mounts, links};

impl Engine {
    /// Removes a container; a running one only with `force`. `volumes` removes its anonymous volumes too.
    ///
    /// # Errors
    /// When it runs and `force` isn't set, or the disk refuses.
    pub async fn remove(&self, name: &str, force: bool, volumes: bool) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        let state = container.state().status;
        if state.has_process() || state == Status::Restarting {
            if !force {
                return Err(Error::RemoveRunning { name: container.name(), state: state.name() });
            }
            if state.has_process() {
                self.end(&container, Some("KILL"), Some(0)).await?;
            }
        }
        self.remove_stopped(&container, volumes).await
    }

    /// Removes a container's link to another one.
    ///
    /// # Errors
    /// When it has none of this alias.
    pub async fn remove_link(&self, name: &str, alias: &str) -> Result<(), Error> {
        if alias.is_empty() {
            return Err(Error::CannotUpdate(
                "Conflict, cannot remove the default link name of the container".to_owned(),
            ));
        }
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        let of_alias = |wish: &String| links::parse(wish).is_ok_and(|(_, found)| found == alias);
        let known = container.with(|record| record.host_config.links.iter().flatten().any(of_alias));
        if !known {
            return Err(Error::InvalidRequest(format!("Cannot get parent /{name} for link /{name}/{alias}")));
        }
        container.change(|record| {
            if let Some(links) = &mut record.host_config.links {
                links.retain(|wish| !of_alias(wish));
            }
        })
    }

    /// Removes a container that has no process. The verb lock is held.
    pub(crate) async fn remove_stopped(
        &self,
        container: &Arc<Container>,
        volumes: bool,
    ) -> Result<(), Error> {
        if container.moments().borrow().removed {
            return Err(Error::NoSuchContainer(container.id.clone()));
        }
        if !volumes {
            self.volumes.keep_made_for(&container.id)?;
        }
        // Written first: after a crash a container that was being removed is removed at the next start.
        container.change(|record| record.state.status = Status::Removing)?;
        let record = container.record();
        let (images, id, folder) = (self.images.clone(), container.id.clone(), container.folder.clone());
        self.remove_exec_folder(container).await;
        tokio::task::spawn_blocking(move || {
            image_mounts::remove_snapshots(&images, &id)?;
            remove_folder(&folder)
        })
        .await??;
        self.containers.forget(container);
        self.execs.forget(&container.id);
        let anonymous = record.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
        for mount in anonymous {
            self.volumes.release(&mount.name, &container.id, volumes)?;
        }
        self.tell(container, "destroy");
        container.output.end();
        container.removed();
        Ok(())
    }

    /// Kills and removes without asking, for `--rm` and for what a failed start leaves.
    pub(crate) async fn remove_automatically(&self, container: &Arc<Container>) {
        if container.state().status.has_process() {
            drop(self.send_signal(container, Signal::KILL).await);
        }
        if let Err(error) = self.remove_stopped(container, true).await {
            tracing::warn!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "can't remove it"
            );
        }
    }
}

/// Removes a folder that may not be there.
fn remove_folder(folder: &std::path::Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Remove { path: folder.into(), source })
        }
        _ => Ok(()),
    }
}
