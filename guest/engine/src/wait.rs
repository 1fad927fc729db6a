//! `docker wait`: until a container isn't running, until its next exit, or until it is removed.

use tokio::sync::watch;

use crate::container::Moment;
use crate::{Engine, Error};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// That no process lives; at once when none does.
    NotRunning,
    /// The next exit, even of a container that isn't started yet.
    NextExit,
    /// That the container is gone.
    Removed,
}

/// A wait that has begun: an exit from now on isn't missed.
#[derive(Debug)]
pub struct Waiting {
    condition: Condition,
    moments: watch::Receiver<Moment>,
    exits_before: u64,
}

impl Engine {
    /// Begins to wait.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn wait(&self, name: &str, condition: Condition) -> Result<Waiting, Error> {
        let moments = self.containers.find(name)?.moments();
        let exits_before = moments.borrow().exits;
        Ok(Waiting { condition, moments, exits_before })
    }
}

impl Waiting {
    /// Waits; returns the exit code of the container's last run.
    pub async fn done(mut self) -> i64 {
        let Self { condition, exits_before, .. } = self;
        let happened = |moment: &Moment| match condition {
            Condition::NotRunning => !moment.running || moment.removed,
            Condition::NextExit => moment.exits > exits_before || moment.removed,
            Condition::Removed => moment.removed,
        };
        // The sender lives in the container; when it is gone, so is the container.
        let moment = self.moments.wait_for(happened).await.map(|moment| *moment);
        moment.map_or_else(|_| self.moments.borrow().exit_code, |moment| moment.exit_code)
    }
}
