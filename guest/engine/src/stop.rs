//! `docker stop`: the container's stop signal, then SIGKILL when its time is up.

use std::time::Duration;

use crate::container::Container;
use crate::signal::Signal;
use crate::{Engine, Error};

/// Seconds between the two when nobody says otherwise.
const DEFAULT_TIMEOUT: i64 = 10;
/// How long after SIGKILL an exit is waited for. The kernel is prompt; a process stuck in a dead device isn't.
pub(crate) const AFTER_KILL: Duration = Duration::from_secs(10);

impl Engine {
    /// Stops a container: `signal` (its own stop signal when none), and SIGKILL after `timeout` seconds (its own
    /// when none; negative waits for ever).
    ///
    /// # Errors
    /// [`Error::AlreadyStopped`] when it doesn't run.
    pub async fn stop(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        if !container.state().status.has_process() {
            self.give_up_restart(&container)?;
            return Err(Error::AlreadyStopped);
        }
        let ended = self.end(&container, signal, timeout).await;
        ended.map_err(|error| error.during(format!("cannot stop container: {name}")))?;
        self.tell(&container, "stop");
        Ok(())
    }

    /// Brings a running container to its exit and waits until that is recorded. The verb lock is held.
    pub(crate) async fn end(
        &self,
        container: &Container,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<(), Error> {
        let (own_signal, own_timeout) =
            container.with(|record| (record.config.stop_signal.clone(), record.config.stop_timeout));
        let signal = match signal.map(str::to_owned).or(own_signal) {
            Some(name) => Signal::parse(&name)?,
            None => Signal::TERM,
        };
        let timeout = timeout.or(own_timeout).unwrap_or(DEFAULT_TIMEOUT);
        let mut moments = container.moments();
        container.change(|record| record.state.stopped_by_user = true)?;
        if signal != Signal::KILL {
            self.send_told(container, signal).await?;
            let exited = moments.wait_for(|moment| !moment.running);
            let in_time = match u64::try_from(timeout) {
                Ok(seconds) => tokio::time::timeout(Duration::from_secs(seconds), exited).await.is_ok(),
                Err(_) => exited.await.is_ok(),
            };
            if in_time {
                return Ok(());
            }
        }
        self.send_told(container, Signal::KILL).await?;
        let killed = tokio::time::timeout(AFTER_KILL, moments.wait_for(|moment| !moment.running)).await;
        killed.map(|_| ()).map_err(|_| Error::WontDie(container.id.clone()))
    }

    /// Notes that the user wants it stopped, so that a pending restart doesn't happen.
    fn give_up_restart(&self, container: &Container) -> Result<(), Error> {
        container.change(|record| record.state.stopped_by_user = true)
    }
}
