//! The engine's end: one socket, what it sent and isn't read yet, what waits to be sent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_guard::frame::{Message, encode_output};
use berth_guard::{Decoder, FromGuard, Stream, ToGuard};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// With so many bytes waiting, containers' output is left in their pipes.
const FULL: usize = 256 * 1024;
/// How much is read at a time.
const BLOCK: usize = 64 * 1024;

/// A connected engine.
pub(crate) struct Connection {
    socket: OwnedFd,
    decoder: Decoder,
    waiting: Vec<u8>,
    sent: usize,
}

/// The engine has gone, or speaks nonsense.
#[derive(Debug)]
pub(crate) struct Gone;

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, decoder: Decoder::default(), waiting: Vec::new(), sent: 0 }
    }

    /// Queues a message.
    pub(crate) fn say(&mut self, message: &FromGuard) {
        message.encode(&mut self.waiting);
    }

    /// Queues output.
    pub(crate) fn say_output(&mut self, process: u32, stream: Stream, at: u64, bytes: &[u8]) {
        encode_output(&mut self.waiting, process, stream, at, bytes);
    }

    /// Whether so much waits that no more output should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() - self.sent >= FULL
    }

    /// Whether anything waits.
    pub(crate) fn has_waiting(&self) -> bool {
        self.sent < self.waiting.len()
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        while self.has_waiting() {
            match rustix::net::send(&self.socket, &self.waiting[self.sent..], SendFlags::NOSIGNAL) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Gone),
            }
        }
        if !self.has_waiting() {
            self.waiting.clear();
            self.waiting.shrink_to(BLOCK);
            self.sent = 0;
        } else if self.sent >= FULL {
            self.waiting.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Reads what is there.
    pub(crate) fn receive(&mut self, block: &mut [u8]) -> Result<(), Gone> {
        match rustix::net::recv(&self.socket, &mut *block, RecvFlags::empty()) {
            Ok((0, _)) => Err(Gone),
            Ok((received, _)) => {
                self.decoder.feed(&block[..received]);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(Gone),
        }
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Result<Option<ToGuard>, Gone> {
        self.decoder.next_message().map_err(|_| Gone)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
