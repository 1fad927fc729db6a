//! The words between the caller and the container's process until it executes its program.
//!
//! ```text
//! child                        parent
//!   Map           ->             writes uid_map and gid_map (only with a new user namespace)
//!                 <-  one byte
//!   RootBuilt     ->             runs the hooks of its side (only with hooks before pivot_root)
//!                 <-  one byte
//!   Listening     ->             hands the filter's listener over (only with a filter that asks an agent)
//!                 <-  one byte
//!   Ready [pty]   ->             create() returns
//!                 <-  one byte   start()
//!   (exec closes the socket, or Failed)
//! ```
//!
//! A detached child takes the second byte as "you are on record", and waits at a listening socket: who starts it
//! connects there and goes on where `start()` stands above.
//!
//! A packet socket: every word is one packet of JSON, the pty master rides on `Ready`.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};

use crate::create::failure;
use crate::error::{Doing, Error, FailureKind};
use crate::span::Span;

/// The longest word; the kernel allows more, the messages need less.
const LONGEST: usize = 32 * 1024;
/// How many may look or try to start at once.
const BACKLOG: i32 = 64;

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// Write my id mappings.
    Map,
    /// The root is built and not entered yet: run your hooks.
    RootBuilt,
    /// My filter asks, and this is the number of its listener.
    Listening(i32),
    /// Everything is set up; waiting for the byte that starts the program.
    Ready {
        /// How long each part took.
        spans: Vec<Span>,
        /// What was asked for and given only in part.
        warnings: Vec<String>,
    },
    /// I give up.
    Failed {
        /// 127, 126 or neither.
        kind: FailureKind,
        /// Why.
        message: String,
    },
}

/// One end.
#[derive(Debug)]
pub(crate) struct Line(OwnedFd);

impl Line {
    /// Both ends.
    pub(crate) fn pair() -> Result<(Self, Self), Error> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .doing("make the socket to the container's process")?;
        Ok((Self(one), Self(other)))
    }

    /// The end that a starter holds, at the socket of a detached child.
    pub(crate) fn connect(socket: &Path) -> Result<Self, Error> {
        let line =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .doing("make the socket to the container's process")?;
        short(socket, |address| rustix::net::connect(&line, address)).on("connect to", socket)?;
        Ok(Self(line))
    }

    /// A socket for a detached child to wait at.
    pub(crate) fn listen(socket: &Path) -> Result<OwnedFd, Error> {
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .doing("make the socket of the container's process")?;
        short(socket, |address| rustix::net::bind(&listener, address)).on("bind", socket)?;
        rustix::net::listen(&listener, BACKLOG).on("listen at", socket)?;
        Ok(listener)
    }

    /// The child's end with whoever lets it go. Who only looks whether it waits, or dies first, is passed over.
    pub(crate) fn await_starter(listener: BorrowedFd<'_>) -> Result<Self, Error> {
        loop {
            let accepted = rustix::net::accept_with(listener, SocketFlags::CLOEXEC);
            match accepted {
                Ok(line) => {
                    let line = Self(line);
                    if line.await_nod().is_ok() {
                        return Ok(line);
                    }
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(errno) => return Err(errno).doing("wait for the start"),
            }
        }
    }

    /// Lets a waiting child execute its program; returns when it has.
    pub(crate) fn let_go(&self) -> Result<(), Error> {
        self.nod()?;
        match self.hear()? {
            None => Ok(()),
            Some((word, _)) => Err(failure(word)),
        }
    }

    /// Says a word, with a descriptor if it carries one.
    pub(crate) fn say(&self, word: &Word, fd: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let bytes = serde_json::to_vec(word).map_err(Error::Handshake)?;
        let bytes = &bytes[..bytes.len().min(LONGEST)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fd.into_iter().collect();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
            .doing("speak to the container's parent")?;
        Ok(())
    }

    /// Names the listener of a filter that binds the caller already: by write(2), the one call that no such filter can
    /// ask about.
    pub(crate) fn say_listening(&self, fd: i32) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&Word::Listening(fd)).map_err(Error::Handshake)?;
        rustix::io::write(&self.0, &bytes).doing("speak to the container's parent")?;
        Ok(())
    }

    /// The next word of the child; `None` once it has closed its end.
    pub(crate) fn hear(&self) -> Result<Option<(Word, Option<OwnedFd>)>, Error> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                // A process killed with unread words resets the line.
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                other => break other.doing("hear from the container's process")?.bytes,
            }
        };
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        if received == 0 {
            return Ok(None);
        }
        let word = serde_json::from_slice(&bytes[..received]).map_err(Error::Handshake)?;
        Ok(Some((word, fd)))
    }

    /// The parent's one-byte answer.
    pub(crate) fn nod(&self) -> Result<(), Error> {
        rustix::net::send(&self.0, &[1], SendFlags::NOSIGNAL).doing("answer the container's process")?;
        Ok(())
    }

    /// Waits for the parent's answer; an error once the parent is gone.
    pub(crate) fn await_nod(&self) -> Result<(), Error> {
        let mut byte = [0];
        loop {
            match rustix::net::recv(&self.0, &mut byte, RecvFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Ok((1, _)) => return Ok(()),
                Ok(_) | Err(_) => return Err(Error::ChildVanished),
            }
        }
    }

    /// Whether the other end is gone.
    pub(crate) fn is_cut(&self) -> bool {
        let mut set = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::empty())];
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut set, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// Lets nobody connect to a detached child any more. Exec closes the line and the listener in an order of its own: whoever
/// sees the line closed must not find the child waiting.
pub(crate) fn leave(listener: BorrowedFd<'_>) -> Result<(), Error> {
    rustix::net::shutdown(listener, rustix::net::Shutdown::Read).doing("stop waiting for the start")
}

/// Calls with an address for `socket` that is short enough for any path: through its folder's descriptor.
pub(crate) fn short<T>(
    socket: &Path,
    call: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(rustix::io::Errno::INVAL);
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    call(&SocketAddrUnix::new(&path)?)
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
