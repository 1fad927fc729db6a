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

    /// Stops a container's processes where they are.
    pub(crate) async fn freeze(&self, container: &Container) -> Result<(), Error> {
        let cgroup = self.cgroup_of(container);
        tokio::task::spawn_blocking(move || cgroup.freeze(DEADLINE)).await??;
        Ok(())
    }

    /// Lets a container's processes run again.
    pub(crate) async fn thaw(&self, container: &Container) -> Result<(), Error> {
        let cgroup = self.cgroup_of(container);
        tokio::task::spawn_blocking(move || cgroup.thaw(DEADLINE)).await??;
        Ok(())
    }
}
