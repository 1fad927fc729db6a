//! One stream between a client on the host and a port of the guest, with its credit in both directions.
//!
//! ```text
//!  Greeting ──port──► Requested ──RESPONSE──► Open ──both sides ended, or RST──► gone
//!                        └──RST or deadline──► gone, the client is told
//! ```

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::num::Wrapping;
use std::os::unix::net::UnixStream;

use vm_memory::{ReadVolatile, VolatileMemoryError, WriteVolatile};

use super::packet::Header;
use crate::chain::Pieces;

/// What the guest may send ahead of what its client read. Bytes that the client doesn't take are kept up to here,
/// so it bounds a connection's memory: the default of Linux's own socket.
pub(super) const BUFFER: u32 = 256 * 1024;
/// The guest is told of room again when this much was taken: rarely enough to cost little, early enough that a
/// sender of 64 KiB packets never waits.
const TELL_AFTER: u32 = BUFFER / 4;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The client hasn't yet said which port it wants.
    Greeting { bytes: [u8; 4], got: usize },
    /// The guest was asked.
    Requested,
    /// Bytes flow.
    Open,
}

/// One connection.
pub(super) struct Connection {
    pub(super) client: UnixStream,
    pub(super) state: State,
    pub(super) guest_port: u32,
    /// The client has bytes, or its end, that weren't read yet.
    pub(super) readable: bool,
    /// The client is gone in both directions.
    pub(super) gone: bool,
    /// The client's end was passed on.
    pub(super) client_ended: bool,
    /// The guest takes no more.
    pub(super) guest_deaf: bool,
    /// The guest sends no more: the client sees the end once it has all bytes.
    pub(super) guest_ended: bool,
    /// The guest knows nothing of the connection any more: it ends once the client has all bytes.
    pub(super) guest_reset: bool,
    /// The connection waits in the queue of those that have something for the guest.
    pub(super) queued: bool,
    /// Bytes that the client hasn't taken yet.
    waiting: VecDeque<u8>,
    /// Bytes received from the guest, ever.
    received: Wrapping<u32>,
    /// Bytes the client took, ever.
    forwarded: Wrapping<u32>,
    /// What the guest was last told of `forwarded`.
    told: Wrapping<u32>,
    /// Bytes sent to the guest, ever.
    sent: Wrapping<u32>,
    guest_buffer: u32,
    guest_forwarded: Wrapping<u32>,
}

/// What reading from the client gave.
pub(super) enum Taken {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The client's end.
    End,
}

impl Connection {
    pub(super) fn new(client: UnixStream) -> Self {
        Self {
            client,
            state: State::Greeting { bytes: [0; 4], got: 0 },
            guest_port: 0,
            readable: false,
            gone: false,
            client_ended: false,
            guest_deaf: false,
            guest_ended: false,
            guest_reset: false,
            queued: false,
            waiting: VecDeque::new(),
            received: Wrapping(0),
            forwarded: Wrapping(0),
            told: Wrapping(0),
            sent: Wrapping(0),
            guest_buffer: 0,
            guest_forwarded: Wrapping(0),
        }
    }

    /// The port that the client wants, once it has said it.
    pub(super) fn greeting(&mut self) -> io::Result<Option<u32>> {
        let State::Greeting { mut bytes, mut got } = self.state else { return Ok(None) };
        while got < bytes.len() {
            match self.client.read(&mut bytes[got..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => got += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.state = State::Greeting { bytes, got };
        Ok((got == bytes.len()).then(|| u32::from_le_bytes(bytes)))
    }

    /// Notes what a packet of the guest says of its room.
    pub(super) fn learn_credit(&mut self, header: &Header) {
        self.guest_buffer = header.buffer;
        self.guest_forwarded = Wrapping(header.forwarded);
    }

    /// How many bytes the guest has room for.
    pub(super) fn credit(&self) -> usize {
        let in_flight = (self.sent - self.guest_forwarded).0;
        // A guest may shrink its buffer, or lie: then there is no room.
        self.guest_buffer.saturating_sub(in_flight) as usize
    }

    /// Fills `into` with at most `most` bytes of the client, straight from its socket.
    pub(super) fn take(&mut self, into: &Pieces<'_>, most: usize) -> Taken {
        let mut total = 0;
        for piece in into.iter() {
            let Ok(piece) = piece.subslice(0, piece.len().min(most - total)) else { break };
            if piece.is_empty() {
                break;
            }
            let read = loop {
                match (&self.client).read_volatile(&mut piece.clone()) {
                    Err(VolatileMemoryError::IOError(error))
                        if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            match read {
                Ok(0) if total == 0 => return Taken::End,
                Ok(read) => {
                    total += read;
                    if read < piece.len() {
                        break;
                    }
                }
                Err(VolatileMemoryError::IOError(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                // A reset by the client ends its stream; what it sent before was read.
                Err(_) if total == 0 => return Taken::End,
                Err(_) => break,
            }
        }
        if total == 0 { Taken::Nothing } else { Taken::Bytes(total) }
    }

    /// Counts bytes that were handed to the guest.
    pub(super) fn count_sent(&mut self, bytes: usize) {
        self.sent += wrapped(bytes);
    }

    /// Passes bytes of the guest on: straight from its memory as far as the client takes them, the rest waits.
    /// False when the guest sent more than it was allowed to, or the client takes no more.
    pub(super) fn pass_on(&mut self, payload: &Pieces<'_>) -> bool {
        self.received += wrapped(payload.len());
        if (self.received - self.forwarded).0 > BUFFER {
            return false;
        }
        for piece in payload.iter() {
            let mut piece = *piece;
            while !piece.is_empty() && self.waiting.is_empty() {
                match (&self.client).write_volatile(&piece) {
                    Ok(written) => {
                        self.forwarded += wrapped(written);
                        match piece.offset(written) {
                            Ok(rest) => piece = rest,
                            Err(_) => return false,
                        }
                    }
                    Err(VolatileMemoryError::IOError(error)) => match error.kind() {
                        io::ErrorKind::Interrupted => {}
                        io::ErrorKind::WouldBlock => break,
                        _ => return false,
                    },
                    Err(_) => return false,
                }
            }
            if !piece.is_empty() {
                let mut kept = vec![0; piece.len()];
                piece.copy_to(&mut kept);
                self.waiting.extend(kept);
            }
        }
        true
    }

    /// Offers waiting bytes to the client again. False when it takes no more, ever.
    pub(super) fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match (&self.client).write(front) {
                Ok(written) => {
                    self.waiting.drain(..written);
                    self.forwarded += wrapped(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        // An idle connection keeps no memory.
        self.waiting.shrink_to(0);
        true
    }

    /// Whether the client has all the bytes that the guest sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the guest should hear that there is room again.
    pub(super) fn owes_credit(&self) -> bool {
        (self.forwarded - self.told).0 >= TELL_AFTER
    }

    /// Fills in what every packet says of our room.
    pub(super) fn tell_credit(&mut self, header: &mut Header) {
        self.told = self.forwarded;
        header.buffer = BUFFER;
        header.forwarded = self.forwarded.0;
    }
}

/// Counters of this protocol wrap at 32 bits.
fn wrapped(bytes: usize) -> Wrapping<u32> {
    #[expect(clippy::cast_possible_truncation, reason = "the counters wrap by specification")]
    Wrapping(bytes as u32)
}
