//! `delete`: takes a container apart, whatever state its life or its creation was cut off in.

use std::time::Duration;

use oci_spec::runtime::ContainerState;

use super::Ended;
use super::report::Report;
use super::state::{Record, Status};
use super::store::{Held, Store};
use super::{mount, place, process};
use crate::error::Error;
use crate::hooks::{Hooked, Stage};
use crate::sys;

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that is ending right now isn't refused: it has this long.
const ENDING: Duration = Duration::from_millis(100);

/// Deletes what a stopped container holds.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The container.
    id: String,
    /// Kill it first if it still runs; fine if it doesn't exist.
    #[arg(short, long)]
    force: bool,
}

/// Deletes it.
pub(super) fn run(args: &Args, store: &Store, report: &Report) -> Ended {
    let held = match store.lock(&args.id) {
        Err(Error::NotExist(_)) if args.force => return Ok(0),
        other => other?,
    };
    let record = held.record()?;
    let running = record.as_ref().filter(|_| !args.force).and_then(|record| record.process.as_ref());
    let mut status = record.as_ref().map(|record| record.status(&held.socket()));
    if status == Some(Status::Running)
        && let Some(pidfd) = running.and_then(process::Identity::open)
        && process::await_end(&pidfd, ENDING)?
    {
        status = Some(Status::Stopped);
    }
    match status {
        Some(Status::Stopped | Status::Created) => {}
        _ if args.force => {}
        None => return Err(Error::NotExist(args.id.clone())),
        Some(status) => {
            let reason = format!("cannot delete container {} that is not stopped: {status}", args.id);
            return Err(Error::State(reason));
        }
    }
    take_apart(held, report).map(|()| 0)
}

/// Kills what still runs and removes all there is. Can be done again from the beginning, wherever it is cut off.
pub(super) fn take_apart(held: Held, report: &Report) -> Result<(), Error> {
    if let Some(record) = held.record()? {
        stop(&record)?;
        place::cgroup(&record.cgroup)?.remove()?;
        if let Some(covered) = record.covered {
            mount::uncover(&record.rootfs, covered)?;
        }
        // A container that was never complete has no end to tell of.
        if let (Some(spec), Some(_)) = (held.spec()?, &record.process) {
            let hooked = Hooked { id: &record.id, spec: &spec, bundle: &record.bundle };
            for error in hooked.run_all(Stage::Poststop, ContainerState::Stopped, Some(0)) {
                report.warn(&error.describe());
            }
        }
    }
    held.remove()
}

/// Kills every process of the container and waits until they are gone.
pub(super) fn stop(record: &Record) -> Result<(), Error> {
    let cgroup = place::cgroup(&record.cgroup)?;
    if let Some(process) = &record.process
        && let Some(pidfd) = process.open()
    {
        // First of all itself: it may have left its cgroup.
        let _ = sys::kill(process.pid, libc::SIGKILL);
        process::await_end(&pidfd, PATIENCE)?;
    }
    if cgroup.path().exists() {
        cgroup.kill()?;
        cgroup.await_empty(PATIENCE)?;
    }
    Ok(())
}
