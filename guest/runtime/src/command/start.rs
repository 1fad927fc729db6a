//! `start`: lets a created container's program go.

use oci_spec::runtime::{ContainerState, Spec};

use super::Ended;
use super::delete;
use super::report::Report;
use super::state::{Record, Status};
use super::store::{Held, Store};
use crate::error::Error;
use crate::handshake::Line;
use crate::hooks::{Hooked, Stage};

/// Starts a created container.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The container.
    id: String,
}

/// Starts it.
pub(super) fn run(args: &Args, store: &Store, report: &Report) -> Ended {
    let held = store.lock(&args.id)?;
    let record = held.record()?.ok_or_else(|| Error::NotExist(args.id.clone()))?;
    let spec = held.spec()?.ok_or_else(|| Error::NotExist(args.id.clone()))?;
    match record.status(&held.socket()) {
        Status::Created => start(&held, &record, &spec, report).map(|()| 0),
        Status::Stopped => Err(Error::State("cannot start a container that has stopped".into())),
        Status::Creating => {
            Err(Error::State("cannot start a container whose creation isn't complete".into()))
        }
        Status::Running | Status::Paused => {
            Err(Error::State("cannot start an already running container".into()))
        }
    }
}

/// Lets the program go and runs the hooks for that; a failed one stops the container (OCI runtime spec, "Lifecycle"). As
/// with runc, which doesn't wait for them, failed hooks inside the container don't keep those after the start from running.
pub(super) fn start(held: &Held, record: &Record, spec: &Spec, report: &Report) -> Result<(), Error> {
    let started = Line::connect(&held.socket())?.let_go();
    let hooked = Hooked { id: &record.id, spec, bundle: &record.bundle };
    let pid = record.process.as_ref().map(|process| process.pid);
    let ran = hooked.run(Stage::Poststart, ContainerState::Running, pid);
    if ran.is_err() {
        report.debug("stops the container: a poststart hook failed");
        delete::stop(record)?;
    }
    started.and(ran)
}
