//! What carries one request: where the data of a write lies and where that of a read is to go, so that neither is
//! copied on the way; and how a reply that has to wait gets there.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys;
use crate::wire::{OPCODE_WRITE, WRITE_HEAD};

/// Takes a reply, whole with its header, once there is one. Dropped when there never will be.
pub type Later = Box<dyn FnOnce(&[u8]) + Send>;

/// One request's carrier: a chain of a queue, a message of a stream.
pub trait Carrier {
    /// Bytes of the request beyond those that the server was given ([`copied`]).
    fn data(&self) -> usize;

    /// Writes the first `length` of these to a file: at `offset`, or at its end when there is none. Returns how many
    /// were written, which is less when the disk is full.
    ///
    /// # Errors
    /// When nothing could be written.
    fn write(&self, to: BorrowedFd<'_>, length: usize, offset: Option<u64>) -> io::Result<usize>;

    /// Reads at most `length` bytes of a file at `offset` to where they follow the reply's header. Returns how many:
    /// less where the file ends.
    ///
    /// # Errors
    /// When they can't be read.
    fn read(&self, from: BorrowedFd<'_>, length: usize, offset: u64) -> io::Result<usize>;

    /// How to reply when the call that asks has returned.
    fn later(&self) -> Later;
}

/// How many of a request's first bytes the server is to be given, by the first eight: all of them, but for a write's.
#[must_use]
pub fn copied(start: &[u8]) -> usize {
    match start.get(4..8) {
        Some(opcode) if opcode == OPCODE_WRITE.to_le_bytes() => WRITE_HEAD,
        _ => usize::MAX,
    }
}

/// The carrier of a message that lies in memory as a whole.
pub(crate) struct Message<'a> {
    /// What follows the bytes that the server is given.
    pub(crate) data: &'a [u8],
    /// What was read.
    pub(crate) read: RefCell<Vec<u8>>,
    pub(crate) later: &'a dyn Fn() -> Later,
}

impl Carrier for Message<'_> {
    fn data(&self) -> usize {
        self.data.len()
    }

    fn write(&self, to: BorrowedFd<'_>, length: usize, offset: Option<u64>) -> io::Result<usize> {
        Ok(sys::write(to, &self.data[..length.min(self.data.len())], offset)?)
    }

    fn read(&self, from: BorrowedFd<'_>, length: usize, offset: u64) -> io::Result<usize> {
        let mut read = self.read.borrow_mut();
        sys::read(from.as_fd(), offset, length, &mut read)?;
        Ok(read.len())
    }

    fn later(&self) -> Later {
        (self.later)()
    }
}
