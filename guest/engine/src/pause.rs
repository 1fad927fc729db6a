//! `docker pause` and `docker unpause`: freeze and thaw a container's cgroup.

use std::time::Duration;

use crate::container::Container;
use crate::container::state::Status;
use crate::{Engine, Error};

/// How long the kernel may take to freeze or thaw everything.
const DEADLINE: Duration = Duration::from_secs(10);

impl Engine {
    /// Freezes every process of a container.
    ///
    /// # Errors
    /// When it doesn't run or is frozen already.
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        match container.state().status {
            Status::Running => {}
            Status::Paused => return Err(Error::AlreadyPaused(container.id.clone())),
            _ => return Err(Error::NotRunning(container.id.clone())),
        }
        self.freeze(&container).await?;
        container.change(|record| record.state.status = Status::Paused)?;
        self.tell(&container, "pause");
        Ok(())
    }

    /// Thaws a frozen container.
    ///
    /// # Errors
    /// When it isn't frozen.
    pub async fn unpause(&self, name: &str) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        if container.state().status != Status::Paused {
            return Err(Error::NotPaused(container.id.clone()));
        }
        self.thaw(&container).await?;
        container.change(|record| record.state.status = Status::Running)?;
        self.tell(&container, "unpause");
        Ok(())
    }

    /// Stops a container's processes where they are; [`Error::NotRunning`] when they have just ended.
    pub(crate) async fn freeze(&self, container: &Container) -> Result<(), Error> {
        let cgroup = self.cgroup_of(container);
        tokio::task::spawn_blocking(move || cgroup.freeze(DEADLINE))
            .await?
            .map_err(|error| alive(container, error))
    }

    /// Lets a container's processes run again; [`Error::NotRunning`] when they have just ended.
    pub(crate) async fn thaw(&self, container: &Container) -> Result<(), Error> {
        let cgroup = self.cgroup_of(container);
        tokio::task::spawn_blocking(move || cgroup.thaw(DEADLINE))
            .await?
            .map_err(|error| alive(container, error))
    }
}

/// A cgroup that isn't there any more is that of a container whose end isn't told yet.
fn alive(container: &Container, error: berth_runtime::Error) -> Error {
    match error {
        berth_runtime::Error::Path { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::NotRunning(container.id.clone())
        }
        error => error.into(),
    }
}
