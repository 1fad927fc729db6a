//! The network card (VIRTIO 1.2, 5.1): frames out of one queue's chains and into the other's. What is in them isn't its
//! business; its configuration space and its control queue are the carrier's.

#[cfg(test)]
mod tests;

use std::num::Wrapping;
use std::sync::atomic::{Ordering, fence};

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{Address, Bytes, GuestAddress};

use crate::chain::Pieces;
use crate::{Error, Memory, Owed};

/// Receive and transmit.
pub const QUEUES: usize = 2;
/// Entries of each queue at the most.
pub const QUEUE_SIZE: u16 = 1024;

/// The checksum of a packet that the guest sends may be missing (`VIRTIO_NET_F_CSUM`).
const CSUM: u64 = 1 << 0;
/// What arrives has been checked (`VIRTIO_NET_F_GUEST_CSUM`).
const GUEST_CSUM: u64 = 1 << 1;
/// The configuration space says how long packets may be (`VIRTIO_NET_F_MTU`). It is the carrier's, and so is this.
const MTU: u64 = 1 << 3;
/// What the guest sends needn't be cut into segments (`VIRTIO_NET_F_HOST_TSO4`, `VIRTIO_NET_F_HOST_TSO6`).
const HOST_TSO: u64 = 1 << 11 | 1 << 12;
/// A frame may fill several chains (`VIRTIO_NET_F_MRG_RXBUF`).
const MRG_RXBUF: u64 = 1 << 15;
/// What the device can do. Who takes its frames needs neither checksums nor segments of a certain length.
pub const FEATURES: u64 = CSUM | GUEST_CSUM | MTU | HOST_TSO | MRG_RXBUF;

/// `struct virtio_net_hdr` (5.1.6), before each frame.
const HEADER: usize = 12;
/// In its first byte: the checksum is right (`VIRTIO_NET_HDR_F_DATA_VALID`).
const CHECKED: u8 = 2;
/// Where it says how many chains the frame fills.
const CHAINS: usize = 10;
/// The longest frame: an IP packet behind Ethernet's header.
const LONGEST: usize = 65_535 + 14;
/// Before a frame that waits: its length with its header.
const PREFIX: usize = 4;
/// What may wait for the guest.
const MOST_WAITING: usize = 1 << 20;

/// The queues of a driver that is ready, and its memory.
pub struct Rings<'a> {
    /// What the guest receives by.
    pub receive: &'a mut Queue,
    /// What it sends by.
    pub transmit: &'a mut Queue,
    /// Where they are.
    pub memory: &'a Memory,
}

/// The device.
#[derive(Default)]
pub struct Net {
    /// What the driver and we have agreed on.
    features: u64,
    /// Frames towards the guest, each after its length and its header.
    waiting: Vec<u8>,
    /// How much of that has gone.
    gone: usize,
    /// Whether the guest hears of what was taken from it.
    taken: bool,
    /// Where the receive queue was when the guest heard of it last.
    told: Option<u16>,
}

impl Net {
    /// Hears what the driver has chosen of the device's features.
    pub fn choose(&mut self, features: u64) {
        self.features = features;
    }

    /// Forgets what was on its way.
    pub fn reset(&mut self) {
        *self = Self { features: self.features, ..Self::default() };
    }

    /// Takes the next frame of the guest, in place of what `frame` held; false when there is none now: then it says when
    /// there is one.
    ///
    /// # Errors
    /// When the driver's rings are broken: the device is to be stopped until its reset.
    pub fn take(&mut self, rings: &mut Rings<'_>, frame: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            let Some(chain) = next_of(rings.transmit, rings.memory)? else { return Ok(false) };
            let head = chain.head_index();
            let whole = copy_frame(chain, rings.memory, frame);
            rings.transmit.add_used(rings.memory, head, 0)?;
            self.taken = true;
            if whole {
                return Ok(true);
            }
        }
    }

    /// Room for one frame of exactly this length; none while the guest takes them too slowly.
    pub fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        let begin = self.waiting.len() + PREFIX + HEADER;
        if length > LONGEST || self.waiting.len() - self.gone > MOST_WAITING {
            return None;
        }
        let prefix = u32::try_from(HEADER + length).ok()?.to_le_bytes();
        self.waiting.extend_from_slice(&prefix);
        self.waiting.resize(begin + length, 0);
        if self.features & GUEST_CSUM != 0 {
            self.waiting[begin - HEADER] = CHECKED;
        }
        Some(&mut self.waiting[begin..])
    }

    /// Passes on what the guest has room for; false when it says when it has more.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn pass_on(&mut self, rings: &mut Rings<'_>) -> Result<bool, Error> {
        while let Some((prefix, rest)) = self.waiting[self.gone..].split_first_chunk_mut::<PREFIX>() {
            let length = u32::from_le_bytes(*prefix) as usize;
            let told = *self.told.get_or_insert_with(|| rings.receive.next_used());
            let merges = self.features & MRG_RXBUF != 0;
            if !put(&mut rest[..length], merges, rings)? {
                self.told = Some(told);
                if self.gone > MOST_WAITING {
                    self.waiting.drain(..self.gone);
                    self.gone = 0;
                }
                return Ok(false);
            }
            self.gone += PREFIX + length;
        }
        self.waiting.clear();
        self.gone = 0;
        Ok(true)
    }

    /// Which interrupts the guest is owed since it was asked last.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn owed(&mut self, rings: &mut Rings<'_>) -> Result<Owed, Error> {
        let told = self.told.take().filter(|told| *told != rings.receive.next_used());
        let receive = told.map(|told| is_awaited(rings.receive, told, rings.memory)).transpose()?;
        let transmit = std::mem::take(&mut self.taken) && rings.transmit.needs_notification(rings.memory)?;
        Ok(Owed { receive: receive.unwrap_or(false), transmit })
    }
}

