//! A descriptor chain as pieces of guest memory. The driver may cut its buffers anywhere, so a header may lie in
//! one descriptor with its payload, in one of its own, or across several.

use virtio_queue::DescriptorChain;
use vm_memory::{GuestAddress, GuestMemoryBackend, VolatileSlice};

use crate::Memory;

/// The part of a chain that goes in one direction, clamped to what the device can use.
pub(crate) struct Pieces<'m> {
    pieces: Vec<VolatileSlice<'m>>,
    length: usize,
}

impl<'m> Pieces<'m> {
    /// The chain's leading device-readable part, `most` bytes of it at the most. None when the chain names memory
    /// that the guest doesn't have.
    pub(crate) fn readable(
        memory: &'m Memory,
        chain: DescriptorChain<&'m Memory>,
        most: usize,
    ) -> Option<Self> {
        let parts = chain.take_while(|part| !part.is_write_only());
        Self::gather(memory, parts.map(|part| (part.addr(), part.len())), most)
    }

    /// The chain's device-writable part, `most` bytes of it at the most.
    pub(crate) fn writable(
        memory: &'m Memory,
        chain: DescriptorChain<&'m Memory>,
        most: usize,
    ) -> Option<Self> {
        let parts = chain.filter(|part| part.is_write_only());
        Self::gather(memory, parts.map(|part| (part.addr(), part.len())), most)
    }

    /// Both, in one walk along the chain.
    pub(crate) fn both(
        memory: &'m Memory,
        chain: DescriptorChain<&'m Memory>,
        most: usize,
    ) -> Option<(Self, Self)> {
        let (mut readable, mut writable, mut is_writable) = (Self::none(), Self::none(), false);
        for part in chain {
            is_writable |= part.is_write_only();
            if part.is_write_only() {
                writable.add(memory, part.addr(), part.len(), most)?;
            } else if !is_writable {
                readable.add(memory, part.addr(), part.len(), most)?;
            }
        }
        Some((readable, writable))
    }

    /// Ranges of guest memory, `most` bytes of them at the most.
    pub(crate) fn gather(
        memory: &'m Memory,
        parts: impl Iterator<Item = (GuestAddress, u32)>,
        most: usize,
    ) -> Option<Self> {
        let mut gathered = Self::none();
        for (address, length) in parts {
            gathered.add(memory, address, length, most)?;
        }
        Some(gathered)
    }

    fn none() -> Self {
        Self { pieces: Vec::with_capacity(4), length: 0 }
    }

    /// Adds a range, as much of it as there may be; none when the guest doesn't have it.
    fn add(&mut self, memory: &'m Memory, address: GuestAddress, length: u32, most: usize) -> Option<()> {
        let length = (length as usize).min(most - self.length);
        if length == 0 {
            return Some(());
        }
        // A range may cross from one region of guest memory into the next.
        for piece in GuestMemoryBackend::get_slices(memory, address, length) {
            let piece = piece.ok()?;
            self.length += piece.len();
            self.pieces.push(piece);
        }
        Some(())
    }

    /// Bytes in all pieces.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The pieces in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &VolatileSlice<'m>> {
        self.pieces.iter()
    }

    /// Drops everything after the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        let mut left = length.min(self.length);
        self.length = left;
        self.pieces.retain_mut(|piece| {
            let kept = piece.len().min(left);
            left -= kept;
            match piece.subslice(0, kept) {
                Ok(part) if kept > 0 => {
                    *piece = part;
                    true
                }
                _ => false,
            }
        });
    }

    /// Takes the first `length` bytes off; none when there are fewer.
    pub(crate) fn split_front(&mut self, length: usize) -> Option<Self> {
        if length > self.length {
            return None;
        }
        let mut front = Self { pieces: Vec::with_capacity(2), length };
        let mut left = length;
        let mut rest = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces.drain(..) {
            let taken = piece.len().min(left);
            left -= taken;
            if taken > 0 {
                front.pieces.push(piece.subslice(0, taken).ok()?);
            }
            if taken < piece.len() {
                rest.push(piece.offset(taken).ok()?);
            }
        }
        self.pieces = rest;
        self.length -= length;
        Some(front)
    }

    /// The pieces of what follows the first `skipped` bytes, `most` of it at the most.
    pub(crate) fn part(&self, skipped: usize, most: usize) -> impl Iterator<Item = VolatileSlice<'m>> {
        let (mut skipped, mut left) = (skipped, most);
        self.pieces.iter().filter_map(move |piece| {
            let start = skipped.min(piece.len());
            let taken = (piece.len() - start).min(left);
            skipped -= start;
            left -= taken;
            piece.subslice(start, taken).ok().filter(|_| taken > 0)
        })
    }

    /// Copies the first bytes out, as many as `into` takes.
    pub(crate) fn copy_to(&self, into: &mut [u8]) {
        let mut at = 0;
        for piece in &self.pieces {
            if at == into.len() {
                break;
            }
            at += piece.copy_to(&mut into[at..]);
        }
    }

    /// Copies in, to the first of them.
    pub(crate) fn copy_from(&self, from: &[u8]) {
        let mut at = 0;
        for piece in &self.pieces {
            if at == from.len() {
                break;
            }
            let end = from.len().min(at + piece.len());
            piece.copy_from(&from[at..end]);
            at = end;
        }
    }
}
