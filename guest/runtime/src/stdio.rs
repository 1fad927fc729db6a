//! What a process gets as descriptors 0, 1 and 2.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::console::WindowSize;
use crate::error::{Doing, Error};
use crate::sys;

/// A process's standard streams.
#[derive(Debug)]
pub enum Stdio {
    /// Three descriptors; the caller keeps the other ends.
    Pipes {
        /// Becomes descriptor 0.
        stdin: OwnedFd,
        /// Becomes descriptor 1.
        stdout: OwnedFd,
        /// Becomes descriptor 2.
        stderr: OwnedFd,
    },
    /// A pty of the container's own devpts, so that `tty` works inside; the caller takes its master from
    /// [`Container::take_terminal`](crate::Container::take_terminal).
    Terminal(Option<WindowSize>),
}

/// Puts the three onto 0, 1 and 2, whatever numbers they have now.
pub(crate) fn install(streams: [BorrowedFd<'_>; 3]) -> Result<(), Error> {
    // Above 2 first, so that putting one in place can't close another.
    let mut moved = Vec::new();
    for stream in streams {
        moved.push(rustix::io::fcntl_dupfd_cloexec(stream, 3).doing("duplicate a standard stream")?);
    }
    for (number, stream) in (0..).zip(&moved) {
        sys::dup_onto(stream.as_fd(), number).doing("install a standard stream")?;
    }
    Ok(())
}
