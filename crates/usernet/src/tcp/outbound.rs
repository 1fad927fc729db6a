//! The host's bytes on their way to the guest: kept until the guest has acknowledged them.

use std::io::{self, Read};

use mio::net::TcpStream;

use super::buffer::Buffer;
use super::sequence::{after, plus};

/// What one connection may hold, in bytes.
const MOST: usize = 512 << 10;
/// What is read at once at most, and what any connection may hold for a guest with a small window.
pub(super) const BLOCK: usize = 64 << 10;
/// What it may hold when all of them together hold too much.
const LEAST: usize = 4 << 10;
/// So often the guest says the same before it is believed to miss something (RFC 5681, 3.2).
const REPEATS: u32 = 3;

/// One direction.
#[derive(Debug)]
pub(super) struct Outbound {
    /// The number of the first byte that is held: the guest hasn't acknowledged it.
    acknowledged: u32,
    held: Buffer,
    /// How many of the held bytes were sent, since the last time that we began anew.
    sent: usize,
    /// The number after the last one ever sent.
    highest: u32,
    window: usize,
    scale: u8,
    segment: usize,
    /// The host has said its last, the guest was told, and knows it.
    ended: bool,
    end_sent: bool,
    end_known: bool,
    repeats: u32,
}

/// What is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) number: u32,
    /// Where it lies in what is held.
    pub(super) offset: usize,
    pub(super) length: usize,
    /// Nothing else waits.
    pub(super) last: bool,
    pub(super) ends: bool,
}

/// What an acknowledgement brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Progress,
    Nothing,
    /// It is of something that was never sent.
    Nonsense,
}

