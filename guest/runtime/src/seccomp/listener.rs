//! Handing over a filter's listener: its descriptor goes to the agent that answers what the filter asks (OCI runtime
//! spec, "The Container Process State").
//!
//! The filter already binds the process that has the descriptor, so the process only names its number; the caller takes
//! it out of it. The one call that this needs, write(2), can't be asked about: nobody could answer yet.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use oci_spec::runtime::{ContainerProcessStateBuilder, ContainerState, LinuxSeccomp, LinuxSeccompAction};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::PidfdGetfdFlags;

use crate::error::{Doing, Error};
use crate::handshake;
use crate::hooks::Hooked;

/// What the specification calls the descriptor.
const NAME: &str = "seccompFd";
/// How long an agent may take to take it.
const PATIENCE: Duration = Duration::from_secs(10);
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
    /// Takes the listener with the number `fd` out of the process and gives it to the profile's agent.
    pub(crate) fn hand_over(&self, fd: i32) -> Result<(), Error> {
        let linux = self.container.spec.linux().as_ref();
        let profile = linux.and_then(|linux| linux.seccomp().as_ref()).ok_or(Error::ChildVanished)?;
        let listener = rustix::process::pidfd_getfd(self.pidfd, fd, PidfdGetfdFlags::empty())
            .doing("take the listener of the system call filter")?;
        send(profile, &self.told(profile)?, &listener)
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

fn send(profile: &LinuxSeccomp, told: &[u8], listener: &OwnedFd) -> Result<(), Error> {
    let path = profile.listener_path().as_deref().ok_or(Error::Spec("no listenerPath"))?;
    let line = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .doing("make a socket to the seccomp agent")?;
    sockopt::set_socket_timeout(&line, Timeout::Send, Some(PATIENCE))
        .doing("limit the wait for the seccomp agent")?;
    handshake::short(path, |address| rustix::net::connect(&line, address)).on("connect to", path)?;
    let fds = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = rustix::net::sendmsg(&line, &[IoSlice::new(told)], &mut control, SendFlags::NOSIGNAL);
    match sent.on("send the listener to", path)? {
        all if all == told.len() => Ok(()),
        _ => Err(Error::Spec("the seccomp agent took only a part of the state")),
    }
}
