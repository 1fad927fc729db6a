//! Packets that a container's network cut into pieces, put together again (RFC 791, 3.2; RFC 8200, 4.5).

use std::time::{Duration, Instant};

use smoltcp::wire::IpProtocol;

use crate::packet::{Packet, Path};

/// How many packets may be incomplete at once; the oldest makes room.
const MOST_PARTIAL: usize = 16;
/// How many pieces one may have: four times those of the longest packet on a usual network.
const MOST_PIECES: usize = 180;
/// What a packet may hold.
const LONGEST: usize = 65_535;
/// How long the rest may take (RFC 8200, 4.5).
const PATIENCE: Duration = Duration::from_secs(60);

/// A piece of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// Names the packet among those of the same path.
    pub(crate) number: u32,
    /// Where it lies in the packet's payload, in bytes.
    pub(crate) offset: usize,
    /// Whether others follow.
    pub(crate) more: bool,
    /// Path and protocol of the packet, and this piece's bytes.
    pub(crate) of: Packet<'a>,
}

/// Packets that aren't complete.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    partial: Vec<Partial>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Partial {
    path: Path,
    protocol: IpProtocol,
    number: u32,
    bytes: Vec<u8>,
    /// Begin and end of the pieces that are there.
    pieces: Vec<(usize, usize)>,
    length: Option<usize>,
    deadline: Instant,
}

impl Fragments {
    /// Takes a piece; returns the packet when it was the last that lacked.
    pub(crate) fn take(&mut self, piece: &Piece<'_>, now: Instant) -> Option<Partial> {
        self.partial.retain(|partial| now < partial.deadline);
        let index = self.partial.iter().position(|partial| partial.has(piece)).unwrap_or_else(|| {
            if self.partial.len() == MOST_PARTIAL {
                self.partial.remove(0);
            }
            self.partial.push(Partial::of(piece, now));
            self.partial.len() - 1
        });
        match self.partial[index].add(piece) {
            Some(true) => Some(self.partial.remove(index)),
            Some(false) => None,
            None => {
                self.partial.remove(index);
                None
            }
        }
    }
}

impl Partial {
    fn of(piece: &Piece<'_>, now: Instant) -> Self {
        Self {
            path: piece.of.path,
            protocol: piece.of.protocol,
            number: piece.number,
            bytes: Vec::new(),
            pieces: Vec::new(),
            length: None,
            deadline: now + PATIENCE,
        }
    }

    fn has(&self, piece: &Piece<'_>) -> bool {
        (self.path, self.protocol, self.number) == (piece.of.path, piece.of.protocol, piece.number)
    }

    /// Whether the packet is whole now; none when the piece doesn't fit what is there: then all of it is worth nothing
    /// (RFC 5722).
    fn add(&mut self, piece: &Piece<'_>) -> Option<bool> {
        let (begin, end) = (piece.offset, piece.offset + piece.of.payload.len());
        let overlaps = self.pieces.iter().any(|(from, to)| begin < *to && *from < end);
        let beyond = end > LONGEST || self.length.is_some_and(|length| end > length || !piece.more);
        if begin == end || overlaps || beyond || self.pieces.len() == MOST_PIECES {
            return None;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[begin..end].copy_from_slice(piece.of.payload);
        self.pieces.push((begin, end));
        if !piece.more {
            self.length = Some(end);
            if self.bytes.len() > end {
                return None;
            }
        }
        let there: usize = self.pieces.iter().map(|(from, to)| to - from).sum();
        Some(self.length == Some(there))
    }

    /// The whole packet.
    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet { path: self.path, protocol: self.protocol, payload: &self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::EthernetAddress;

    use super::*;

    fn piece(number: u32, offset: usize, more: bool, payload: &[u8]) -> Piece<'_> {
        let path = Path {
            ours: EthernetAddress::BROADCAST,
            card: EthernetAddress([2; 6]),
            guest: "10.0.2.15".parse().unwrap(),
            remote: "198.51.100.7".parse().unwrap(),
        };
        Piece { number, offset, more, of: Packet { path, protocol: IpProtocol::Udp, payload } }
    }

    #[test]
    fn pieces_in_any_order_make_a_packet() {
        let (mut fragments, now) = (Fragments::default(), Instant::now());
        assert!(fragments.take(&piece(7, 16, false, b"end"), now).is_none());
        assert!(fragments.take(&piece(8, 0, true, b"others.."), now).is_none());
        assert!(fragments.take(&piece(7, 0, true, b"12345678"), now).is_none());
        let whole = fragments.take(&piece(7, 8, true, b"abcdefgh"), now).unwrap();
        assert_eq!(whole.packet().payload, b"12345678abcdefghend");
    }

    #[test]
    fn overlapping_late_and_endless_pieces_make_none() {
        let (mut fragments, now) = (Fragments::default(), Instant::now());
        assert!(fragments.take(&piece(1, 0, true, b"12345678"), now).is_none());
        assert!(fragments.take(&piece(1, 4, false, b"12345678"), now).is_none());
        assert!(fragments.partial.is_empty());
        assert!(fragments.take(&piece(2, 0, true, b"12345678"), now).is_none());
        assert!(fragments.take(&piece(2, 8, false, b"x"), now + PATIENCE).is_none());
        assert!(fragments.take(&piece(3, 65_528, false, b"12345678"), now).is_none());
        for number in 10..100 {
            assert!(fragments.take(&piece(number, 0, true, b"12345678"), now).is_none());
        }
        assert_eq!(fragments.partial.len(), MOST_PARTIAL);
    }
}
