//! Handing a terminal to the caller: its master goes over the socket that the caller listens at.

use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::Process;

use crate::console::{Terminal, WindowSize};
use crate::error::Error;
use crate::handover;

/// Sends it, with the name that runc gives it.
pub(super) fn send(socket: &Path, terminal: Terminal) -> Result<(), Error> {
    handover::send(socket, b"/dev/ptmx", terminal.as_fd())
}

/// `process.consoleSize`.
pub(super) fn size(process: &Process) -> Option<WindowSize> {
    let size = process.console_size()?;
    let (rows, cols) = (u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?);
    (rows > 0 && cols > 0).then_some(WindowSize { rows, cols })
}
