//! `pause` and `resume`: stops all processes of a container at once, and lets them go on.

use std::time::Duration;

use super::state::{Record, Status};
use super::store::{Held, Store};
use super::{Ended, place};
use crate::error::Error;

/// How long it may take until all are stopped, or go on.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops all processes of a container.
#[derive(clap::Args)]
pub(super) struct Pause {
    /// The container.
    id: String,
}

/// Lets the processes of a paused container go on.
#[derive(clap::Args)]
pub(super) struct Resume {
    /// The container.
    id: String,
}

/// Pauses it.
pub(super) fn pause(args: &Pause, store: &Store) -> Ended {
    let (_held, record, status) = hold(store, &args.id)?;
    match status {
        Status::Created | Status::Running => place::cgroup(&record.cgroup)?.freeze(PATIENCE).map(|()| 0),
        status => Err(Error::State(format!("container not running or created: {status}"))),
    }
}

/// Resumes it.
pub(super) fn resume(args: &Resume, store: &Store) -> Ended {
    let (_held, record, _) = hold(store, &args.id)?;
    let cgroup = place::cgroup(&record.cgroup)?;
    // Its cgroup tells, not the status: a created container that is paused is still a created one.
    if !cgroup.is_frozen()? {
        return Err(Error::State("container not paused".into()));
    }
    cgroup.thaw(PATIENCE).map(|()| 0)
}

fn hold(store: &Store, id: &str) -> Result<(Held, Record, Status), Error> {
    let held = store.lock(id)?;
    let record = held.record()?.ok_or_else(|| Error::NotExist(id.to_owned()))?;
    let status = record.status(&held.socket());
    Ok((held, record, status))
}
