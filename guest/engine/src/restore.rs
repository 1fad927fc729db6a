//! After a restart of the engine: read every container's record, find the guards that still hold containers, and
//! take note of what ended meanwhile.

use std::sync::Arc;
use std::time::Instant;

use berth_guard::State as Held;
use jiff::Timestamp;

use crate::container::Container;
use crate::container::record::{FILE, Record};
use crate::container::state::Status;
use crate::exit::Exit;
use crate::{Engine, Error, guard_link, hierarchy};

impl Engine {
    /// Reads every record. A container without a readable one is left on disk and reported: it costs that
    /// container, not the others.
    pub(crate) fn read_containers(&self) -> Result<(), Error> {
        let root = self.config.data_root.join("containers");
        std::fs::create_dir_all(&root).map_err(|source| Error::Folder { folder: root.clone(), source })?;
        let entries =
            std::fs::read_dir(&root).map_err(|source| Error::Read { path: root.clone(), source })?;
        for entry in entries.flatten() {
            let Ok(id) = entry.file_name().into_string() else { continue };
            let (folder, exec_folder) = self.folders_of(&id);
            if !folder.join(FILE).exists() {
                // Its creation didn't end: there never was such a container.
                self.forget_files(&id);
                continue;
            }
            match Record::read(&folder) {
                Ok(record) => {
                    for mount in &record.mounts {
                        self.volumes.hold(mount, &id);
                    }
                    self.containers.insert(Container::new(record, folder, exec_folder));
                }
                Err(error) => {
                    tracing::error!(
                        container = id,
                        error = &error as &dyn std::error::Error,
                        "a container is left out"
                    );
                }
            }
        }
        // A container that is left out is there all the same.
        self.volumes.remove_made_for(|container| !root.join(container).exists());
        Ok(())
    }

    /// Brings every container to what it should be doing.
    pub(crate) async fn restore(self: &Arc<Self>) {
        for container in self.containers.all() {
            match container.state().status {
                Status::Running | Status::Paused => self.reconnect(&container).await,
                Status::Removing => self.finish_removal(&container).await,
                Status::Created | Status::Restarting | Status::Exited | Status::Dead => {
                    self.tear_down(&container).await;
                    self.remove_exec_folder(&container).await;
                    self.start_if_wanted(&container);
                }
            }
        }
    }

    /// Ends a removal that the last engine began, with the volumes if that was asked for.
    async fn finish_removal(&self, container: &Arc<Container>) {
        let volumes = self.volumes.any_made_for(&container.id);
        if let Err(error) = self.remove_stopped(container, volumes).await {
            tracing::warn!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "can't remove it"
            );
        }
    }

    /// Takes a container back from its guard, or records how it ended.
    async fn reconnect(self: &Arc<Self>, container: &Arc<Container>) {
        let held = async {
            let mut connection = guard_link::connect(&container.exec_folder).await?;
            let (state, execs) = connection.hello().await?;
            Ok::<_, Error>((connection, state, execs))
        };
        let exit = match held.await {
            Ok((connection, Held::Running { pid, .. }, execs)) => {
                container.skip_execs(execs.iter().map(|exec| exec.process).max().unwrap_or_default());
                for exec in execs.iter().filter(|exec| exec.exit.is_some()) {
                    connection.link.acknowledge(exec.process).await;
                }
                container.set_guard(Some(connection.link));
                container.apply(|record| record.state.pid = pid);
                tokio::spawn(self.clone().follow_guard(container.clone(), connection.frames));
                self.watch_health(container);
                return;
            }
            Ok((connection, Held::Exited { exit }, _)) => {
                connection.link.acknowledge(berth_guard::CONTAINER).await;
                exit.into()
            }
            // Made and never started: it goes when nobody is connected.
            Ok((_, Held::Created { .. }, _)) => Exit::with_its_guard(),
            Err(_) => self.exit_without_goodbye(container),
        };
        self.exited(container, exit).await;
        self.start_if_wanted(container);
    }

    /// Starts a container whose restart policy wants it to run whenever the engine does.
    fn start_if_wanted(self: &Arc<Self>, container: &Arc<Container>) {
        let wanted = container.with(|record| {
            let state = &record.state;
            match record.host_config.restart_policy.name.as_str() {
                "always" => state.status != Status::Created,
                "unless-stopped" => state.status != Status::Created && !state.stopped_by_user,
                _ => state.status == Status::Restarting,
            }
        });
        if !wanted {
            return;
        }
        let (engine, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            let _verb = container.verb.lock().await;
            if container.state().status.has_process() {
                return;
            }
            if let Err(error) = engine.bring_up(&container, Instant::now()).await {
                tracing::warn!(
                    container = container.id,
                    error = &error as &dyn std::error::Error,
                    "can't start it again"
                );
            }
        });
    }

    /// Stops every container, each with its own time but at most `most` seconds: the machine is about to end.
    pub async fn stop_all(self: &Arc<Self>, most: i64) {
        let mut stops = tokio::task::JoinSet::new();
        for container in self.containers.all() {
            if !container.state().status.has_process() {
                continue;
            }
            let engine = self.clone();
            stops.spawn(async move {
                let own = container.with(|record| record.config.stop_timeout);
                let timeout = own.filter(|own| (0..most).contains(own)).unwrap_or(most);
                let _verb = container.verb.lock().await;
                // Not the user's wish: a restart policy brings it back when the machine is.
                let stopped_by_user = container.state().stopped_by_user;
                if let Err(error) = engine.end(&container, None, Some(timeout)).await {
                    tracing::warn!(
                        container = container.id,
                        error = &error as &dyn std::error::Error,
                        "can't stop it"
                    );
                }
                drop(container.change(|record| record.state.stopped_by_user = stopped_by_user));
            });
        }
        while stops.join_next().await.is_some() {}
        tracing::info!(at = %Timestamp::now(), "every container is stopped");
    }
    /// Leaves the machine without the engine's cgroups and containers' interfaces, unless containers live on.
    pub async fn leave(self: &Arc<Self>) {
        if self.containers.all().iter().any(|container| container.state().status.has_process()) {
            return;
        }
        let engine = self.clone();
        let left = tokio::task::spawn_blocking(move || {
            engine.networks.settle();
            hierarchy::leave(&engine.config, &engine.cgroups);
        });
        drop(left.await);
    }
}
