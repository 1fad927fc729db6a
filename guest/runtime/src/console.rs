//! Terminals: a pty opened from the container's own devpts, made the controlling terminal of its process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::sys;

/// devpts' magic number (`linux/magic.h`).
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters on a line.
    pub cols: u16,
}

/// The master side of a container's terminal.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

impl Terminal {
    pub(crate) fn from_master(master: OwnedFd) -> Self {
        Self(master)
    }

    /// Changes the size; the container's foreground process gets SIGWINCH.
    pub fn resize(&self, size: WindowSize) -> Result<(), Error> {
        set_size(self.0.as_fd(), size)
    }

    /// The descriptor to read output from and write input to.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Both ends of a new pty below `root`, which is the container's root folder.
pub(crate) fn open(root: BorrowedFd<'_>, size: Option<WindowSize>) -> Result<(OwnedFd, OwnedFd), Error> {
    let path = Path::new("dev/pts/ptmx");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let master = rustix::fs::openat2(root, path, flags, Mode::empty(), how).on("open", "/dev/pts/ptmx")?;
    // An image may hold any file by this name where the container has no devpts of its own.
    let system = rustix::fs::fstatfs(&master).on("stat the filesystem of", "/dev/pts/ptmx")?;
    if system.f_type != DEVPTS_MAGIC {
        return Err(Error::Hostile { path: "/dev/pts/ptmx".into(), problem: "isn't a pty multiplexer" });
    }
    let peer = sys::pty_peer(master.as_fd()).doing("open the terminal")?;
    if let Some(size) = size {
        set_size(master.as_fd(), size)?;
    }
    Ok((master, peer))
}

/// Makes `terminal` the controlling terminal of the caller, which leads a session without one.
pub(crate) fn take_control(terminal: BorrowedFd<'_>) -> Result<(), Error> {
    rustix::process::ioctl_tiocsctty(terminal).doing("take the terminal")
}

fn set_size(terminal: BorrowedFd<'_>, size: WindowSize) -> Result<(), Error> {
    let size = rustix::termios::Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).doing("resize the terminal")
}
