//! `docker kill`: one signal to a container's process.

use crate::container::Container;
use crate::container::state::Status;
use crate::signal::Signal;
use crate::stop::AFTER_KILL;
use crate::{Engine, Error};

impl Engine {
    /// Sends `signal` (SIGKILL when none) to a container's process; waits for its end when that was SIGKILL, as
    /// Docker does.
    ///
    /// # Errors
    /// When it doesn't run or there is no such signal.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<(), Error> {
        let refused = |error: Error| error.during(format!("cannot kill container: {name}"));
        let signal = signal.filter(|name| !name.is_empty()).map_or(Ok(Signal::KILL), Signal::parse);
        let signal = signal.map_err(refused)?;
        let container = self.containers.find(name).map_err(refused)?;
        if !container.state().status.has_process() {
            return Err(Error::KillNotRunning { name: name.to_owned(), id: container.id.clone() });
        }
        if signal == Signal::KILL {
            // The user wants it dead: its restart policy must not disagree.
            container.change(|record| record.state.stopped_by_user = true)?;
        }
        let mut moments = container.moments();
        self.send_told(&container, signal).await?;
        if signal == Signal::KILL {
            let dead = tokio::time::timeout(AFTER_KILL, moments.wait_for(|moment| !moment.running));
            if !matches!(dead.await, Ok(Ok(_))) {
                return Err(Error::WontDie(container.id.clone()));
            }
        }
        Ok(())
    }

    /// Sends a signal that a user asked for, and tells of it; before, since a container may end of it at once.
    pub(crate) async fn send_told(&self, container: &Container, signal: Signal) -> Result<(), Error> {
        let mut attributes = container.attributes();
        attributes.insert("signal".to_owned(), signal.number().to_string());
        self.events.tell("container", "kill", &container.id, attributes);
        self.send_signal(container, signal).await
    }

    /// Sends a signal through the guard. A frozen container takes nothing but SIGKILL, for which it is thawed. A
    /// guard that is gone has told the exit, which is being recorded: then there is nobody to signal.
    pub(crate) async fn send_signal(&self, container: &Container, signal: Signal) -> Result<(), Error> {
        let Ok(guard) = container.guard() else { return Ok(()) };
        match guard.signal(signal).await {
            Err(Error::Guard { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
                return Ok(());
            }
            sent => sent?,
        }
        if signal == Signal::KILL && container.state().status == Status::Paused {
            self.thaw(container).await?;
        }
        Ok(())
    }
}
