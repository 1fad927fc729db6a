//! Handing a descriptor to who listens at a socket: a terminal to the caller, a filter's listener to its agent.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::error::{Doing, Error};
use crate::handshake;

/// How long the other side may take to make room for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to `socket` and sends `descriptor` with `bytes`, all of them or an error.
pub(crate) fn send(socket: &Path, bytes: &[u8], descriptor: BorrowedFd<'_>) -> Result<(), Error> {
    let line = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .doing("make a socket")?;
    sockopt::set_socket_timeout(&line, Timeout::Send, Some(PATIENCE)).doing("limit the wait for a socket")?;
    handshake::short(socket, |address| rustix::net::connect(&line, address)).on("connect to", socket)?;
    let fds = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = rustix::net::sendmsg(&line, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    match sent.on("send a descriptor to", socket)? {
        all if all == bytes.len() => Ok(()),
        _ => Err(Error::Refused(format!("{} took only a part of what it was sent", socket.display()))),
    }
}