/// The next chain of a queue; when there is none, the driver says when there is. One that it adds meanwhile is found.
fn next_of<'m>(queue: &mut Queue, memory: &'m Memory) -> Result<Option<DescriptorChain<&'m Memory>>, Error> {
    if let Some(chain) = queue.pop_descriptor_chain(memory) {
        return Ok(Some(chain));
    }
    let came = queue.enable_notification(memory)?;
    // A ring that announces entries and gives none is broken, and hears no more.
    Ok(if came { queue.pop_descriptor_chain(memory) } else { None })
}

/// Copies a frame out of its chain; false when it is none.
fn copy_frame(chain: DescriptorChain<&Memory>, memory: &Memory, frame: &mut Vec<u8>) -> bool {
    let Some(mut pieces) = Pieces::readable(memory, chain, HEADER + LONGEST + 1) else { return false };
    if pieces.len() > HEADER + LONGEST || pieces.split_front(HEADER).is_none() {
        return false;
    }
    frame.resize(pieces.len(), 0);
    pieces.copy_to(frame);
    true
}

/// Puts a frame with its header into as many chains as it fills; false when the guest has too few.
fn put(frame: &mut [u8], merges: bool, rings: &mut Rings<'_>) -> Result<bool, Error> {
    let Rings { receive, memory, .. } = rings;
    let (mut filled, mut room) = (Vec::with_capacity(2), 0);
    while room < frame.len() {
        let Some(chain) = next_of(receive, memory)? else {
            (0..filled.len()).for_each(|_| receive.go_to_previous_position());
            return Ok(false);
        };
        let head = chain.head_index();
        // Memory that the guest doesn't have takes nothing.
        let pieces = Pieces::writable(memory, chain, frame.len() - room);
        room += pieces.as_ref().map_or(0, Pieces::len);
        filled.push((head, pieces));
        if !merges || filled.len() == usize::from(receive.size()) {
            break;
        }
    }
    // What doesn't fit is lost, as on any wire.
    let fits = room == frame.len();
    let chains = if fits { u16::try_from(filled.len()).unwrap_or(1) } else { 1 };
    frame[CHAINS..HEADER].copy_from_slice(&chains.to_le_bytes());
    let mut rest = &frame[..];
    let mut used = Vec::with_capacity(filled.len());
    for (head, pieces) in &filled {
        let (part, left) = rest.split_at(pieces.as_ref().map_or(0, Pieces::len));
        if let Some(pieces) = pieces.as_ref().filter(|_| fits) {
            pieces.copy_from(part);
        }
        used.push((*head, if fits { u32::try_from(part.len()).unwrap_or(0) } else { 0 }));
        rest = left;
    }
    give_back(receive, &used, memory)?;
    Ok(true)
}

/// Gives chains back at once: who finds the first of a frame finds the others (5.1.6.4).
fn give_back(queue: &mut Queue, used: &[(u16, u32)], memory: &Memory) -> Result<(), Error> {
    /// Before the elements of the used ring (2.7.8), and of each.
    const RING_HEADER: u64 = 4;
    const ELEMENT: u64 = 8;
    let Some(((head, length), before)) = used.split_last() else { return Ok(()) };
    let mut next = Wrapping(queue.next_used());
    for (head, length) in before {
        let place = RING_HEADER + u64::from(next.0 % queue.size()) * ELEMENT;
        let element = u64::from(*head) | u64::from(*length) << 32;
        let at =
            GuestAddress(queue.used_ring()).checked_add(place).ok_or(virtio_queue::Error::AddressOverflow)?;
        memory.write_obj(element.to_le(), at).map_err(virtio_queue::Error::GuestMemory)?;
        next += 1;
    }
    queue.set_next_used(next.0);
    Ok(queue.add_used(memory, *head, *length)?)
}

/// Whether the driver wants an interrupt for something that it was given since `told` (2.7.10).
fn is_awaited(queue: &Queue, told: u16, memory: &Memory) -> Result<bool, Error> {
    if !queue.event_idx_enabled() {
        return Ok(true);
    }
    // What was given is written before is read what the driver waits for.
    fence(Ordering::SeqCst);
    let place = 4 + u64::from(queue.size()) * 2;
    let at =
        GuestAddress(queue.avail_ring()).checked_add(place).ok_or(virtio_queue::Error::AddressOverflow)?;
    let event: u16 = memory.load(at, Ordering::Relaxed).map_err(virtio_queue::Error::GuestMemory)?;
    let next = Wrapping(queue.next_used());
    Ok(next - Wrapping(u16::from_le(event)) - Wrapping(1) < next - Wrapping(told))
}
