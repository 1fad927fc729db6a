//! `kill`: a signal to a container's first process, or to all of them.

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::io::Errno;

use super::store::Store;
use super::{Ended, place, signal};
use crate::error::{Doing, Error};
use crate::sys;

/// Sends a signal to a container.
#[derive(clap::Args)]
pub(super) struct Args {
    /// To every process of it, whether its first one still runs or not.
    #[arg(short, long)]
    all: bool,
    /// The container.
    id: String,
    /// By name or number.
    #[arg(default_value = "SIGTERM")]
    signal: String,
}

/// Sends it. Takes no lock: a container whose creation hangs must be killable.
pub(super) fn run(args: &Args, store: &Store) -> Ended {
    let signal = signal::parse(&args.signal)?;
    let record = store.record(&args.id)?;
    let cgroup = place::cgroup(&record.cgroup)?;
    let process = record.process.as_ref().filter(|process| process.is_alive());
    if args.all {
        if signal == libc::SIGKILL {
            if cgroup.path().exists() {
                cgroup.kill()?;
            }
        } else {
            cgroup.pids_below()?.into_iter().for_each(|pid| drop(sys::kill(pid, signal)));
        }
        return Ok(0);
    }
    let Some(process) = process else { return Err(Error::State("container not running".into())) };
    // Without a pid namespace of its own, what the first process leaves behind would live on.
    if signal == libc::SIGKILL && !has_pid_namespace(&store.spec(&args.id)?) {
        cgroup.kill()?;
        return Ok(0);
    }
    let Some(_pidfd) = process.open() else { return Err(Error::State("container not running".into())) };
    match sys::kill(process.pid, signal) {
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
            Err(Error::State("container not running".into()))
        }
        other => other.doing("signal the container's process").map(|()| 0),
    }
}

fn has_pid_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut namespaces = namespaces.into_iter().flatten();
    namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none())
}
