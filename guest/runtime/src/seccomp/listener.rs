//! Handing over a filter's listener: its descriptor goes to the agent that answers what the filter asks (OCI runtime
//! spec, "The Container Process State").
//!
//! The filter already binds the process that has the descriptor, so the process only names its number; the caller takes
//! it out of it. The one call that this needs, write(2), can't be asked about: nobody could answer yet.

use std::os::fd::{AsFd, BorrowedFd};

use oci_spec::runtime::{ContainerProcessStateBuilder, ContainerState, LinuxSeccomp, LinuxSeccompAction};
use rustix::process::PidfdGetfdFlags;

use crate::error::{Doing, Error};
use crate::handover;
use crate::handshake::Line;
use crate::hooks::Hooked;

/// What the specification calls the descriptor.
const NAME: &str = "seccompFd";
/// The call that the descriptor is named by.
const NAMED_BY: &str = "write";

/// A process whose filter asks.
pub(crate) struct Asking<'a> {
    /// Its container.
    pub(crate) container: Hooked<'a>,
    /// What that is at the moment.
    pub(crate) status: ContainerState,
    /// The process.
    pub(crate) pid: i32,
    /// The same, immune to reuse of its number.
    pub(crate) pidfd: BorrowedFd<'a>,
}

/// Whether the profile asks an agent, who must then be named.
pub(super) fn is_wanted(profile: &LinuxSeccomp) -> Result<bool, Error> {
    let asks = |action: LinuxSeccompAction| action == LinuxSeccompAction::ScmpActNotify;
    if asks(profile.default_action()) {
        return Err(Error::Spec("SCMP_ACT_NOTIFY cannot be used as default action"));
    }
    let mut asking = profile.syscalls().iter().flatten().filter(|rule| asks(rule.action())).peekable();
    if asking.peek().is_none() {
        return Ok(false);
    }
    if asking.any(|rule| rule.names().iter().any(|name| name == NAMED_BY)) {
        return Err(Error::Spec("SCMP_ACT_NOTIFY cannot be used for the write syscall"));
    }
    if profile.listener_path().is_none() {
        return Err(Error::Spec("SCMP_ACT_NOTIFY needs a listenerPath"));
    }
    Ok(true)
}

impl Asking<'_> {
    /// Takes the listener with the number `fd` out of the process and gives it to the profile's agent; then the
    /// process, which waits at `line`, goes on.
    pub(crate) fn answer(&self, fd: i32, line: &Line) -> Result<(), Error> {
        self.hand_over(fd)?;
        line.nod()
    }

    fn hand_over(&self, fd: i32) -> Result<(), Error> {
        let linux = self.container.spec.linux().as_ref();
        let profile = linux.and_then(|linux| linux.seccomp().as_ref()).ok_or(Error::ChildVanished)?;
        let listener = rustix::process::pidfd_getfd(self.pidfd, fd, PidfdGetfdFlags::empty())
            .doing("take the listener of the system call filter")?;
        let path = profile.listener_path().as_deref().ok_or(Error::Spec("no listenerPath"))?;
        handover::send(path, &self.told(profile)?, listener.as_fd())
    }

    /// The state that the agent is told.
    fn told(&self, profile: &LinuxSeccomp) -> Result<Vec<u8>, Error> {
        let mut told = ContainerProcessStateBuilder::default()
            .version(self.container.spec.version().clone())
            .fds(vec![NAME.to_owned()])
            .pid(self.pid)
            .state(self.container.state(self.status, self.pid)?);
        if let Some(metadata) = profile.listener_metadata() {
            told = told.metadata(metadata.clone());
        }
        let told = told.build().map_err(|_| Error::Spec("a state that can't be told to a listener"))?;
        serde_json::to_vec(&told).map_err(Error::Handshake)
    }
}