impl Outbound {
    /// After a SYN-ACK of that number, towards a guest whose segments hold that much.
    pub(super) fn new(syn: u32, window: u16, scale: u8, segment: usize) -> Self {
        let first = plus(syn, 1);
        Self {
            acknowledged: first,
            held: Buffer::default(),
            sent: 0,
            highest: first,
            window: window.into(),
            scale,
            segment,
            ended: false,
            end_sent: false,
            end_known: false,
            repeats: 0,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_over(&self) -> bool {
        self.end_known
    }

    /// The number of what comes next.
    pub(super) fn number(&self) -> u32 {
        plus(self.acknowledged, self.sent + usize::from(self.end_sent && !self.end_known))
    }

    /// Whether something was sent that the guest hasn't acknowledged, or can't be sent until it says so.
    pub(super) fn waits(&self) -> bool {
        !self.held.is_empty() || (self.end_sent && !self.end_known)
    }

    /// Whether the guest takes nothing at the moment.
    pub(super) fn is_shut(&self) -> bool {
        self.window == 0
    }

    /// Hears what the guest has. `bare`: there was nothing else in the segment.
    pub(super) fn hear(&mut self, number: u32, window: u16, bare: bool) -> Heard {
        let new = after(number, self.acknowledged);
        if new > after(self.highest, self.acknowledged) {
            return Heard::Nonsense;
        }
        let Ok(new) = usize::try_from(new) else { return Heard::Nothing };
        let window = usize::from(window) << self.scale;
        let same = window == self.window;
        self.window = window;
        if new == 0 {
            if bare && same && self.waits() {
                self.repeats += 1;
                if self.repeats == REPEATS {
                    self.begin_anew();
                }
            }
            return Heard::Nothing;
        }
        self.repeats = 0;
        let bytes = new.min(self.held.len());
        self.held.take(bytes);
        self.sent = self.sent.saturating_sub(bytes);
        self.acknowledged = number;
        self.end_known = new > bytes;
        Heard::Progress
    }

    /// The guest was silent for too long: everything is sent again, and a byte even where none has room.
    pub(super) fn is_late(&mut self) {
        self.begin_anew();
        self.window = self.window.max(1);
    }

    fn begin_anew(&mut self) {
        self.sent = 0;
        self.end_sent = self.end_known;
    }

    /// Reads from the host once if there is room; false when nothing comes now. `most`: what all may still hold; `block`: where
    /// what comes lies until its length is known.
    pub(super) fn fill(&mut self, socket: &mut TcpStream, block: &mut [u8], most: usize) -> io::Result<bool> {
        let limit = self.window.clamp(BLOCK, MOST).min(most.max(LEAST));
        let room = limit.saturating_sub(self.held.len());
        if self.ended || room == 0 {
            return Ok(true);
        }
        let room = room.min(block.len());
        match socket.read(&mut block[..room]) {
            Ok(0) => self.ended = true,
            Ok(read) => self.held.push(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return self.fill(socket, block, most);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// What the guest's window lets us send.
    pub(super) fn due(&self) -> Option<Piece> {
        let unsent = self.held.len() - self.sent;
        let room = self.window.saturating_sub(self.sent);
        let length = unsent.min(room).min(self.segment);
        let last = length == unsent;
        // A crumb goes out only when nothing else is under way (RFC 9293, 3.8.6.2.1).
        let worth = length > 0 && (last || length == self.segment || self.sent == 0);
        let ends = last && self.ended && !self.end_sent;
        (worth || (unsent == 0 && ends)).then(|| Piece {
            number: plus(self.acknowledged, self.sent),
            offset: self.sent,
            length,
            last,
            ends,
        })
    }

    pub(super) fn bytes(&self, piece: &Piece) -> &[u8] {
        &self.held.as_slice()[piece.offset..piece.offset + piece.length]
    }

    /// It is on its way.
    pub(super) fn sent(&mut self, piece: &Piece) {
        self.sent += piece.length;
        self.end_sent |= piece.ends;
        if after(self.number(), self.highest) > 0 {
            self.highest = self.number();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(bytes: &[u8], window: u16) -> Outbound {
        let mut outbound = Outbound::new(u32::MAX - 4, window, 0, 4);
        outbound.held.push(bytes);
        outbound
    }

    fn send_all(outbound: &mut Outbound) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        while let Some(piece) = outbound.due() {
            pieces.push(outbound.bytes(&piece).to_vec());
            outbound.sent(&piece);
        }
        pieces
    }

    #[test]
    fn the_window_is_kept_and_what_is_acknowledged_is_forgotten() {
        let mut outbound = with(b"abcdefghij", 6);
        let first = outbound.number();
        assert_eq!(send_all(&mut outbound), [b"abcd".to_vec()]);
        assert_eq!(outbound.hear(plus(first, 4), 6, true), Heard::Progress);
        assert_eq!(send_all(&mut outbound), [b"efgh".to_vec(), b"ij".to_vec()]);
        assert_eq!(outbound.hear(plus(first, 10), 6, true), Heard::Progress);
        assert!(!outbound.waits());
    }

    #[test]
    fn the_third_repetition_and_silence_send_again() {
        let mut outbound = with(b"abcd", 100);
        let first = outbound.number();
        send_all(&mut outbound);
        for _ in 0..2 {
            outbound.hear(first, 100, true);
            assert_eq!(outbound.due(), None);
        }
        outbound.hear(first, 100, true);
        assert_eq!(send_all(&mut outbound), [b"abcd".to_vec()]);
        outbound.hear(first, 0, true);
        outbound.is_late();
        assert_eq!(send_all(&mut outbound), [b"a".to_vec()]);
        // What was sent before the silence may still be acknowledged.
        assert_eq!(outbound.hear(plus(first, 4), 100, true), Heard::Progress);
        assert!(!outbound.waits());
    }

    #[test]
    fn the_end_is_sent_with_the_last_bytes_and_counts_as_one() {
        let mut outbound = with(b"ab", 100);
        outbound.ended = true;
        let first = outbound.number();
        let piece = outbound.due().unwrap();
        assert!(piece.ends && piece.length == 2);
        outbound.sent(&piece);
        assert_eq!(outbound.due(), None);
        assert_eq!(outbound.hear(plus(first, 2), 100, true), Heard::Progress);
        assert!(outbound.waits() && !outbound.is_over());
        assert_eq!(outbound.hear(plus(first, 4), 100, true), Heard::Nonsense);
        assert_eq!(outbound.hear(plus(first, 3), 100, true), Heard::Progress);
        assert!(outbound.is_over());
    }
}
