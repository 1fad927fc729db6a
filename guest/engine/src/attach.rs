//! `docker attach`: a client's ears and mouth at a process.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::container::Container;
use crate::container::state::Status;
use crate::guard_link::GuardLink;
use crate::output::Chunk;
use crate::{Engine, Error};

/// A client that is attached to a process.
#[derive(Debug)]
pub struct Attached {
    /// What comes out, from now on, until the process ended.
    pub output: mpsc::Receiver<Chunk>,
    /// Where to put what goes in; none when its stdin is closed.
    pub input: Option<Input>,
    /// Whether there is a terminal: then output isn't multiplexed.
    pub terminal: bool,
}

/// A process's stdin. A container's guard may not be there yet: `docker run` attaches before it starts.
#[derive(Debug, Clone)]
pub struct Input {
    container: Arc<Container>,
    /// The guard's number for the process; 0 is the container's own.
    process: u32,
    /// Whether stdin closes when this client leaves.
    once: bool,
}

impl Engine {
    /// Attaches to a container's own process.
    ///
    /// # Errors
    /// When it is paused or restarting.
    pub fn attach(&self, name: &str) -> Result<Attached, Error> {
        let container = self.containers.find(name)?;
        match container.state().status {
            Status::Paused => return Err(Error::CannotAttach("paused", "unpause it first")),
            Status::Restarting => {
                return Err(Error::CannotAttach("restarting", "wait until it is running"));
            }
            _ => {}
        }
        let (open, once, terminal) =
            container.with(|record| (record.config.open_stdin, record.config.stdin_once, record.config.tty));
        let output = container.output.attach();
        self.tell(&container, "attach");
        let input = open.then(|| Input { container, process: 0, once });
        Ok(Attached { output, input, terminal })
    }

    /// Sets the size of a container's terminal.
    ///
    /// # Errors
    /// When it doesn't run.
    pub async fn resize(&self, name: &str, rows: u16, columns: u16) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        container.guard()?.resize(0, rows, columns).await?;
        let mut attributes = container.attributes();
        attributes.insert("height".to_owned(), rows.to_string());
        attributes.insert("width".to_owned(), columns.to_string());
        self.events.tell("container", "resize", &container.id, attributes);
        Ok(())
    }
}

impl Input {
    /// The stdin of an exec.
    pub(crate) fn of_exec(container: Arc<Container>, process: u32) -> Self {
        Self { container, process, once: true }
    }

    /// Puts bytes in; waits while the process doesn't take them, and for the process to start.
    ///
    /// # Errors
    /// When the process is gone.
    pub async fn write(&self, bytes: Bytes) -> Result<(), Error> {
        self.guard().await?.stdin(self.process, bytes).await
    }

    /// Tells that this client has nothing more to say.
    ///
    /// # Errors
    /// When the process is gone.
    pub async fn close(&self) -> Result<(), Error> {
        if self.once { self.guard().await?.close_stdin(self.process).await } else { Ok(()) }
    }

    /// The guard, once the container runs.
    async fn guard(&self) -> Result<Arc<GuardLink>, Error> {
        let mut moments = self.container.moments();
        let exits_before = moments.borrow().exits;
        let decided =
            moments.wait_for(|moment| moment.running || moment.removed || moment.exits > exits_before);
        decided.await.map_err(|_| Error::NotRunning(self.container.id.clone()))?;
        self.container.guard()
    }
}
