//! The guest's bytes on their way to the host's socket.

use std::io::{self, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::buffer::Buffer;
use super::sequence::{after, plus};

/// What one connection may hold, in bytes.
const MOST: usize = 512 << 10;
/// After so many segments the guest hears what we have (RFC 9293, 3.8.6.3). Before, what we say next may carry it: a
/// guest that is emulated pays dearly for each packet.
const MOST_UNHEARD: u32 = 2;
/// As long as two segments of most networks: it counts as two. A guest whose buffer holds no other waits for that.
const LONG: usize = 2 * 1460;
/// Our windows' scale, when the guest has one, too: enough for [`MOST`].
pub(super) const SCALE: u8 = 4;

/// One direction.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The number that we expect.
    next: u32,
    held: Buffer,
    /// The guest has said its last.
    ended: bool,
    /// The host's socket knows it.
    shut: bool,
    /// Whether the guest is to hear what we have, at once.
    pub(super) owes_ack: bool,
    /// Segments that were taken since it last heard.
    unheard: u32,
    /// The end of the window that the guest knows.
    told: u32,
    scale: u8,
}

impl Inbound {
    /// After a SYN of that number.
    pub(super) fn new(syn: u32, scaled: bool) -> Self {
        let next = plus(syn, 1);
        let scale = if scaled { SCALE } else { 0 };
        Self {
            next,
            held: Buffer::default(),
            ended: false,
            shut: false,
            owes_ack: false,
            unheard: 0,
            told: next,
            scale,
        }
    }

    pub(super) fn next(&self) -> u32 {
        self.next
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_over(&self) -> bool {
        self.shut
    }

    /// Whether a segment of that number may be the guest's: it lies where the next ones lie, or is one of the last.
    pub(super) fn expects(&self, number: u32) -> bool {
        (0..=self.window() as i64).contains(&after(number, self.next))
    }

    /// Takes what is new of a segment, at most that much; what comes out of its turn is asked for again.
    pub(super) fn take(&mut self, number: u32, payload: &[u8], ends: bool, most: usize) {
        if payload.is_empty() && !ends {
            // A probe for whether we are there has an old number.
            self.owes_ack |= number != self.next;
            return;
        }
        let first = self.next;
        let ahead = after(number, self.next);
        match usize::try_from(-ahead) {
            Ok(known) if !self.ended && known <= payload.len() => {
                self.take_new(&payload[known..], ends, most)
            }
            _ => {}
        }
        self.unheard += if payload.len() >= LONG { MOST_UNHEARD } else { 1 };
        let in_turn = ahead == 0 && after(self.next, first) == payload.len() as i64 + i64::from(ends);
        self.owes_ack |= !in_turn || self.unheard >= MOST_UNHEARD;
    }

    fn take_new(&mut self, new: &[u8], ends: bool, most: usize) {
        let taken = new.len().min(self.window()).min(most);
        self.held.push(&new[..taken]);
        self.next = plus(self.next, taken);
        if ends && taken == new.len() {
            self.ended = true;
            self.next = plus(self.next, 1);
        }
    }

    /// Whether something was taken that the guest hasn't heard of, but needn't at once.
    pub(super) fn lags(&self) -> bool {
        self.unheard > 0
    }

    /// Writes what is held and passes the end on. False when the socket takes no more now.
    pub(super) fn pass_on(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        let before = self.held.len();
        while !self.held.is_empty() {
            match socket.write(self.held.as_slice()) {
                Ok(written) => self.held.take(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.held.len() < before {
            self.tell_of_room();
        }
        if self.held.is_empty() && self.ended && !self.shut {
            self.shut = true;
            socket.shutdown(Shutdown::Write)?;
        }
        Ok(self.held.is_empty())
    }

    /// A guest that was held up hears when it may go on: not for each byte (RFC 9293, 3.8.6.2.2).
    fn tell_of_room(&mut self) {
        let grown = after(plus(self.next, self.window()), self.told);
        self.owes_ack |= grown >= (MOST / 2) as i64 && !self.ended;
    }

    fn window(&self) -> usize {
        MOST.saturating_sub(self.held.len())
    }

    /// The window as a segment tells it; a SYN's isn't scaled.
    pub(super) fn offer(&self, syn: bool) -> u16 {
        let scale = if syn { 0 } else { self.scale };
        u16::try_from(self.window() >> scale).unwrap_or(u16::MAX)
    }

    /// A segment with that window is on its way, and with it what we have.
    pub(super) fn offered(&mut self, window: u16, syn: bool) {
        let scale = if syn { 0 } else { self.scale };
        self.told = plus(self.next, usize::from(window) << scale);
        self.owes_ack = false;
        self.unheard = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(inbound: &Inbound) -> &[u8] {
        inbound.held.as_slice()
    }

    #[test]
    fn what_comes_twice_or_early_changes_nothing() {
        let mut inbound = Inbound::new(u32::MAX - 2, true);
        let first = inbound.next();
        inbound.take(plus(first, 3), b"def", false, 99);
        assert_eq!(held(&inbound), b"");
        inbound.take(first, b"abc", false, 99);
        inbound.take(first, b"abc", false, 99);
        inbound.take(plus(first, 1), b"bcdef", true, 99);
        assert_eq!(held(&inbound), b"abcdef");
        assert_eq!(after(inbound.next(), first), 7);
        inbound.take(plus(first, 7), b"beyond the end", false, 99);
        assert_eq!(held(&inbound), b"abcdef");
    }

    #[test]
    fn one_segment_waits_for_what_is_said_next_and_the_second_or_one_out_of_turn_does_not() {
        let mut inbound = Inbound::new(0, true);
        inbound.take(1, b"abc", false, 99);
        assert!(inbound.lags() && !inbound.owes_ack);
        inbound.take(4, b"def", false, 99);
        assert!(inbound.owes_ack);
        inbound.offered(inbound.offer(false), false);
        assert!(!inbound.lags() && !inbound.owes_ack);
        inbound.take(1, b"abc", false, 99);
        assert!(inbound.owes_ack, "it came twice");
        inbound.offered(inbound.offer(false), false);
        inbound.take(9, b"jkl", false, 99);
        assert!(inbound.owes_ack, "something is missing");
    }

    #[test]
    fn a_segment_as_long_as_two_waits_for_nothing() {
        let mut inbound = Inbound::new(0, true);
        inbound.take(1, &[0; LONG - 1], false, usize::MAX);
        assert!(!inbound.owes_ack);
        inbound.offered(inbound.offer(false), false);
        inbound.take(plus(1, LONG - 1), &[0; LONG], false, usize::MAX);
        assert!(inbound.owes_ack);
    }

    #[test]
    fn no_more_is_taken_than_may_be_and_the_end_only_with_all() {
        let mut inbound = Inbound::new(0, true);
        inbound.take(1, b"abcdef", true, 4);
        assert_eq!(held(&inbound), b"abcd");
        assert!(!inbound.ended);
        inbound.take(5, &vec![0; 2 * MOST], false, usize::MAX);
        assert_eq!(inbound.held(), MOST);
        assert_eq!(inbound.offer(false), 0);
    }
}
