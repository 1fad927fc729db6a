//! Handing a terminal to the caller: its master goes over the socket that the caller listens at.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::console::{Terminal, WindowSize};
use crate::error::{Doing, Error};
use crate::handshake;

/// Sends it, with the name that runc gives it.
pub(super) fn send(socket: &Path, terminal: Terminal) -> Result<(), Error> {
    let line = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .doing("make a socket for the console")?;
    handshake::short(socket, |address| rustix::net::connect(&line, address)).on("connect to", socket)?;
    let fds = [terminal.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(&line, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)
        .on("send the terminal to", socket)?;
    Ok(())
}

/// `process.consoleSize`.
pub(super) fn size(process: &Process) -> Option<WindowSize> {
    let size = process.console_size()?;
    let (rows, cols) = (u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?);
    (rows > 0 && cols > 0).then_some(WindowSize { rows, cols })
}
