//! The file system device (VIRTIO 1.2, 5.11): each chain of a queue is one FUSE request and the room for its reply.
//! Who answers isn't its business.
//!
//! The first queue carries what wants no reply, the others requests; all are served alike. The configuration space
//! (the tag and the number of queues) is the carrier's: the emulated machine keeps it itself.

#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use virtio_queue::{DescriptorChain, Queue, QueueT};
use vm_memory::GuestAddress;

use crate::chain::Pieces;
use crate::{Error, Memory, sys};

/// Entries of each queue at the most. A request of 1 MiB takes up to 260.
pub const QUEUE_SIZE: u16 = 1024;
/// The longest request or reply: 1 MiB of data and its headers.
const LONGEST: usize = (1 << 20) + 4096;

/// Whoever has an answer mostly asks again, so soon that waking this side up would take longer.
const MOMENT: Duration = Duration::from_micros(100);

/// Of a request, as much is looked at to tell how much of it is to be copied.
const START: usize = 8;

/// Answers FUSE requests.
pub trait Files: Send + Sync {
    /// How many of a request's first bytes are to be copied, by the first few. The others stay in the guest's memory.
    fn copied(&self, start: &[u8]) -> usize;

    /// Answers `request`, whose chain has the rest of it and the room for the reply. The reply replaces what `reply`
    /// holds; what was put behind it already ([`Chain::read`]) counts for its length, which is returned. None when the
    /// chain is kept, to be answered later ([`Chain::kept`]).
    fn answer(&self, request: &[u8], chain: &Chain<'_>, reply: &mut Vec<u8>) -> Option<usize>;
}

/// A request's descriptors, but for what was copied of it.
pub struct Chain<'m> {
    all: DescriptorChain<&'m Memory>,
    request: Pieces<'m>,
    /// Bytes of the request that were copied.
    copied: usize,
    room: Pieces<'m>,
}

impl Chain<'_> {
    /// Bytes of the request that weren't copied.
    #[must_use]
    pub fn data(&self) -> usize {
        self.request.len() - self.copied
    }

    /// Bytes that the reply may have.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room.len()
    }

    /// Writes the first `length` of the bytes that weren't copied to a file, at `offset` or at its end; returns how many.
    ///
    /// # Errors
    /// When none could be written.
    pub fn write(&self, to: BorrowedFd<'_>, length: usize, offset: Option<u64>) -> io::Result<usize> {
        sys::write_at(to, self.request.part(self.copied, length), offset)
    }

    /// Reads at most `length` bytes of a file at `offset` to behind the reply's first `skipped`; returns how many.
    ///
    /// # Errors
    /// When none could be read.
    pub fn read(
        &self,
        from: BorrowedFd<'_>,
        length: usize,
        offset: u64,
        skipped: usize,
    ) -> io::Result<usize> {
        sys::read_at(from, self.room.part(skipped, length), offset)
    }

    /// What to answer it by, later.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let room = self.all.clone().filter(|part| part.is_write_only());
        Kept { head: self.all.head_index(), room: room.map(|part| (part.addr(), part.len())).collect() }
    }
}

/// A chain that is answered when its queue has long gone on.
#[derive(Debug)]
pub struct Kept {
    head: u16,
    room: Vec<(GuestAddress, u32)>,
}

impl Kept {
    /// Answers with `reply`, as much of it as there is room for; returns whether the guest is owed an interrupt.
    ///
    /// # Errors
    /// When the driver's rings are broken.
    pub fn answer(self, reply: &[u8], queue: &mut Queue, memory: &Memory) -> Result<bool, Error> {
        // Checked now: the guest's memory may be another than it was.
        let length = Pieces::gather(memory, self.room.into_iter(), reply.len()).map_or(0, |room| {
            room.copy_from(reply);
            room.len()
        });
        queue.add_used(memory, self.head, u32::try_from(length).unwrap_or(u32::MAX))?;
        Ok(queue.needs_notification(memory)?)
    }
}

/// One queue's buffers, used again for each request.
#[derive(Default)]
pub struct Lane {
    request: Vec<u8>,
    reply: Vec<u8>,
    /// Whether a request was just served.
    is_busy: bool,
}

impl Lane {
    /// Serves the next request that waits in the queue, or comes within a moment of the one before; returns whether the guest
    /// is owed an interrupt for it. None when there is none: then the guest tells of the next one.
    ///
    /// # Errors
    /// When the driver's rings are broken: the queue is to be stopped until the device's reset.
    pub fn serve_next(
        &mut self,
        queue: &mut Queue,
        memory: &Memory,
        files: &dyn Files,
    ) -> Result<Option<bool>, Error> {
        // A ring that announces entries and gives none is broken; two idle rounds tell it from a late entry.
        for _ in 0..2 {
            queue.disable_notification(memory)?;
            if mem::take(&mut self.is_busy) {
                wait_a_moment(queue, memory)?;
            }
            if let Some(chain) = queue.pop_descriptor_chain(memory) {
                let head = chain.head_index();
                let Some(written) = self.serve(memory, chain, files) else { return Ok(Some(false)) };
                // Whoever wants no answer has none to ask more after.
                self.is_busy = written > 0;
                queue.add_used(memory, head, u32::try_from(written).unwrap_or(u32::MAX))?;
                return Ok(Some(queue.needs_notification(memory)?));
            }
            if !queue.enable_notification(memory)? {
                break;
            }
        }
        Ok(None)
    }

    /// One request; returns how long its reply is, none when it comes later.
    fn serve(
        &mut self,
        memory: &Memory,
        chain: DescriptorChain<&Memory>,
        files: &dyn Files,
    ) -> Option<usize> {
        let Some((request, room)) = Pieces::both(memory, chain.clone(), LONGEST) else {
            tracing::debug!("the guest asked from memory that it doesn't have");
            return Some(0);
        };
        let mut start = [0; START];
        let start = &mut start[..START.min(request.len())];
        request.copy_to(start);
        let copied = files.copied(start).min(request.len());
        // Zeroed once, not for each request: it is overwritten anyway.
        if self.request.len() < copied {
            self.request.resize(copied, 0);
        }
        let bytes = &mut self.request[..copied];
        request.copy_to(bytes);
        let chain = Chain { all: chain, request, copied, room };
        let length = files.answer(bytes, &chain, &mut self.reply)?;
        let replied = self.reply.len().min(chain.room.len());
        chain.room.copy_from(&self.reply[..replied]);
        Some(length.min(chain.room.len()))
    }
}

/// Waits for the queue's next request, which the guest needn't tell of meanwhile, but not for long.
fn wait_a_moment(queue: &Queue, memory: &Memory) -> Result<(), Error> {
    let until = Instant::now() + MOMENT;
    while queue.avail_idx(memory, Ordering::Acquire)?.0 == queue.next_avail() && Instant::now() < until {
        thread::yield_now();
    }
    Ok(())
}
