//! A descriptor chain as pieces of guest memory. The driver may cut its buffers anywhere, so a header may lie in
//! one descriptor with its payload, in one of its own, or across several.

use virtio_queue::DescriptorChain;
use vm_memory::{GuestAddress, GuestMemoryBackend, VolatileSlice};

use crate::Memory;

/// The part of a chain that goes in one direction, clamped to what the device can use.
#[derive(Clone)]
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

    /// Ranges of guest memory, `most` bytes of them at the most.
    pub(crate) fn gather(
        memory: &'m Memory,
        parts: impl Iterator<Item = (GuestAddress, u32)>,
        most: usize,
    ) -> Option<Self> {
        let mut gathered = Self { pieces: Vec::with_capacity(4), length: 0 };
        for (address, length) in parts {
            let length = (length as usize).min(most - gathered.length);
            if length == 0 {
                continue;
            }
            // A range may cross from one region of guest memory into the next.
            for piece in GuestMemoryBackend::get_slices(memory, address, length) {
                let piece = piece.ok()?;
                gathered.length += piece.len();
                gathered.pieces.push(piece);
            }
        }
        Some(gathered)
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

    /// The pieces in order.
    pub(crate) fn slices(&self) -> &[VolatileSlice<'m>] {
        &self.pieces
    }

    /// Copies out; `into` is as long as the pieces.
    pub(crate) fn copy_to(&self, into: &mut [u8]) {
        let mut at = 0;
        for piece in &self.pieces {
            at += piece.copy_to(&mut into[at..]);
        }
    }

    /// Copies in; `from` is as long as the pieces.
    pub(crate) fn copy_from(&self, from: &[u8]) {
        let mut at = 0;
        for piece in &self.pieces {
            let end = from.len().min(at + piece.len());
            piece.copy_from(&from[at..end]);
            at = end;
        }
    }
}
